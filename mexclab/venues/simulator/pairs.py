"""Established pairs: what they are, the price they follow, and a plausible past.

All of it depends on the seed and on time alone. ``agents.py`` holds who trades on them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np

from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.market import Market, Side, Symbol
from mexclab.venues.orders import Execution

MINUTES_A_DAY = 1440


@dataclass(frozen=True, slots=True)
class Pair:
    """An established pair and how it trades. Its live counterparts on MEXC were the model by eye."""

    symbol: Symbol
    full_name: str
    coin_id: str
    symbol_id: str
    tick: Decimal
    lot: Decimal
    price: Decimal  # the reference price at the start of a world
    price_band: Decimal
    volatility_day: float  # standard deviation of the log price over a day
    spread: float  # fraction of the price
    depth_quote: float  # quote units within 1 % of the mid, on each side
    turnover_day: float  # quote units
    trades_per_s: float
    first_open_ns: int

    def market(self, fees: tuple[Decimal, Decimal]) -> Market:
        return Market(self.symbol, self.tick, self.lot, Decimal(1), *fees)

    @property
    def mean_trade(self) -> float:
        """Mean quote size of a taker order."""
        return self.turnover_day / 86_400 / self.trades_per_s


KNOWN_IDS: Mapping[str, str] = MappingProxyType(
    {
        "USDT": "128f589271cb4951b03e71e6323eb7be",
        "BTC": "febc9973be4d4d53bb374476239eb219",
        "ETH": "93c38b0169214f8689763ce9a63a73ff",
        "BTCUSDT": "2fb942154ef44a4ab2ef98c8afb6a4a7",
    }
)
"""Ids of coins and symbols that are known of the real venue."""


def named_id(*parts: str) -> str:
    """A stable id of 32 hex digits, as the venue gives to coins and symbols."""
    return hashlib.md5("|".join(parts).encode(), usedforsecurity=False).hexdigest()


def _pair(
    base: str,
    name: str,
    grid: tuple[str, str, str],
    life: tuple[float, float, float, float, float],
    year: int,
) -> Pair:
    base, _, quote = base.partition("/")
    price, tick, lot = map(Decimal, grid)
    volatility, spread, depth, turnover, trades = life
    band = Decimal("0.005") if base in ("BTC", "ETH") else Decimal("0.2")
    symbol = Symbol(base, quote or "USDT")
    coin_id = KNOWN_IDS.get(base) or named_id(base, name)
    symbol_id = KNOWN_IDS.get(str(symbol)) or named_id(str(symbol), "symbol")
    opened = (year - 1970) * 365 * DAY + 8 * HOUR
    facts = (tick, lot, price, band, volatility, spread, depth, turnover, trades, opened)
    return Pair(symbol, name, coin_id, symbol_id, *facts)


ESTABLISHED: Mapping[str, Pair] = MappingProxyType(
    {
        str(pair.symbol): pair
        for pair in (
            # price, tick, lot; volatility, spread, depth, turnover, trades a second
            _pair("BTC", "Bitcoin", ("87650", "0.01", "0.000001"), (0.022, 4e-6, 9e6, 4.1e8, 3.5), 2018),
            _pair("ETH", "Ethereum", ("2975", "0.01", "0.00001"), (0.032, 5e-6, 5e6, 2.6e8, 3.0), 2018),
            _pair("SOL", "Solana", ("124.6", "0.01", "0.001"), (0.04, 8e-5, 1.6e6, 4.5e7, 1.5), 2021),
            _pair("XRP", "XRP", ("1.862", "0.0001", "0.01"), (0.036, 6e-5, 1.5e6, 4.8e7, 1.2), 2018),
            _pair("DOGE", "Dogecoin", ("0.1231", "0.00001", "0.1"), (0.045, 9e-5, 7e5, 1.9e7, 0.9), 2019),
            _pair("MX", "MX Token", ("2.1", "0.0001", "0.01"), (0.018, 6e-4, 9e4, 1.6e6, 0.25), 2019),
            _pair("METAL", "Metal", ("0.1625", "0.00001", "0.01"), (0.06, 3e-3, 6e3, 6e4, 0.03), 2023),
            _pair("RARI", "Rarible", ("0.2389", "0.0001", "0.1"), (0.07, 2e-3, 5e3, 9e4, 0.04), 2020),
            # a name that does not show where its base ends
            _pair("WLFI/USD1", "WLFI", ("0.1702", "0.0001", "0.1"), (0.06, 1e-3, 2e4, 4e5, 0.1), 2025),
        )
    }
)  # fmt: skip
"""The pairs that a world may hold, by the venue's name."""


