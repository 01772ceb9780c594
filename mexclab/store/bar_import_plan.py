"""How an import reads its files: what a person may say, and what is guessed from common names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from mexclab.domain.market import Symbol
from mexclab.errors import DomainError, ImportRefused, ParameterError
from mexclab.store.lake_layout import INTERVAL_MS, NUMBERS, symbol_of

TIME_UNITS = ("auto", "s", "ms", "us", "ns", "iso")
FIXES = frozenset({"sort", "dedupe"})
FIELDS = ("ts", *NUMBERS, "symbol")

_GUESSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ts": ("ts", "timestamp", "opentime", "time", "datetime", "date", "unix", "starttime", "t"),
        "open": ("open", "o", "openprice"),
        "high": ("high", "h", "highprice"),
        "low": ("low", "l", "lowprice"),
        "close": ("close", "c", "closeprice"),
        "volume": ("volume", "vol", "v", "basevolume"),
        "symbol": ("symbol", "pair", "ticker"),
    }
)
_NAME = re.compile(r"[\w$][\w.$()+\-]*")  # GOLD(PAXG)USDT is one
_CLOSE_TIMES = ("closetime", "endtime")
_QUOTE_VOLUMES = ("quotevolume", "quoteassetvolume", "volumequote", "volumeusdt", "turnover")
_INTERVAL_WORD = re.compile(r"(\d+(m|min|h|d)|daily|hourly|minute)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is known about the files. Everything has a default, and the report says what was guessed.

    Args:
        columns: ours -> theirs for names that are not guessed, such as ``{"ts": "when"}``.
        time_unit: auto (by magnitude), s, ms, us, ns or iso; a Datetime column carries its own.
        time_is: whether the time column is the bar's "open" or its "close".
        interval: a length the lake keeps, or auto (the median step between bars).
        volume_unit: "base", or "quote" (divided by each bar's close to get base units).
        symbol: the symbol of every row; else a symbol column, a ``symbol=`` folder or the file name.
        fix: "sort" and "dedupe", as a set or "sort,dedupe": sort times that run backwards, drop exact
            repeats. Without them such a file is refused.
        replace: let imported bars take the place of stored ones that differ.
        now_ns: bars that have not closed by then are refused; None asks the system's clock.

    Raises:
        ParameterError: a value outside these.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    time_unit: str = "auto"
    time_is: str = "open"
    interval: str = "auto"
    volume_unit: str = "base"
    symbol: str | None = None
    fix: frozenset[str] | str = frozenset()
    replace: bool = False
    now_ns: int | None = None

    def __post_init__(self) -> None:
        words = self.fix.split(",") if isinstance(self.fix, str) else self.fix
        object.__setattr__(self, "fix", frozenset(w.strip() for w in words if w.strip()))
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))
        _one_of("time_unit", self.time_unit, TIME_UNITS)
        _one_of("time_is", self.time_is, ("open", "close"))
        _one_of("interval", self.interval, ("auto", *INTERVAL_MS))
        _one_of("volume_unit", self.volume_unit, ("base", "quote"))
        for word in self.fix:
            _one_of("fix", word, sorted(FIXES))
        for name in self.columns:
            _one_of("columns", name, FIELDS)


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ParameterError(f"{name}={value!r} is not possible; choose from {', '.join(allowed)}", name=name)


def find_columns(present: Sequence[str], plan: ImportPlan) -> dict[str, str]:
    """Match our fields with a file's columns, whatever their case, spaces, dashes and underscores.

    Returns:
        ours -> theirs for ts and the five numbers, and for symbol where there is one.

    Raises:
        ImportRefused: names the columns that are missing and those that are present.
    """
    folded: dict[str, str] = {}
    for name in present:
        folded.setdefault(re.sub(r"[\s_\-]", "", name).casefold(), name)
    exact = {name.strip(): name for name in present}
    found, missing = {}, []
    for ours in FIELDS:
        if ours in plan.columns:
            theirs = exact.get(plan.columns[ours].strip())
            wanted = plan.columns[ours]
        else:
            theirs = next((folded[guess] for guess in _guesses(ours, plan) if guess in folded), None)
            wanted = ours
        if theirs is not None:
            found[ours] = theirs
        elif ours != "symbol" or ours in plan.columns:
            missing.append(wanted)
    if missing:
        raise ImportRefused(_about_columns(missing, present), missing=missing, present=list(present))
    return found


def _guesses(ours: str, plan: ImportPlan) -> tuple[str, ...]:
    guesses = _GUESSES[ours]
    if ours == "ts" and plan.time_is == "close":
        return (*_CLOSE_TIMES, *guesses)
    if ours == "volume" and plan.volume_unit == "quote":
        return (*_QUOTE_VOLUMES, *guesses)
    return guesses


def _about_columns(missing: Sequence[str], present: Sequence[str]) -> str:
    said = f"missing columns: {', '.join(missing)}; present: {', '.join(present) or 'none'}"
    if present and all(re.fullmatch(r"[\d.eE+\-]+(_duplicated_\d+)?", name.strip()) for name in present):
        return f"{said}. The first line holds numbers: add a header line"
    how = "--column NAME=COLUMN, such as --column ts='Open time' (columns={'ts': 'Open time'})"
    return f"{said}. Name them with {how}"


def spelled(symbol: str) -> str:
    """The lake's spelling of a symbol: BTC/USDT, btc_usdt and BTCUSDT are one; others stay, in capitals.

    Raises:
        ImportRefused: no symbol is spelled like that. Venues list names in any script, and never with marks
            that mean something in a path.
    """
    try:
        name = str(Symbol.parse(symbol))
    except DomainError:
        name = symbol.strip().upper()
    if not _NAME.fullmatch(name):
        raise ImportRefused(
            f"{symbol!r} is no symbol: it is made of letters, digits and . _ - $ ( ) +, as BTCUSDT is",
            symbol=symbol,
        )
    return name


def symbol_from_path(path: Path) -> str:
    """The symbol that a ``symbol=`` folder or the file's name tells: ``BTCUSDT-1m-2026-05.csv``.

    Raises:
        ImportRefused: the name holds no pair that ends in a known quote currency.
    """
    for parent in path.parents:
        if parent.name.startswith("symbol="):
            return symbol_of(parent.name)
    stem = re.sub(r"\.(csv|gz|parquet|pq)", "", path.name, flags=re.IGNORECASE)
    words = [w for w in re.split(r"[\s_\-.]+", stem) if w and not _INTERVAL_WORD.fullmatch(w)]
    pairs = [f"{a}/{b}" for a, b in pairwise(words)]
    for text in (*words, *pairs):
        try:
            return str(Symbol.parse(text))
        except DomainError:
            continue
    raise ImportRefused(
        f"no symbol column, and the file name {path.name!r} does not tell the symbol; "
        "name the file like BTCUSDT-1m.csv or give --symbol (symbol=)",
        path=str(path),
    )
