"""What pages say is computed from facts, and tested without reading HTML."""

from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dentlib import documents
from dentlib.documents import evidence, outcomes, pages, rollback, run, sample
from dentlib.documents import gallery_facts as invented
from dentlib.documents import gallery_loads as loads
from dentlib.documents.cutover import checklist
from dentlib.documents.view import Column, Status, Table, Tone
from dentlib.errors import UsageError
from dentlib.facts import (
    AccessRow,
    AuditFacts,
    CheckFacts,
    DiffRow,
    MappingFacts,
    MatchFacts,
    ReasonCount,
    RunFacts,
    StepFacts,
)
from dentlib.model import Problem, Severity

ALL: list[Any] = [
    invented.audit_facts(),
    invented.mapping_facts(),
    loads.sample_facts(),
    loads.run_facts(),
    loads.run_facts("delta"),
    loads.rollback_facts(),
    loads.rollback_facts(preview=True),
    checklist("gallery", "Brightsmile Dental", "dent-o-soft--twenty"),
]


@pytest.mark.parametrize("facts", ALL, ids=lambda f: type(f).__name__)
def test_every_row_fits_its_columns(facts: Any) -> None:
    """Tables are rectangular, their names unique among the page's files."""
    sections = pages._builder(facts).sections(facts, False)
    tables = [t for s in sections for t in s.tables]
    assert all(len(row) == len(t.columns) for t in tables for row in (*t.rows, *([t.total] if t.total else [])))
    assert len({t.name for t in tables}) == len(tables)


@pytest.mark.parametrize("facts", ALL, ids=lambda f: type(f).__name__)
def test_every_section_opens_with_its_finding(facts: Any) -> None:
    """A finding is a sentence: it begins with a capital or a figure, and ends with a full stop."""
    for section in (documents.summary(facts), *pages._builder(facts).sections(facts, False)):
        assert section.finding, section.name
        assert section.finding[-1] in ".", section.finding
        assert section.finding[0].isupper() or section.finding[0].isdigit(), section.finding


def _emptied(facts: Any) -> Any:
    empty = {f.name: () for f in fields(facts) if isinstance(getattr(facts, f.name), tuple)}
    return replace(facts, **empty)


@pytest.mark.parametrize("facts", ALL, ids=lambda f: type(f).__name__)
def test_facts_without_rows_still_make_sections(facts: Any) -> None:
    """An empty export, map or run is said to be empty; nothing divides by zero."""
    empty = _emptied(facts)
    for section in (documents.summary(empty), *pages._builder(empty).sections(empty, False)):
        assert section.finding
        assert section._repr_html_()


def test_a_notebook_gets_twelve_rows_and_is_told_where_the_rest_is() -> None:
    """A long table is cut for display; its note counts what was left out and names the file beside the page."""
    facts = invented.audit_facts()
    long = replace(facts, columns=facts.columns * 10)
    (table,) = documents.section(long, "columns").tables
    assert len(table.shown) == 12
    assert table.note == "12 of 90 rows; all are in audit-columns.csv"
    assert documents.section(long, "columns", rows=90).tables[0].note == ""


def test_unknown_sections_are_refused_with_the_known_ones() -> None:
    """The way out of a wrong name is the list of right ones."""
    with pytest.raises(UsageError, match="findings, tables, columns"):
        documents.section(invented.audit_facts(), "colums")


def test_a_missing_object_and_an_error_are_decisions() -> None:
    """The audit asks for what a person must settle, and for nothing else."""
    asked = documents.decisions(invented.audit_facts())
    assert len(asked) == 2
    assert "61 of 19,238 (0.3 %)" in asked[0]
    assert "lab prescription" in asked[1]


def test_rows_lost_while_reading_stop_the_audit() -> None:
    """Rows in a file that are neither read nor set aside are said aloud."""
    facts = invented.audit_facts()
    lost = replace(facts.intake.files[0], loaded=4870)
    broken = replace(facts, intake=replace(facts.intake, files=(lost, *facts.intake.files[1:])))
    section = documents.section(broken, "files")
    assert section.status.tone is Tone.STOP
    assert "not accounted for" in section.finding


def test_steps_that_do_not_add_up_are_named() -> None:
    """One row without an outcome turns the verdict, the table's line and its total."""
    short = StepFacts("patients", "Patients", "Person", 10, created=9)
    section = outcomes.outcomes_section((short,), "Outcomes")
    assert section.status.word == "does not add up"
    assert "Patients" in section.finding
    assert section.tables[0].rows[0][-1] == Status("no", Tone.STOP)
    assert section.tables[0].total[-1] == Status("no", Tone.STOP)


def _run(**changes: Any) -> RunFacts:
    return replace(loads.run_facts(), **changes)


