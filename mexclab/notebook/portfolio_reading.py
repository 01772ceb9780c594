"""Where a portfolio is read: the running desk is asked, without one the ledger is folded here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from operator import index
from typing import SupportsIndex, TypeAlias

from mexclab.config import Settings
from mexclab.domain.clock import utc
from mexclab.domain.events import DaemonStarted
from mexclab.domain.market import Symbol
from mexclab.errors import DeskError, DomainError, ParameterError
from mexclab.notebook.asked import price
from mexclab.notebook.bars import Moment, moment_ns, name_of
from mexclab.notebook.portfolio import Portfolio, Told
from mexclab.notebook.portfolio_client import PortfolioClient
from mexclab.notebook.record import NOTHING, daemon, read
from mexclab.trading.lookback import NOW, Cut, Past
from mexclab.trading.statement import World, statement
from mexclab.trading.statement_pages import attribution_page, balances_page, curve_page, stress_page

Prices: TypeAlias = Mapping[Symbol, Decimal]
Closes: TypeAlias = Callable[[Sequence[Symbol], int], Prices]
POINTS = 2_000  # of the equity curve


def portfolio(
    settings: Settings,
    at: Moment | None = None,
    prices: Prices | None = None,
    closes: Closes | None = None,
) -> Portfolio:
    """The portfolio now or at an earlier entry; the running desk is asked, without one the ledger is read.

    Args:
        settings: where the data lies.
        at: an entry's number, or a moment; None: the last entry.
        prices: to value what is held, instead of what the desk knows.
        closes: the last closing prices before a moment (ns), where no desk knows better ones.

    Raises:
        ParameterError: the ledger has no such entry, or that is no moment, or one that has not come yet.
        DeskError: the desk has no such entry.
        LedgerError: the ledger cannot be read.
    """
    place = _place(at)
    client = daemon(settings) if prices is None else None
    if client is not None:
        with client:
            told = _asked(client.portfolio, place)
        _refuse_future(place, told.page["at_ns"])
        return told
    record = read(settings)
    past = Past().grow(record.events, Cut.read(place) if place else NOW)
    _refuse_future(place, past.at_ns)
    mode = ""
    for seq, event in record.events:
        if seq <= past.seq and isinstance(event, DaemonStarted):
            mode = event.mode
    held = [position.symbol for position in past.desk.portfolio.held]
    known = dict(prices) if prices is not None else dict(closes(held, past.at_ns)) if closes and held else {}
    world = World(mode, settings.paper.quote_asset, past.seq, past.at_ns, past=True, prices=known)
    return Portfolio(
        page=asdict(statement(past.desk, world)),
        shares=asdict(attribution_page(past.shares, world)),
        curve=asdict(curve_page(past.curve.points, world, POINTS)),
        stresses=asdict(stress_page(past.desk, world)),
        balance=asdict(balances_page(past.desk, world, None)),
        source=record.source if record.events else NOTHING,
    )


def given_prices(prices: object) -> Prices | None:
    """Prices of a person's own, by symbol; None stays None.

    Raises:
        ParameterError: that is no mapping of symbols to numbers above zero.
    """
    if prices is None:
        return None
    if not isinstance(prices, Mapping):
        raise ParameterError(
            f'prices is a price for each symbol, such as {{"BTCUSDT": "65000"}}, not {prices!r}.'
        )
    try:
        symbols = {name: Symbol.parse(name_of(name)) for name in prices}
    except DomainError as wrong:
        raise ParameterError(f"prices: {wrong}") from None
    return {symbols[name]: price(str(symbols[name]), value) for name, value in prices.items()}


def _refuse_future(place: str | None, last_ns: int) -> None:
    """A ledger may be ahead of this machine's clock, as a demo's is; a moment after both has not come."""
    if place is None:
        return
    at_ns = Cut.read(place).at_ns
    if at_ns is not None and at_ns > max(time.time_ns(), last_ns):
        raise ParameterError(f"{place} has not come yet, so nothing is known of it.", at=place)


def _place(at: Moment | None) -> str | None:
    """An entry's number or a moment, as the API takes it."""
    if at is None or at == "":
        return None
    if isinstance(at, SupportsIndex) and not isinstance(at, bool):
        return str(index(at))
    if isinstance(at, str):
        return at
    at_ns = moment_ns(at)
    return None if at_ns is None else utc(at_ns).isoformat()


def _asked(client: PortfolioClient, place: str | None) -> Portfolio:
    page = client.page(place)
    try:
        balance = client.balances() if place is None else _PAST_BALANCES
    except DeskError as silent:  # everything else is still worth a look
        balance = {"rows": [], "agrees": None, "words": f"not known: {silent}"}
    return Portfolio(
        page=page,
        shares=client.attribution(place),
        curve=client.curve(place, POINTS),
        stresses=client.stress(place),
        balance=balance,
        source="the daemon",
    )


_PAST_BALANCES: Told = {"rows": [], "agrees": None, "words": "the venue tells only those of now"}
