"""Notebooks are scripts of questions: thin, typed, stripped, and made of the library's own objects."""

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dentlib.documents.pages import _BUILDERS
from dentlib.documents.view import Section
from dentlib.facts import AuditFacts, MappingFacts, RollbackFacts, RunFacts, SampleFacts
from dentlib.notebook.runner import known_parameters

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = ("01_audit", "02_mapping_review", "03_sample_diff", "04_full_run", "05_delta", "06_rollback")
FACTS = dict(zip(NAMES, (AuditFacts, MappingFacts, SampleFacts, RunFacts, RunFacts, RollbackFacts), strict=True))
FORBIDDEN = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.Try, ast.With, ast.ListComp)

books = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> Any:
    """Return a notebook as committed."""
    return nbformat.read(FOLDER / f"{name}.ipynb", 4)


def code(name: str) -> list[Any]:
    """Return its code cells."""
    return [c for c in read(name).cells if c.cell_type == "code"]


def test_there_is_a_notebook_for_every_stage() -> None:
    """These and no others."""
    assert sorted(p.stem for p in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@books
def test_committed_without_outputs(name: str) -> None:
    """No outputs, no counts, no widget state; the python3 kernel."""
    book = read(name)
    nbformat.validate(book)
    assert all(c.outputs == [] and c.execution_count is None for c in code(name))
    assert book.metadata.kernelspec.name == "python3"
    assert set(book.metadata) == {"kernelspec", "language_info"}


@books
def test_title_question_and_order(name: str) -> None:
    """One title with what it answers, parameters next, `Decisions needed` last."""
    cells = read(name).cells
    title, _, answers = cells[0].source.partition("\n\n")
    assert re.fullmatch(r"# [A-Z][^#\n]+", title)
    assert answers.count("\n") == 0
    assert "?" in answers
    assert "For the " in answers
    assert cells[1].metadata.tags == ["parameters"]
    headings = [c.source.split("\n")[0] for c in cells[2:] if c.cell_type == "markdown"]
    assert all(h.startswith("## ") for h in headings)
    assert headings[-1] == "## Decisions needed"


@books
def test_each_section_is_a_heading_and_one_cell(name: str) -> None:
    """A heading with at most one sentence, then one code cell."""
    rest = read(name).cells[2:]
    assert [c.cell_type for c in rest] == ["markdown", "code"] * (len(rest) // 2)
    for cell in rest[::2]:
        _, _, sentence = cell.source.partition("\n\n")
        assert len(re.findall(r"[.!?](?:\s|$)", sentence)) <= 1, cell.source


@books
def test_code_cells_are_short_and_simple(name: str) -> None:
    """At most eight lines; no definitions, loops, shell escapes; comments only beside parameters."""
    for cell in code(name):
        assert len(cell.source.splitlines()) <= 8
        tree = ast.parse(cell.source)  # fails on shell escapes and magics
        assert not [n for n in ast.walk(tree) if isinstance(n, FORBIDDEN)]
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in ("print", "display", "open")]
        tokens = tokenize.generate_tokens(io.StringIO(cell.source).readline)
        comments = [t for t in tokens if t.type == tokenize.COMMENT]
        assert not comments or "parameters" in cell.metadata.get("tags", [])


@books
def test_only_dentlib_is_imported(name: str) -> None:
    """Everything else belongs into the library."""
    for node in ast.walk(ast.parse("\n".join(c.source for c in code(name)))):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] == "dentlib"
        assert not isinstance(node, ast.Import)


@books
def test_parameters_are_typed_plain_and_explained(name: str) -> None:
    """One tagged cell: `name: type = value  # what it is`, the engagement first."""
    (cell,) = (c for c in code(name) if "parameters" in c.metadata.get("tags", []))
    for line in cell.source.splitlines():
        assert re.fullmatch(r"[a-z_]+: (str|int|float|bool) = [^#]+  # .+", line), line
    known = known_parameters(FOLDER / f"{name}.ipynb")
    assert next(iter(known.items())) == ("engagement", "demo")


@books
def test_every_cell_ends_with_one_object_to_display(name: str) -> None:
    """The last statement is an expression of the library's: the result, a section of it, or its decisions."""
    for cell in code(name)[1:]:
        last = ast.parse(cell.source).body[-1]
        assert isinstance(last, ast.Expr), cell.source
        assert re.fullmatch(
            r"\w+|\w+\.section\(\"\w+\"\)|notebook\.(decisions_needed|rollback_button)\(\w+\)",
            ast.unparse(last).replace("'", '"'),
        )


@books
def test_the_last_cell_saves_the_result(name: str) -> None:
    """Tests and later stages read `result.json`, never the HTML."""
    assert re.match(r"saved = stages\.save\(\w+\)\n", code(name)[-1].source)


@books
def test_sections_that_are_asked_for_exist(name: str) -> None:
    """Every section named in a notebook is one that its facts have."""
    asked = re.findall(r'\.section\("(\w+)"\)', "\n".join(c.source for c in code(name)))
    assert asked
    assert set(asked) <= set(_section_names(FACTS[name]))


def _section_names(kind: type) -> list[str]:
    from dentlib.documents import gallery_facts as invented
    from dentlib.documents import gallery_loads as loads

    made = {
        AuditFacts: invented.audit_facts,
        MappingFacts: invented.mapping_facts,
        SampleFacts: loads.sample_facts,
        RunFacts: loads.run_facts,
        RollbackFacts: loads.rollback_facts,
    }
    sections: tuple[Section, ...] = _BUILDERS[kind].sections(made[kind](), False)
    return [s.name for s in sections]