def test_reconciled_is_said_only_when_everything_agrees() -> None:
    """Failed checks, crashed checks, failed rows and missing proof each take the word away."""
    good = loads.run_facts()
    assert run.verdict(good).word == "reconciled"
    crashed = replace(good.checks[0], success=None)
    failed = replace(good.checks[0], success=False)
    assert run.verdict(_run(checks=(*good.checks, crashed))).word == "a check could not run"
    assert run.verdict(_run(checks=(*good.checks, failed))).word == "differences"
    assert run.verdict(_run(checks=())).tone is not Tone.GOOD
    assert run.verdict(_run(checks=good.checks[:2])).word == "not reconciled"
    row = replace(good.steps[0], created=good.steps[0].created - 1, failed=1)
    assert run.verdict(_run(steps=(row,))).word == "differences"
    assert run.verdict(_run(steps=(replace(row, failed=0),))).word == "does not add up"


def test_a_crashed_check_is_a_decision_not_a_pass() -> None:
    """What could not be checked is asked about."""
    good = loads.run_facts()
    assert documents.decisions(good) == ()
    asked = documents.decisions(_run(checks=(replace(good.checks[3], success=None),)))
    assert "could not run" in asked[0]


def test_the_pace_tells_how_long_it_took() -> None:
    """Time, calls and what was foreseen stand side by side."""
    facts = _run(started_at=invented.MADE_AT, ended_at=invented.MADE_AT + timedelta(minutes=65), refused_for_rate=3)
    section = documents.section(facts, "pace")
    assert section.finding == "Took 1 h 05 min with 163 writing calls to the CRM; 3 were refused for their rate."
    assert section.status.tone is Tone.CHECK
    beside = section.tables[0]
    assert beside.name == "forecast"
    assert beside.total == ("all", 27_066, 27_066, 138, 138)
    assert any("at 100 calls a minute (the plan is pro)" in line for line in section.items)


def test_the_page_before_the_run_names_what_reacts_and_what_is_undecided() -> None:
    """Webhooks are said with the system they tell; what closes the gate makes the status."""
    facts = loads.preview_facts()
    reactions = documents.section(facts, "reactions")
    assert "1 of them webhooks" in reactions.finding
    assert reactions.status.tone is Tone.CHECK
    assert documents.summary(facts).status.word == "ready"
    assert "need a person: 1" in documents.section(facts, "matches").finding
    facts = replace(facts, matches=MatchFacts(()))
    undecided = replace(facts, undecided=("2 people of the practice have no owner in the CRM",))
    assert documents.summary(undecided).status.tone is Tone.STOP
    assert documents.decisions(undecided) == undecided.undecided


def test_without_a_rate_no_time_is_made_up() -> None:
    """Minutes come from the rate, else from a measurement, else they are not told."""
    facts = loads.preview_facts()
    unlimited = replace(facts.forecast, calls_per_minute=None, minutes=None, ends_at=None, rate_from="")
    assert "no time was foreseen" in documents.section(replace(facts, forecast=unlimited), "forecast").finding


def test_many_fields_that_stay_are_one_decision_for_each_object() -> None:
    """A person reads what stays by object; only few fields are asked about one by one."""
    few = (("person.npi", "1 record holds something in it"), ("company.npi", "1 record holds something in it"))
    many = tuple((f"person.field{n}", "2 records hold something in it") for n in range(12)) + few[1:]
    facts = replace(loads.rollback_facts(), schema_kept=few)
    assert [a for a in rollback.decisions(facts) if "npi" in a] == [f"{name} was kept: {why}" for name, why in few]
    asked = [a for a in rollback.decisions(replace(facts, schema_kept=many)) if "addition" in a]
    assert [a.split(":")[0] for a in asked] == ["1 addition to company was kept", "12 additions to person were kept"]


def test_a_rollback_is_as_before_only_without_differences() -> None:
    """A preview proves nothing, a kept record is said, a difference stops."""
    facts = loads.rollback_facts()
    assert rollback.verdict(facts).word == "as before"
    assert rollback.verdict(loads.rollback_facts(preview=True)).word == "preview"
    assert rollback.verdict(replace(facts, kept=(("Person", "p1", "changed since"),))).word == "some kept"
    assert rollback.verdict(replace(facts, differences=("person: 5 before, 6 now",))).word == "differences"


def test_conflicts_and_unassigned_owners_are_decisions() -> None:
    """The map is not ready while a field is in the way or a dentist's records have no owner."""
    facts: MappingFacts = invented.mapping_facts()
    nobody = replace(facts.owners[0], how="unassigned")
    asked = documents.decisions(replace(facts, owners=(nobody,)))
    assert any("sourceSystemId" in a for a in asked)
    assert any("7,402 records" in a for a in asked)


