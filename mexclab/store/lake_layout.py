"""Where a bar lives in the lake: intervals, columns, folder names and month partitions.

``<root>/bars/interval=1m/symbol=BTCUSDT/2026-05.parquet`` holds the bars of one symbol whose open
time falls in that month (UTC). ``<root>/fresh/1m/`` holds the bars of many symbols that came since the
last compaction. Files are made in ``<root>/unfinished`` and get their place when they are whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

import polars as pl
import pyarrow as pa

from mexclab.errors import DataError, ParameterError

INTERVAL_MS: Mapping[str, int] = MappingProxyType(
    {
        "1m": 60_000,
        "5m": 300_000,
        "15m": 900_000,
        "30m": 1_800_000,
        "1h": 3_600_000,
        "4h": 14_400_000,
        "8h": 28_800_000,
        "1d": 86_400_000,
    }
)
"""Length of every interval that the lake keeps, in milliseconds."""

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume")
COLUMNS = ("symbol", "ts", *NUMBERS)

TS = pl.Datetime("ms", "UTC")
FRAME_SCHEMA = pl.Schema([("symbol", pl.String()), ("ts", TS), *((name, pl.Float64()) for name in NUMBERS)])
"""What every reader returns: ``ts`` is the bar's open time, ``volume`` is in base units."""

FILE_SCHEMA = pa.schema(
    [pa.field("ts", pa.timestamp("ms", "UTC")), *(pa.field(name, pa.float64()) for name in NUMBERS)]
)
"""What a partition file holds; symbol and interval are said by its folders."""

FRESH_SCHEMA = pa.schema([pa.field("symbol", pa.string()), *FILE_SCHEMA])
"""What a fresh file holds: bars of any symbol and month; the interval is said by its folder."""

BARS, FRESH, UNFINISHED = "bars", "fresh", "unfinished"  # folders of a lake
ORIGIN = "origin"  # the file that tells a simulator's bars from real ones

_MONTH_FILE = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))\.parquet")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_LONGEST_FOLDER = 200  # bytes; most file systems stop at 255


def interval_ms(interval: str) -> int:
    """The length of ``interval`` in milliseconds.

    Raises:
        ParameterError: the lake keeps no such interval.
    """
    if interval not in INTERVAL_MS:
        raise ParameterError(
            f"{interval!r} is not an interval of the lake; choose one of {', '.join(INTERVAL_MS)}",
            interval=interval,
        )
    return INTERVAL_MS[interval]


@lru_cache(maxsize=65_536)
def folder_of(symbol: str) -> str:
    """The partition folder of ``symbol``: ``symbol=`` and its percent-encoded name.

    Lower-case letters are encoded too, so that two symbols which differ only in case stay apart on a
    file system that ignores case.

    Raises:
        DataError: the name is empty, holds control characters or is too long for a folder.
    """
    encoded = "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in symbol.encode("utf-8", "replace"))
    if not symbol.strip() or not symbol.isprintable() or len(encoded) > _LONGEST_FOLDER:
        raise DataError(
            f"{symbol[:80]!r} cannot name a symbol: use 1 to about 60 printable characters", symbol=symbol
        )
    return f"symbol={encoded}"


def symbol_of(folder: str) -> str:
    """The symbol whose partitions live in ``folder``; the inverse of `folder_of`."""
    return unquote(folder.removeprefix("symbol="))


@dataclass(frozen=True, slots=True)
class Partition:
    """One month of one symbol at one interval."""

    path: Path
    interval: str
    symbol: str
    month: str  # "2026-05"

    @property
    def root(self) -> Path:
        """The lake's folder."""
        return self.path.parents[3]

    @property
    def span_ms(self) -> tuple[int, int]:
        """The half-open range of open times that belong here, in ms since the epoch."""
        year, month = int(self.month[:4]), int(self.month[5:])
        following = (year + 1, 1) if month == 12 else (year, month + 1)
        return _first_ms(year, month), _first_ms(*following)

    def meets(self, start_ms: int | None, end_ms: int | None) -> bool:
        """Whether some bar of ``[start_ms, end_ms)`` could be stored here; None is unbounded."""
        first, beyond = self.span_ms
        return (start_ms is None or start_ms < beyond) and (end_ms is None or first < end_ms)


def interval_folder(root: Path, interval: str) -> Path:
    """The folder that holds a folder of partitions for each symbol."""
    return root / BARS / f"interval={interval}"


def partition_of(root: Path, interval: str, symbol: str, month: str) -> Partition:
    """The partition for ``symbol`` and ``month``, whether or not it exists yet."""
    path = Path(root, BARS, f"interval={interval}", folder_of(symbol), f"{month}.parquet")
    return Partition(path, interval, symbol, month)


def partitions_in(folder: Path, interval: str) -> list[Partition]:
    """Every partition in one symbol folder, oldest first; files being written are not seen.

    Raises:
        DataError: a Parquet file there is not named after a month.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix != ".parquet":
            continue
        match = _MONTH_FILE.fullmatch(path.name)
        if match is None:
            raise DataError(
                f"{path} is not a partition: the lake names files after months, such as 2026-05.parquet. "
                "Move it out of the lake and import it with `mexclab import`",
                path=str(path),
            )
        found.append(Partition(path, interval, symbol_of(folder.name), match[1]))
    return found


def _first_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
