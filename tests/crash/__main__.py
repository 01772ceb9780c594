"""``python -m tests.crash``: the points, one death, a sample of the matrix, or all of it."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.crash import matrix
from tests.crash.life import Death, Outcome
from tests.crash.points import points
from tests.crash.scenarios import BY_NAME

REACHED = 0.9  # the share of all deaths that a matrix must really have died


def main() -> int:
    """What the arguments ask for; 1 when anything failed."""
    asked = _arguments()
    if asked.what == "points":
        return _points()
    began = time.monotonic()
    with matrix.databases() as up:
        if asked.point:
            deaths = [Death(asked.point, asked.life, asked.turn)]
        else:
            _say(f"recording {len(BY_NAME)} lives ...")
            coverage, lives = matrix.recorded(up, asked.jobs)
            if any(life.wrong for life in lives):
                _say("a life failed although nobody died:", *matrix.failures(lives))
                return 1
            _cover(coverage)
            if asked.what == "coverage":
                return 0
            deaths = matrix.planned(coverage, asked.seed, every_phase=asked.every_phase)
            if asked.sample:
                deaths = random.Random(asked.seed).sample(deaths, min(asked.sample, len(deaths)))
        outcomes = matrix.carried_out(up, deaths, asked.jobs, _progress(len(deaths)))
    _say(*matrix.failures(outcomes), "", matrix.table(outcomes), "", f"seed {asked.seed}")
    _say(matrix.total(outcomes, time.monotonic() - began))
    reached = sum(bool(outcome.died_at) for outcome in outcomes)
    return int(any(outcome.wrong for outcome in outcomes) or reached < REACHED * len(outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("points", "coverage"), help="only list or record them")
    parser.add_argument("--all", action="store_true", help="the whole matrix (the default)")
    parser.add_argument("--every-phase", action="store_true", help="each point in each of its phases")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of it, drawn by the seed")
    parser.add_argument(
        "--seed", type=int, default=0, help="draws the sample, and which time each point kills"
    )
    parser.add_argument("--point", metavar="NAME", help="one death: a key, or a pattern of keys")
    parser.add_argument("--life", choices=tuple(BY_NAME), default="plain", help="the life that --point ends")
    parser.add_argument("--turn", type=int, default=1, help="the how-manieth time of --point")
    parser.add_argument("--jobs", type=int, default=matrix.JOBS, help="lives side by side")
    return parser.parse_args()


def _points() -> int:
    found = points()
    for point in found:
        _say(f"{point.name}:{{{','.join(point.phases)}}}  line {point.line}")
    phases = sum(len(point.phases) for point in found)
    _say(f"{len(found)} points, {phases} with their phases")
    return 0


def _cover(coverage: matrix.Coverage) -> None:
    moments = coverage.moments
    sums: Counter[str] = Counter()
    for counts in coverage.counts.values():
        for key, count in counts.items():
            sums[key.rpartition("@")[0]] += count
    for at, each in moments.items():
        _say(f"{sums[at]:6}  {at}  ({len(each)} moments)")
    unreached = list(coverage.unreached())
    for point, reason in unreached:
        _say(f" never  {point.name}  ({reason})")
    keys = sum(map(len, moments.values()))
    everyone = points()
    _say(
        f"{len(everyone) - len(unreached)} of {len(everyone)} points reached, {len(moments)} with phases, "
        f"{keys} with moments; never reached: {len(unreached)}"
    )


def _progress(of: int) -> Callable[[Outcome], None]:
    done: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        done.append(outcome)
        place = f"{outcome.died_at or outcome.death.at} ({outcome.death.scenario})"
        _say(f"{len(done):4}/{of} {outcome.verdict:11} {outcome.took_s:5.1f} s  {place}")

    return tell


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
