"""The matcher of a world: what its house brings about is heard, and its phases obey the decrees."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.matcher import Matcher, News
from mexclab.venues.matching import OrderBook
from mexclab.venues.orders import Phase, Quotes
from mexclab.venues.simulator.decree import Decree

Hear = Callable[[Symbol, News], None]


class HeardMatcher(Matcher):
    """A ``Matcher`` that calls ``hear`` with each trade of the house's agents.

    ``natural`` are the phases that the symbols have by their script, ``decrees`` what was ordered on top;
    a book's phase is what comes of both at ``now_ns``. ``hear`` is not part of its pickle.
    """

    def __init__(self, hear: Hear) -> None:
        super().__init__({})
        self.hear = hear
        self.now_ns = 0
        self.natural: dict[Symbol, Phase] = {}
        self.decrees: dict[Symbol, Decree] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "hear"}

    def add(
        self,
        market: Market,
        phase: Phase = Phase.OPEN,
        price_band: Decimal | None = None,
        last: Decimal | None = None,
    ) -> OrderBook:
        self.natural[market.symbol] = phase
        return super().add(market, phase, price_band, last)

    def set_phase(self, symbol: Symbol, phase: Phase) -> None:
        self.natural[symbol] = phase
        decree = self.decrees.get(symbol)
        super().set_phase(symbol, phase if decree is None else decree.phase(phase, self.now_ns))

    def requote(self, symbol: Symbol, maker: str, bids: Quotes, asks: Quotes, at_ns: int) -> News:
        news = super().requote(symbol, maker, bids, asks, at_ns)
        if news.executions:
            self.hear(symbol, news)
        return news

    def house(
        self, symbol: Symbol, side: Side, kind: OrderType, size: tuple[Decimal, Decimal | None], at_ns: int
    ) -> News:
        news = super().house(symbol, side, kind, size, at_ns)
        if news.executions:
            self.hear(symbol, news)
        return news
