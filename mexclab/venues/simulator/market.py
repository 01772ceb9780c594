"""The simulated market: listings live through their script, agents quote and trade on the matching core.

A market maker quotes around the reference path of ``research/listing_day`` (fitted to real listing
days, see docs/listing-day-fit.md); takers arrive at the path's intensity; in the first second a crowd
of other snipers buys. All of it depends on the scenario's seed and on time alone, never on us, except
through the order book: our orders match against theirs by price and time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.domain.reports import BookSeen, Happening
from mexclab.errors import DomainError
from mexclab.research.listing_day import ListingDayPath, listing_day, trade_sizes
from mexclab.venues.matcher import Matcher
from mexclab.venues.orders import Phase
from mexclab.venues.simulator.scenario import COMMON_GAP, Fate, ListingScript, listing_day_script

PATH_HOURS = 4.0
LEVELS = 6  # quoted on each side, spread over 1 % of the price
BOOK_DEPTH = 20
API_LIST_NS = HOUR  # a listing enters the list of API symbols this long before its opening
TAKERS = 4.0  # taker orders in one step, on average and at most
TAKER_REACH = 0.03  # how far through the mid a taker pays, as a fraction
CROWD = 40  # other snipers at the opening, on average
CROWD_NS = 350 * MILLISECOND  # their mean delay after the opening
CROWD_SHARE = 1.5  # what all of them want to buy, in units of the first depth within 1 %
STRIDES = (
    (3 * SECOND, 100 * MILLISECOND),
    (3 * MINUTE, SECOND),
    (10 * MINUTE, 2 * SECOND),
    (HOUR, 5 * SECOND),
    (DAY + HOUR, MINUTE),
)
QUIET_NS = DAY  # a listing is left to itself this long after its opening


@dataclass(slots=True)
class _Stage:
    """One listing that trades: its path, and what the agents do next."""

    script: ListingScript
    market: Market
    path: ListingDayPath
    rng: np.random.Generator
    next_ns: int
    crowd: list[tuple[int, float]]  # (instant, quote units), soonest last
    mid: float = 0.0  # at the last requote


class SimulatedMarket:
    """All listings of the days that were asked for, driven to any moment by ``advance``.

    Args:
        matcher: where the orders meet.
        seed: of the scenarios and of all agents.
        start_ns: the moment at which this market begins; listings of earlier days are left out.
        fees: maker and taker fee of every market, fractions.
    """

    def __init__(self, matcher: Matcher, seed: int, start_ns: int, fees: tuple[Decimal, Decimal]) -> None:
        self.matcher = matcher
        self.now_ns = start_ns
        self._seed = seed
        self._fees = fees
        self._scripts: dict[Symbol, ListingScript] = {}
        self._waiting: list[ListingScript] = []
        self._stages: list[_Stage] = []
        self._known_day = start_ns // DAY - 1
        self._write_days(start_ns)

    def announce(self, scripts: Iterable[ListingScript]) -> None:
        """Bring in listings that have yet to open; a name that is known already is left as it is."""
        for script in scripts:
            if script.symbol in self._scripts:
                continue  # one name lists once
            self._scripts[script.symbol] = script
            self._waiting.append(script)
            self.matcher.add(script.market(*self._fees), Phase.NOT_OPEN)

    # -- what the venue publishes ----------------------------------------------------------------

    def entries(self) -> list[CalendarEntry]:
        return [row for s in self._scripts.values() if (row := s.calendar(self.now_ns)) is not None]

    def states(self) -> list[SymbolState]:
        return [row for s in self._scripts.values() if (row := s.state(self.now_ns)) is not None]

    def scripts(self) -> Sequence[ListingScript]:
        """The whole truth, for those who judge afterwards; no strategy sees it."""
        return tuple(self._scripts.values())

    def script(self, symbol: Symbol) -> ListingScript | None:
        return self._scripts.get(symbol)

    def postpone(self, symbol: Symbol, to_ns: int) -> None:
        """Publish now that a listing which has not opened opens at ``to_ns``; earlier is possible too.

        Raises:
            DomainError: it is open, or the venue does not have it, or ``to_ns`` is past.
        """
        script = self._scripts.get(symbol)
        if script is None or not self.now_ns < min(script.opens_ns, to_ns):
            raise DomainError(f"{symbol} has no opening that could be moved to {to_ns}", symbol=str(symbol))
        moved = replace(script, moved_ns=self.now_ns, moved_to_ns=to_ns)
        self._scripts[symbol] = moved
        self._waiting = [moved if waiting is script else waiting for waiting in self._waiting]

    def market(self, symbol: Symbol) -> Market | None:
        script = self._scripts.get(symbol)
        if script is None or script.state(self.now_ns) is None:
            return None
        return script.market(*self._fees)

    def reference_price(self, symbol: Symbol) -> Decimal | None:
        """The last trade, or the indicative price before the opening; None until the symbol is listed."""
        script = self._scripts.get(symbol)
        if script is None or script.state(self.now_ns) is None:
            return None
        book = self.matcher.books.get(symbol)
        return (book.last if book is not None else None) or script.placeholder

    def is_api_tradable(self, symbol: Symbol) -> bool | None:
        script = self._scripts.get(symbol)
        if script is None or self.now_ns < script.opens_ns - API_LIST_NS:
            return None
        return script.fate is not Fate.NOT_BY_API

    # -- time ------------------------------------------------------------------------------------

    def next_ns(self) -> int:
        """When something happens next."""
        soonest = [stage.crowd[-1][0] for stage in self._stages if stage.crowd]
        soonest += [stage.next_ns for stage in self._stages]
        soonest += [script.opens_ns for script in self._waiting]
        soonest.append((self._known_day + 1) * DAY)
        return min(soonest)

    def advance(self, to_ns: int) -> list[Happening]:
        """Live until ``to_ns``, everything in its order; what the public and the accounts see of it."""
        news: list[Happening] = []
        while (at_ns := self.next_ns()) <= to_ns:
            self.now_ns = at_ns
            self._write_days(at_ns)
            self._open(at_ns)
            for stage in self._stages:
                news += self._step(stage, at_ns)
            self._stages = [stage for stage in self._stages if at_ns < stage.script.opens_ns + QUIET_NS]
        self.now_ns = max(self.now_ns, to_ns)
        return news

    def _write_days(self, now_ns: int) -> None:
        """Tomorrow's listings are announced today: the script is always a day ahead."""
        while self._known_day <= now_ns // DAY:
            self._known_day += 1
            for script in listing_day_script(self._known_day, self._seed):
                if script.symbol in self._scripts:
                    continue  # one name lists once
                self._scripts[script.symbol] = script
                if script.opens_ns >= now_ns:
                    self._waiting.append(script)
                    self.matcher.add(script.market(*self._fees), Phase.NOT_OPEN)

    def _open(self, now_ns: int) -> None:
        for script in [s for s in self._waiting if s.opens_ns <= now_ns]:
            self._waiting.remove(script)
            if script.fate is Fate.NOT_BY_API:
                # it trades, but not for us: the phase stays "not supported by API"
                continue
            self.matcher.set_phase(script.symbol, Phase.OPEN)
            self._stages.append(_stage(script, self._fees))

    # -- agents ----------------------------------------------------------------------------------

    def _step(self, stage: _Stage, at_ns: int) -> list[Happening]:
        news: list[Happening] = []
        while stage.crowd and stage.crowd[-1][0] <= at_ns:
            _, quote = stage.crowd.pop()
            news += self._take(stage, Side.BUY, quote, at_ns)
        if stage.next_ns > at_ns:
            if news:
                news.append(self._book(stage, at_ns))
            return news
        age_ns = at_ns - stage.script.opens_ns
        spot = min(age_ns // SECOND, len(stage.path.price) - 1)
        mid = _mid(stage, age_ns)
        bids, asks = self._quotes(stage, spot, mid)
        news += self.matcher.requote(stage.market.symbol, "maker", bids, asks, at_ns)
        taken: list[Happening] = []
        for side, quote in self._takers(stage, spot, mid, _stride_ns(age_ns) / SECOND):
            taken += self._take(stage, side, quote, at_ns)
        if (
            taken
        ):  # the maker fills up what was taken: a step stands for seconds, in which it would have long ago
            news += taken
            news += self.matcher.requote(stage.market.symbol, "maker", bids, asks, at_ns)
        stage.mid = mid
        stage.next_ns = at_ns + _stride_ns(age_ns)
        news.append(self._book(stage, at_ns))
        return news

    def _quotes(self, stage: _Stage, spot: int, mid: float) -> tuple[dict[int, int], dict[int, int]]:
        path, market = stage.path, stage.market
        half = mid * path.spread[spot] / 2
        each = path.depth_quote[spot] / LEVELS / mid / float(market.lot)
        tick = float(market.tick)
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for level in range(LEVELS):
            away = half + mid * 0.01 * level / LEVELS
            bid = max(1, math.floor((mid - away) / tick))
            ask = max(math.floor((mid - half) / tick) + 1, 2, math.ceil((mid + away) / tick))
            lots = max(1, round(each * (0.5 + level / (LEVELS - 1))))
            bids[bid] = bids.get(bid, 0) + lots
            asks[ask] = asks.get(ask, 0) + lots
        return bids, asks

    def _takers(self, stage: _Stage, spot: int, mid: float, span_s: float) -> Iterator[tuple[Side, float]]:
        path, rng = stage.path, stage.rng
        expected = path.trades_per_s[spot] * span_s
        # a busy second is told by fewer, larger orders: the same volume, a bounded amount of work
        lump = max(1.0, expected / TAKERS)
        count = int(rng.poisson(expected / lump))
        drift = math.log(mid / (stage.mid or mid)) / path.spread[spot]
        lean = 0.5 + 0.35 * math.tanh(drift)
        sides, sizes = rng.random(count) < lean, lump * trade_sizes(rng, count)
        for buys, size in zip(sides.tolist(), sizes.tolist(), strict=True):
            yield (Side.BUY if buys else Side.SELL), size

    def _take(self, stage: _Stage, side: Side, quote: float, at_ns: int) -> list[Happening]:
        """One taker: an immediate-or-cancel order that reaches at most ``TAKER_REACH`` from the mid."""
        book, market = self.matcher.books[stage.market.symbol], stage.market
        mid = _mid(stage, at_ns - stage.script.opens_ns)
        reach = mid * (1 + TAKER_REACH) if side is Side.BUY else mid * (1 - TAKER_REACH)
        price = max(book.to_ticks(Decimal(repr(reach))), 1) * market.tick
        quantity = book.to_lots(Decimal(repr(quote / mid))) * market.lot
        if quantity * price < market.min_notional:
            return []
        size = (quantity, price)
        return list(self.matcher.house(market.symbol, side, OrderType.IMMEDIATE_OR_CANCEL, size, at_ns))

    def _book(self, stage: _Stage, at_ns: int) -> BookSeen:
        return BookSeen(self.matcher.books[stage.market.symbol].snapshot(BOOK_DEPTH, at_ns))


def _stride_ns(age_ns: int) -> int:
    """Time between two requotes: fast while it matters, slow when the day has calmed."""
    return next(stride for until, stride in STRIDES if age_ns < until)


def _mid(stage: _Stage, age_ns: int) -> float:
    """The reference price, straight between the path's seconds, in quote units."""
    prices = stage.path.price
    spot, rest = divmod(age_ns, SECOND)
    if spot >= len(prices) - 1:
        return float(stage.script.placeholder) * float(prices[-1])
    here, there = float(prices[spot]), float(prices[spot + 1])
    return float(stage.script.placeholder) * (here + (there - here) * rest / SECOND)


def _stage(script: ListingScript, fees: tuple[Decimal, Decimal]) -> _Stage:
    rng = np.random.default_rng([script.seed, 0x22])
    path = listing_day(rng, PATH_HOURS, gap=script.gap)
    while script.gap is None and path.gap > COMMON_GAP:
        path = listing_day(rng, PATH_HOURS)  # wild gaps are another listing's part
    delays = np.sort(rng.exponential(CROWD_NS, rng.poisson(CROWD)))[::-1]
    sizes = trade_sizes(rng, len(delays))
    sizes *= CROWD_SHARE * path.depth_quote[0] / max(sizes.sum(), 1.0)
    crowd = [
        (script.opens_ns + 1 + int(delay), float(size)) for delay, size in zip(delays, sizes, strict=True)
    ]
    return _Stage(script, script.market(*fees), path, rng, script.opens_ns, crowd)
