"""Bars by call or by key, and the ways in which a person may say when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from operator import index
from typing import SupportsIndex, TypeAlias

import pandas as pd
import plotly.graph_objects as go
import polars as pl

from mexclab.domain.clock import from_utc
from mexclab.domain.market import Symbol
from mexclab.errors import DomainError, ParameterError
from mexclab.notebook import plots
from mexclab.notebook.display import frame_html, said
from mexclab.store.lake import Lake

Moment: TypeAlias = datetime | str | SupportsIndex
SymbolLike: TypeAlias = Symbol | str


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars that have not been read yet.

    Attributes:
        lazy: symbol, ts (open time, UTC), open, high, low, close, volume (base units).
        title: what they are, for people.
        held: every bar of these symbols, to say where there are some when none is in the range.
    """

    lazy: pl.LazyFrame
    title: str
    held: Callable[[], pl.LazyFrame] = field(repr=False)

    def collect(self) -> pl.DataFrame:
        """The bars as a polars frame, by symbol, then time."""
        return self.lazy.collect()

    def to_pandas(self) -> pd.DataFrame:
        """The bars as a pandas frame."""
        return self.collect().to_pandas()

    def figure(self) -> go.Figure:
        """Candles of one symbol; closes relative to the first bar, of several."""
        bars = self.collect()
        if not bars.height:
            return plots.nothing(self.why_empty)
        one = bars["symbol"].n_unique() == 1
        return plots.candles(bars, self.title) if one else plots.closes(bars, self.title)

    @property
    def why_empty(self) -> str:
        """For bars that are none: in which range there are some."""
        ends = self.held().select(first=pl.col("ts").min(), last=pl.col("ts").max()).collect().row(0)
        there = f"there are bars from {said(ends[0])} to {said(ends[1])} UTC"
        return f"No bar of {self.title} opens in this range: {there}."

    def __len__(self) -> int:
        return int(self.lazy.select(pl.len()).collect().item())

    def __repr__(self) -> str:
        bars = self.collect()
        return f"{self.title}\n{bars}" if bars.height else self.why_empty

    def _repr_html_(self) -> str:
        bars = self.collect()
        if not bars.height:
            return f"<p>{escape(self.why_empty)}</p>"
        head = f"<p><b>{escape(self.title)}</b>, {bars.height:,} bars; the last {min(10, bars.height)}:</p>"
        return head + frame_html(bars.tail(10))


class BarReader:
    """Bars by call, ``lab.bars("BTCUSDT", start="2026-06-01")``, or by key, ``lab.bars["BTCUSDT"]``."""

    def __init__(self, lake: Callable[[], Lake], remark: Callable[[], str]) -> None:
        self._lake = lake
        self._remark = remark

    def __call__(
        self,
        symbols: SymbolLike | Iterable[SymbolLike] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        interval: str = "1m",
    ) -> Bars:
        """Bars of one symbol, several, or all, with open times in the half-open range.

        Args:
            symbols: ``BTCUSDT``, ``BTC/USDT`` or a Symbol; None for every symbol.
            start: an aware datetime, ISO text (UTC where it names no zone) or ns since the epoch.
            end: the same; bars from here on are left out.
            interval: length of a bar.

        Raises:
            DataError: a symbol that the lake does not have; the nearest names are in the sentence.
            ParameterError: a moment or an interval that cannot be read, or symbols that are none.
        """
        names = names_of(symbols)
        lake = self._lake()
        lazy = lake.scan(names, moment_ns(start), moment_ns(end), interval)
        what = ", ".join(names[:5]) + (" …" if len(names) > 5 else "") if names else "every symbol"
        return Bars(lazy, f"{what}, {interval}{self._remark()}", lambda: lake.scan(names, interval=interval))

    def __getitem__(self, symbol: SymbolLike) -> Bars:
        return self(symbol)

    def _ipython_key_completions_(self) -> list[str]:
        return self._lake().symbols()

    def __repr__(self) -> str:
        return f"bars of {len(self._lake().symbols())} symbols: call it, or index it with a symbol"


def name_of(symbol: SymbolLike) -> str:
    """The venue's spelling; a name that is no pair is left as it is, for the lake to look up."""
    try:
        return str(symbol if isinstance(symbol, Symbol) else Symbol.parse(symbol))
    except DomainError:
        return str(symbol)


def names_of(symbols: SymbolLike | Iterable[SymbolLike] | None) -> list[str] | None:
    """The venue's spelling of one symbol, or of several, in their order; None stays None.

    Raises:
        ParameterError: that is no symbol, or none at all.
    """
    if symbols is None:
        return None
    one = isinstance(symbols, str | Symbol) or not isinstance(symbols, Iterable)
    given = [symbols] if one else list(symbols)  # type: ignore[arg-type]
    wrong = [each for each in given if not isinstance(each, str | Symbol) or each == ""]
    if wrong or not given:
        raise ParameterError(
            f"A symbol is a name such as BTCUSDT, not {wrong[0]!r}."
            if wrong
            else "No symbol was given: name one or more, or None for every symbol."
        )
    return [name_of(each) for each in given]  # type: ignore[arg-type]


def moment_ns(moment: Moment | None) -> int | None:
    """A moment as ns since the epoch. Text without a zone is UTC; a datetime must have one.

    Raises:
        ParameterError: it cannot be read.
    """
    if moment is None or moment == "":
        return None
    if isinstance(moment, SupportsIndex) and not isinstance(moment, bool):
        return index(moment)
    try:
        if isinstance(moment, str):
            read_as = datetime.fromisoformat(moment.strip())
            return from_utc(read_as if read_as.tzinfo else read_as.replace(tzinfo=UTC))
        if isinstance(moment, datetime):
            return from_utc(moment)
        raise DomainError(f"a {type(moment).__name__}")
    except (ValueError, DomainError) as wrong:
        raise ParameterError(
            f"{moment!r} is no moment ({wrong}): give ISO text such as 2026-06-01 or 2026-06-01 12:30 "
            "(UTC), an aware datetime, or nanoseconds since the epoch.",
            moment=str(moment),
        ) from None
