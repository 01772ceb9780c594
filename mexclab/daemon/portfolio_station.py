"""What a running desk can tell of its portfolio, now and at any earlier entry of the ledger.

Now is read off the desk. Everything that takes a walk through the ledger is done by one thread at a time,
beside the loop that trades, and it holds its breath around a shot.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Market, Side, Symbol
from mexclab.errors import VenueUnavailable
from mexclab.ports import Ledger
from mexclab.research.stress import SCENARIOS, Scenario
from mexclab.trading import shots
from mexclab.trading.engine import Engine
from mexclab.trading.lookback import NOW, Cut, Past
from mexclab.trading.statement import World, statement
from mexclab.trading.statement_pages import (
    attribution_page,
    balances_page,
    curve_page,
    now_point,
    stress_page,
)
from mexclab.trading.statement_types import AttributionPage, BalancesPage, CurvePage, Statement, StressPage

QUIET_NS = 2 * SECOND  # before a shot leaves nothing is folded
PAUSE_S = 0.001  # between two slices of a fold: the loop gets its turn
LONGEST_PAUSE_S = 5.0
PRICE_NS = MINUTE  # how long the price of an asset in which fees were paid stays good
T = TypeVar("T")


class PortfolioStation:
    """Answers about one desk's portfolio. Call it on the desk's event loop."""

    def __init__(self, engine: Engine, ledger: Ledger) -> None:
        self.engine = engine
        self._ledger = ledger
        self._turn, self._asking = asyncio.Lock(), asyncio.Lock()
        self._folding = threading.Lock()  # a question that was given up leaves its thread behind
        self._now = Past(whole=False)
        self._past: tuple[Cut, Past] | None = None  # a page asks several things of the same moment
        self._prices: dict[Symbol, tuple[int, Decimal]] = {}  # when it was asked for, and the price

    # -- pages -----------------------------------------------------------------------------------

    async def statement(self, cut: Cut = NOW) -> Statement:
        """The portfolio, or as it was.

        Raises:
            ParameterError: the ledger has no such entry.
            LedgerError: it cannot be read.
        """
        if cut == NOW:
            await self._price_fees()
            return statement(self.engine.desk, self._world())
        past = await self._back(cut)
        return await asyncio.to_thread(statement, past.desk, self._world_of(past))

    async def attribution(self, cut: Cut = NOW) -> AttributionPage:
        """Who earned it: shares of symbols and of strategies; raises as :meth:`statement` does."""
        if cut == NOW:
            await self._price_fees()
            world = self._world()
            return await self._fold(lambda: attribution_page(self._grown().shares, self._folded(world)))
        past = await self._back(cut)
        return await asyncio.to_thread(attribution_page, past.shares, self._world_of(past))

    async def curve(self, cut: Cut, most: int) -> CurvePage:
        """The equity curve in at most ``most`` points; raises as :meth:`statement` does."""
        if cut == NOW:
            portfolio, world = self.engine.desk.portfolio, self._world()

            def page() -> CurvePage:
                curve = self._grown().curve
                now = now_point(portfolio, world, curve.peak)
                return curve_page([*curve.points, *([now] if now else [])], self._folded(world), most)

            return await self._fold(page)
        past = await self._back(cut)
        return await asyncio.to_thread(curve_page, past.curve.points, self._world_of(past), most)

    async def stress(self, cut: Cut = NOW, own: Scenario | None = None) -> StressPage:
        """What bad hours would do to what is held; raises as :meth:`statement` does.

        Args:
            own: one scenario of the asker's; None: those that come with the package.
        """
        scenarios = SCENARIOS if own is None else (own,)
        if cut == NOW:
            return stress_page(self.engine.desk, self._world(), scenarios)
        past = await self._back(cut)
        return await asyncio.to_thread(stress_page, past.desk, self._world_of(past), scenarios)

    async def balances(self) -> BalancesPage:
        """Balances against the venue, which is asked now.

        Entries go by the answer, too, but not while a purchase is on its way: what it locks is free again a
        moment later, and a look at a page must not stop the next attempt.

        Raises:
            VenueUnavailable: it does not answer.
        """
        engine = self.engine
        async with self._asking:
            if any(order.side is Side.BUY for order in engine.desk.open_orders()):
                balances = await engine.parts.exchange.balances()
            else:
                balances = await shots.read_balances(engine)
        return balances_page(engine.desk, self._world(), balances)

    # -- now -------------------------------------------------------------------------------------

    def _world(self) -> World:
        engine = self.engine
        held = [position.symbol for position in engine.desk.portfolio.held]
        now = engine.parts.clock.now_ns()
        return World(
            mode=engine.rules.mode,
            quote=engine.rules.quote_asset,
            seq=engine.seq,
            at_ns=now,
            books={symbol: engine.books[symbol] for symbol in held if symbol in engine.books},
            prices={pair: price for pair, (_, price) in self._prices.items()},
            markets=self._markets(engine.desk),
            returns=engine.history.returns(held, now) if held else None,
            cluster_correlation=engine.rules.limits.cluster_correlation,
        )

    async def _price_fees(self) -> None:
        """Ask what the assets are worth in which fees were paid; an answer stays good for a minute."""
        now = self.engine.parts.clock.now_ns()
        for pair in self.engine.desk.portfolio.other_fees:
            asked_ns, _ = self._prices.get(pair, (-PRICE_NS, None))
            if now - asked_ns < PRICE_NS:
                continue
            self._prices.pop(pair, None)  # a price that cannot be renewed is not known
            with contextlib.suppress(VenueUnavailable):
                price = await self.engine.parts.venue.reference_price(pair)
                if price is not None:
                    self._prices[pair] = now, price

    # -- the ledger ------------------------------------------------------------------------------

    def _grown(self) -> Past:
        """Shares and points of the whole ledger, with what came since the last time. Blocks."""
        return self._now.grow(self._ledger.read(self._now.seq), breath=self._breath)

    def _folded(self, world: World) -> World:
        """The world as of the last entry that was folded: more may have been written since it was made."""
        return replace(world, seq=self._now.seq)

    async def _back(self, cut: Cut) -> Past:
        """Everything as of that place; the last one that was asked for is kept."""

        def fold() -> Past:
            if self._past is None or self._past[0] != cut:
                self._past = None  # two histories need not be held at once
                self._past = cut, Past().grow(self._ledger.read(0), cut, self._breath)
            return self._past[1]

        return await self._fold(fold)

    def _world_of(self, past: Past) -> World:
        rules, desk = self.engine.rules, past.desk
        at_ns = past.at_ns or self.engine.parts.clock.now_ns()
        return World(rules.mode, rules.quote_asset, past.seq, at_ns, past=True, markets=self._markets(desk))

    def _markets(self, desk: Desk) -> dict[Symbol, Market]:
        known = ((p.symbol, self.engine.known_market(p.symbol)) for p in desk.portfolio.held)
        return {symbol: market for symbol, market in known if market is not None}

    async def _fold(self, fold: Callable[[], T]) -> T:
        def alone() -> T:
            with self._folding:
                return fold()

        async with self._turn:
            return await asyncio.to_thread(alone)

    def _breath(self) -> None:
        """Let the loop work, and keep still while a shot is about to leave."""
        time.sleep(PAUSE_S)
        patience_s, clock = LONGEST_PAUSE_S, self.engine.parts.clock
        while patience_s > 0:
            leaves_ns = min(tuple(self.engine.shots.values()), default=None)
            if leaves_ns is None or leaves_ns - clock.now_ns() > QUIET_NS:
                return
            time.sleep(0.05)
            patience_s -= 0.05
