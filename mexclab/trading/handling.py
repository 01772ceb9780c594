"""What a person may do with one snipe: give it another exit plan, abort it, sell it, sweep up what is left.

Each act is validated first and journalled with who and why; an act that is refused has moved nothing.
What has to be sold or cancelled is then done by the same machine as ever (``exits``), not here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.clock import span
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Market, Symbol
from mexclab.domain.snipe import ExitPlan, Snipe, SnipeState
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.trading import exits
from mexclab.trading.engine import Engine

ASK_S = 10.0  # a sweep asks for rules and prices that it lacks; who waits for it waits no longer than this


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a snipe that is over still holds.

    Attributes:
        quantity: in base units.
        value: in quote units at the bid; None without a price to act on.
        minimum: the least value that the venue trades, in quote units; None while its rules are not known.
        sellable: whether the venue would take it now.
        why: what makes it sellable or not, in a sentence.
    """

    symbol: Symbol
    snipe_id: str
    quantity: Decimal
    value: Decimal | None
    minimum: Decimal | None
    sellable: bool
    why: str


async def replace_exit(engine: Engine, snipe_id: str, plan: ExitPlan, by: str, why: str) -> str:
    """Give a snipe another exit plan; what follows, in a sentence.

    Of a position the old plan's orders are taken back first; the new ladder is for what is held then, at
    gains over the average entry price. The stop starts anew where the new plan puts it, so it may be lower.

    Raises:
        DomainError: there is no such snipe, it is neither waiting nor ENTERED, or the new plan would sell
            everything at once: that is what flattening is for.
    """
    async with engine.gate:
        snipe = _known(engine, snipe_id)
        if not (snipe.state.is_waiting or snipe.state is SnipeState.ENTERED):
            raise DomainError(
                f"snipe {snipe_id} is {snipe.state}: its exit plan can be replaced only before it fires "
                "and while it is ENTERED",
                snipe_id=snipe_id, state=str(snipe.state),
            )  # fmt: skip
        old = snipe.plan.exit
        plan = replace(plan, version=old.version)
        if plan == old:
            return f"{snipe.plan.symbol} has this exit plan already: {plan}"
        now = engine.parts.clock.now_ns()
        has_orders = bool(engine.desk.exits(snipe_id))
        if has_orders:
            plan = replace(plan, version=old.version + 1)
        rest = _stop_words(engine, snipe, plan, now)
        await engine.record(e.ExitReplaced(now, snipe_id, plan, by, why))
    await engine.on([])  # what rests of the old plan is taken back at once, not at the next price
    engine.parts.feed.stir()  # its time stop may be nearer
    return f"{snipe.plan.symbol} leaves by another plan: {plan}{rest}"


async def abort(engine: Engine, snipe_id: str, by: str, why: str) -> str:
    """Give up a snipe that has not fired.

    Raises:
        DomainError: there is no such snipe, or it has fired or is over.
    """
    async with engine.gate:
        snipe = _known(engine, snipe_id)
        if not snipe.state.is_waiting:
            raise DomainError(
                f"snipe {snipe_id} is {snipe.state} and cannot be aborted: only one that waits for its "
                "opening can; halt stops entries, flatten sells a position",
                snipe_id=snipe_id, state=str(snipe.state),
            )  # fmt: skip
        now = engine.parts.clock.now_ns()
        await engine.record(e.SnipeMoved(now, snipe_id, SnipeState.ABORTED, "person", why, by))
    return f"{snipe.plan.symbol} is aborted; nothing was sent for it"


async def flatten_one(engine: Engine, snipe_id: str, by: str, why: str) -> str:
    """Sell everything that one snipe holds, in bounded orders; works while halted.

    Raises:
        DomainError: there is no such snipe, or it holds no position that could be sold here.
    """
    async with engine.gate:
        snipe = _known(engine, snipe_id)
        if snipe.state is SnipeState.EXITING:
            return f"{snipe.plan.symbol} is being sold already ({snipe.exit_why})"
        if snipe.state is not SnipeState.ENTERED:
            hint = "abort takes back one that waits"
            if snipe.state is SnipeState.FIRING:
                hint = "its entry is in flight: halt, and flatten it once it is known"
            elif snipe.state.is_over:
                hint = "sweep sells what it may have left behind"
            raise DomainError(
                f"snipe {snipe_id} is {snipe.state} and has no position to sell; {hint}",
                snipe_id=snipe_id, state=str(snipe.state),
            )  # fmt: skip
        now = engine.parts.clock.now_ns()
        await engine.record(e.ExitDecided(now, snipe_id, "flatten", f"{by}: {why}"))
    await engine.on([])  # the exit acts at once, not at the next price
    engine.parts.feed.stir()
    return f"{snipe.plan.symbol} is being sold"


