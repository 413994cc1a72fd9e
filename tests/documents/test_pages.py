"""Pages load nothing, run nothing, show no patient, and are the same each time."""

import csv
import io
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from dentlib import documents
from dentlib.documents import gallery_facts as invented
from dentlib.documents import gallery_loads as loads
from dentlib.documents.gallery import main, write_gallery
from dentlib.documents.render import stylesheet
from dentlib.errors import UsageError
from dentlib.facts import DiffRow

GALLERY = Path(__file__).parents[2] / "reports" / "gallery"
PLANTED = ("Gündoğdu", "O’Neil", "Ana@Mail", "ana@mail.example", "4155552671", "415.555.2671", "12 Elm", "1984-02-29")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every page once."""
    out = tmp_path_factory.mktemp("gallery")
    write_gallery(out)
    return out


class _Outline(HTMLParser):
    """Collects what a test asks of a page's structure."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "wbr", "img", "input", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _pages(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.html"))}


def test_the_gallery_in_the_repository_is_what_the_templates_make(gallery: Path) -> None:
    """Every page is made again, byte for byte. `python -m dentlib.documents.gallery` renews them."""
    made = {p.name: p.read_bytes() for p in gallery.iterdir()}
    kept = {p.name: p.read_bytes() for p in GALLERY.iterdir()}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_there_is_a_page_of_every_kind(gallery: Path) -> None:
    """The gallery leaves out none of the kinds, nor the index."""
    assert {f"{k}.html" for k in documents.kinds()} | {"index.html"} <= set(_pages(gallery))


def test_pages_load_and_run_nothing(gallery: Path) -> None:
    """No address outside, no script, no form, no frame; a policy forbids them as well."""
    for name, html in _pages(gallery).items():
        assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", html, re.IGNORECASE), name
        tags = _Outline(html).tags
        assert not {t for t, _ in tags} & {"script", "link", "img", "iframe", "form", "object", "embed", "base"}, name
        assert not [a for _, attributes in tags for a in attributes if a.startswith("on")], name
        policy = next(a["content"] for t, a in tags if a.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert policy.startswith("default-src 'none'")


def test_pages_are_sound_for_a_screen_reader(gallery: Path) -> None:
    """Language, one h1, one main; tables have captions and scoped headings; scrolling areas are reachable and named."""
    for name, html in _pages(gallery).items():
        outline = _Outline(html)
        assert outline.open == [], name
        tags = [t for t, _ in outline.tags]
        ids = [a["id"] for _, a in outline.tags if "id" in a]
        assert ("html", {"lang": "en"}) in outline.tags
        assert tags.count("h1") == tags.count("main") == 1, name
        assert tags.count("table") == tags.count("caption"), name
        assert all("scope" in a for t, a in outline.tags if t == "th"), name
        assert len(ids) == len(set(ids)), name
        for _, attributes in outline.tags:
            assert attributes.get("aria-labelledby", ids[0]) in ids, name
            assert (attributes.get("href") or "#")[1:] in ["", *ids] or not str(attributes["href"]).startswith("#")


def test_index_leads_only_to_pages_that_are_there(gallery: Path) -> None:
    """Every link between the pages finds its file."""
    for html in _pages(gallery).values():
        for link in re.findall(r'href="([^"#]+)"', html):
            assert (gallery / link).is_file()


def test_the_masked_pages_show_no_planted_value(gallery: Path) -> None:
    """Names, addresses, dates and numbers of the sample are on the practice's copy, and nowhere else."""
    for path in gallery.iterdir():
        text = path.read_text(encoding="utf-8")
        found = [v for v in PLANTED if v in text]
        assert found == ([] if "practice-copy" not in path.name else list(PLANTED)), path.name


def test_markup_in_a_name_stays_text(gallery: Path) -> None:
    """A patient called <script> is shown as such and runs nothing."""
    html = (gallery / "sample-practice-copy.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_letters_of_all_kinds_render(gallery: Path) -> None:
    """Turkish, German and curly characters are written as they are, in UTF-8."""
    html = (gallery / "owners.html").read_text(encoding="utf-8")
    assert "Ayşe Gürışık" in html
    assert "Jörg Weiß" in html
    assert '<meta charset="utf-8">' in html


@pytest.mark.parametrize("reveal", [False, True])
def test_result_data_is_masked_like_the_page(reveal: bool) -> None:
    """`result.json` holds a planted value only where it was asked for."""
    data = orjson.dumps(documents.as_data(loads.sample_facts(), reveal=reveal)).decode()
    assert any(v in data for v in PLANTED) is reveal
    assert ("record-17" in data) is reveal


def test_every_fact_can_be_written_as_json() -> None:
    """Audit, map, run and rollback become plain data, enums and moments included."""
    for facts in (invented.audit_facts(), invented.mapping_facts(), loads.run_facts(), loads.rollback_facts()):
        assert orjson.loads(orjson.dumps(documents.as_data(facts)))["client"] == "Brightsmile Dental"


def _long_sample() -> Any:
    row = DiffRow("notes", "1", "r1", "title", "Title", "=cmd|' /C calc'!A0", "x", "y", False, "cut by the CRM")
    return replace(loads.sample_facts(), diff=tuple(replace(row, source_key=str(i)) for i in range(250)))


def test_a_long_table_is_cut_on_the_page_and_whole_in_the_csv(tmp_path: Path) -> None:
    """200 rows on the page, all of them beside it, and the page says so."""
    page = documents.write_page("sample", _long_sample(), tmp_path, generated_at=invented.MADE_AT)
    assert "200 of 250 rows; all are in sample-diff.csv." in page.read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO((tmp_path / "sample-diff.csv").read_text(encoding="utf-8-sig"))))
    assert len(rows) == 251
    assert {len(r) for r in rows} == {8}


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path) -> None:
    """A value that a spreadsheet would run is defused."""
    documents.write_page("sample", _long_sample(), tmp_path, generated_at=invented.MADE_AT)
    with (tmp_path / "sample-diff.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [c for row in csv.reader(file) for c in row]
    assert not [c for c in cells if c.startswith(("=", "+", "-", "@"))]
    assert "'=cmd|' /C calc'!A0" in cells


def test_what_is_written_is_for_the_owner_only(tmp_path: Path) -> None:
    """Pages, CSV files and the list of pages are readable by nobody else."""
    documents.write_page("sample", _long_sample(), tmp_path, generated_at=invented.MADE_AT)
    documents.write_index(tmp_path, "e", "Brightsmile Dental")
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}


