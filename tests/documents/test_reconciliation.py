"""What reading back found, as a person reads it: how much, what differs and why, sums and links."""

from __future__ import annotations

from dataclasses import replace

from dentlib.documents import gallery_loads as loads
from dentlib.documents.reconciliation import sections
from dentlib.documents.view import Tone
from dentlib.facts import LinkFacts, RunFacts, SumFacts


def found(facts: RunFacts) -> dict[str, str]:
    return {s.name: s.finding for s in sections(facts)}


def test_everything_read_and_the_same() -> None:
    """Each section says that all is well, with its numbers."""
    clean = loads.run_facts()
    assert all(s.status.tone is Tone.GOOD for s in sections(clean))
    told = found(clean)
    assert told["readback"].startswith("Every record was asked for by its id")
    assert "312 of 312 files (100 %) hold the bytes that were sent" in told["readback"]
    assert told["differences"].endswith("none differs otherwise.")
    assert told["totals"].endswith("all agree.")


def test_differences_come_by_kind_the_gravest_first() -> None:
    """A record that is gone stands before what people changed; a sum and a link that differ are marked."""
    delta = loads.run_facts("delta")
    assert delta.reconciliation is not None
    _, differences, _ = sections(delta)
    assert differences.status.tone is Tone.STOP
    named = differences.tables[1]
    assert [str(row[0]) for row in named.rows[:2]] == ["missing", "changed by a person"]
    wrong = replace(
        delta.reconciliation,
        sums=(SumFacts("plans", "amount", "money", "USD", 2, 2, 3_000_000, 2_990_000, 1, 1, 2, 2, 0),),
        links=(LinkFacts("plans", "companyId", "link", 2, 2, 0, 1, 2, 2),),
    )
    totals = sections(replace(delta, reconciliation=wrong))[2]
    assert totals.finding.endswith("2 differ.")
    assert totals.tables[0].rows[0][3:5] == ("3.00 USD", "2.99 USD")


def test_a_sample_and_nothing_at_all_are_told() -> None:
    """A sample says its size, seed and worth; where nothing was read, each section says so."""
    clean = loads.run_facts()
    assert clean.reconciliation is not None
    steps = tuple(
        replace(s, looked_at=min(s.looked_at, 1000), read_back=min(s.read_back, 1000), seen_one_percent=0.99995)
        for s in clean.reconciliation.steps
    )
    told = found(replace(clean, reconciliation=replace(clean.reconciliation, steps=steps)))["readback"]
    assert "3,060 of 27,066 records" in told
    assert "(seed 7)" in told
    assert "99.995 %" in told
    assert set(found(replace(clean, reconciliation=None)).values()) == {"Nothing was read back."}
