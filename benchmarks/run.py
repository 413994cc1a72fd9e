"""Print figures as ratios against a named baseline in the same run; exit 1 where a promise is broken.

The machine's speed cancels out: each figure stands beside what a plain program does with the same input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import bench_load
import bench_prepare
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
    "load": (bench_load.run, (Promise("share_of_bare_loop", 0.75, False),)),
}


def main() -> int:
    """Run the benchmarks named on the command line, or all."""
    broken = 0
    for name in sys.argv[1:] or PROMISES:
        measure, promises = PROMISES[name]
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
