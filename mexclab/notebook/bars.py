"""Bars by call or by key, and the ways in which a person may say when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
from mexclab.notebook.display import frame_html
from mexclab.store.lake import Lake

Moment: TypeAlias = datetime | str | SupportsIndex
SymbolLike: TypeAlias = Symbol | str


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars that have not been read yet.

    Attributes:
        lazy: symbol, ts (open time, UTC), open, high, low, close, volume (base units).
        title: what they are, for people.
    """

    lazy: pl.LazyFrame
    title: str

    def collect(self) -> pl.DataFrame:
        """The bars as a polars frame, by symbol, then time."""
        return self.lazy.collect()

    def to_pandas(self) -> pd.DataFrame:
        """The bars as a pandas frame."""
        return self.collect().to_pandas()

    def figure(self) -> go.Figure:
        """Candles of one symbol; closes relative to the first bar, of several."""
        bars = self.collect()
        one = bars["symbol"].n_unique() == 1
        return plots.candles(bars, self.title) if one else plots.closes(bars, self.title)

    def __len__(self) -> int:
        return int(self.lazy.select(pl.len()).collect().item())

    def __repr__(self) -> str:
        return f"{self.title}\n{self.collect()}"

    def _repr_html_(self) -> str:
        bars = self.collect()
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
            ParameterError: a moment or an interval that cannot be read.
        """
        one = isinstance(symbols, str | Symbol)
        names = None if symbols is None else [name_of(symbol) for symbol in ([symbols] if one else symbols)]
        lazy = self._lake().scan(names, moment_ns(start), moment_ns(end), interval)
        what = ", ".join(names[:5]) + (" …" if len(names) > 5 else "") if names else "every symbol"
        return Bars(lazy, f"{what}, {interval}" + self._remark())

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


def moment_ns(moment: Moment | None) -> int | None:
    """A moment as ns since the epoch. Text without a zone is UTC; a datetime must have one.

    Raises:
        ParameterError: it cannot be read.
    """
    if moment is None or moment == "":
        return None
    if isinstance(moment, SupportsIndex):
        return index(moment)
    try:
        if isinstance(moment, str):
            read_as = datetime.fromisoformat(moment.strip())
            return from_utc(read_as if read_as.tzinfo else read_as.replace(tzinfo=UTC))
        return from_utc(moment)
    except (ValueError, DomainError) as wrong:
        raise ParameterError(
            f"{moment!r} is no moment ({wrong}): give ISO text such as 2026-06-01 or 2026-06-01 12:30 "
            "(UTC), an aware datetime, or nanoseconds since the epoch.",
            moment=str(moment),
        ) from None
