"""Print figures as ratios against a named baseline in the same run; exit 1 where a promise is broken.

    python run.py [--long] [NAME …]

The machine's speed cancels out: each figure stands beside what a plain program does with the same input, or beside what
cannot be done with less. `--long` takes those that need many minutes: ten at the default limits, a million records.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import bench_delta
import bench_load
import bench_memory
import bench_pace
import bench_pace_real
import bench_prepare
import bench_reconcile
import bench_resume
import bench_sandbox


@dataclass(frozen=True)
class Promise:
    """A figure and the bound it must keep."""

    figure: str
    bound: float
    at_most: bool

    def kept(self, value: float) -> bool:
        """Tell whether the value keeps the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


PROMISES: dict[str, tuple[Callable[[], dict[str, float]], tuple[Promise, ...]]] = {
    "prepare": (
        bench_prepare.run,
        (Promise("times_the_plain_transform", 4.0, True), Promise("peak_gb", 1.5, True)),
    ),
    "sandbox": (bench_sandbox.run, (Promise("graphql_id_only_per_cpu_s", 20_000, False),)),
    "pace": (
        bench_pace.run,
        (
            Promise("calls_a_minute_with_jitter", 97, False),
            Promise("refused_share_with_jitter", 0, True),
            Promise("calls_a_minute_with_stalls", 93, False),
            Promise("refused_share_with_stalls", 0.01, True),
        ),
    ),
    "load": (
        bench_load.run,
        (
            Promise("share_of_bare_loop", 0.75, False),  # a sandbox answers ten times as fast as the real server
            Promise("cpu_ms_per_batch", 8, True),
            Promise("run_calls_per_call_needed", 1.1, True),
            Promise("delta_calls_per_call_needed", 3, True),
        ),
    ),
    "resume": (bench_resume.run, (Promise("resume_s", 10, True),)),
    "delta": (bench_delta.run, (Promise("found_and_planned_s", 60, True), Promise("peak_gb", 1, True))),
    "memory": (
        bench_memory.run,
        (
            Promise("load_peak_growth", 1.2, True),
            Promise("peak_gb", 1, True),
        ),
    ),
}

LONG: dict[str, tuple[Callable[[], dict[str, float]], tuple[Promise, ...]]] = {
    "pace_real": (
        bench_pace_real.run,
        (Promise("calls_a_minute_after_the_burst", 91, False), Promise("refused_share", 0.005, True)),
    ),
    "reconcile": (
        bench_reconcile.run,
        (Promise("peak_growth", 1.2, True), Promise("peak_gb_1000000", 1, True)),
    ),
    "memory_long": (bench_memory.run_long, PROMISES["memory"][1]),
}


def main() -> int:
    """Run the benchmarks named on the command line, or all quick ones, or all long ones."""
    broken = 0
    named = [name for name in sys.argv[1:] if name != "--long"]
    for name in named or (LONG if "--long" in sys.argv else PROMISES):
        measure, promises = (PROMISES | LONG)[name]
        figures = measure()
        for figure, value in figures.items():
            promise = next((p for p in promises if p.figure == figure), None)
            verdict = ""
            if promise:
                kept = promise.kept(value)
                broken += not kept
                verdict = f"  promised {'at most' if promise.at_most else 'at least'} {promise.bound:,g}: "
                verdict += "kept" if kept else "BROKEN"
            sys.stdout.write(f"{name}.{figure} = {value:,.3f}{verdict}\n")
            sys.stdout.flush()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
