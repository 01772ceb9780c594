"""Kill -9 at named points: a process that forks a child for each, which dies as it touches the lake.

A point is what a child was about to do to a folder of the lake, such as ``os.rename bars``: an audit hook
sees it before it happens. `points_of` names the points of an act; `killed_at` runs the act on a copy of a
lake and kills it there. ``python -m tests.store.lake_killing`` is the process that forks: it has imported
everything and computed nothing, so that a child costs a fork and not an import.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import polars as pl

from mexclab.store.lake import Lake
from mexclab.store.lake_facts import Fact
from tests.store.bar_samples import MAY, ROOT, bars

WATCHED = {
    "open": 0,
    "os.rename": 1,
    "os.remove": 0,
    "os.mkdir": 0,
}  # audit event: which argument is the path


def minutes(symbols: str, start: int, count: int, volume: float = 0.0) -> pl.DataFrame:
    """Bars of symbols AUSDT, BUSDT ... from a minute of May on; ``volume`` is added to theirs."""
    frames = [bars(f"{name}USDT", MAY + timedelta(minutes=start), count) for name in symbols]
    return pl.concat(frames).with_columns(pl.col("volume") + volume)


def append_one(lake: Lake) -> None:
    """A flush that a merge follows, for seven small files are there already."""
    lake.append(minutes("AB", 107, 1))


def write_two_months(lake: Lake) -> None:
    """Older bars of two symbols, new and corrected ones; one of them is held fresh."""
    lake.write(minutes("AB", -50, 120, volume=0.5), replace=True)


def compact(lake: Lake) -> None:
    lake.compact()


def record(lake: Lake) -> None:
    lake.facts.record([Fact("listing", "BUSDT", 5, 6, "test"), Fact("delisting", "AUSDT", 7, 8, "test")])


ACTS = {act.__name__: act for act in (append_one, write_two_months, compact, record)}


def prepared(root: Path) -> Lake:
    """A lake with months of two symbols and seven fresh files; one corrects a month, one is a new month."""
    lake = Lake(root)
    lake.write(minutes("AB", 0, 100))
    lake.append(minutes("A", 60, 1, volume=7), replace=True)
    lake.append(minutes("C", -1, 2))
    for minute in range(100, 105):
        lake.append(minutes("AB", minute, 1))
    lake.facts.record([Fact("listing", "AUSDT", 1, 2, "test")])
    return lake


def main() -> None:
    """Read tasks as JSON lines (act, folder, where to die and the how-manieth time); answer in JSON lines."""
    for line in sys.stdin:
        task = json.loads(line)
        inner, outer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(inner)
            _act(task, outer)
        os.close(outer)
        with os.fdopen(inner) as seen:
            points = seen.read().splitlines()
        _, status = os.waitpid(child, 0)
        answer = {"points": points, "status": os.waitstatus_to_exitcode(status)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _act(task: dict[str, str | int], told: int) -> None:
    root = str(task["root"])
    left = int(task["times"])
    acting = False

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if not acting or event not in WATCHED:
            return
        path = str(arguments[WATCHED[event]])
        if not path.startswith(root) or (event == "open" and arguments[1] in ("r", "rb", None)):
            return
        point = f"{event} {path.removeprefix(root).strip('/').partition('/')[0]}"
        os.write(told, f"{point}\n".encode())
        if point == task["point"]:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    lake = Lake(Path(root))
    acting = True
    ACTS[str(task["act"])](lake)
    os._exit(0)


class Killer:
    """The process that forks, and the lake that every child gets a copy of."""

    def __init__(self, process: subprocess.Popen[str], model: Path) -> None:
        self._process = process
        self._model = model

    def points_of(self, act: str, root: Path) -> list[tuple[str, int]]:
        """Where ``act`` can be killed: of each point, the first and the last time that it comes."""
        shutil.copytree(self._model, root)
        answer = self._asked(act, root, "", 0)
        assert answer["status"] == 0
        seen = answer["points"]
        return sorted({(point, times) for point in seen for times in (1, seen.count(point))})

    def killed_at(self, act: str, point: tuple[str, int], root: Path) -> Lake:
        """The lake that is left after ``act`` was killed at ``point``, opened anew."""
        shutil.copytree(self._model, root)
        assert self._asked(act, root, *point)["status"] == -signal.SIGKILL
        return Lake(root)

    def _asked(self, act: str, root: Path, point: str, times: int) -> dict[str, object]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = {"act": act, "root": str(root), "point": point, "times": times}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def killer(model: Path) -> Iterator[Killer]:
    """A `Killer` of copies of the lake at ``model``."""
    prepared(model)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.lake_killing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield Killer(process, model)
        finally:
            process.kill()


if __name__ == "__main__":
    main()
