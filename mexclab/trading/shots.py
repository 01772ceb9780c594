"""Shots: a planned snipe is checked, its order written ahead and let go at its instant, then followed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.clock import DAY
from mexclab.domain.market import Market, Symbol
from mexclab.domain.order import Order
from mexclab.domain.reports import Balances
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.trading import entries, permits
from mexclab.trading.risk import Facts, Intent, Standing, Verdict, review

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

BOUGHT_BEFORE = "it never left: an earlier attempt was taken after all"
CHECK_S = 4.0  # a preflight holds the gate: who wants to act waits no longer than this


async def wait(engine: Engine, snipe: Snipe) -> None:
    """Move a waiting snipe on: missed, or loaded. A check that is due comes first; ``questions`` asks it."""
    now = engine.parts.clock.now_ns()
    if now >= snipe.plan.deadline_ns:
        why = "nothing watched it at its opening"
        await engine.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.MISSED, "late", why))
        return
    stage = entries.next_stage(snipe, now)
    if engine.stopping or (stage is not None and stage[1] <= now):
        return
    if now >= snipe.plan.not_before_ns - entries.LOAD_NS:
        if snipe.state is SnipeState.ARMED:
            await load(engine, snipe)
        else:
            why = "nobody armed it"
            await engine.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.MISSED, "not_armed", why))


async def check(engine: Engine, snipe_id: str, stage: str) -> None:
    """One preflight. Only the last one may end the snipe: until then things may still come right.

    The venue is asked outside the gate; the answers are judged inside, on the desk as it then is.
    """
    reasons: list[tuple[str, str]] = []
    plan = engine.desk.snipes[snipe_id].plan
    try:
        async with asyncio.timeout(CHECK_S):
            await engine.read_clock()
            await read_balances(engine)
            if await engine.parts.venue.is_api_tradable(plan.symbol) is False:
                reasons.append(("not_api_tradable", "the venue takes no orders by API for it"))
            await engine.market(plan.symbol, fresh=True)
    except (VenueUnavailable, TimeoutError) as error:
        if isinstance(error, VenueUnavailable):
            engine.failed(error)
        words = getattr(error, "message", f"the venue did not answer the checks in {CHECK_S:g} s")
        reasons.append(("venue_unavailable", words))
    except DomainError as error:
        reasons.append(("market_rules", error.message))
    async with engine.gate:
        snipe = engine.desk.snipes[snipe_id]
        if not snipe.state.is_waiting or snipe.plan.not_before_ns != plan.not_before_ns:
            return  # it moved on meanwhile; a new opening has checks of its own
        now = engine.parts.clock.now_ns()
        if not any(code in ("venue_unavailable", "market_rules") for code, _ in reasons):
            reasons += await _objections(engine, snipe, now)
        result = entries.preflight(now, stage, reasons)
        moves = entries.after_preflight(snipe, result, reasons, engine.rules.auto_arm)
        await engine.record(e.PreflightDone(now, snipe_id, result), *moves)


async def _objections(engine: Engine, snipe: Snipe, now: int) -> list[tuple[str, str]]:
    try:
        _, verdict = await judge(engine, snipe, now)
    except VenueUnavailable as error:
        return [("venue_unavailable", error.message)]
    except DomainError as error:
        return [("market_rules", error.message)]
    return [(breach.limit, breach.why) for breach in verdict.breaches]


async def judge(engine: Engine, snipe: Snipe, now: int) -> tuple[Order, Verdict]:
    """The next attempt and what the limits say of it.

    Raises:
        VenueUnavailable: the venue shows no trading rules.
        DomainError: the plan does not fit the rules.
    """
    market = await engine.market(snipe.plan.symbol)
    if market is None:
        raise VenueUnavailable(f"the venue shows no trading rules for {snipe.plan.symbol}")
    book = engine.books.get(snipe.plan.symbol)
    order = entries.entry_order(snipe.plan, market, snipe.attempts_made + 1, now, book)
    facts = facts_of(engine, market, now, order.quantity * order.price)
    facts = replace(facts, missing=permits.missing(engine.desk, engine.rules, now, snipe))
    return order, review(Intent(order, snipe.plan), engine.desk, engine.rules.limits, facts)


async def read_balances(engine: Engine) -> Balances:
    """Ask the venue what the account holds. Entries go by it, unless a later question was answered meanwhile.

    Raises:
        VenueUnavailable: it does not answer.
    """
    asked_ns = engine.parts.clock.now_ns()
    balances = await engine.parts.exchange.balances()
    if asked_ns >= engine.balances_ns:
        engine.balances, engine.balances_ns = balances, asked_ns
    return balances


def facts_of(engine: Engine, market: Market | None, now: int, value: Decimal | None = None) -> Facts:
    """The world as the engine knows it, for an entry into this market; None: for a look at the desk alone.

    What live trading lacks is not in it (``permits.missing``). Of an entry whose ``value`` is told, scenarios
    are made only where they can matter: nothing that was bought can lose more than all of it.
    """
    desk, books, symbol = engine.desk, engine.books, market.symbol if market is not None else None
    quote = engine.balances.get(engine.rules.quote_asset) if engine.balances is not None else None
    bids = ((p.symbol, books[p.symbol].bid) for p in desk.portfolio.held if p.symbol in books)
    prices = {held: bid for held, bid in bids if bid is not None}
    standing = Standing.of(desk, prices)
    symbols = standing.symbols
    if symbol is not None and symbol not in symbols:
        symbols = (*symbols, symbol)
    at_stake = max(sum(standing.worth) + sum(standing.reserved.values()), standing.committed)
    limits = engine.rules.limits
    least = min(limits.value_at_risk_quote, limits.expected_shortfall_quote, limits.cluster_quote)
    is_small = value is not None and at_stake + value < least
    readings = engine.monitors.common(now) if symbol is None else engine.monitors.readings(symbol, now)
    return Facts(
        now,
        None if engine.parts.clock.was_set() else engine.clock_reading,
        quote.free if quote else (Decimal(0) if engine.balances is not None else None),
        books.get(symbol) if symbol is not None else None,
        prices,
        market.taker_fee if market is not None else Decimal(0),
        monitors=tuple(readings),
        tails=None if is_small else engine.history.tails(symbols, now, limits),
        written_off=_written_off(engine, standing.unpriced, now) if standing.unpriced else frozenset(),
        quote_asset=engine.rules.quote_asset,
    )


def _written_off(engine: Engine, unpriced: Sequence[Symbol], now: int) -> frozenset[Symbol]:
    """What of this nobody can ever price: remainders that their snipes have closed on, and what has had no
    price for a day. A coin that was taken off must not bar entries for ever."""
    followed = {snipe.plan.symbol for snipe in engine.desk.live_snipes()}
    return frozenset(
        symbol
        for symbol in unpriced
        if symbol not in followed or now - engine.history.priced_ns(symbol) > DAY
    )


async def load(engine: Engine, snipe: Snipe) -> None:
    """Judge the next attempt and write it; it leaves at its instant, not before."""
    now = engine.parts.clock.now_ns()
    try:
        order, verdict = await judge(engine, snipe, now)
    except (VenueUnavailable, DomainError) as error:
        why = f"no order can be made of the plan: {error.message}"
        await engine.record(e.SnipeMoved(now, snipe.snipe_id, SnipeState.ABORTED, "market_rules", why))
        return
    given = e.VerdictGiven(now, snipe.snipe_id, order.client_id, verdict.breaches)
    if not verdict.cleared:
        refused = e.SnipeMoved(now, snipe.snipe_id, SnipeState.ABORTED, verdict.reason, verdict.why)
        await engine.record(given, refused)
        return
    leaves_ns = max(entries.next_shot_ns(snipe, engine.desk), now)
    firing = [e.SnipeMoved(now, snipe.snipe_id, SnipeState.FIRING)] if snipe.state is SnipeState.ARMED else []
    await engine.record(
        given, *firing, e.OrderDecided(now, order), e.OrderSent(now, order.client_id, leaves_ns)
    )
    engine.shots[order.client_id] = leaves_ns
    engine.parts.exchange.prepare(order, leaves_ns)
    if leaves_ns <= engine.parts.clock.now_ns():
        await release(engine, order.client_id)


async def release(engine: Engine, client_id: str) -> None:
    scheduled = engine.shots.pop(client_id)
    order = engine.desk.orders[client_id]
    if engine.halting or engine.desk.halt is not None:
        now = engine.parts.clock.now_ns()
        why = "halted before it left"
        await engine.record(
            e.OrderCanceled(now, client_id, why),
            e.SnipeMoved(now, order.snipe_id, SnipeState.ABORTED, "halted", why),
        )
        return
    now = engine.parts.clock.now_ns()
    if any(_may_have_bought(each) for each in engine.desk.entries(order.snipe_id) if each is not order):
        await engine.record(e.OrderCanceled(now, client_id, BOUGHT_BEFORE))
        return
    if now >= engine.desk.snipes[order.snipe_id].plan.deadline_ns:  # the machine slept over it
        why = "its deadline passed before it left"
        await engine.record(
            e.OrderCanceled(now, client_id, why),
            e.SnipeMoved(now, order.snipe_id, SnipeState.MISSED, "deadline", why),
        )
        return
    engine.parts.exchange.submit(order)
    lateness = engine.parts.clock.lateness_ns(scheduled)
    now = engine.parts.clock.now_ns()
    await engine.record(e.Fired(now, order.snipe_id, client_id, scheduled, lateness))


async def hold_back(engine: Engine, snipe_id: str) -> None:
    """Once an attempt has bought, whatever was said of it before, nothing of another one leaves any more."""
    attempts = engine.desk.entries(snipe_id)
    if not any(order.fills for order in attempts):
        return
    for order in attempts:
        if order.fills or not order.is_live:
            continue
        if engine.drop_shot(order.client_id):
            now = engine.parts.clock.now_ns()
            await engine.record(e.OrderCanceled(now, order.client_id, BOUGHT_BEFORE))
        else:
            engine.parts.exchange.stop_sending(order)


def _may_have_bought(attempt: Order) -> bool:
    return bool(attempt.fills) or attempt.is_live


async def fire(engine: Engine, snipe: Snipe) -> None:
    if any(order.is_live for order in engine.desk.entries(snipe.snipe_id)):
        return
    now = engine.parts.clock.now_ns()
    outcome = entries.after_attempt(snipe, engine.desk, now)
    if outcome is not None:
        state, reason, why = outcome
        await engine.record(e.SnipeMoved(now, snipe.snipe_id, state, reason, why))
    elif now >= entries.next_shot_ns(snipe, engine.desk) and not engine.stopping:
        await load(engine, snipe)
