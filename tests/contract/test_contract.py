"""The contract: the sandbox answers as the real Twenty did, whatever the names, and a wrong answer shows."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pack import pack
from replay import VERSIONS, Outcome, contract, one_in_transit, replay
from replaying.comparison import Comparison, Reply, Rule
from replaying.correspondence import Correspondence
from replaying.exchanges import Exchange, completed
from replaying.plan import load_plan
from replaying.session import Verdict


@pytest.fixture(scope="module", params=VERSIONS)
def plain(request: pytest.FixtureRequest) -> Outcome:
    """One replay of everything, with a corrupted copy of every answer tried on the way."""
    return replay(request.param, control_seed=1)


def _explained(outcome: Outcome) -> str:
    lines = [f"[{v.exchange.number}] {v.differences[0]}" for v in outcome.verdicts if v.differences]
    return "\n".join([str(outcome), *outcome.broken, *lines[:20]])


def test_every_recorded_exchange_is_answered_alike(plain: Outcome) -> None:
    """Nothing is mismatched but what the plan names with a reason, and the version's share of matches is reached."""
    assert plain.green, _explained(plain)


def test_every_corrupted_answer_is_noticed(plain: Outcome) -> None:
    """One field changed in any answer makes the comparison of that answer fail."""
    assert plain.tried > 500
    assert [f"{v.exchange.number} {v.corruption}" for v in plain.unnoticed] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_other_names_ids_and_numbers_give_the_same_verdict(version: str) -> None:
    """Nothing is hard-coded: with other literals in requests and expected answers the replay is green as well."""
    outcome = replay(version, seed=7)
    assert outcome.green, _explained(outcome)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_field_corrupted_in_transit_turns_the_replay_red(version: str) -> None:
    """A server that is wrong in one field of one answer fails the contract."""
    target, in_transit = one_in_transit(version, seed=3)
    outcome = replay(version, in_transit=in_transit, only={target})
    assert not outcome.green
    assert outcome.mismatched == 1


def test_the_bars_are_what_has_been_reached() -> None:
    """Of 2.21 every exchange must match, of 1.17 nearly every one; each known deviation has its reason."""
    bars = {version: contract(version)[1] for version in VERSIONS}
    assert {version: plan.least_matched for version, plan in bars.items()} == {"2.21": 1.0, "1.17": 0.99}
    assert not bars["2.21"].deviations
    assert all(bars["1.17"].deviations.values())


def test_a_known_deviation_that_is_gone_turns_the_replay_red() -> None:
    """The list of deviations stays true: one that no longer deviates must be taken out."""
    exchange = _exchange({})
    outcome = Outcome(1, 0, 0.0, frozenset({exchange.number}), [Verdict(exchange, [])])
    assert not outcome.green


@pytest.mark.parametrize("version", VERSIONS)
def test_only_what_no_migration_touches_may_be_out_of_scope(version: str, tmp_path: Path) -> None:
    """A category that the contract does not allow is refused."""
    here = Path(__file__).resolve().parent
    for name in (f"plan-{version}.yaml", "ignored.yaml"):
        (tmp_path / name).write_text((here / name).read_text("utf-8"), "utf-8")
    (tmp_path / "out-of-scope.yaml").write_text(f'"{version}":\n- {{number: 200, category: hard, reason: no time}}\n')
    with pytest.raises(ValueError, match="may not be out of scope"):
        load_plan(tmp_path, version)


def _exchange(answer: object) -> Exchange:
    return Exchange(1, "an-answer", "", "GET", "/", {}, None, 200, {"content-type": "application/json"}, answer)


ONE, OTHER = "11111111-1111-4111-8111-000000000001", "22222222-2222-4222-8222-000000000002"
MOMENT, LATER = "2026-11-20T07:47:04.010Z", "2026-11-20T07:47:05.010Z"


