"""The composition root: what is running, and how it is put together. Nothing else wires anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mexclab.config import Settings
from mexclab.config.venue import REST_URL, STREAM_URL, WEB_URL, is_loopback
from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.errors import ConfigError
from mexclab.patterns.registry import load_patterns
from mexclab.ports import BarPattern, Clock
from mexclab.runtime.bus import Bus
from mexclab.runtime.clock import ScaledClock, SystemClock
from mexclab.runtime.notify import notifiers
from mexclab.runtime.post import Post, PostTerms
from mexclab.store.erase import erase
from mexclab.store.ledger import PostgresLedger
from mexclab.store.outbox import PostgresOutbox
from mexclab.store.postgres import Postgres, connect
from mexclab.store.recorder import PostgresRecorder
from mexclab.store.vault import Credential
from mexclab.strategies.registry import load_strategy
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar
from mexclab.trading.recovery import Identity
from mexclab.venues.mexc.account import AccountTerms
from mexclab.venues.mexc.burst import Burst
from mexclab.venues.mexc.clock import Watch
from mexclab.venues.mexc.limits import LimitTerms
from mexclab.venues.mexc.listings import ListingTerms
from mexclab.venues.mexc.market_data import MarketTerms
from mexclab.venues.mexc.preflight import PreflightTerms
from mexclab.venues.mexc.rest import RestTerms
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.venue import MexcTerms, MexcVenue
from mexclab.venues.simulator.child import ChildSimulator
from mexclab.venues.simulator.lockstep import SteppedMexc
from mexclab.venues.simulator.terms import PAPER_ACCOUNT

SIMULATOR = "simulated MEXC, over its wire"
MANY = 10**9
API_LIST_LEAD_S = 3600.0
HUSH_NS = 250 * MILLISECOND  # around a shot nothing else takes the processor
EARLY_NS = 4 * MILLISECOND  # wall time that a step of a demo may take


@dataclass(frozen=True, slots=True)
class Assembly:
    """A desk that has been put together and not yet started."""

    engine: Engine
    ledger: PostgresLedger
    bus: Bus
    venue: MexcVenue
    identity: Identity
    speed: Callable[[], float]
    database: Postgres
    good_enough: PreflightTerms
    post: Post
    is_stepped: bool = False  # time stands still while the venue is asked
    bar_patterns: tuple[BarPattern, ...] = ()  # fed by the daemon, where it was asked to
    simulator: ChildSimulator | None = None

    def close(self) -> None:
        self.post.close()
        self.ledger.close()
        self.database.close()
        if self.simulator is not None:
            self.simulator.stop()


@dataclass(frozen=True, slots=True)
class Show:
    """A demo: its clock, and where its venue begins."""

    clock: ScaledClock
    start_ns: int
    seed: int


@dataclass(frozen=True, slots=True)
class Road:
    """The way to a venue: its adapter, the clock that follows it, and a simulator of our own."""

    venue: MexcVenue
    clock: Clock
    identity: Identity
    simulator: ChildSimulator | None = None
    account: str = "paper"


def desk(settings: Settings, version: str, credential: Callable[[], Credential]) -> Assembly:
    """The desk that the settings ask for.

    Args:
        credential: opens the vault; called in live mode only.

    Raises:
        ConfigError: what is asked for cannot be put together.
        LedgerUnavailable, LedgerInUse: see ``mexclab.store.ledger``.
        VaultError: see ``mexclab.store.vault``.
    """
    return _assemble(settings, lambda: road(settings, version, credential))


def road(settings: Settings, version: str, credential: Callable[[], Credential]) -> Road:
    """The way to the venue that the settings name; the simulator of one's own is started."""
    if settings.mode == "live":
        return _live(settings, version, credential)
    url = settings.venue.rest_url
    if url is not None and not is_loopback(url):
        raise ConfigError(
            f'mode = "paper" trades on a simulator on this machine, and venue.rest_url is {url}; '
            'start `mexclab simulate`, or set mode = "live"'
        )
    folder = data_folder(settings) / "paper"
    latency = settings.paper.latency_ms_median
    arguments = ("--memory", str(folder), "--latency-ms", str(latency), "--pair", "MXUSDT")
    child = ChildSimulator(folder, arguments) if url is None else None
    clock = SystemClock()
    addresses = child.address if child is not None else None
    terms = _terms(settings, addresses.url if addresses else url, addresses.ws_url if addresses else None)
    venue = MexcVenue(clock, terms, _paper_signer(), clock.follow, _watch(clock))
    return Road(venue, clock, Identity("paper", SIMULATOR, version), child)