def test_the_index_remembers_pages_of_earlier_stages(tmp_path: Path) -> None:
    """Pages written one after the other are all listed, in reading order; those not made yet say so."""
    documents.write_page("run", loads.run_facts(), tmp_path, generated_at=invented.MADE_AT)
    documents.write_page("audit", invented.audit_facts(), tmp_path, generated_at=invented.MADE_AT)
    documents.write_page("audit", invented.audit_facts(), tmp_path, generated_at=invented.MADE_AT)
    assert [p.kind for p in documents.read_pages(tmp_path)] == ["audit", "run"]
    html = documents.write_index(tmp_path, "e", "Brightsmile Dental").read_text(encoding="utf-8")
    assert html.index("audit.html") < html.index("run.html")
    assert html.count("not yet") == len(documents.kinds()) - 2


def test_a_removed_page_leaves_the_index(tmp_path: Path) -> None:
    """The index never links to what isn't there."""
    documents.write_page("audit", invented.audit_facts(), tmp_path, generated_at=invented.MADE_AT).unlink()
    assert documents.read_pages(tmp_path) == ()


def test_decisions_given_by_the_stage_are_shown(tmp_path: Path) -> None:
    """A stage may ask more than the facts alone do; markup in it stays text."""
    page = documents.write_page(
        "audit", invented.audit_facts(), tmp_path, generated_at=invented.MADE_AT, decisions=("Approve the <map>.",)
    )
    assert "<li>Approve the &lt;map&gt;.</li>" in page.read_text(encoding="utf-8")
    assert documents.read_pages(tmp_path)[0].decisions == 1


def test_facts_make_only_their_own_pages(tmp_path: Path) -> None:
    """A wrong kind is refused with the right ones, and nothing is written."""
    with pytest.raises(UsageError, match="these facts make: audit"):
        documents.write_page("run", invented.audit_facts(), tmp_path, generated_at=invented.MADE_AT)
    with pytest.raises(UsageError, match="no page of kind invoice"):
        documents.write_page("invoice", invented.audit_facts(), tmp_path, generated_at=invented.MADE_AT)
    assert list(tmp_path.iterdir()) == []


def test_sections_and_pages_display_themselves() -> None:
    """A notebook shows a section with its own style and without a script."""
    html = documents.section(invented.audit_facts(), "findings")._repr_html_()
    assert html.startswith('<div class="dl snippet stop">')
    assert "61 of 19,238" in html
    assert "<script" not in html


def test_text_is_dark_enough_on_its_ground() -> None:
    """Every text colour has a contrast of at least 4.5 with the ground it stands on."""
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", stylesheet()))
    pairs = [(ink, ground) for ink in ("ink", "soft", "accent") for ground in ("paper", "wash")]
    pairs += [(tone, f"{tone}-wash") for tone in ("good", "check", "stop", "plain")]
    for ink, ground in pairs:
        assert _contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
    assert _contrast("#66727e", colour["wash"]) >= 4.5


def _contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_the_gallery_command_wants_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without a folder it says how to call it; with one it lists what it wrote."""
    assert main([]) == 2
    assert main([str(tmp_path)]) == 0
    assert "audit.html" in capsys.readouterr().out
