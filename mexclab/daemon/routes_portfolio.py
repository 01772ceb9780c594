"""The portfolio through the API: what is held, who earned it, what could become of it. Changes nothing."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from mexclab.daemon.station import Station
from mexclab.research.stress import Scenario
from mexclab.trading.lookback import NOW, Cut
from mexclab.trading.statement_types import AttributionPage, BalancesPage, CurvePage, Statement, StressPage

At = Annotated[
    str,
    Query(
        max_length=40,
        description="up to where the ledger counts: an entry's number, or a moment such as "
        "2026-06-01T12:30 (UTC where no zone is given); none: now",
    ),
]
Fall = Annotated[
    Decimal | None, Query(ge=-1, le=0, max_digits=20, description="a fall as a fraction: -0.2 is 20 %")
]
_PAGES = (Statement, AttributionPage, CurvePage, StressPage)
_WRITERS: dict[type, TypeAdapter[Any]] = {page: TypeAdapter(page) for page in _PAGES}


async def _written(page: Any) -> Response:
    """A page that may be long, written beside the loop that trades."""
    body = await asyncio.to_thread(_WRITERS[type(page)].dump_json, page)
    return Response(body, media_type="application/json")


def _cut(at: str) -> Cut:
    return Cut.read(at) if at.strip() else NOW


def router(station: Station) -> APIRouter:
    """What can be read."""
    routes = APIRouter(prefix="/portfolio", tags=["portfolio"])
    _holdings(station, routes)
    _history(station, routes)
    return routes


def _holdings(station: Station, routes: APIRouter) -> None:
    @routes.get("", response_model=Statement)
    async def portfolio(at: At = "") -> Response:
        """What is held, what it earned after fees, and how many bets it is; now, or at an earlier entry."""
        return await _written(await station.portfolio.statement(_cut(at)))

    @routes.get("/balances")
    async def balances() -> BalancesPage:
        """Balances by the ledger against the venue's, which is asked now."""
        return await station.portfolio.balances()

    @routes.get("/stress", response_model=StressPage)
    async def stress(
        at: At = "",
        price: Fall = None,
        liquidity: Fall = None,
        quote: Fall = None,
        gap: Annotated[bool, Query(description="the price jumps there, through every stop")] = False,
        selling: Annotated[bool, Query(description="whether the venue takes sales")] = True,
    ) -> Response:
        """What bad hours would do to what is held, with its stops and without; or one hour of your own."""
        own = None
        if any(fall is not None for fall in (price, liquidity, quote)) or gap or not selling:
            falls = (price or Decimal(0), liquidity or Decimal(0))
            own = Scenario("own", "your own", *falls, gap, selling, quote or Decimal(0))
        return await _written(await station.portfolio.stress(_cut(at), own))


def _history(station: Station, routes: APIRouter) -> None:
    @routes.get("/attribution", response_model=AttributionPage)
    async def attribution(at: At = "") -> Response:
        """Who earned it: the shares of symbols and of strategies, the largest profit first."""
        return await _written(await station.portfolio.attribution(_cut(at)))

    @routes.get("/curve", response_model=CurvePage)
    async def curve(
        at: At = "",
        points: Annotated[int, Query(ge=4, le=20_000, description="how many at most")] = 1_000,
    ) -> Response:
        """The equity, mark by mark and close by close, with the fall from its highest."""
        return await _written(await station.portfolio.curve(_cut(at), points))
