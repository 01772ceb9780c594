"""``python -m tests.soak --minutes 30``: the desk trades day after accelerated day; figures at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import structlog

from tests.soak.soak import DAY_S, Sample, soak, wrong

EVERY_S = 30.0


def main() -> int:
    """1 when a figure is out of its bounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of wall time, about")
    parser.add_argument("--day-s", type=float, default=DAY_S, help="wall seconds of one day of venue time")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    days = max(1, round(asked.minutes * 60 / asked.day_s))
    told = [0.0]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

    def tell(sample: Sample) -> None:
        if sample.at_s >= told[0]:
            told[0] += EVERY_S
            _say(
                f"{sample.at_s / 60:6.1f} min  {sample.rss / 1e6:7.1f} MB  {sample.files:4d} files  "
                f"simulator {sample.simulator_rss / 1e6:7.1f} MB, {sample.simulator_files} files  "
                f"{sample.seq:7d} events"
            )

    with tempfile.TemporaryDirectory(prefix="mexclab-soak-") as folder:
        seen = asyncio.run(soak(Path(folder), days, asked.seed, asked.day_s, tell))
    figures = seen.figures()
    for name, value in figures.items():
        _say(f"{name:32} {value:12.2f}")
    faults = wrong(figures, long=asked.minutes >= 10)
    for fault in faults:
        _say(f"WRONG: {fault}")
    _say(json.dumps({"soak": {name: round(value, 3) for name, value in figures.items()}, "wrong": faults}))
    return int(bool(faults))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
