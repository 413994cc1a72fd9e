"""Tests of what reading back adds up to: a record that is gone doesn't take its links out of the count."""

from __future__ import annotations

from dentlib.loading.reconcile import _compare, _Tally

TYPES = {"id": "UUID", "patientId": "UUID", "fee": "CURRENCY"}
MEANT = {"id": "a", "patientId": "p", "fee": {"amountMicros": 5_000_000, "currencyCode": "USD"}}


def test_links_are_expected_before_the_record_is_looked_at() -> None:
    """One link meant and kept, one meant and gone with its record, one kept but pointing elsewhere."""
    tally = _Tally()
    _compare(tally, MEANT, dict(MEANT), TYPES, {"p"})
    assert tally.links == {"patientId": [1, 1, 0]}
    _compare(tally, MEANT, None, TYPES, {"p"})
    assert tally.links == {"patientId": [2, 1, 0]}
    _compare(tally, MEANT, {**MEANT, "patientId": "q"}, TYPES, {"p"})
    assert tally.links == {"patientId": [3, 2, 1]}


def test_a_cent_lost_shows_in_the_sums() -> None:
    """Sums of sent and stored money are kept apart, to the micro."""
    tally = _Tally()
    _compare(tally, MEANT, {**MEANT, "fee": {"amountMicros": 4_990_000, "currencyCode": "USD"}}, TYPES, {"p"})
    assert tally.money == {"fee": [1, 5_000_000, 4_990_000]}
    assert tally.fields["fee"][1] == 1
