"""From a bar file to rows: found, opened, columns matched, text turned into numbers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mexclab.errors import ImportRefused
from mexclab.store.bar_import_plan import ImportPlan, find_columns, spelled, symbol_from_path
from mexclab.store.bar_import_times import times_ns
from mexclab.store.lake_layout import NUMBERS

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq")
_SEPARATORS = (",", ";", "\t", "|")
_BROKEN = (OSError, EOFError, zlib.error, pl.exceptions.PolarsError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Rows:
    """A file's rows before any is judged.

    Attributes:
        frame: row (from 1), symbol (Enum), ns (Int64, null where unreadable), the five floats (null where
            unreadable) and, as ``raw_<field>``, what the file said for ts and the five numbers. Sorted
            by symbol, in the file's order within one.
        notes: how symbol and time were read.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...]


def files_in(paths: Sequence[Path]) -> list[Path]:
    """The bar files named by ``paths``, folders searched to any depth, each file once.

    Raises:
        ImportRefused: a path does not exist, or no bar file is found.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ImportRefused(f"{path} does not exist; check the path", path=str(path))
        inside = sorted(p for p in path.rglob("*") if _is_bar_file(p)) if path.is_dir() else [path]
        for file in inside:
            found.setdefault(file.resolve(), file)
    if not found:
        raise ImportRefused(
            f"no bar files in {', '.join(map(str, paths)) or 'an empty list'}; "
            f"they end in {', '.join(SUFFIXES)}"
        )
    return list(found.values())


def _is_bar_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(SUFFIXES)


def read_rows(path: Path, plan: ImportPlan) -> Rows:
    """Read one file.

    Raises:
        ImportRefused: its structure is wrong: not readable, cut short, columns missing, no rows, or no
            way to tell the symbol.
    """
    try:
        table, columns = _table(path, plan)
    except _BROKEN as why:
        said = str(why).splitlines()[0] if str(why) else type(why).__name__
        raise ImportRefused(
            f"the file is cut short or is no {_kind(path)}: {said}; fetch it again", path=str(path)
        ) from why
    if table.is_empty():
        raise ImportRefused("the file holds no rows", path=str(path))
    ns, time_note = times_ns(table[columns["ts"]], plan)
    symbols, symbol_note = _symbols(path, table, columns.get("symbol"), plan)
    frame = pl.DataFrame([ns.alias("ns"), symbols.alias("symbol")]).with_row_index("row", offset=1)
    frame = frame.with_columns(
        *(_floats(table[columns[name]]).alias(name) for name in NUMBERS),
        *(table[columns[name]].alias(f"raw_{name}") for name in ("ts", *NUMBERS)),
    )
    if plan.volume_unit == "quote":
        frame = frame.with_columns(volume=pl.col("volume") / pl.col("close"))
    notes = (symbol_note, f"time column {columns['ts'].strip()!r}: {time_note}")
    volume = f"volume column {columns['volume'].strip()!r} in {plan.volume_unit} units"
    return Rows(frame.sort("symbol", maintain_order=True), (*notes, volume))


def _table(path: Path, plan: ImportPlan) -> tuple[pl.DataFrame, dict[str, str]]:
    """The columns an import needs, and which is which; a CSV's are all text."""
    if path.name.lower().endswith((".parquet", ".pq")):
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    elif path.name.lower().endswith((".csv", ".csv.gz")):
        lazy = pl.scan_csv(path, glob=False, infer_schema=False, separator=_separator(path))
    else:
        raise ImportRefused(f"{path.name} is neither CSV nor Parquet; bar files end in {', '.join(SUFFIXES)}")
    columns = find_columns(lazy.collect_schema().names(), plan)
    return lazy.select(list(dict.fromkeys(columns.values()))).collect(engine="streaming"), columns


def _separator(path: Path) -> str:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        head = file.readline(65_536).decode("utf-8-sig")
    return max(_SEPARATORS, key=head.count)


def _kind(path: Path) -> str:
    return "Parquet file" if path.name.lower().endswith((".parquet", ".pq")) else "CSV"


def _floats(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column.str.strip_chars().cast(pl.Float64, strict=False)
    if not column.dtype.is_numeric():
        raise ImportRefused(f"the column {column.name!r} is of type {column.dtype}, which is no number")
    return column.cast(pl.Float64)


def _symbols(path: Path, table: pl.DataFrame, column: str | None, plan: ImportPlan) -> tuple[pl.Series, str]:
    """The symbol of every row, an Enum because sorting by one is ten times faster than by text."""
    if plan.symbol is not None:
        if column is not None and table[column].n_unique() > 1:
            raise ImportRefused(
                f"symbol={plan.symbol!r} was given, but the column {column!r} holds "
                f"{table[column].n_unique()} symbols; leave symbol out",
                column=column,
            )
        name = spelled(plan.symbol)
        return _repeated(name, table.height), f"symbol {name}, as told"
    if column is not None:
        theirs = table[column].cast(pl.String)
        spelling = {name: spelled(name) for name in theirs.unique().drop_nulls()}
        kinds = pl.Enum(sorted(set(spelling.values())))
        if any(name != ours for name, ours in spelling.items()):
            theirs = theirs.replace(list(spelling), list(spelling.values()))
        return theirs.cast(kinds), f"symbols in {column!r}"
    name = symbol_from_path(path)
    return _repeated(name, table.height), f"symbol {name}, from the path"


def _repeated(name: str, rows: int) -> pl.Series:
    return pl.repeat(name, rows, dtype=pl.Enum([name]), eager=True)