class Reference(Protocol):
    """The price that a pair's agents follow."""

    def at(self, at_ns: int) -> tuple[float, float]:
        """The price in quote units, and how busy it is (1.0: as usual). Moments only ever increase."""
        ...


class SeededReference:
    """A path drawn from a seed: log returns a second with fat tails, busy and quiet minutes.

    Args:
        pair: whose volatility it has.
        seed: with the pair's name, all its chance; the same seed gives the same path.
        start: when it begins, in nanoseconds, and at which price.
    """

    def __init__(self, pair: Pair, seed: int, start: tuple[int, float]) -> None:
        self._key = (seed, int(pair.symbol_id[:8], 16), 0x33)
        self._sigma = pair.volatility_day / math.sqrt(86_400)
        self._start_ns, price = start
        self._block = -1
        self._prices: list[float] = [price]
        self._busy: list[float] = [1.0]
        self._mood = 0.0
        self._next_block()

    def at(self, at_ns: int) -> tuple[float, float]:
        age_ns = max(0, at_ns - self._start_ns)
        block, rest = divmod(age_ns, HOUR)
        while block > self._block:
            self._next_block()
        second, part = divmod(rest, SECOND)
        here, there = self._prices[second], self._prices[second + 1]
        return here + (there - here) * part / SECOND, self._busy[second // 60]

    def _next_block(self) -> None:
        """The next hour; its chance is the hour's own, so that hours can be drawn one after the other."""
        self._block += 1
        rng = np.random.default_rng([*self._key, self._block])
        moods = activity(rng, 60, self._mood)
        self._mood = float(moods[-1])
        busy = np.exp(moods)
        returns = self._sigma * np.repeat(busy, 60) * _fat_tailed(rng, 3600)
        path = self._prices[-1] * np.exp(np.concatenate(([0.0], np.cumsum(returns))))
        self._prices, self._busy = path.tolist(), (busy**2).tolist()


def activity(rng: np.random.Generator, minutes: int, before: float) -> np.ndarray:
    """Log of the volatility's factor, float64 (minutes,): it wanders, and comes back within half an hour."""
    shocks = 0.09 * rng.standard_normal(minutes)
    moods = np.empty(minutes)
    for minute, shock in enumerate(shocks.tolist()):
        before = before * 0.96 + shock
        moods[minute] = before
    return moods


def _fat_tailed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Student t with 5 degrees of freedom, of variance one."""
    return rng.standard_t(5.0, count) * math.sqrt(3 / 5)


class Past(NamedTuple):
    """What came before a world's start.

    ``minutes``, ``days``: int64 (n, 8), the columns of ``history.py``; whole days that end at midnight,
    then whole minutes from that midnight on. ``trades``: the last ones, oldest first.
    """

    minutes: np.ndarray
    days: np.ndarray
    trades: list[Execution]


def plausible_past(pair: Pair, seed: int, start_ns: int, days: int) -> Past:
    """A past that ends at the pair's price: ``days`` whole days and today in minutes, and 400 days before.

    Args:
        pair: whose past it is.
        seed: all its chance.
        start_ns: when the world begins; the past ends with the whole minute before.
        days: days of minutes, besides today's.
    """
    rng = np.random.default_rng([seed, int(pair.symbol_id[:8], 16), 0x44])
    end_ns = start_ns // MINUTE * MINUTE
    first_ns = (end_ns // DAY - days) * DAY
    count = max(1, (end_ns - first_ns) // MINUTE)
    minutes = _minutes(pair, rng, np.arange(count, dtype=np.int64) * MINUTE + (end_ns - count * MINUTE))
    return past_of(pair, rng, minutes)


def past_of(pair: Pair, rng: np.random.Generator, minutes: np.ndarray) -> Past:
    """The past that ends with these minutes: older days and the last trades are drawn."""
    older = _days(pair, rng, int(minutes[0, 0]) // DAY * DAY, int(minutes[0, 1]))
    return Past(minutes, older, _last_trades(pair, rng, minutes))


def _minutes(pair: Pair, rng: np.random.Generator, open_ns: np.ndarray) -> np.ndarray:
    count = len(open_ns)
    moods = activity(rng, count, 0.0)
    busy = np.exp(moods)
    trades = rng.poisson(pair.trades_per_s * 60 * busy**2)
    sigma = pair.volatility_day / math.sqrt(MINUTES_A_DAY) * busy
    moves = np.where(trades > 0, sigma * _fat_tailed(rng, count), 0.0)
    logs = np.cumsum(moves)
    closes = logs - logs[-1]
    opens = np.concatenate(([closes[0] - moves[0]], closes[:-1]))
    # the extremes of a Brownian bridge between the two: exact for one side, independent for both
    spans = 2 * sigma**2 * rng.standard_exponential((2, count)) * (trades > 1)
    high = (opens + closes + np.sqrt((closes - opens) ** 2 + spans[0])) / 2
    low = (opens + closes - np.sqrt((closes - opens) ** 2 + spans[1])) / 2
    scale = float(pair.price / pair.tick)
    ticks = [
        np.maximum(1, np.rint(scale * np.exp(each))).astype(np.int64) for each in (opens, closes, high, low)
    ]
    first, last, top, bottom = ticks
    sizes = trades * pair.mean_trade * np.exp(0.6 * rng.standard_normal(count) - 0.18)
    lots = np.where(trades > 0, np.maximum(1, sizes / (last * float(pair.tick * pair.lot))), 0).astype(
        np.int64
    )
    value = ((first + last + top + bottom) // 4) * lots
    top, bottom = np.maximum(np.maximum(first, last), top), np.minimum(np.minimum(first, last), bottom)
    return np.column_stack([open_ns, first, top, bottom, last, lots, value, trades])


def _days(pair: Pair, rng: np.random.Generator, end_ns: int, last_ticks: int) -> np.ndarray:
    """Whole days before ``end_ns``, the last of which closes at ``last_ticks``."""
    count = min(400, max(0, (end_ns - pair.first_open_ns) // DAY))
    if not count:
        return np.empty((0, 8), dtype=np.int64)
    moves = pair.volatility_day * _fat_tailed(rng, count)
    closes = np.cumsum(moves) - moves.sum()
    opens = closes - moves
    spans = 2 * pair.volatility_day**2 * rng.standard_exponential((2, count))
    high = (opens + closes + np.sqrt(moves**2 + spans[0])) / 2
    low = (opens + closes - np.sqrt(moves**2 + spans[1])) / 2
    first, last, top, bottom = (
        np.maximum(1, np.rint(last_ticks * np.exp(each))).astype(np.int64)
        for each in (opens, closes, high, low)
    )
    turnover = pair.turnover_day * np.exp(0.35 * rng.standard_normal(count))
    lots = (turnover / (last * float(pair.tick * pair.lot))).astype(np.int64)
    trades = rng.poisson(pair.trades_per_s * 86_400, count)
    open_ns = end_ns - (np.arange(count, 0, -1, dtype=np.int64)) * DAY
    value = ((first + last + top + bottom) // 4) * lots
    top, bottom = np.maximum(np.maximum(first, last), top), np.minimum(np.minimum(first, last), bottom)
    return np.column_stack([open_ns, first, top, bottom, last, lots, value, trades])


def _last_trades(pair: Pair, rng: np.random.Generator, minutes: np.ndarray) -> list[Execution]:
    """The trades of the last minutes, at most 200, one numbered below the other from 0 downward."""
    rows = minutes[minutes[:, 7] > 0][-200:]
    trades: list[tuple[int, int, int, bool]] = []
    for at_ns, first, high, low, last, lots, _, count in reversed(rows.tolist()):
        told = min(count, 200 - len(trades))
        moments = np.sort(rng.integers(0, MINUTE, told))[::-1]
        prices = np.clip(rng.normal((first + last) / 2, max(1.0, (high - low) / 3), told), low, high)
        prices[:1] = last
        shares = np.maximum(1, lots * rng.dirichlet(np.ones(max(1, count)))[:told])
        buys = rng.random(told) < 0.5
        trades += [
            (int(at_ns + moment), int(ticks), int(size), bool(buy))
            for moment, ticks, size, buy in zip(moments, prices, shares, buys, strict=True)
        ]
        if len(trades) >= 200:
            break
    return [
        Execution(
            -2 * number, ticks * pair.tick, lots * pair.lot, "", "", Side.BUY if buy else Side.SELL, at, False
        )
        for number, (at, ticks, lots, buy) in reversed(list(enumerate(trades, start=1)))
    ]  # fmt: skip
