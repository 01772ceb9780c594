"""The composition root: what is running, and how it is put together. Nothing else wires anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mexclab.config import Settings
from mexclab.domain.clock import SECOND
from mexclab.errors import ConfigError
from mexclab.patterns.registry import load_patterns
from mexclab.ports import Clock
from mexclab.runtime.bus import Bus
from mexclab.runtime.clock import ScaledClock, SystemClock
from mexclab.store.erase import erase
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import Postgres, connect
from mexclab.store.recorder import PostgresRecorder
from mexclab.strategies.registry import load_strategy
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar
from mexclab.trading.recovery import Identity
from mexclab.venues.paper import PaperTerms, PaperVenue

STRATEGY = "opening_snipe"
PAPER = "paper venue, simulated listings"


@dataclass(frozen=True, slots=True)
class Assembly:
    """A desk that has been put together and not yet started."""

    engine: Engine
    ledger: PostgresLedger
    bus: Bus
    venue: PaperVenue
    identity: Identity
    speed: Callable[[], float]
    database: Postgres

    def close(self) -> None:
        self.ledger.close()
        self.database.close()
        self.venue.close()


@dataclass(frozen=True, slots=True)
class Show:
    """A demo: its clock, and where its venue keeps its memory."""

    clock: ScaledClock
    start_ns: int
    seed: int


def paper(settings: Settings, version: str) -> Assembly:
    """A desk on the paper venue in real time.

    Raises:
        LedgerUnavailable, LedgerInUse: see ``mexclab.store.ledger``.
    """
    clock = SystemClock()
    memory = settings.data / "paper"
    terms = paper_terms(settings, clock.now_ns(), settings.paper.seed)
    return _assemble(settings, clock, PaperVenue(clock, terms, memory), Identity("paper", PAPER, version))


def demo(settings: Settings, show: Show, version: str) -> Assembly:
    """A desk on the paper venue in accelerated time."""
    terms = paper_terms(settings, show.start_ns, show.seed)
    venue = PaperVenue(show.clock, terms, settings.data / "paper")
    return _assemble(settings, show.clock, venue, Identity("demo", PAPER, version))


def desk(settings: Settings, version: str) -> Assembly:
    """The desk that the settings ask for.

    Raises:
        ConfigError: ``mode = "live"``: this version has no wire to the real venue.
    """
    if settings.mode == "live":
        raise ConfigError(
            'mode = "live" cannot trade yet: this version has no adapter for the real MEXC wire. '
            'Use mode = "paper", or wait for the version that brings it.'
        )
    return paper(settings, version)


def paper_terms(settings: Settings, start_ns: int, seed: int) -> PaperTerms:
    """The paper venue's terms as the settings have them."""
    chosen = settings.paper
    return PaperTerms(
        start_ns=start_ns,
        seed=seed,
        quote_asset=chosen.quote_asset,
        quote_balance=chosen.quote_balance,
        maker_fee=chosen.maker_fee,
        taker_fee=chosen.taker_fee,
        latency_ms=chosen.latency_ms_median,
    )


def _assemble(settings: Settings, clock: Clock, venue: PaperVenue, identity: Identity) -> Assembly:
    database = _database(settings)
    try:
        ledger = PostgresLedger.open(database)
    except BaseException:
        database.close()
        raise
    bus = Bus()
    radar = Radar(venue, PostgresRecorder(database), load_patterns(settings.listings))
    parts = Parts(
        clock=clock,
        ledger=ledger,
        exchange=venue,
        venue=venue,
        feed=venue,
        radar=radar,
        strategy=load_strategy(STRATEGY, settings.snipe),
        bus=bus,
    )
    rules = Rules(
        limits=settings.limits,
        poll_ns=settings.listings.poll_interval_s * SECOND,
        auto_arm=settings.snipe.auto_arm,
        quote_asset=settings.paper.quote_asset,
    )
    speed = (lambda: clock.speed) if isinstance(clock, ScaledClock) else (lambda: 1.0)
    return Assembly(Engine(parts, rules), ledger, bus, venue, identity, speed, database)


def verify_ledger(settings: Settings) -> str:
    """Check the hash chain from the first entry to the last; what was found, in a sentence.

    Raises:
        LedgerCorrupt: names the first entry that does not hold.
        ConfigError: there is no ledger here; looking must not create one.
    """
    if settings.ledger.url is None and not (settings.data / "postgres").exists():
        demo = settings.data / "demo"
        hint = f" (a demo keeps its own: MEXCLAB_DATA={demo})" if (demo / "postgres").exists() else ""
        raise ConfigError(f"there is no ledger in {settings.data}{hint}")
    database = _database(settings)
    try:
        verified = PostgresLedger.open(database, writer=False).verify()
    finally:
        database.close()
    return f"the ledger is whole: {verified.events} entries, the last hash is {verified.head[:16]}..."


def forget_ledger(settings: Settings) -> None:
    """Remove the embedded Postgres of a demo's folder, if there is one.

    Raises:
        LedgerInUse: a desk is running on it.
        ConfigError: the settings name a Postgres by URL; that one is never touched.
    """
    if settings.ledger.url is not None:
        raise ConfigError("a ledger by URL is not forgotten; only a demo's own embedded one is")
    if not (settings.data / "postgres").exists():
        return
    database = _database(settings)
    try:
        PostgresLedger.open(database).close()
        erase(database)
    finally:
        database.close()


def _database(settings: Settings) -> Postgres:
    url = settings.ledger.url.get_secret_value() if settings.ledger.url else None
    return connect(url, data_folder(settings), pool_size=settings.ledger.pool_size)


def data_folder(settings: Settings) -> Path:
    """The data folder, made if it is not there.

    Raises:
        ConfigError: it cannot be made or written.
    """
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"the data folder {settings.data} cannot be made: {error.strerror}") from error
    return settings.data
