"""What a running desk can tell and do about risk: the API's part of the daemon for limits and permits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from mexclab.daemon import risk_rows
from mexclab.daemon.requests import CheckWish, Confirmation, Reason
from mexclab.daemon.risk_types import BreachRow, LimitsPage, PlannedRow, ReviewPage, RiskPage
from mexclab.daemon.rows import exact
from mexclab.domain.market import Market, Symbol
from mexclab.domain.order import Order
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Plan, Snipe
from mexclab.errors import DomainError, ParameterError, VenueUnavailable
from mexclab.trading import entries, permits, planning, protections, risk, shots
from mexclab.trading.engine import Engine
from mexclab.trading.facts import Facts, Intent

ASKED = "what-if"  # the id of a plan that is only asked about


class RiskStation:
    """Answers about one desk's risk. Call it on the desk's event loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def page(self) -> RiskPage:
        """Everything that bounds money, and how much of it is used now. Asks nobody."""
        return risk_rows.risk_page(self.engine)

    def limits(self) -> LimitsPage:
        """The limits in force as a person confirms them. Asks nobody."""
        return risk_rows.limits_page(self.engine)

    def knows(self, protection_id: str) -> bool:
        """Whether there is such a pause, in force or just over."""
        return protection_id in self.engine.desk.protections

    async def confirm(self, wish: Confirmation) -> str:
        """Take the limits in force on for the account that trades.

        Raises:
            RiskRefused: another account, or other limits than those in force; nothing was changed.
        """
        return await permits.confirm(self.engine, wish.account, wish.digest, wish.by, wish.why)

    async def release(self, protection_id: str, reason: Reason) -> str:
        """End a pause of entries before its time.

        Raises:
            DomainError: it is not in force.
        """
        return await protections.release(self.engine, protection_id, reason.by, reason.why)

    # -- what if ---------------------------------------------------------------------------------

    async def check(self, wish: CheckWish) -> ReviewPage:
        """What the limits say of an entry that is only asked about. Nothing is written and nothing moves.

        Raises:
            DomainError: the pair is none, or no order can be made of what is asked; says why.
            ParameterError: the exit that is asked for is none.
            VenueUnavailable: the venue does not answer.
        """
        engine = self.engine
        snipe = engine.desk.snipes[wish.snipe_id] if wish.snipe_id is not None else None
        symbol = snipe.plan.symbol if snipe is not None else Symbol.parse(wish.symbol or "")
        market = await self._rules(symbol)
        plan = snipe.plan if snipe is not None else await self._plan(symbol, market, wish)
        plan = _as_wished(plan, wish)
        now = engine.parts.clock.now_ns()
        attempt = 1 if snipe is None else snipe.attempts_made + 1
        order = entries.entry_order(plan, market, attempt, now, engine.books.get(symbol))
        facts = await self._facts(snipe, market)
        return self._reviewed(snipe, Intent(order, plan), facts)

    async def _rules(self, symbol: Symbol) -> Market:
        market = await self.engine.market(symbol)
        if market is None:
            raise DomainError(f"the venue shows no trading rules for {symbol}", symbol=str(symbol))
        return market

    async def _plan(self, symbol: Symbol, market: Market, wish: CheckWish) -> Plan:
        """What the strategy in force would do if the pair opened now."""
        engine = self.engine
        reference = await engine.parts.venue.reference_price(symbol) or wish.price_cap
        if reference is None:
            raise DomainError(f"the venue shows no price of {symbol} yet: give a price_cap")
        now = engine.parts.clock.now_ns()
        odds = Decimal(1) if wish.probability is None else wish.probability
        signal = Signal(ASKED, symbol, ASKED, now, now, odds, {})
        plan = engine.strategy.plan(signal, market, reference)
        return plan if wish.budget is not None else planning.sized(engine, plan, market)

    async def _facts(self, snipe: Snipe | None, market: Market) -> Facts:
        """The world as it is now, with the balance asked for: the one at hand is as old as the last check."""
        engine = self.engine
        try:
            await shots.read_balances(engine)
            book = engine.books.get(market.symbol) or await engine.parts.venue.book(market.symbol)
            is_known = True
        except VenueUnavailable:
            book, is_known = engine.books.get(market.symbol), False
        now = engine.parts.clock.now_ns()
        facts = shots.facts_of(engine, market, now)
        lacking = permits.missing(engine.desk, engine.rules, now, snipe)
        free = facts.free_quote if is_known else None
        return replace(facts, book=book, free_quote=free, missing=lacking)

    def _reviewed(self, snipe: Snipe | None, intent: Intent, facts: Facts) -> ReviewPage:
        rules = self.engine.rules
        found = risk.what_if(intent.plan, self.engine.desk, rules.limits, facts)
        rows = [risk_rows.review_row(use, rules.quote_asset) for use in found.limits]
        return ReviewPage(
            at_ns=facts.now_ns,
            mode=rules.mode,
            account=rules.account,
            quote=rules.quote_asset,
            cleared=found.cleared,
            plan=_planned(snipe, intent.plan, intent.order),
            limits=rows,
            breaches=[
                BreachRow(row.limit, row.after or "", row.bound, row.why) for row in rows if row.broken
            ],
        )


def _as_wished(plan: Plan, wish: CheckWish) -> Plan:
    changes: dict[str, Any] = {}
    if wish.budget is not None:
        changes |= {"budget_quote": wish.budget, "sizing": "as asked"}
    if wish.price_cap is not None:
        changes["price_cap"] = wish.price_cap
    if wish.probability is not None:
        changes["probability"] = wish.probability
    if wish.stop_loss is not None:
        try:
            changes["exit"] = replace(plan.exit, stop_loss=wish.stop_loss)
        except DomainError as error:
            raise ParameterError(error.message, **error.data) from error
    return replace(plan, **changes)


def _planned(snipe: Snipe | None, plan: Plan, order: Order) -> PlannedRow:
    return PlannedRow(
        snipe_id=None if snipe is None else snipe.snipe_id,
        symbol=str(plan.symbol),
        budget=exact(plan.budget_quote),
        price_cap=exact(plan.price_cap),
        probability=exact(plan.probability),
        order_price=exact(order.price),
        order_quantity=exact(order.quantity),
        order_value=exact(order.price * order.quantity),
        sizing=plan.sizing,
    )
