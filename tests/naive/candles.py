"""Candles the long way: every trade is put into its bar, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from mexclab.domain.clock import DAY, MINUTE, from_utc, utc
from mexclab.domain.market import Candle, Symbol, Trade


def bar_start(at_ns: int, interval: str, lengths: dict[str, int]) -> int:
    """When the bar begins that holds the moment; weeks begin on Monday, months on the first, in UTC."""
    midnight = utc(at_ns).replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "1M":
        return from_utc(midnight.replace(day=1))
    if interval == "1W":
        return from_utc(midnight - timedelta(days=midnight.weekday()))
    return at_ns - at_ns % lengths[interval]


def candles(trades: Sequence[Trade], interval: str, lengths: dict[str, int], now_ns: int) -> list[Candle]:
    """Every bar from the first trade to ``now_ns``; quiet minutes are flat bars at the price before."""
    minutes: list[Candle] = []
    if not trades:
        return []
    at_ns, price, rest = trades[0].at_ns // MINUTE * MINUTE, trades[0].price, list(trades)
    while at_ns <= now_ns:
        bar = Candle(trades[0].symbol, at_ns, price, price, price, price, Decimal(0), Decimal(0))
        while rest and rest[0].at_ns < at_ns + MINUTE:
            bar = bar.after(rest.pop(0))
        minutes.append(bar)
        price, at_ns = bar.close, at_ns + MINUTE
    bars: list[Candle] = []
    for minute in minutes:
        start = bar_start(minute.open_ns, interval, lengths)
        if bars and bars[-1].open_ns == start:
            last = bars[-1]
            bars[-1] = replace(
                last, high=max(last.high, minute.high), low=min(last.low, minute.low), close=minute.close,
                volume=last.volume + minute.volume, quote_volume=last.quote_volume + minute.quote_volume,
            )  # fmt: skip
        else:
            bars.append(replace(minute, open_ns=start))
    return bars


def day(
    trades: Sequence[Trade], now_ns: int, symbol: Symbol
) -> tuple[Decimal, Decimal, Decimal, Decimal, int]:
    """High, low, volume, quote volume and count of the minutes of the last 24 hours."""
    first = now_ns // MINUTE * MINUTE - DAY
    minutes = [bar for bar in candles(trades, "1m", {"1m": MINUTE}, now_ns) if bar.open_ns > first]
    count = sum(trade.at_ns // MINUTE * MINUTE > first for trade in trades)
    volume, value = sum(bar.volume for bar in minutes), sum(bar.quote_volume for bar in minutes)
    high, low = max(bar.high for bar in minutes), min(bar.low for bar in minutes)
    return high, low, Decimal(volume), Decimal(value), count
