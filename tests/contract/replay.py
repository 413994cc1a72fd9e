"""Replay the recorded exchanges of the real Twenty against the sandbox, and say how many of them it answers alike.

    python tests/contract/replay.py --all SEED [--version 2.21] [-v]         (what `make contract` runs)
    python tests/contract/replay.py [--renamed SEED] [--corrupt SEED] [--control SEED] [--only N,N-N] [-v]

Prints `matched N of 602, out of scope M, mismatched K`. Exit code 0: nothing mismatched and at least 85 % matched;
1 otherwise.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from replaying.comparison import Reply  # noqa: E402
from replaying.control import OneFieldCorrupted  # noqa: E402
from replaying.exchanges import Exchange, load  # noqa: E402
from replaying.plan import Plan, Scene, load_plan, numbers  # noqa: E402
from replaying.renaming import renamed  # noqa: E402
from replaying.session import Control, InTransit, Session, Verdict  # noqa: E402
from replaying.workspace import SetupError  # noqa: E402

LEAST_MATCHED = 0.85


@dataclass
class Outcome:
    """The figures of one replay."""

    recorded: int
    out_of_scope: int
    verdicts: list[Verdict] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def matched(self) -> int:
        """Count the exchanges that were answered as recorded."""
        return sum(not verdict.differences for verdict in self.verdicts)

    @property
    def mismatched(self) -> int:
        """Count the exchanges that were answered otherwise, or could not be replayed."""
        return self.recorded - self.out_of_scope - self.matched

    @property
    def green(self) -> bool:
        """Tell whether the contract holds."""
        return self.mismatched == 0 and self.matched >= LEAST_MATCHED * self.recorded

    @property
    def unnoticed(self) -> list[Verdict]:
        """List the exchanges whose corrupted copy was taken for the recorded answer."""
        return [verdict for verdict in self.verdicts if verdict.corruption and not verdict.corruption.noticed]

    def __str__(self) -> str:
        return (
            f"matched {self.matched} of {self.recorded}, out of scope {self.out_of_scope}, mismatched {self.mismatched}"
        )


def contract(version: str) -> tuple[dict[int, Exchange], Plan]:
    """Read the recorded exchanges and the plan of one version; raises ValueError when the plan forgets an exchange."""
    exchanges = load(HERE.parent / "contracts" / f"twenty-{version}.json.gz")
    plan = load_plan(HERE, version)
    planned = [n for scene in plan.scenes for step in scene.steps if "replay" in step for n in numbers(step["replay"])]
    present = [number for number in planned if number in exchanges]
    forgotten = exchanges.keys() - set(present) - plan.out_of_scope.keys()
    repeated = {number for number in present if present.count(number) > 1}
    if forgotten or repeated:
        raise ValueError(f"the plan forgets {sorted(forgotten)} and repeats {sorted(repeated)}")
    return exchanges, plan


def replay(
    version: str,
    *,
    seed: int | None = None,
    in_transit: InTransit | None = None,
    control_seed: int | None = None,
    only: set[int] | None = None,
) -> Outcome:
    """Replay one version's exchanges; `seed` renames the literals first, `control_seed` tries corrupted copies.

    `only` leaves out the scenes that hold none of these numbers, and the verdicts about others.
    """
    exchanges, plan = contract(version)
    if seed is not None:
        exchanges, plan = renamed(exchanges, plan, HERE / f"renaming-{version}.yaml", seed)
    outcome = Outcome(recorded=len(only) if only else len(exchanges), out_of_scope=len(plan.out_of_scope))
    control: Control | None = None if control_seed is None else OneFieldCorrupted(control_seed, plan.rules)
    for scene in plan.scenes:
        if only and not only & set(_numbers_of(scene)):
            continue
        session = Session(plan, scene, exchanges, in_transit, control)
        try:
            for verdict in session.play():
                if not only or verdict.exchange.number in only:
                    outcome.verdicts.append(verdict)
        except SetupError as error:
            outcome.broken.append(str(error))
    return outcome


def one_in_transit(version: str, seed: int) -> InTransit:
    """Return a change that corrupts one field of one answer on its way, chosen by `seed`."""
    exchanges, plan = contract(version)
    target = random.Random(seed).choice(sorted(exchanges.keys() - plan.out_of_scope.keys() - {239}))
    corrupt = OneFieldCorrupted(seed, plan.rules)

    def in_transit(exchange: Exchange, reply: Reply) -> Reply:
        changed = corrupt.corrupted(exchange, reply) if exchange.number == target else None
        return changed[0] if changed else reply

    return in_transit


def _numbers_of(scene: Scene) -> Iterator[int]:
    for step in scene.steps:
        if "replay" in step:
            yield from numbers(step["replay"])


def _report(outcome: Outcome, *, verbose: bool, about: str = "") -> None:
    for trouble in outcome.broken:
        print(f"set-up failed: {trouble}")
    for verdict in outcome.verdicts if verbose else []:
        if verdict.differences:
            exchange = verdict.exchange
            print(f"\n[{exchange.number}] {exchange.name}: {exchange.why}\n    {exchange.method} {exchange.path[:150]}")
            for difference in verdict.differences[:12]:
                print(f"    {difference}")
    print(f"{about}{outcome}")
    tried = sum(verdict.corruption is not None for verdict in outcome.verdicts)
    if tried:
        print(f"control: {tried - len(outcome.unnoticed)} of {tried} answers with one corrupted field were noticed")
    for verdict in outcome.unnoticed:
        print(f"    [{verdict.exchange.number}] {verdict.corruption.what if verdict.corruption else ''} went through")


def everything(version: str, seed: int, *, verbose: bool) -> bool:
    """Replay as recorded (corrupting a copy of every answer), with other literals, and with one wrong answer.

    Prints the figures of each; returns whether the first two are green and the last is red.
    """
    recorded = replay(version, control_seed=seed)
    _report(recorded, verbose=verbose)
    other = replay(version, seed=seed)
    _report(other, verbose=verbose, about=f"with other names, ids and numbers (seed {seed}): ")
    wrong = replay(version, in_transit=one_in_transit(version, seed))
    _report(wrong, verbose=False, about=f"with one field of one answer corrupted on its way (seed {seed}): ")
    if wrong.green:
        print("the corrupted answer was not noticed: the comparison is blind")
    return recorded.green and not recorded.unnoticed and other.green and not wrong.green


def main() -> int:
    """Parse the command line, replay, print the figures and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--version", default="2.21")
    parser.add_argument(
        "--all", type=int, metavar="SEED", help="as recorded, with other literals, and with a wrong answer"
    )
    parser.add_argument("--renamed", type=int, metavar="SEED", help="replay with other names, ids and numbers")
    parser.add_argument("--corrupt", type=int, metavar="SEED", help="corrupt one field of one answer: must turn red")
    parser.add_argument("--control", type=int, metavar="SEED", help="try a corrupted copy of every answer as well")
    parser.add_argument("--only", type=str, help="numbers or ranges of exchanges, separated by commas")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each difference")
    given = parser.parse_args()
    if given.all is not None:
        return 0 if everything(given.version, given.all, verbose=given.verbose) else 1
    outcome = replay(
        given.version,
        seed=given.renamed,
        in_transit=None if given.corrupt is None else one_in_transit(given.version, given.corrupt),
        control_seed=given.control,
        only=set(numbers(given.only.split(","))) if given.only else None,
    )
    _report(outcome, verbose=given.verbose)
    return 0 if outcome.green and not outcome.unnoticed else 1


if __name__ == "__main__":
    sys.exit(main())