@pytest.mark.parametrize(
    ("recorded", "replayed", "alike"),
    [
        ({"id": ONE}, {"id": OTHER}, True),
        ([ONE, ONE], [OTHER, OTHER], True),
        ([ONE, ONE], [OTHER, ONE], False),
        ([ONE, OTHER], [OTHER, OTHER], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": None}, {}, False),
        ({}, {"a": None}, False),
        ({"a": ""}, {"a": None}, False),
        (["x", "<2 more items not kept>"], ["x", "y", "z"], True),
        (["x", "<2 more items not kept>"], ["x", "y"], False),
        ("xx<3 more characters not kept>", "xxabc", True),
        ("xx<3 more characters not kept>", "xxab", False),
        ({"id": ONE, "a": MOMENT, "b": MOMENT}, {"id": OTHER, "a": LATER, "b": LATER}, True),
        ({"a": MOMENT, "b": MOMENT}, {"a": MOMENT, "b": LATER}, False),
        ({"a": MOMENT}, {"a": "yesterday"}, False),
        ({"a": "2011-05-06T07:08:09.123Z"}, {"a": LATER}, False),
        (f"no {ONE} here", f"no {OTHER} here", True),
        (f"no {ONE} here", f"no {OTHER} there", False),
        ("breaks FK_ee066ddacfce46c9a7cb90edd1a", "breaks FK_0123456789abcdef01234567890", True),
        ("breaks FK_ee066ddacfce46c9a7cb90edd1a", "breaks IDX_0123456789abcdef0123456", False),
        ("/file/a?token=<jwt>", "/file/a?token=abc.def", True),
        ("/file/a?token=<jwt>", "/file/a?token=", False),
    ],
)
def test_comparison_tells_a_stand_in_from_a_difference(recorded: object, replayed: object, alike: bool) -> None:
    """Ids, hashes, tokens and the server's own moments may differ one to one; everything else may not."""
    comparison = Comparison(Correspondence(), [], "http://127.0.0.1:1", "http://localhost:3000")
    found = comparison.differences(_exchange(recorded), Reply(200, "application/json", replayed))
    assert (not found) is alike


def test_a_rule_speaks_only_about_its_own_place() -> None:
    """A documented exception is narrow: the same value elsewhere is still compared."""
    rules = [Rule("*.searchVector", "text or null", "no loader reads it")]
    comparison = Comparison(Correspondence(), rules, "http://127.0.0.1:1", "http://localhost:3000")
    recorded = _exchange({"searchVector": "a", "name": "a"})
    alike = Reply(200, "application/json", {"searchVector": "b", "name": "a"})
    wrong = Reply(200, "application/json", {"searchVector": "b", "name": "b"})
    assert not comparison.differences(recorded, alike)
    assert comparison.differences(recorded, wrong)


def test_packing_is_reproducible_and_keeps_the_order_of_numbers(tmp_path: Path) -> None:
    """The same folder gives the same bytes; what took how long is not part of the contract."""
    for number in (200, 100):
        recorded: dict[str, object] = {
            "name": f"n{number}",
            "why": "",
            "request": {},
            "response": {},
            "elapsed_ms": number,
        }
        (tmp_path / f"{number}-n.json").write_text(json.dumps(recorded), "utf-8")
    assert pack(tmp_path, tmp_path / "a.gz") == 2
    pack(tmp_path, tmp_path / "b.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    packed = json.loads(gzip.decompress((tmp_path / "a.gz").read_bytes()))["exchanges"]
    assert [(exchange["number"], "elapsed_ms" in exchange) for exchange in packed] == [(100, False), (200, False)]


def test_cut_requests_are_completed_as_they_went_on() -> None:
    """The series that a recording cut short goes on counting."""
    names = [{"name": "S0008"}, {"name": "S0009"}, "<2 more items not kept>"]
    assert completed(names, "seed") == [{"name": "S0008"}, {"name": "S0009"}, {"name": "S0010"}, {"name": "S0011"}]
    assert completed("xxx<4 more characters not kept>", "seed") == "x" * 7
