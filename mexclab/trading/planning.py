"""From listings to plans, and plans that follow a moved opening."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, SECOND, written
from mexclab.domain.listing import Listing
from mexclab.domain.market import Market
from mexclab.domain.order import Order
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Plan, Snipe, SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.trading import entries, sizing
from mexclab.trading.standing import Standing

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

LET_GO_NS = 15 * MINUTE  # how long a symbol is listened to after its last snipe is over and all is sold
WORD_POLL_NS = 3 * SECOND  # between two looks while a snipe waits for word of another opening


async def look(engine: Engine, now: int) -> None:
    """Ask the listing sources (outside the gate: a slow one must not hold up a halt), then act on them."""
    radar = engine.parts.radar
    seen = await radar.ask(now)
    if isinstance(seen, VenueUnavailable):
        engine.failed(seen)
    async with engine.gate:
        await engine.record(*await radar.take(seen, now, engine.desk))
        await _follow(engine)
        _let_go(engine, now)
    await _plan(engine, now)


def pause_ns(engine: Engine) -> int:
    """How long after a look the next one is due: soon, while a snipe has shot, nothing is open yet, and only
    the sources can tell whether there is another opening to wait for."""
    poll_ns = engine.rules.poll_ns
    waits = any(entries.awaits_word(snipe, engine.desk) for snipe in engine.desk.live_snipes())
    return min(poll_ns, WORD_POLL_NS) if waits else poll_ns


async def give_way(engine: Engine, snipe_id: str) -> None:
    """A fill of an earlier attempt has come while the snipe waits for another opening: it has entered.

    Nothing more is bought for it; a shot that is loaded does not leave.
    """
    snipe, now = engine.desk.snipes[snipe_id], engine.parts.clock.now_ns()
    if not _is_bought(engine, snipe):
        return
    why = "a fill of an earlier attempt was reported"
    happened = _taken_back(engine, snipe, now, why)
    if snipe.state.is_waiting:  # from waiting, a position is reached as from every other end
        happened.append(e.SnipeMoved(now, snipe_id, SnipeState.MISSED, "late_fill", why))
    elif not happened:
        return  # nothing waits: it is its last attempt that has bought
    await engine.record(*happened, e.SnipeMoved(now, snipe_id, SnipeState.ENTERED, "late_fill", why))


def _let_go(engine: Engine, now: int) -> None:
    """Listen no more to what is over: a desk that runs for weeks would hear of every listing there ever was.

    Not at once, because the venue may still report a late fill, or list it again.
    """
    desk = engine.desk
    busy = {snipe.plan.symbol for snipe in desk.live_snipes()}
    busy |= {position.symbol for position in desk.portfolio.held}
    busy |= {order.symbol for order in desk.open_orders()}
    for symbol in busy & engine.watched.keys():
        engine.watched[symbol] = now
    for symbol in [each for each, since in engine.watched.items() if now - since > LET_GO_NS]:
        engine.unwatch(symbol)


async def _follow(engine: Engine) -> None:
    """Let every snipe follow its listing as it is known now.

    Compared by state and not by the news: what changed while nobody listened counts too.
    """
    radar, now = engine.parts.radar, engine.parts.clock.now_ns()
    listings = radar.by_symbol()
    for snipe in list(engine.desk.snipes.values()):
        listing = listings.get(snipe.plan.symbol)
        if listing is None or _is_bought(engine, snipe) or _away(engine, snipe):
            continue
        if snipe.state in (SnipeState.ABORTED, SnipeState.MISSED):
            await _revive(engine, snipe, listing, now)
        elif not (snipe.state.is_waiting or snipe.state is SnipeState.FIRING):
            continue
        elif listing.coin_id in radar.withdrawn:
            await _withdraw(engine, snipe, now)
        elif snipe.plan.not_before_ns != listing.open_ns:
            await _retime(engine, snipe, listing.open_ns, now)


def _is_bought(engine: Engine, snipe: Snipe) -> bool:
    return any(order.fills or order.executed for order in engine.desk.entries(snipe.snipe_id))


def _away(engine: Engine, snipe: Snipe) -> list[Order]:
    """Entries that left, or may have left, and may still buy."""
    orders = engine.desk.entries(snipe.snipe_id)
    return [order for order in orders if order.is_live and not engine.holds_shot(order.client_id)]


def _taken_back(engine: Engine, snipe: Snipe, now: int, why: str) -> list[e.Event]:
    """Take the shot that is loaded out, if there is one."""
    orders = engine.desk.entries(snipe.snipe_id)
    loaded = [order.client_id for order in orders if engine.drop_shot(order.client_id)]
    return [e.OrderCanceled(now, client_id, f"{why} before it left") for client_id in loaded]


async def _retime(engine: Engine, snipe: Snipe, open_ns: int, now: int) -> None:
    """Move a plan of which nothing was bought; a shot that is loaded is taken back before it leaves."""
    is_past, plan = open_ns <= now, snipe.plan.moved_to(open_ns)
    if is_past and entries.shots_left(snipe, engine.desk):
        return  # it has shot already, and goes on for the opening that it aimed at
    happened = _taken_back(engine, snipe, now, "postponed")
    if snipe.state is SnipeState.FIRING and not is_past:
        why = f"the opening was moved to {written(open_ns)}"
        happened.append(e.SnipeMoved(now, snipe.snipe_id, SnipeState.ARMED, "postponed", why))
    happened.append(e.SnipeRetimed(now, snipe.snipe_id, plan.not_before_ns, plan.deadline_ns))
    if is_past:
        why = f"the opening was moved to {written(open_ns)}, which had passed when that was seen"
        happened.append(e.SnipeMoved(now, snipe.snipe_id, SnipeState.MISSED, "opening_in_past", why))
    await engine.record(*happened)


async def _withdraw(engine: Engine, snipe: Snipe, now: int) -> None:
    """End a snipe whose listing went out of every source before it opened."""
    why = "the venue withdrew the listing: no source shows it any more"
    await engine.record(
        *_taken_back(engine, snipe, now, "withdrawn"),
        e.SnipeMoved(now, snipe.snipe_id, SnipeState.ABORTED, entries.WITHDRAWN, why),
        e.AlertRaised(now, "warning", f"{snipe.plan.symbol}: {why}", snipe.snipe_id),
    )


async def _revive(engine: Engine, snipe: Snipe, listing: Listing, now: int) -> None:
    """Plan anew what ended without buying, when the venue has moved its opening behind that end.

    A coin that was first seen after the plan was made is another listing under an old name.
    """
    was_withdrawn = snipe.reason == entries.WITHDRAWN
    if snipe.reason in entries.FINAL_REASONS or not engine.parts.radar.shows(listing):
        return
    if listing.open_ns <= now or listing.first_seen_ns > snipe.planned_ns:
        return
    if listing.open_ns <= snipe.plan.not_before_ns and not was_withdrawn:
        return
    plan, opens = snipe.plan.moved_to(listing.open_ns), written(listing.open_ns)
    why = (
        f"the venue shows it again; it opens {opens}"
        if was_withdrawn
        else f"the opening was moved to {opens}"
    )
    reason = "listed_again" if was_withdrawn else "postponed"
    happened: list[e.Event] = [
        e.SnipeMoved(now, snipe.snipe_id, SnipeState.PLANNED, reason, why),
        e.SnipeRetimed(now, snipe.snipe_id, plan.not_before_ns, plan.deadline_ns),
    ]
    if not engine.rules.auto_arm:
        ended = f"its snipe had ended ({snipe.state}, {snipe.reason}) and is planned again"
        text = f"{plan.symbol}: {why}; {ended}: arm it again"
        happened.append(e.AlertRaised(now, "warning", text, snipe.snipe_id))
    await engine.record(*happened)
    engine.watch(plan.symbol)


async def propose(engine: Engine, signal: Signal) -> None:
    """Plan a signal that came as news, for whoever holds the gate; one that cannot be planned is declined.

    The reference price is the ask of the last book. A symbol that a snipe is at work in takes no second one.
    """
    now = engine.parts.clock.now_ns()
    if signal.signal_id in engine.desk.signals:
        return
    event: e.Event
    try:
        if any(snipe.plan.symbol == signal.symbol for snipe in engine.desk.live_snipes()):
            raise DomainError(f"a snipe is at work in {signal.symbol}")
        _check_quote(engine, signal)
        market, book = await engine.market(signal.symbol), engine.books.get(signal.symbol)
        event = e.SnipePlanned(now, _made(engine, signal, (market, book.ask if book else None), now))
    except (DomainError, VenueUnavailable) as error:
        event = e.PlanDeclined(now, signal.signal_id, signal.symbol, error.message, error.message)
    await engine.record(e.SignalRaised(now, signal), event)
    if isinstance(event, e.SnipePlanned):
        engine.watch(signal.symbol)


async def _plan(engine: Engine, now: int) -> None:
    """Make a plan of every signal that has none and can have one by now."""
    radar = engine.parts.radar
    openings = {each.symbol: each for each in radar.upcoming(now) if not radar.misses(each)}
    sniped = {snipe.plan.symbol for snipe in engine.desk.snipes.values()}
    for signal in list(engine.desk.signals.values()):
        listing = openings.get(signal.symbol)
        if listing is None or not sniped.isdisjoint((listing.symbol, *listing.former)):
            continue
        event: e.Event
        strategy = engine.strategy
        try:
            _check_quote(engine, signal)
            market = await engine.market(signal.symbol)
            reference = await engine.parts.venue.reference_price(signal.symbol)
            at_opening = replace(signal, open_ns=listing.open_ns)
            event = e.SnipePlanned(now, _made(engine, at_opening, (market, reference), now))
        except (DomainError, VenueUnavailable) as error:
            reason = error.message
            if isinstance(error, VenueUnavailable):
                engine.failed(error)
                reason = "the venue does not answer"  # its own sentence counts seconds, and is new each time
            if engine.desk.declined.get(signal.signal_id) == reason:
                continue
            event = e.PlanDeclined(now, signal.signal_id, signal.symbol, reason, error.message)
        async with engine.gate:
            if engine.strategy is not strategy:
                return  # it was tuned meanwhile: the next look plans by what is in force then
            await engine.record(event)
        if isinstance(event, e.SnipePlanned):
            sniped.add(signal.symbol)
            engine.watch(signal.symbol)


def _check_quote(engine: Engine, signal: Signal) -> None:
    """Budgets and limits are amounts of one asset.

    Raises:
        DomainError: the signal's pair is paid for in another one.
    """
    symbol, ours = signal.symbol, engine.rules.quote_asset
    if symbol.quote != ours:
        text = f"{symbol} is paid for in {symbol.quote} and not planned: this desk trades with {ours} alone"
        raise DomainError(text, symbol=str(symbol), quote=symbol.quote)


def _made(engine: Engine, signal: Signal, shown: tuple[Market | None, Decimal | None], now: int) -> Plan:
    """The strategy's plan; ``shown`` is what the venue shows: trading rules and reference price.

    Raises:
        DomainError: none can be made of it.
    """
    market, reference = shown
    if market is None or reference is None:
        missing = "trading rules" if market is None else "reference price"
        raise DomainError(f"the venue shows no {missing} yet, and a plan needs a price cap")
    plan = engine.strategy.plan(signal, market, reference)
    plan = sized(engine, replace(plan, strategy=plan.strategy or engine.strategy.name), market)
    entries.entry_order(plan, market, 1, now)
    return plan


def sized(engine: Engine, plan: Plan, market: Market) -> Plan:
    """The plan with the size that the rules in force give it.

    Raises:
        DomainError: by the odds that were measured, nothing should be spent.
    """
    desk, rules = engine.desk, engine.rules
    held = ((p.symbol, engine.books.get(p.symbol)) for p in desk.portfolio.held)
    prices = {symbol: book.bid for symbol, book in held if book is not None and book.bid is not None}
    standing = Standing.of(desk, prices)
    equity = None if standing.unpriced else standing.equity
    odds = sizing.odds_of(desk) if rules.sizing.method == "kelly" else sizing.Odds()
    return sizing.sized(plan, rules.sizing, rules.limits, sizing.Purse(equity, odds, market.taker_fee))
