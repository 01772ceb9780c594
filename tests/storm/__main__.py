"""``python -m tests.storm --seed 7 --snipes 300``: storms of consecutive seeds, side by side on the cores."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

import structlog

from tests.storm.storm import Report, storm, told

SNIPES_A_STORM = 36


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first storm; the next one has the next")
    parser.add_argument("--snipes", type=int, default=300, help="listings in all storms together, at least")
    parser.add_argument("--each", type=int, default=SNIPES_A_STORM, help="listings of one storm")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="storms at a time")
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + -(-asked.snipes // asked.each))
    began, reports = time.perf_counter(), list[Report]()
    with ProcessPoolExecutor(asked.workers, initializer=_quiet) as pool:
        for done in as_completed([pool.submit(storm, seed, asked.each) for seed in seeds]):
            report = done.result()
            reports.append(report)
            for line in (report.line(), *report.wrong):
                _say(line[:600])
            if report.wrong:
                again = f"--seed {report.seed} --snipes {asked.each} --each {asked.each}"
                _say(f"again: python -m tests.storm {again}")
                if len(seeds) == 1:
                    _say(report.story)
    reports.sort(key=lambda report: report.seed)
    _say(told(reports))
    _say(f"{sum(r.snipes for r in reports)} snipes in {time.perf_counter() - began:.0f} s")
    return 1 if any(report.wrong for report in reports) else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


if __name__ == "__main__":
    sys.exit(main())
