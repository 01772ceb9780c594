"""Real bars: a pair fitted to them, and their replay as the price that its agents follow."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.market import Symbol
from mexclab.errors import DataError, NotEnoughData
from mexclab.venues.simulator.pairs import Pair, named_id

LARGEST_TRADE = 300.0  # quote units: what a busy pair's mean taker order is taken to be
MOST_TRADES_PER_S = 4.0
LEAST_DEPTH, LARGEST_DEPTH = 500.0, 5e7  # quote units within 1 %
LEAST_SPREAD_TICKS, LARGEST_SPREAD = 1.0, 0.02
_DECIMALS = 10  # of a price or a quantity that is looked for


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars in order of time, one element each, every array of shape (n,).

    ``open_ns``: int64, when each opens. ``open``, ``high``, ``low``, ``close``: float64, quote units.
    ``volume``: float64, base units. A bar of no volume has no trade in it.

    Raises:
        DataError: fewer than two bars, columns that do not fit together, or values that are no bars.
    """

    open_ns: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray

    def __post_init__(self) -> None:
        columns = [np.asarray(getattr(self, name)) for name in Bars.__slots__]
        lengths = {column.shape for column in columns}
        if len(lengths) != 1 or columns[0].ndim != 1 or len(columns[0]) < 2:
            raise DataError(f"bars need six columns of one length, at least 2, not {sorted(lengths)}")
        times, first, high, low, last, volume = columns
        if (np.diff(times) <= 0).any():
            raise DataError("bars must be in order of time, none twice")
        prices = np.stack([first, high, low, last])
        if not np.isfinite(prices).all() or (prices <= 0).any() or (high < low).any():
            raise DataError("bars need prices above zero, and no high below its low")
        if not np.isfinite(volume).all() or (volume < 0).any():
            raise DataError("bars need volumes that are not negative")

    def __len__(self) -> int:
        return len(self.open_ns)

    @property
    def length_ns(self) -> int:
        """The length of one bar: the least time between two."""
        return int(np.diff(self.open_ns).min())

    def digest(self) -> str:
        """The same for the same bars."""
        digest = hashlib.sha256()
        for name in Bars.__slots__:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class BarReplay:
    """Real bars as the price of a pair.

    Attributes:
        pair: how it trades; see ``fit``.
        past: the bars before this one are history when the world starts; from it on they are lived.
        speed: how much faster than in life; 60 lives an hour of bars in a minute.

    Raises:
        DataError: no bar is left to be lived, or none ever would be.
    """

    pair: Pair
    bars: Bars
    past: int = 0
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.past < len(self.bars) - 1:
            raise DataError(f"{self.past} of {len(self.bars)} bars are past: none is left to be lived")
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise DataError(f"a speed of {self.speed} lives no bar")

    def digest(self) -> str:
        """The same for the same replay."""
        facts = f"{self.bars.digest()} {self.pair} {self.past} {self.speed}"
        return hashlib.sha256(facts.encode()).hexdigest()

    def minutes(self, start_ns: int) -> np.ndarray | None:
        """The past as rows of ``history.py``, moved to end at ``start_ns``; None when it has none.

        Only bars of one minute can be minutes; a gap between them stays a minute without a trade.
        """
        if not self.past or self.bars.length_ns != MINUTE:
            return None
        bars, pair = self.bars, self.pair
        times = bars.open_ns[: self.past]
        places = (times - times[0]) // MINUTE
        count = int((bars.open_ns[self.past] - times[0]) // MINUTE)
        filled = np.searchsorted(places, np.arange(count), side="right") - 1
        is_real = places[filled] == np.arange(count)
        tick = float(pair.tick)
        first, high, low, last = (
            np.maximum(1, np.rint(column[: self.past][filled] / tick)).astype(np.int64)
            for column in (bars.open, bars.high, bars.low, bars.close)
        )
        first, high, low = (np.where(is_real, column, last) for column in (first, high, low))
        lots = np.where(is_real, np.rint(bars.volume[: self.past][filled] / float(pair.lot)), 0)
        lots = lots.astype(np.int64)
        trades = np.where(
            lots > 0, np.maximum(1, lots * last * float(tick * float(pair.lot)) / pair.mean_trade), 0
        )
        value = (first + high + low + last) // 4 * lots
        open_ns = start_ns // MINUTE * MINUTE - (np.arange(count, 0, -1, dtype=np.int64)) * MINUTE
        return np.column_stack([open_ns, first, high, low, last, lots, value, trades.astype(np.int64)])


class BarsReference:
    """The path through the bars: open, one extreme, the other, close, in quarters of a bar's time.

    A rising bar visits its low first, a falling one its high: so bars keep their range and their ends.
    After the last bar it begins again with the first lived one, scaled to go on from where it is.

    Args:
        replay: the bars and how fast.
        start_ns: the moment of the first lived bar.
    """

    def __init__(self, replay: BarReplay, start_ns: int) -> None:
        bars, past = replay.bars, replay.past
        self._start_ns, self._speed = start_ns, replay.speed
        self._length_ns = bars.length_ns
        self._times = (bars.open_ns[past:] - bars.open_ns[past]).astype(np.int64)
        self._span_ns = int(self._times[-1]) + self._length_ns
        first, high, low, last = (column[past:] for column in (bars.open, bars.high, bars.low, bars.close))
        rises = last >= first
        turns = (first, np.where(rises, low, high), np.where(rises, high, low), last)
        self._paths = np.stack(turns, axis=1).astype(np.float64)
        usual = replay.pair.turnover_day / 86_400 * (self._length_ns / SECOND)
        self._busy = bars.volume[past:] * (first + high + low + last) / 4 / usual
        self._growth = float(last[-1] / first[0])

    def at(self, at_ns: int) -> tuple[float, float]:
        round_, rest = divmod(int(max(0, at_ns - self._start_ns) * self._speed), self._span_ns)
        place = int(np.searchsorted(self._times, rest, side="right")) - 1
        part = (rest - int(self._times[place])) / self._length_ns
        scale = self._growth**round_
        if part >= 1:  # a gap between two bars: nobody trades
            return float(self._paths[place, 3]) * scale, 0.0
        leg, along = divmod(part * 3, 1)
        here, there = self._paths[place, int(leg)], self._paths[place, int(leg) + 1]
        return float(here + (there - here) * along) * scale, float(self._busy[place]) * self._speed


def fit(symbol: Symbol, bars: Bars, past: int = 0, full_name: str = "") -> Pair:
    """A pair whose agents trade like these bars.

    Volatility is that of the log closes; turnover is the bars' own; how often it trades follows from the
    share of bars without a trade (Poisson), or for a busy pair from an assumed mean order of
    ``LARGEST_TRADE``; the spread is Roll's (Journal of Finance 39, 1984), at least a tick; the depth is the
    turnover in the time in which the price diffuses 1 %, as ``research/listing_day`` has it (assumed).

    Args:
        symbol: the pair's name.
        bars: of any length, the same for all.
        past: the bar whose open is the pair's price at the start.
        full_name: of its base asset.

    Raises:
        NotEnoughData: no bar has any volume.
    """
    seconds = bars.length_ns / SECOND
    moves = np.diff(np.log(bars.close))
    variance = float(np.mean(moves**2)) if len(moves) else 0.0
    volatility = max(1e-4, math.sqrt(variance * 86_400 / seconds))
    per_s = float((bars.volume * bars.close).sum()) / (len(bars) * seconds)
    if not per_s > 0:
        raise NotEnoughData(f"{symbol}: no bar has any volume, so nobody can say how it trades")
    quiet = (float((bars.volume == 0).sum()) + 0.5) / (len(bars) + 1)
    trades_per_s = min(MOST_TRADES_PER_S, max(-math.log(quiet) / seconds, per_s / LARGEST_TRADE))
    tick = _step(np.concatenate([bars.open, bars.high, bars.low, bars.close]))
    lot = _step(bars.volume)
    price = bars.open[past]
    bounce = -float(np.mean(moves[1:] * moves[:-1])) if len(moves) > 1 else 0.0
    spread = 2 * math.sqrt(bounce) if bounce > 0 else 0.0
    spread = min(LARGEST_SPREAD, max(spread, LEAST_SPREAD_TICKS * float(tick) / float(price)))
    depth = min(LARGEST_DEPTH, max(LEAST_DEPTH, per_s * 86_400 * (0.01 / volatility) ** 2))
    return Pair(
        symbol=symbol,
        full_name=full_name or symbol.base,
        coin_id=named_id(symbol.base, "coin"),
        symbol_id=named_id(str(symbol), "symbol"),
        tick=tick,
        lot=lot,
        price=Decimal(repr(float(price))).quantize(tick),
        price_band=Decimal("0.2"),
        volatility_day=volatility,
        spread=spread,
        depth_quote=depth,
        turnover_day=per_s * 86_400,
        trades_per_s=trades_per_s,
        first_open_ns=int(bars.open_ns[0]),
    )


def _step(values: np.ndarray) -> Decimal:
    """The coarsest power of ten, at most 1, of which all values are whole multiples to 9 digits."""
    for decimals in range(_DECIMALS):
        scaled = values * 10.0**decimals
        if (np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1.0, np.abs(scaled))).all():
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-_DECIMALS)
