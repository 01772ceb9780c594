"""What a running desk can tell and do about orders, snipes and positions: the API's half of the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from mexclab.daemon import rows
from mexclab.daemon.requests import Acceptance, ExitWish, Reason, Tuning
from mexclab.daemon.row_types import (
    EntryRow,
    OrderPage,
    OrderRow,
    OrderStory,
    PositionPage,
    PostMortemPage,
    ReconciliationPage,
    SnipePage,
    SnipeStory,
)
from mexclab.domain.events import Event
from mexclab.domain.market import Market, Symbol
from mexclab.domain.order import Order, OrderState
from mexclab.domain.post_mortem import PostMortemRow, post_mortem, to_dict
from mexclab.errors import VenueUnavailable
from mexclab.store.codec import Row, decode
from mexclab.store.ledger import PostgresLedger
from mexclab.trading import handling, recovery, tuning, write_off
from mexclab.trading.engine import Engine

PAGE = 5_000  # entries of the ledger that are read at once, and that a history shows at most


@dataclass(frozen=True, slots=True)
class OrderWish:
    """Which orders: of one snipe, of one symbol, in one state (``open``, ``unknown``, ``all`` or a state)."""

    snipe_id: str = ""
    symbol: Symbol | None = None
    state: str = "all"
    limit: int = 100


class DeskStation:
    """Answers about one desk. Call it on the desk's event loop; what reads the ledger does so in a thread."""

    def __init__(self, engine: Engine, ledger: PostgresLedger) -> None:
        self.engine = engine
        self._ledger = ledger
        self._comparing = asyncio.Lock()
        self._begun = self._answered = 0  # comparisons that were asked for here, by number

    # -- orders ----------------------------------------------------------------------------------

    async def orders(self, wish: OrderWish) -> OrderPage:
        """Orders that fit the wish, the newest first."""
        desk = self.engine.desk
        if wish.snipe_id:
            known: list[Order] = desk.orders_of(wish.snipe_id)
        elif wish.state in ("open", "unknown"):
            known = list(desk.open_orders())
        else:
            known = list(desk.orders.values())
        # a long history is looked through beside the loop; orders are frozen
        found = await asyncio.to_thread(_chosen, known, wish)
        return OrderPage(
            orders=found[: wish.limit],
            more=len(found) > wish.limit,
            external=rows.external_rows(desk),
            disputed=rows.dispute_rows(desk),
        )

    async def order(self, client_id: str) -> OrderStory | None:
        """One order with its history, or None."""
        order = self.engine.desk.orders.get(client_id)
        if order is None:
            return None
        told = await asyncio.to_thread(self._told, order.snipe_id)
        return OrderStory(
            order=rows.order_row(order),
            fills=[rows.fill_row(fill) for fill in order.fills],
            history=[entry for entry in map(_entry, told) if _names(entry.body, client_id)],
        )

    # -- snipes ----------------------------------------------------------------------------------

    async def snipes(self, state: str, limit: int) -> SnipePage:
        """Snipes that are ``live`` or ``over``, or ``all``; the one that opens last first."""
        desk = self.engine.desk
        known = desk.live_snipes() if state == "live" else list(desk.snipes.values())

        def page() -> SnipePage:
            found = [snipe for snipe in known if state != "over" or snipe.state.is_over]
            found.sort(key=lambda snipe: (-snipe.plan.not_before_ns, snipe.snipe_id))
            return SnipePage([rows.snipe_row(snipe, desk) for snipe in found[:limit]], len(found) > limit)

        return await asyncio.to_thread(page)

    def knows(self, snipe_id: str) -> bool:
        return snipe_id in self.engine.desk.snipes

    async def snipe(self, snipe_id: str) -> SnipeStory | None:
        """One snipe with everything that became of it, or None."""
        desk = self.engine.desk
        if snipe_id not in desk.snipes:
            return None
        told = await asyncio.to_thread(self._told, snipe_id)
        snipe = desk.snipes[snipe_id]
        return SnipeStory(
            snipe=rows.snipe_row(snipe, desk),
            preflights=rows.preflight_rows(snipe),
            orders=[rows.order_row(order) for order in desk.orders_of(snipe_id)],
            targets=list(rows.target_rows(snipe, desk)),
            post_mortem=to_dict(self._with_first_sight(post_mortem(snipe_id, _events(told)))),
            history=[_entry(row) for row in told[:PAGE]],
            more=len(told) > PAGE,
        )

    def _told(self, snipe_id: str) -> list[Row]:
        """The ledger's entries of one snipe. Blocks: call it in a thread."""
        told: list[Row] = []
        while page := self._ledger.rows(told[-1].seq if told else 0, PAGE, snipe_id):
            told += page
        return told

    # -- post-mortems ----------------------------------------------------------------------------

    async def post_mortems(self, limit: int) -> PostMortemPage:
        """What became of the snipes that have fired or are over, the one that opened last first."""
        done = [s for s in self.engine.desk.snipes.values() if s.state.is_over or s.attempts_made]
        done.sort(key=lambda snipe: (-snipe.plan.not_before_ns, snipe.snipe_id))
        found = await asyncio.to_thread(self._look_back, [snipe.snipe_id for snipe in done[:limit]])
        return PostMortemPage([to_dict(self._with_first_sight(row)) for row in found], len(done) > limit)

    async def post_mortem(self, snipe_id: str) -> dict[str, Any] | None:
        """What became of one snipe, or None."""
        if not self.knows(snipe_id):
            return None
        [row] = await asyncio.to_thread(self._look_back, [snipe_id])
        return to_dict(self._with_first_sight(row))

    def _look_back(self, snipe_ids: Sequence[str]) -> list[PostMortemRow]:
        """Each snipe from its own entries: a long ledger is not read for a few of them. Blocks."""
        return [post_mortem(snipe_id, _events(self._told(snipe_id))) for snipe_id in snipe_ids]

    def _with_first_sight(self, row: PostMortemRow) -> PostMortemRow:
        """A listing is not an entry of the snipe; the radar remembers when it was first seen."""
        board = self.engine.parts.radar.board.listings.values()
        listing = next((listing for listing in board if listing.symbol == row.symbol), None)
        return replace(row, first_seen_ns=listing.first_seen_ns) if listing else row

    # -- positions -------------------------------------------------------------------------------

    async def positions(self) -> PositionPage:
        """What is held, what it is worth, and what is too little to sell."""
        engine = self.engine
        markets: dict[Symbol, Market] = {}
        for position in engine.desk.portfolio.held:
            with contextlib.suppress(VenueUnavailable):
                market = await engine.market(position.symbol)
                if market is not None:
                    markets[position.symbol] = market
        desk, books, now = engine.desk, engine.books, engine.parts.clock.now_ns()
        return PositionPage(
            positions=[
                rows.position_row(p, desk, rows.Quote(books.get(p.symbol), markets.get(p.symbol), now))
                for p in desk.portfolio.held
            ],
            remainders=list(map(rows.remainder_row, handling.remainders(desk, books, markets, now))),
        )

    # -- reconciliation --------------------------------------------------------------------------

    def reconciliation(self) -> ReconciliationPage:
        """What the last comparison with the venue found, and what is open now. Asks nobody."""
        desk = self.engine.desk
        return ReconciliationPage(
            last=rows.reconciled_row(desk.reconciled),
            unknown=[rows.order_row(order) for order in desk.unknown_orders()],
            disputed=rows.dispute_rows(desk),
            external=rows.external_rows(desk),
        )

    async def reconcile(self) -> ReconciliationPage:
        """Compare the ledger with the venue now. One comparison answers all who asked before it began.

        Raises:
            VenueUnavailable: the venue does not answer.
        """
        wanted = self._begun + 1
        async with self._comparing:
            if self._answered < wanted:
                self._begun = number = self._begun + 1
                await recovery.reconcile(self.engine)
                self._answered = number
        return self.reconciliation()

    async def accept(self, wish: Acceptance) -> str:
        """Write off what the venue lacks of a symbol.

        Raises:
            DomainError: it is no symbol, or there is nothing that a person could have seen and accept.
            VenueUnavailable: the venue does not answer.
        """
        async with self._comparing:
            symbol = Symbol.parse(wish.symbol)
            return await write_off.accept(self.engine, symbol, wish.by, wish.why)

    # -- acts on one snipe -----------------------------------------------------------------------

    async def replace_exit(self, snipe_id: str, wish: ExitWish) -> str:
        """Give a snipe another exit plan: the one it has, with what is wished for.

        Raises:
            ParameterError: that makes no exit plan.
            DomainError: the snipe is past it; names its state.
        """
        plan = wish.applied_to(self.engine.desk.snipes[snipe_id].plan.exit)
        return await handling.replace_exit(self.engine, snipe_id, plan, wish.by, wish.why)

    async def abort(self, snipe_id: str, reason: Reason) -> str:
        """Give up a snipe that has not fired."""
        return await handling.abort(self.engine, snipe_id, reason.by, reason.why)

    async def flatten_snipe(self, snipe_id: str, reason: Reason) -> str:
        """Sell what one snipe holds."""
        return await handling.flatten_one(self.engine, snipe_id, reason.by, reason.why)

    async def sweep(self, reason: Reason) -> str:
        """Sell what snipes that are over have left behind, as far as the venue takes it."""
        return await handling.sweep(self.engine, reason.by, reason.why)

    # -- the strategy ----------------------------------------------------------------------------

    def strategy(self) -> dict[str, Any]:
        """The strategy in force, its parameters and their ranges, and who set it."""
        return tuning.in_force(self.engine)

    async def tune(self, wish: Tuning) -> str:
        """Put other parameters in force for plans from now on.

        Raises:
            ParameterError: names every rule that is broken; nothing was changed.
        """
        return await tuning.tune(self.engine, wish.parameters, wish.by, wish.why, strategy=wish.strategy)

    async def reset_strategy(self, reason: Reason) -> str:
        """Give the strategy back to the settings."""
        return await tuning.reset(self.engine, reason.by, reason.why)


def _chosen(known: list[Order], wish: OrderWish) -> list[OrderRow]:
    """One more than the limit, so that the reader knows whether there are more."""
    found = (rows.order_row(order) for order in reversed(known) if _fits(order, wish))
    return list(islice(found, wish.limit + 1))


def _fits(order: Order, wish: OrderWish) -> bool:
    if wish.symbol is not None and order.symbol != wish.symbol:
        return False
    match wish.state:
        case "all":
            return True
        case "open":
            return order.is_live
        case "unknown":
            return order.state is OrderState.UNKNOWN
    return str(order.state) == wish.state


def _events(told: Sequence[Row]) -> list[Event]:
    return [decode(row.kind, row.body) for row in told]


def _entry(row: Row) -> EntryRow:
    return EntryRow(row.seq, row.kind, row.at_ns, row.correlation, json.loads(row.body))


def _names(body: Mapping[str, Any], client_id: str) -> bool:
    """Whether the entry is about this order: by its own id, its order's or its fill's."""
    nested = (body.get("order"), body.get("fill"))
    ids = [body.get("client_id"), *(part.get("client_id") for part in nested if isinstance(part, dict))]
    return client_id in ids
