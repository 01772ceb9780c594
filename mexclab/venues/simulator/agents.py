"""The agents of one established pair.

A market maker requotes a ladder of price levels around a reference price every few hundred milliseconds,
and takers arrive by chance. All of it depends on the seed and on time alone, never on us, except through
the order book.
"""

from __future__ import annotations

import math
import random

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Market, Side
from mexclab.domain.order import OrderType
from mexclab.venues.matcher import Matcher
from mexclab.venues.simulator.pairs import Pair, Reference

REACH = 0.02  # how far from the mid the last level of the ladder stands, as a fraction
TAKER_REACH = 0.003  # how far through the mid a taker pays besides the spread, as a fraction
SIZE_LOG_SD = 1.5  # standard deviation of the log quote size of a taker order
LEVEL_LOG_SD = 0.8  # the same of a level's size
LEAN = 0.3  # how much more often takers follow a move than oppose it, at most
MOST_TAKERS = 12  # taker orders in one beat: more are told by fewer, larger ones
AWAY_TAKERS, AWAY_LEVELS = 4, 12  # takers in a beat and levels of a ladder while nobody looks
CHANGED = 3  # levels that change their size in a beat in which the price stands


class Agents:
    """What trades on one pair by itself, a beat at a time.

    Args:
        matcher: where the orders meet.
        pair: how it trades.
        market: its rules.
        reference: the price that is followed.
        life: the seed, levels on each side, mean nanoseconds between two beats.
    """

    def __init__(
        self, matcher: Matcher, pair: Pair, market: Market, reference: Reference, life: tuple[int, int, int]
    ) -> None:
        seed, self._levels, self._stride_ns = life
        self._matcher, self.pair, self._market, self._reference = matcher, pair, market, reference
        self._rng = random.Random(f"{seed}:{pair.symbol}")
        self._tick, self._lot = float(market.tick), float(market.lot)
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._shape = (0, 0, 0)  # best bid, best ask, levels
        self._half = max(0.5, float(pair.price) / self._tick * pair.spread / 2)
        self._mid = 0.0
        self.beat_ns = 0
        self.away_stride_ns = 0  # between two beats while nobody looks; 0: somebody does
        ticks = float(pair.price) / self._tick
        octaves = max(1.0, math.log2(ticks * REACH / max(1.0, ticks * pair.spread / 2)))
        self._per_octave = self._levels / octaves
        per_level = pair.depth_quote * REACH / 0.01 / self._levels / 2
        self._level_lots = per_level / float(pair.price) / self._lot
        self._tick_lots = pair.depth_quote / 2 / (0.01 * ticks) / float(pair.price) / self._lot
        self._reach = TAKER_REACH + pair.spread
        self._size_median = pair.mean_trade / math.exp(SIZE_LOG_SD**2 / 2)

    def beat(self, at_ns: int) -> int:
        """Requote and take once; when the next beat is due."""
        mid, busy = self._reference.at(at_ns)
        rng, symbol = self._rng, self._market.symbol
        since_ns = at_ns - self.beat_ns if self.beat_ns else self._stride_ns
        self._quote(mid / self._tick, rng)
        self._matcher.requote(symbol, "maker", self._bids, self._asks, at_ns)
        expected = self.pair.trades_per_s * busy * since_ns / SECOND
        if rng.random() < expected or expected > 1:
            self._take_some(mid, max(1.0, expected), at_ns)
        self._mid, self.beat_ns = mid, at_ns
        if self.away_stride_ns:
            return at_ns - at_ns % self.away_stride_ns + self.away_stride_ns
        return at_ns + int(self._stride_ns * (0.6 + 0.8 * rng.random()))

    # -- the maker -------------------------------------------------------------------------------

    def _quote(self, mid: float, rng: random.Random) -> None:
        """Move the ladders to ``mid`` (in ticks); sizes stay where prices stay, but for a few."""
        if rng.random() < 0.15:
            self._half = max(0.5, mid * self.pair.spread / 2 * (0.5 + rng.random()))
        bid = max(1, math.floor(mid - self._half + 0.5))
        ask = max(bid + 1, math.ceil(mid + self._half - 0.5))
        levels = min(AWAY_LEVELS, self._levels) if self.away_stride_ns else self._levels
        if (bid, ask, levels) != self._shape:
            self._shape = (bid, ask, levels)
            self._bids = self._ladder(bid, mid, -1, self._bids)
            self._asks = self._ladder(ask, mid, 1, self._asks)
        for _ in range(CHANGED):
            ladder = self._bids if rng.random() < 0.5 else self._asks
            keys = list(ladder)
            ticks = keys[int(len(keys) * rng.random() ** 2)]
            ladder[ticks] = self._lots(abs(ticks - mid))

    def _ladder(self, best: int, mid: float, step: int, before: dict[int, int]) -> dict[int, int]:
        """Levels from ``best`` outward, on grids that double in width as the distance doubles."""
        ladder: dict[int, int] = {}
        ticks, fine = best, 1 / self._per_octave
        for _ in range(self._shape[2]):
            lots = before.get(ticks)
            ladder[ticks] = self._lots(abs(ticks - mid)) if lots is None else lots
            gap = (1 << int(abs(ticks - mid) * fine).bit_length()) >> 1 or 1
            ticks = (ticks - 1) // gap * gap if step < 0 else (ticks // gap + 1) * gap
            if ticks < 1:
                break
        return ladder

    def _lots(self, away: float) -> int:
        """The size of a level ``away`` ticks from the mid."""
        gap = away / self._per_octave if away > self._per_octave else 1.0
        chance = math.exp(LEVEL_LOG_SD * self._rng.gauss(0.0, 1.0))
        return max(1, round((self._level_lots + self._tick_lots * gap) * chance))

    # -- the takers ------------------------------------------------------------------------------

    def _take_some(self, mid: float, expected: float, at_ns: int) -> None:
        rng = self._rng
        most = AWAY_TAKERS if self.away_stride_ns else MOST_TAKERS
        lump = max(1.0, expected / most)
        count = 1 if expected <= 1 else min(2 * most, _poisson(rng, expected / lump))
        move = (mid / self._mid - 1) / self.pair.spread if self._mid else 0.0
        lean = 0.5 + LEAN * math.tanh(move)
        for _ in range(count):
            side = Side.BUY if rng.random() < lean else Side.SELL
            quote = lump * self._size_median * math.exp(SIZE_LOG_SD * rng.gauss(0.0, 1.0))
            self._take(side, quote, mid, at_ns)

    def _take(self, side: Side, quote: float, mid: float, at_ns: int) -> None:
        """One immediate-or-cancel order, with a limit not far through the mid."""
        reach = 1 + self._reach if side is Side.BUY else 1 - self._reach
        market = self._market
        price = max(1, int(mid * reach / self._tick)) * market.tick
        least = math.ceil(float(market.min_notional) / mid / (1 - self._reach) / self._lot) + 1
        quantity = max(least, round(quote / mid / self._lot)) * market.lot
        self._matcher.house(market.symbol, side, OrderType.IMMEDIATE_OR_CANCEL, (quantity, price), at_ns)


def _poisson(rng: random.Random, mean: float) -> int:
    """Knuth's product method; the means here are small."""
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