def demo(settings: Settings, show: Show, version: str) -> Assembly:
    """A desk on a simulator of its own, in accelerated time."""
    unhurried = {"burst_attempts": 1, "ip_weight_10s": MANY, "orders_per_s": MANY}
    seldom = {"near_interval_s": 60, "symbols_interval_s": 60, "calendar_interval_s": 600}
    venue = settings.venue.model_copy(update={**unhurried, **seldom})
    own = settings.model_copy(update={"venue": venue})
    return _assemble(own, lambda: _stepped(own, show, version))


def _stepped(settings: Settings, show: Show, version: str) -> Road:
    folder = data_folder(settings) / "paper"
    numbers = {"seed": show.seed, "start-ns": show.start_ns, "latency-ms": settings.paper.latency_ms_median}
    arguments = [f"--{name}={number}" for name, number in numbers.items()]
    child = ChildSimulator(folder, ["--stepped", "--quiet", "--patient", "--memory", str(folder), *arguments])
    terms = _terms(settings, child.address.url, child.address.ws_url)
    venue = SteppedMexc(show.clock, terms, _paper_signer(), lambda: int(EARLY_NS * show.clock.speed))
    return Road(venue, show.clock, Identity("demo", SIMULATOR, version), child)


def good_enough(settings: Settings) -> PreflightTerms:
    """What a preflight must find."""
    return PreflightTerms(
        clock_offset_ms=settings.limits.clock_offset_ms,
        quote_asset=settings.paper.quote_asset,
        budget_quote=settings.snipe.budget_quote,
        cap_multiple=settings.snipe.cap_multiple,
    )


def _live(settings: Settings, version: str, ask: Callable[[], Credential]) -> Road:
    if settings.snipe.auto_arm:
        raise ConfigError(
            'mode = "live" arms nothing by itself: set snipe.auto_arm = false and arm each snipe'
        )
    credential, clock = ask(), SystemClock()
    signer = Signer(credential.key.reveal(), credential.secret.reveal())
    terms = _terms(settings, settings.venue.rest_url, None)
    venue = MexcVenue(clock, terms, signer, clock.follow, _watch(clock))
    identity = Identity("live", f"MEXC, account {credential.account}", version)
    return Road(venue, clock, identity, account=credential.account)


def _paper_signer() -> Signer:
    return Signer(PAPER_ACCOUNT.key, PAPER_ACCOUNT.secret)


def _watch(clock: SystemClock) -> Watch:
    """What measures the venue's clock for this one: both go by the same steady clock."""
    return Watch(clock.machine_ns, clock.steady_ns)


def _terms(settings: Settings, rest_url: str | None, stream_url: str | None) -> MexcTerms:
    """Addresses that are not named lie beside a loopback REST address, else they are MEXC's."""
    chosen = settings.venue
    beside = rest_url if rest_url is not None and is_loopback(rest_url) else None
    own_stream = f"ws{beside.removeprefix('http')}/ws" if beside else STREAM_URL
    limits = LimitTerms(
        ip_weight_per_10s=chosen.ip_weight_10s,
        uid_weight_per_10s=max(500, chosen.ip_weight_10s),
        orders_per_s=chosen.orders_per_s,
        orders_reserve_per_s=min(chosen.order_reserve, chosen.orders_per_s - 1),
        **({"accounts_per_s": MANY, "web_per_s": MANY} if chosen.ip_weight_10s == MANY else {}),
    )
    burst = Burst(chosen.burst_attempts, chosen.burst_spacing_ms * MILLISECOND, chosen.burst_overlap)
    return MexcTerms(
        rest_url=rest_url or REST_URL,
        stream_url=stream_url or chosen.stream_url or own_stream,
        web_url=chosen.web_url or beside or WEB_URL,
        rest=RestTerms(answer_s=chosen.timeout_ms / 1000, user_agent=chosen.user_agent),
        limits=limits,
        account=AccountTerms(burst=burst),
        # MEXC promises no such lead; the simulator keeps it
        market=MarketTerms(api_list_lead_s=API_LIST_LEAD_S if beside else None),
        listings=ListingTerms(
            calendar_s=chosen.calendar_interval_s,
            symbols_s=chosen.symbols_interval_s,
            near_s=chosen.near_interval_s,
            user_agent=chosen.user_agent,
        ),
    )


