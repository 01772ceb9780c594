"""What was recorded: the ledger's events and the recorder's sightings, from wherever they can be read.

A running daemon is asked; without one the database is read. Either way nothing is written, and a data
folder that never saw a daemon stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mexclab.config import Settings
from mexclab.domain.clock import DAY
from mexclab.domain.events import Event, ListingSeen, ListingStateSeen, OpeningMoved
from mexclab.domain.listing import CalendarEntry, Listing, ListingBoard, Postponement, Sighting, Triple
from mexclab.errors import DaemonUnreachable
from mexclab.notebook.address import DEMO
from mexclab.notebook.desk import DeskClient, RecordedEvent
from mexclab.store.codec import decode
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres, connect
from mexclab.store.recorder import PostgresRecorder

PAGE = 1000
NOTHING = (
    "nothing was recorded here yet: run `mexclab demo` for a day of simulated listings, or `mexclab trade`"
)


@dataclass(frozen=True, slots=True)
class Record:
    """A stretch of the ledger.

    Attributes:
        events: (sequence number, event), in order.
        sightings: listing facts as they were first seen; empty where only the ledger was read.
        source: where it was read, for people.
        quote: the asset that its desk traded with.
    """

    events: tuple[tuple[int, Event], ...] = ()
    sightings: tuple[Sighting, ...] = ()
    source: str = NOTHING
    quote: str = "USDT"


def daemon(settings: Settings) -> DeskClient | None:
    """The daemon that runs on the data folder and answers; None when there is none."""
    try:
        client = DeskClient.discover(settings.data)
        client.health()
    except DaemonUnreachable:
        return None
    return client


def read(settings: Settings, after: int = 0, snipe: str | None = None) -> Record:
    """The recorded events above sequence number ``after``, of one snipe or of all.

    Raises:
        LedgerUnavailable: the database is there and cannot be read.
        LedgerCorrupt: an entry was torn out or edited.
        NotAuthorised: the daemon does not take this folder's token.
    """
    client, quote = daemon(settings), settings.paper.quote_asset
    if client is not None:
        with client:
            rows = tuple(_paged(client, after, snipe))
        return Record(
            tuple((row.seq, decode(row.kind, json.dumps(row.body))) for row in rows), (), "the daemon", quote
        )
    if not has_ledger(settings):
        settings = settings.model_copy(update={"data": settings.data / DEMO})
    if not has_ledger(settings):
        return Record()
    with _database(settings) as postgres:
        ledger = PostgresLedger.open(postgres, writer=False)
        entries = ledger.read(after) if snipe is None else _of_snipe(ledger, after, snipe)
        sightings = tuple(PostgresRecorder(postgres).sightings())
        return Record(tuple(entries), sightings, f"the ledger, {postgres.where}", quote)


def has_ledger(settings: Settings) -> bool:
    """Whether there can be a ledger to read; a look must not create one."""
    return settings.ledger.url is not None or (settings.data / "postgres" / "cluster" / "PG_VERSION").exists()


@contextmanager
def _database(settings: Settings) -> Iterator[Postgres]:
    url = settings.ledger.url.get_secret_value() if settings.ledger.url else None
    postgres = connect(url, settings.data, pool_size=1)
    try:
        yield postgres
    finally:
        postgres.close()


def _paged(client: DeskClient, after: int, snipe: str | None) -> Iterator[RecordedEvent]:
    while page := client.events(after, PAGE, snipe):
        yield from page
        after = page[-1].seq


def _of_snipe(ledger: PostgresLedger, after: int, snipe: str) -> Iterator[tuple[int, Event]]:
    while page := ledger.rows(after, PAGE, snipe):
        yield from ((row.seq, decode(row.kind, row.body)) for row in page)
        after = page[-1].seq


def listings_in(record: Record) -> list[Listing]:
    """Every listing that was seen, by opening time.

    The recorder's sightings know more than the events (the coin's full name, each changed fact), so
    they win where both tell of a coin.
    """
    found = {**_from_events([event for _, event in record.events]), **_from_sightings(record)}
    return sorted(found.values(), key=lambda listing: (listing.open_ns, str(listing.symbol)))


def _from_sightings(record: Record) -> dict[str, Listing]:
    board = ListingBoard(quote=record.quote)
    for sighting in record.sightings:
        fact = sighting.fact
        # the symbol table also holds pairs that have long traded; those are no listings
        long_open = not isinstance(fact, CalendarEntry) and fact.open_ns < sighting.first_seen_ns - DAY
        if long_open and fact.coin_id not in board.listings:
            continue
        board = board.after(sighting)
    return dict(board.listings)


def _from_events(events: Sequence[Event]) -> dict[str, Listing]:
    found: dict[str, Listing] = {}
    coin_of: dict[object, str] = {}
    for event in events:
        match event:
            case ListingSeen(symbol=symbol, coin_id=coin_id):
                coin_of[symbol] = coin_id
                known = found.get(coin_id)
                if known is None or known.symbol.quote != symbol.quote:  # against another asset, another pair
                    found[coin_id] = Listing(symbol, coin_id, "", event.open_ns, event.at_ns)
            case OpeningMoved(symbol=symbol) if symbol in coin_of:
                before = found[coin_of[symbol]]
                step = Postponement(event.at_ns, event.from_ns, event.to_ns)
                moved = (*before.postponements, step)
                found[coin_of[symbol]] = Listing(
                    symbol, before.coin_id, "", event.to_ns, before.first_seen_ns, postponements=moved
                )
    return found


def triples_in(record: Record) -> dict[str, Triple]:
    """The newest (sts, st, tt) state of each symbol."""
    states = (event for _, event in record.events if isinstance(event, ListingStateSeen))
    return {str(event.symbol): event.triple for event in states}
