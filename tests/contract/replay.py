"""Replay the recorded exchanges of the real Twenty against the sandbox, and say how many of them it answers alike.

    python tests/contract/replay.py --all SEED [-v]         (what `make contract` runs: every recorded version)
    python tests/contract/replay.py --version 1.17 [--renamed SEED] [--corrupt SEED] [--control SEED] [--only N,N] [-v]

Prints `matched N of 602, out of scope M, mismatched K`. Exit code 0: the share of matched exchanges is at least the
plan's, and no exchange is mismatched but those the plan names with a reason; 1 otherwise.
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

VERSIONS = ("2.21", "1.17")


@dataclass
class Outcome:
    """The figures of one replay.

    `recorded` counts all exchanges of the version, those out of scope included; the exchanges of `deviations` are
    known to be answered otherwise: they count as mismatched, and a known one that is answered alike is a mistake in
    the plan.
    """

    recorded: int
    out_of_scope: int
    least_matched: float
    deviations: frozenset[int] = frozenset()
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
    def unexpected(self) -> list[Verdict]:
        """List the exchanges that were answered otherwise though the plan knows no reason, or alike though it does."""
        return [
            verdict
            for verdict in self.verdicts
            if bool(verdict.differences) != (verdict.exchange.number in self.deviations)
        ]

    @property
    def green(self) -> bool:
        """Tell whether the contract holds."""
        return not self.unexpected and not self.broken and self.matched >= self.least_matched * self.recorded

    @property
    def tried(self) -> int:
        """Count the matching answers of which a corrupted copy was judged as well."""
        return sum(verdict.corruption is not None and not verdict.differences for verdict in self.verdicts)

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
    unknown = plan.deviations.keys() - exchanges.keys()
    if forgotten or repeated or unknown:
        raise ValueError(
            f"the plan forgets {sorted(forgotten)}, repeats {sorted(repeated)} and invents {sorted(unknown)}"
        )
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

    `only` leaves out the scenes that hold none of these numbers, what comes after the last of them, and the verdicts
    about others.
    """
    exchanges, plan = contract(version)
    if seed is not None:
        exchanges, plan = renamed(exchanges, plan, HERE / f"renaming-{version}.yaml", seed)
    outcome = Outcome(
        recorded=len(only) if only else len(exchanges),
        out_of_scope=len(plan.out_of_scope.keys() & (only or plan.out_of_scope.keys())),
        least_matched=plan.least_matched,
        deviations=frozenset(plan.deviations),
    )
    control: Control | None = None if control_seed is None else OneFieldCorrupted(control_seed, plan)
    for scene in plan.scenes:
        waited_for = set(only or ()) & set(_numbers_of(scene))
        if only and not waited_for:
            continue
        session = Session(plan, scene, exchanges, in_transit, control)
        try:
            for verdict in session.play():
                if not only or verdict.exchange.number in only:
                    outcome.verdicts.append(verdict)
                waited_for.discard(verdict.exchange.number)
                if only and not waited_for:
                    break
        except SetupError as error:
            outcome.broken.append(str(error))
    return outcome


def one_in_transit(version: str, seed: int) -> tuple[int, InTransit]:
    """Return the number of an exchange, chosen by `seed`, and a change that corrupts one field of its answer."""
    exchanges, plan = contract(version)
    raced = {number for number, given in plan.options.items() if "race" in given}
    candidates = exchanges.keys() - plan.out_of_scope.keys() - plan.deviations.keys() - raced
    target = random.Random(seed).choice(sorted(candidates))
    corrupt = OneFieldCorrupted(seed, plan)

    def in_transit(exchange: Exchange, reply: Reply) -> Reply:
        changed = corrupt.corrupted(exchange, reply) if exchange.number == target else None
        return changed[0] if changed else reply

    return target, in_transit


def _numbers_of(scene: Scene) -> Iterator[int]:
    for step in scene.steps:
        if "replay" in step:
            yield from numbers(step["replay"])


def _details(outcome: Outcome) -> Iterator[str]:
    """Tell what was answered otherwise, for whoever has to mend it."""
    for verdict in outcome.verdicts:
        if verdict.differences:
            exchange = verdict.exchange
            yield f"\n[{exchange.number}] {exchange.name}: {exchange.why}\n    {exchange.method} {exchange.path[:150]}"
            yield from (f"    {difference}" for difference in verdict.differences[:12])


def _troubles(outcome: Outcome) -> Iterator[str]:
    """Tell in short lines why an outcome is red."""
    yield from (f"set-up failed: {trouble}" for trouble in outcome.broken)
    for verdict in outcome.unexpected:
        how = "answered otherwise" if verdict.differences else "a known deviation is gone: take it out of the plan"
        yield f"[{verdict.exchange.number}] {verdict.exchange.name}: {how}"
    for verdict in outcome.unnoticed:
        yield f"[{verdict.exchange.number}] {verdict.corruption.what if verdict.corruption else ''} went through"


def _report(outcome: Outcome, *, verbose: bool) -> None:
    for line in [*(_details(outcome) if verbose else []), *_troubles(outcome), str(outcome)]:
        print(line)
    if outcome.tried:
        noticed = outcome.tried - len(outcome.unnoticed)
        print(f"control: {noticed} of {outcome.tried} answers with one corrupted field were noticed")


def everything(version: str, seed: int, *, verbose: bool) -> bool:
    """Replay as recorded (corrupting a copy of every answer), with other literals, and with one wrong answer.

    Prints one line with the figures, after the reasons if it is red; returns whether the first two replays are green
    and the last is red.
    """
    recorded = replay(version, control_seed=seed)
    other = replay(version, seed=seed)
    target, in_transit = one_in_transit(version, seed)
    wrong = replay(version, in_transit=in_transit, only={target})
    for line in [*(_details(recorded) if verbose else []), *_troubles(recorded)]:
        print(line)
    for line in [*(_details(other) if verbose else []), *_troubles(other)]:
        print(f"renamed: {line}")
    noticed = recorded.tried - len(recorded.unnoticed)
    print(
        f"Twenty {version}: {recorded}; control: {noticed} of {recorded.tried} answers with one corrupted field were "
        f"noticed; with other names, ids and numbers (seed {seed}): matched {other.matched}; "
        f"one wrong answer on its way: {'taken for right' if wrong.green else 'noticed'}"
    )
    return recorded.green and not recorded.unnoticed and other.green and not wrong.green


def main() -> int:
    """Parse the command line, replay, print the figures and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--version", choices=VERSIONS, help="the recorded version (with --all: all of them)")
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
        versions = [given.version] if given.version else VERSIONS
        greens = [everything(version, given.all, verbose=given.verbose) for version in versions]
        return 0 if all(greens) else 1
    version = given.version or VERSIONS[0]
    outcome = replay(
        version,
        seed=given.renamed,
        in_transit=None if given.corrupt is None else one_in_transit(version, given.corrupt)[1],
        control_seed=given.control,
        only=set(numbers(given.only.split(","))) if given.only else None,
    )
    _report(outcome, verbose=given.verbose)
    return 0 if outcome.green and not outcome.unnoticed else 1


if __name__ == "__main__":
    sys.exit(main())