async def sweep(engine: Engine, by: str, why: str) -> str:
    """Sell what snipes that are over have left behind, as far as the venue takes it; names the rest."""
    asked = {each.symbol for each in remainders(engine.desk, {}, {})}
    markets = await _ask(engine, asked)
    async with engine.gate:
        now = engine.parts.clock.now_ns()
        found = remainders(engine.desk, engine.books, markets, now)
        selling = [each for each in found if each.sellable]
        for each in selling:
            engine.watch(each.symbol)
            await engine.record(
                e.SnipeMoved(now, each.snipe_id, SnipeState.ENTERED, "sweep", why, by),
                e.ExitDecided(now, each.snipe_id, "sweep", f"{by}: {why}"),
            )
    await engine.on([])
    engine.parts.feed.stir()
    if not found:
        return "nothing is left over: no snipe that is over holds anything"
    sold = ", ".join(f"{each.quantity} {each.symbol.base}" for each in selling) or "nothing"
    kept = "; ".join(
        f"{each.quantity} {each.symbol.base} stay: {each.why}" for each in found if not each.sellable
    )
    return f"being sold: {sold}" + (f"; {kept}" if kept else "")


def remainders(
    desk: Desk, books: Mapping[Symbol, Book], markets: Mapping[Symbol, Market], now_ns: int | None = None
) -> list[Remainder]:
    """What is held by snipes that are over, by symbol; pure.

    Args:
        now_ns: the venue's clock, so that an old price is no price; None: the books are taken as they are.
    """
    held = {position.symbol for position in desk.portfolio.held}
    found = []
    for snipe in desk.snipes.values():
        symbol = snipe.plan.symbol
        quantity = (
            exits.holding(desk, snipe.snipe_id) if snipe.state.is_over and symbol in held else Decimal(0)
        )
        if quantity <= 0:
            continue
        book, market = books.get(symbol), markets.get(symbol)
        at_ns = now_ns if now_ns is not None else (book.at_ns if book is not None else 0)
        bid = exits.fresh_bid(book, at_ns)
        sellable, why = _sale(symbol, quantity, bid, market)
        value = None if bid is None else quantity * bid
        minimum = None if market is None else market.min_notional
        found.append(Remainder(symbol, snipe.snipe_id, quantity, value, minimum, sellable, why))
    return sorted(found, key=lambda each: (each.symbol, each.snipe_id))


def _sale(symbol: Symbol, quantity: Decimal, bid: Decimal | None, market: Market | None) -> tuple[bool, str]:
    """Whether the venue would take it now, and why."""
    if market is None:
        return False, "the venue shows no trading rules for it"
    if market.whole_lots(quantity) <= 0:
        return False, f"less than a lot of {market.lot}"
    if bid is None:
        return False, "it has no price to act on"
    worth = f"worth {quantity * bid:.6g} {symbol.quote} at the bid {bid}"
    if market.is_dust(quantity, bid):
        return False, f"{worth}; the least order is {market.min_notional} {symbol.quote}"
    return True, worth


async def _ask(engine: Engine, symbols: set[Symbol]) -> dict[Symbol, Market]:
    """Rules, and fresh books, of what is to be sold; what the venue does not tell in time is left out."""
    markets: dict[Symbol, Market] = {}
    books: list[Book] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ASK_S):
            for symbol in sorted(symbols):
                with contextlib.suppress(VenueUnavailable):
                    market = await engine.market(symbol)
                    if market is not None:
                        markets[symbol] = market
                    now = engine.parts.clock.now_ns()
                    if exits.fresh_bid(engine.books.get(symbol), now) is None:
                        book = await engine.parts.venue.book(symbol)
                        books += [book] if book is not None else []
    for book in books:  # what it leads to is not cut short: only an answer has to come in time
        await engine.see(book)
    return markets


def _known(engine: Engine, snipe_id: str) -> Snipe:
    snipe = engine.desk.snipes.get(snipe_id)
    if snipe is None:
        raise DomainError(f"there is no snipe {snipe_id!r}; the board shows their ids", snipe_id=snipe_id)
    return snipe


def _stop_words(engine: Engine, snipe: Snipe, plan: ExitPlan, now: int) -> str:
    """Where the stop of a position goes with another plan.

    Raises:
        DomainError: the plan would sell everything at once.
    """
    entry = engine.desk.entry_price(snipe.snipe_id)
    if snipe.state is not SnipeState.ENTERED or entry is None:
        return ""
    age_ns = now - (snipe.entered_ns or now)
    if age_ns >= plan.time_stop_ns:
        raise DomainError(
            f"snipe {snipe.snipe_id} has been held for {span(age_ns)}, so a time stop of "
            f"{span(plan.time_stop_ns)} would sell it at once; flatten it, or give it longer",
            snipe_id=snipe.snipe_id,
        )
    before = exits.stop_price(snipe, entry)
    after = exits.stop_price(replace(snipe, plan=replace(snipe.plan, exit=plan), stop_price=None), entry)
    bid = exits.fresh_bid(engine.books.get(snipe.plan.symbol), now)
    if bid is not None and bid <= after:
        raise DomainError(
            f"the bid {bid} of {snipe.plan.symbol} is at or below the new stop {after:.6g}, which would "
            "sell it at once; flatten it, or set the stop lower",
            snipe_id=snipe.snipe_id,
        )
    return f"; its stop goes from {before:.6g} to {after:.6g}"