def test_the_cutover_names_the_pair_and_what_was_switched_off() -> None:
    """Lines of another pair are left out; what was off must be on again."""
    common = checklist("e", "c", "dent-o-soft--twenty", ("workflow A",))
    with_hold = checklist("e", "c", "dent-o-soft--zoho")
    assert len(with_hold.lines) == len(common.lines) + 1
    (section,) = pages.page_sections("cutover", common)
    assert "workflow A" in section.note
    phases = [t.caption for t in section.tables]
    assert phases == list(dict.fromkeys(phases))


def test_words_from_elsewhere_lose_addresses_and_numbers() -> None:
    """A destination's own message may repeat a value; an e-mail address or phone number in it is masked."""
    told = outcomes.harmless("duplicate entry ana.oneil@mail.example for +1 415 555 2671, phone (415)5552671 in use")
    assert "oneil" not in told
    assert "5552671" not in told
    assert told.startswith("duplicate entry")


def test_an_error_of_the_intake_is_a_decision() -> None:
    """A problem while reading is asked about like a finding."""
    facts: AuditFacts = invented.audit_facts()
    problem = Problem("width", "A.csv", "a row is too short", "send it again", Severity.ERROR)
    asked = documents.decisions(replace(facts, intake=replace(facts.intake, problems=(problem,))))
    assert "A.csv: A row is too short. Send it again." in asked


def test_rare_values_and_identifying_columns_show_no_value() -> None:
    """A value that fewer than five rows have is left out, and so is every value of a column that identifies."""
    facts = invented.audit_facts()
    gender = next(c for c in facts.columns if c.column == "Gender")
    rare = replace(gender, values=(("F", 40), ("rare", 4)))
    name = replace(gender, identifier_class="name", values=(("Smith", 40),), masked_examples=("Aaaaa",))
    (table,) = documents.section(replace(facts, columns=(rare, name)), "columns").tables
    assert [row[-1] for row in table.rows] == ["F (40)", "Aaaaa"]


def test_many_values_are_cut_and_formats_are_written_as_people_do() -> None:
    """Twelve values and a count of the rest; MM/DD/YYYY rather than a program's codes."""
    facts = invented.audit_facts()
    times = replace(
        facts.columns[0], identifier_class="", values=tuple((f"{h}:00", 9) for h in range(20)), format="%m/%d/%Y"
    )
    (table,) = documents.section(replace(facts, columns=(times,)), "columns").tables
    assert table.rows[0][-1].endswith("11:00 (9) · and 8 more")
    assert table.rows[0][2] == "integer, MM/DD/YYYY"


def test_names_of_documents_are_masked() -> None:
    """A scan may be called after its patient; the ending stays, on the page and in the data."""
    facts = invented.audit_facts()
    scan = replace(facts.intake.files[-1], path="Documents/Smith, Ana/x-ray 3.pdf")
    facts = replace(facts, intake=replace(facts.intake, files=(*facts.intake.files[:-1], scan)))
    table = documents.section(facts, "files").tables[1]
    assert table.rows[0][0] == "Aaaaaaaaa/Aaaaa, Aaa/a-aaa 9.pdf"
    assert "Smith" not in str(documents.as_data(facts))


def test_a_table_in_parts_is_whole_in_a_notebook_and_in_its_csv(tmp_path: Path) -> None:
    """The page shows one table for each object; the notebook twelve rows of all; the CSV every row."""
    facts = invented.mapping_facts()
    whole = documents.section(facts, "schema").tables[0]
    assert whole.parts == ()
    assert len(whole.rows) == len(facts.schema)
    html = documents.write_page("schema", facts, tmp_path, generated_at=invented.MADE_AT).read_text(encoding="utf-8")
    for name in {i.object for i in facts.schema}:
        assert f"{name}, a" in html


def test_columns_that_say_nothing_are_left_out() -> None:
    """Boxes to tick and lines to write on stay; so does a column with a single word in it."""
    columns = (Column("Done", "tick"), Column("What"), Column("Why"), Column("Remark"))
    table = Table("t", "T", columns, (("", "a", None, ""), ("", "b", None, "seen")), total=("", "All", "", ""))
    shorter = table.without_empty()
    assert [c.title for c in shorter.columns] == ["Done", "What", "Remark"]
    assert shorter.rows == (("", "a", ""), ("", "b", "seen"))
    assert shorter.total == ("", "All", "")


