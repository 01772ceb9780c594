"""Cancelling our open entries at the venue, from outside of a desk that does not answer.

Truth comes from the venue: it is asked for the open orders, each entry that carries an id of ours is asked to
end, and the venue is asked again until none is left. Sales are left alone: they get out of what is held.
Orders whose ids are not of our making are counted and never touched.

A venue that shows open orders of one pair at a time has to be asked for each pair that we may have an entry
in. The ledger knows them, since an order is written before it leaves; it is read beside the desk that writes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from mexclab import __version__
from mexclab.bootstrap import Road, database_of, road
from mexclab.config import Settings
from mexclab.config.venue import is_loopback
from mexclab.domain.desk import Desk
from mexclab.domain.listing import Partial
from mexclab.domain.market import Side
from mexclab.domain.order import Order
from mexclab.domain.reports import VenueOrder
from mexclab.errors import ConfigError, MexclabError, OrderUnknown, VenueRejected, VenueUnavailable
from mexclab.store.ledger import PostgresLedger
from mexclab.store.vault import Credential
from mexclab.venues.mexc.endpoints import CANCEL_ORDER

LONGEST_S = 20.0  # for one go
RECENT = 1_000  # orders of the ledger whose pairs are asked about, where pairs must be named
PAUSES_S = (0.0, 0.5, 1.0, 2.0)  # before each question whether any is left
# a snipe's id (patterns/registry.py), a leg and an attempt (domain/order.py client_order_id)
OURS = re.compile(r"[0-9A-Za-z]{1,8}-[0-9a-f]{8}-[0-9A-Za-z_]+-[0-9]+")


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What came of one go.

    Attributes:
        gone: client ids of the entries that were open and are no more.
        left: those that are open still.
        strangers: how many open orders carry no id of ours; none was touched.
        why: what kept the venue from being asked in full; empty when nothing did.
    """

    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    strangers: int = 0
    why: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the venue itself says that no entry of ours is open."""
        return not self.left and not self.why

    def __str__(self) -> str:
        if self.gone:
            noun = "entry was" if len(self.gone) == 1 else "entries were"
            words = [f"{len(self.gone)} open {noun} cancelled at the venue ({', '.join(self.gone)})"]
        else:
            words = ["no open entry was found at the venue" if self.is_done else "no entry was cancelled"]
        if self.left:
            words.append(f"still open: {', '.join(self.left)}")
        if self.strangers:
            words.append(f"{self.strangers} orders that are not ours were left alone")
        return "; ".join([*words, self.why] if self.why else words)


def is_ours(client_id: str) -> bool:
    """Whether an order's client id is one that a desk of ours makes."""
    return OURS.fullmatch(client_id) is not None


def is_entry(order: VenueOrder) -> bool:
    """Whether it is an open entry of ours."""
    return order.side is Side.BUY and order.state.is_open and is_ours(order.client_id)


def cancel_entries(settings: Settings, credential: Callable[[], Credential]) -> Cancelled:
    """Cancel every open entry of ours on the account that the settings trade on. Blocks; never raises.

    Args:
        credential: gives the account's key; called in live mode only.
    """
    try:
        return asyncio.run(_cancelled(_reachable(settings), credential))
    except TimeoutError:
        return Cancelled(why=f"the venue did not come to an end with it within {LONGEST_S:.0f} s")
    except MexclabError as error:
        return Cancelled(why=error.message)


def _reachable(settings: Settings) -> Settings:
    """The settings with the address of the desk's own simulator; none is started for this.

    Raises:
        ConfigError: there is no such simulator.
    """
    url = settings.venue.rest_url
    if settings.mode == "live" or url is not None:
        return settings
    place = settings.data / "paper" / "simulator.json"
    try:
        url = str(json.loads(place.read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"the simulator of the desk left no address in {place}") from None
    if not is_loopback(url):
        raise ConfigError(f"{place} names no simulator of this machine")
    return settings.model_copy(update={"venue": settings.venue.model_copy(update={"rest_url": url})})


async def _cancelled(settings: Settings, credential: Callable[[], Credential]) -> Cancelled:
    way = road(settings, __version__, credential)
    try:
        async with asyncio.timeout(LONGEST_S):
            await way.venue.clock_reading()  # a request that is signed for another hour is refused
            return await _at(way, lambda: _recent_orders(settings))
    finally:
        await way.venue.stop()


async def _at(way: Road, ledger: Callable[[], Sequence[Order]]) -> Cancelled:
    asked: dict[str, VenueOrder] = {}
    left: Sequence[VenueOrder] = ()
    strangers, trouble = 0, ""
    unread = await _pairs_unread(way, ledger)
    for pause_s in PAUSES_S:
        await asyncio.sleep(pause_s)
        found = await way.venue.open_orders()
        left = [order for order in found if is_entry(order)]
        strangers = sum(order.state.is_open and not is_ours(order.client_id) for order in found)
        if not left:
            break
        asked |= {order.client_id: order for order in left}
        told = await asyncio.gather(*(_ask(way, order) for order in left))
        trouble = next((words for words in told if words), "")
    open_ids = tuple(order.client_id for order in left)
    gone = tuple(name for name in asked if name not in open_ids)
    return Cancelled(gone, open_ids, strangers, (trouble if open_ids else "") or unread)


async def _pairs_unread(way: Road, ledger: Callable[[], Sequence[Order]]) -> str:
    """Let the venue be asked about every pair of the ledger, if it must be; why that cannot be, or ""."""
    if not isinstance(await way.venue.open_orders(), Partial):
        return ""
    try:
        way.venue.recall(await asyncio.to_thread(ledger))
    except MexclabError as error:
        return f"the venue shows open orders of one pair at a time, and ours are not known: {error.message}"
    return ""


def _recent_orders(settings: Settings) -> list[Order]:
    """The orders that were decided last, as the ledger has them.

    Raises:
        LedgerError: it cannot be read.
    """
    with closing(database_of(settings)) as database:
        ledger, desk = PostgresLedger.open(database, writer=False), Desk()
        for _, event in ledger.read(ledger.recall(desk)):
            desk.fold(event)
        return list(islice(desk.recent_orders(), RECENT))


async def _ask(way: Road, order: VenueOrder) -> str:
    """Ask for its end; what was said against it. The next look at the open orders tells what came of it."""
    params = (("symbol", str(order.symbol)), ("orderId", order.venue_id))
    try:
        await way.venue.rest.ask(CANCEL_ORDER, params, urgent=True)
    except (VenueRejected, VenueUnavailable, OrderUnknown) as error:
        return error.message
    return ""
