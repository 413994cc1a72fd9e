"""Kill a scenario at its n-th effect, resume it, compare everything: a program of its own, so that it may fork.

    python points.py --scenario load|delta|back [--version 2.21] [--every 7] [--start 0] [--at WORDS] [--random 40]
        [--control NAME]

Each point begins with a copy of the same workspace and ledger: a child runs and is killed by SIGKILL there, a second
child resumes, and workspace and ledger are compared with an undisturbed run. Prints JSON:
{"effects": …, "points": …, "run_s": …, "seconds": …, "bad": [{"point", "at", "why"}]}.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from killing import Killer
from planted import plant
from trials import Trials, main_with


def go(trials: Trials, options: argparse.Namespace) -> tuple[int, list[Any]]:
    """Do the points asked for."""
    plant(options.control)
    if options.random:
        dice = random.Random(options.seed)
        moments = [dice.uniform(0.0, trials.run_s) for _ in range(options.random)]
        found = [trials.crash(f"r{n}", Killer(), kill_after_s=s) for n, s in enumerate(moments)]
    else:
        named = [n for n, name in enumerate(trials.effects, 1) if options.at in name]
        points = named[options.start :: options.every]
        found = [trials.crash(f"p{point}", Killer(point)) for point in points]
    return len(found), [bad for bad in found if bad]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--control", default="")
    parser.add_argument("--at", default="", help="only effects with these words in their name")
    main_with(parser, go)
