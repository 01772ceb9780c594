"""Reading the desk: orders, snipes, positions, reconciliation, each with its history. Changes nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from mexclab.daemon.desk_station import OrderWish
from mexclab.daemon.requests import UNKNOWN, ClientId, SnipeId, unknown
from mexclab.daemon.row_types import (
    OrderPage,
    OrderStory,
    PositionPage,
    PostMortemPage,
    ReconciliationPage,
    SnipePage,
    SnipeStory,
)
from mexclab.daemon.station import Station
from mexclab.daemon.stream import symbol_of
from mexclab.domain.order import OrderState

STATES = "|".join(("open", "unknown", "all", *OrderState))
SnipeFilter = Annotated[str, Query(pattern="^[0-9A-Za-z_-]{0,32}$", description="only this snipe's")]
OrderFilter = Annotated[str, Query(pattern=f"^({STATES})$", description="open, unknown, all, or a state")]
SymbolFilter = Annotated[str, Query(max_length=60, description="a pair such as BTCUSDT")]
Limit = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
SnipeFilterState = Annotated[Literal["live", "over", "all"], Query(description="how far they have come")]


_PAGES = (OrderPage, OrderStory, SnipePage, SnipeStory, PostMortemPage)
_WRITERS: dict[type, TypeAdapter[Any]] = {page: TypeAdapter(page) for page in _PAGES}


async def _written(page: Any) -> Response:
    """A page that may be long, written beside the loop that trades."""
    body = await asyncio.to_thread(_WRITERS[type(page)].dump_json, page)
    return Response(body, media_type="application/json")


def router(station: Station) -> APIRouter:
    """What can be read."""
    routes = APIRouter()
    _whole(station, routes)
    _orders(station, routes)
    _snipes(station, routes)
    _books(station, routes)
    return routes


def _whole(station: Station, routes: APIRouter) -> None:
    @routes.get("/snapshot", tags=["desk"])
    async def snapshot(
        symbol: Annotated[str, Query(description="the chart's symbol")] = "",
    ) -> dict[str, Any]:
        """The whole desk at this moment."""
        return station.picture(0, symbol_of(symbol))

    @routes.get("/events", tags=["desk"])
    async def events(
        after: Annotated[int, Query(ge=0, lt=2**63, description="entries above this sequence number")] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        snipe: SnipeFilter = "",
    ) -> dict[str, Any]:
        """Entries of the ledger, in order."""
        rows = await asyncio.to_thread(station.events, after, limit, snipe)
        return {"events": rows, "last": station.state()[0]}

    @routes.get("/preflight", tags=["desk"])
    async def preflight(
        symbol: Annotated[str, Query(description="a pair such as BTCUSDT; none: the account alone")] = "",
    ) -> dict[str, Any]:
        """Whether an order would be taken, check by check; nothing is traded."""
        return await station.preflight(symbol_of(symbol))


def _orders(station: Station, routes: APIRouter) -> None:
    @routes.get("/orders", response_model=OrderPage, tags=["orders"])
    async def orders(
        snipe: SnipeFilter = "",
        symbol: SymbolFilter = "",
        state: OrderFilter = "all",
        limit: Limit = 100,
    ) -> Response:
        """Orders, the newest first; beside them those of others on the account, and disputed symbols."""
        return await _written(await station.desk.orders(OrderWish(snipe, symbol_of(symbol), state, limit)))

    @routes.get("/orders/{client_id}", response_model=OrderStory, tags=["orders"], responses=UNKNOWN)
    async def order(client_id: ClientId) -> Response:
        """One order, its trades, and every ledger entry that names it."""
        story = await station.desk.order(client_id)
        if story is None:
            raise unknown("order", client_id)
        return await _written(story)


def _snipes(station: Station, routes: APIRouter) -> None:
    @routes.get("/snipes", response_model=SnipePage, tags=["snipes"])
    async def snipes(state: SnipeFilterState = "all", limit: Limit = 100) -> Response:
        """Snipes, the one that opens last first."""
        return await _written(await station.desk.snipes(state, limit))

    @routes.get("/snipes/{snipe_id}", response_model=SnipeStory, tags=["snipes"], responses=UNKNOWN)
    async def snipe(snipe_id: SnipeId) -> Response:
        """One snipe: plan, exit plan, stop in force, checks, orders, post-mortem, history."""
        story = await station.desk.snipe(snipe_id)
        if story is None:
            raise unknown("snipe", snipe_id)
        return await _written(story)


def _books(station: Station, routes: APIRouter) -> None:
    @routes.get("/positions", tags=["positions"])
    async def positions() -> PositionPage:
        """What is held, what it is worth, and why what is left over cannot be sold."""
        return await station.desk.positions()

    @routes.get("/reconciliation", tags=["positions"])
    async def reconciliation() -> ReconciliationPage:
        """What the last comparison of the ledger with the venue found, and what is open now."""
        return station.desk.reconciliation()

    @routes.get("/post-mortems", response_model=PostMortemPage, tags=["post-mortems"])
    async def post_mortems(
        limit: Annotated[int, Query(ge=1, le=200, description="how many at most")] = 50,
    ) -> Response:
        """What became of the snipes that have fired or are over, the one that opened last first."""
        return await _written(await station.desk.post_mortems(limit))

    @routes.get("/post-mortems/{snipe_id}", tags=["post-mortems"], responses=UNKNOWN)
    async def post_mortem(snipe_id: SnipeId) -> dict[str, Any]:
        """What became of one snipe: phases, prices, money."""
        row = await station.desk.post_mortem(snipe_id)
        if row is None:
            raise unknown("snipe", snipe_id)
        return row

    @routes.get("/strategy", tags=["strategy"])
    async def strategy() -> dict[str, Any]:
        """The strategy in force: parameters, their ranges, and who set them."""
        return station.desk.strategy()