def test_checks_of_many_steps_are_one_line_but_a_failed_one_stands_alone() -> None:
    """Counts add up in the line; the failed check keeps its step's name, its figures and its detail."""
    facts = loads.run_facts()
    steps = [s.step for s in facts.steps][:3]
    passed = [CheckFacts("prepared", f"key {s}", f"{s}: {s}Id is filled", True, 0, 10, "needed") for s in steps]
    failed = CheckFacts("prepared", "key x", f"{steps[0]}: name is filled", False, 2, 10, "needed", "2 rows")
    section = next(s for s in run.sections(replace(facts, checks=(*passed, failed))) if s.name == "checks")
    shown = section.tables[0].parts[0].rows
    assert len(section.tables[0].rows) == 4
    assert [(str(row[0]), row[1], str(row[3])) for row in shown] == [
        ("failed", f"{facts.steps[0].label}: name is filled", "2 of 10 (20.0 %)"),
        ("passed", "Each field is filled (3 checks)", "none of 30"),
    ]


def test_reasons_are_counted_once_with_their_steps_beside_them() -> None:
    """The same reason in two steps is one row; what failed comes first."""
    same = [ReasonCount(s, "excluded", "archived", "the patient is archived", n) for s, n in (("a", 2), ("b", 5))]
    facts = replace(loads.run_facts(), reasons=(*same, ReasonCount("a", "failed", "refused", "refused", 1)))
    section = next(s for s in run.sections(facts) if s.name == "reasons")
    assert section.tables[0].rows == (
        ("Refused", "failed", 1, "a 1"),
        ("The patient is archived", "left out by rule", 7, "b 5, a 2"),
    )


def test_a_delta_asks_about_records_whose_row_is_gone() -> None:
    """Nothing is deleted by itself: they are counted by step, and a person is asked."""
    facts = loads.run_facts("delta")
    assert "14 records kept whose row is gone" in run.summary(facts).finding
    assert any("14 records were kept" in d for d in run.decisions(facts))
    assert "gone" in [t.name for t in run.sections(facts)[0].tables]


def _diff_row(value: str, stored: str = "", **more: Any) -> DiffRow:
    return DiffRow("people", "1", "r1", "field", "Column", value, value, stored or value, **{"same": True, **more})


def _shown(row: DiffRow, reveal: bool = False) -> tuple[Any, ...]:
    facts = replace(loads.sample_facts(), diff=(row,))
    section = next(s for s in sample.sections(facts, reveal) if s.name == "diff")
    return section.tables[0].rows[0][3:6]


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ('{"amountMicros":1198700000,"currencyCode":"USD"}', "1,198.70 USD"),
        ('{"primaryPhoneNumber":"555","primaryPhoneCallingCode":"+1","additionalPhones":[]}', "555 · +1"),
        ('["D0120","D0220"]', "D0120, D0220"),
        ("[sic] not JSON", "[sic] not JSON"),
        ('{"blocknote":"[{\\"content\\":[{\\"text\\":\\"one\\"}]},{\\"content\\":[]}]"}', "one\n"),
    ],
)
def test_composite_values_are_read_as_people_write_them(stored: str, read: str) -> None:
    """No machine names, no braces; text that only looks like data stays as it is."""
    assert _shown(_diff_row(stored), reveal=True)[2] == read


def test_reading_a_value_never_hides_a_difference() -> None:
    """Where both would read the same, they are shown as they are."""
    row = replace(_diff_row('{"a":"1","b":""}'), stored='{"a":"","b":"1"}', same=False)
    assert _shown(row, reveal=True)[1:] == ('{"a":"1","b":""}', '{"a":"","b":"1"}')


def test_an_address_is_masked_even_where_the_map_says_that_it_identifies_nobody() -> None:
    """On the page, in the data, and in what a notebook would store of the facts themselves."""
    row = _diff_row('{"additionalEmails":["ana@mail.example"]}')
    assert "ana@" not in str(_shown(row))
    assert "ana@" not in str(documents.as_data(row))
    assert "ana@" not in repr(row)


def test_who_will_see_it_is_signed_and_an_unknown_role_stands_out() -> None:
    """Each kind with its roles; where nobody can say who reads it, the page stops."""
    facts = replace(invented.mapping_facts(), access=(AccessRow("clinical notes", "note", ("bodyV2",)),))
    section = evidence.access_section(facts)
    assert section.tables[0].rows == (("Clinical notes", "note", "bodyV2", Status("not known", Tone.STOP)),)
    assert section.status.tone is Tone.STOP
    assert section.sign
    assert evidence.access_section(replace(facts, access=())).sign == ""


def test_a_run_tells_what_arrived_differently_and_who_confirmed_what() -> None:
    """Most frequent first; names and moments as recorded; none is said as well."""
    facts = loads.run_facts()
    assert [row[3] for row in evidence.remarks_section(facts).tables[0].rows] == [212, 9]
    assert evidence.confirmed_section(facts).finding == "3 confirmations by A. Analyst."
    bare = replace(facts, remarks=(), confirmed=())
    assert evidence.remarks_section(bare).tables == evidence.confirmed_section(bare).tables == ()