def _assemble(settings: Settings, make_road: Callable[[], Road]) -> Assembly:
    """The ledger first: who may not write it needs no road to a venue."""
    database = ledger = way = None
    try:
        database = database_of(settings)
        ledger = PostgresLedger.open(database)
        way = make_road()
        return _engine(settings, way, database, ledger)
    except BaseException:  # Ctrl-C, too: whatever ends it, no process and no lock may stay behind
        if way is not None and way.simulator is not None:
            way.simulator.stop()
        if ledger is not None:
            ledger.close()
        if database is not None:
            database.close()
        raise


def _engine(settings: Settings, way: Road, database: Postgres, ledger: PostgresLedger) -> Assembly:
    bus, venue, clock, recorder = Bus(), way.venue, way.clock, PostgresRecorder(database)
    venue.listings.recall(sighting.fact for sighting in recorder.sightings())
    patterns = load_patterns(settings.listings)
    on_bars = tuple(each for each in patterns if isinstance(each, BarPattern))
    parts = Parts(
        clock=clock,
        ledger=ledger,
        exchange=venue,
        venue=venue,
        feed=venue,
        radar=Radar(
            venue, recorder, [each for each in patterns if each not in on_bars], settings.paper.quote_asset
        ),
        strategy=load_strategy(settings.snipe.strategy, settings.snipe),
        bus=bus,
    )
    rules = Rules(
        limits=settings.limits,
        orders=settings.orders,
        poll_ns=settings.listings.poll_interval_s * SECOND,
        auto_arm=settings.snipe.auto_arm,
        quote_asset=settings.paper.quote_asset,
        sizing=settings.sizing,
        protections=settings.protections.rules(),
        monitors=settings.monitors,
        halt=settings.halt,
        live=settings.live,
        mode=way.identity.mode,
        account=way.account,
    )
    speed = (lambda: clock.speed) if isinstance(clock, ScaledClock) else (lambda: 1.0)
    engine = Engine(parts, rules)
    post = _post(settings, database, engine)
    bus.subscribe(post.take)
    return Assembly(
        engine=engine,
        ledger=ledger,
        bus=bus,
        venue=venue,
        identity=way.identity,
        speed=speed,
        database=database,
        good_enough=good_enough(settings),
        post=post,
        is_stepped=isinstance(clock, ScaledClock),
        bar_patterns=on_bars if settings.listings.watch_bars else (),
        simulator=way.simulator,
    )


def _post(settings: Settings, database: Postgres, engine: Engine) -> Post:
    """Who carries the alerts of this ledger. A demo's listings are no news to anyone who is not looking."""
    mode, clock = engine.rules.mode, engine.parts.clock

    def hold_s() -> float:
        """For how long the couriers leave the processor to a shot that is about to leave."""
        now = clock.now_ns()
        near = [at_ns - now for at_ns in list(engine.shots.values()) if abs(at_ns - now) < HUSH_NS]
        return (max(near) + HUSH_NS) / SECOND if near else 0.0

    sinks = notifiers(settings.alerts) if mode != "demo" else ()
    return Post(PostgresOutbox(database, mode), sinks, PostTerms.of(settings.alerts, hold_s))


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
    database = database_of(settings)
    try:
        PostgresLedger.open(database).close()
        erase(database)
    finally:
        database.close()


def database_of(settings: Settings) -> Postgres:
    """The Postgres of the settings; the embedded server is started if it does not run.

    Raises:
        LedgerUnavailable: it cannot be reached or started.
    """
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
