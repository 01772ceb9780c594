"""``mexclab simulate``: the MEXC-compatible venue as a process, on loopback, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from mexclab.config import Settings
from mexclab.domain.clock import HOUR
from mexclab.domain.market import Symbol
from mexclab.errors import ConfigError, NotEnoughData, PortInUse
from mexclab.runtime.parent import when_parent_is_gone
from mexclab.store.lake import Lake
from mexclab.venues.simulator.account_file import account_of, accounts_in, distinct
from mexclab.venues.simulator.bars import BarReplay, Bars, fit
from mexclab.venues.simulator.fault_plan import load_plan
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.server import ServerTerms, SimulatorServer
from mexclab.venues.simulator.terms import DEFAULT_PAIRS
from mexclab.venues.simulator.world import CHECKPOINT_NS, PAPER_ACCOUNT, Account, World, WorldTerms

LEAST_BARS = 120
STEPPED_NS = 4 * HOUR  # of venue time between two checkpoints, when a day takes a minute
LOCK_S = 1.0  # the process before us may still be on its way out
CHILD_LOCK_S = 10.0  # a desk that was killed leaves its simulator to find that out by itself


@dataclass(frozen=True, slots=True)
class SimulateWishes:
    """What a person, or a process that wants a simulator of its own, asked for."""

    host: str = "127.0.0.1"
    port: int = 8790
    seed: int | None = None
    accounts: tuple[str, ...] = ()  # KEY:SECRET:AMOUNT
    account_file: Path | None = None
    memory: Path | None = None
    faults: Path | None = None
    latency_ms: int = 0
    pairs: tuple[str, ...] | None = None  # established pairs; None: the usual ones
    replays: tuple[str, ...] = ()  # pairs that follow the lake's bars, NAME or NAME@SPEED
    coming: int = 0  # listings that open when they are told to
    patient: bool = False  # no rate limits, for accelerated time
    start_ns: int | None = None
    stepped: bool = False
    child: Path | None = None


def simulate(settings: Settings, wishes: SimulateWishes, say: Callable[[str], None]) -> None:
    """Serve the venue until Ctrl-C, SIGTERM or, as a child, until its parent is gone.

    Raises:
        ConfigError, PortInUse, VenueUnavailable: what is wrong, in one sentence.
    """
    faults = Faults(load_plan(wishes.faults)) if wishes.faults is not None else Faults()
    terms = _world_terms(settings, wishes)
    with _only_one(wishes.memory, LOCK_S if wishes.child is None else CHILD_LOCK_S):
        world = World(terms, wishes.memory, STEPPED_NS if wishes.stepped else CHECKPOINT_NS)
        try:
            asyncio.run(_serve(world, _server_terms(wishes), faults, wishes, say))
        finally:
            world.close()


def _world_terms(settings: Settings, wishes: SimulateWishes) -> WorldTerms:
    if wishes.coming and wishes.memory is not None:
        raise ConfigError("--coming and --memory do not go together: a memory keeps the day's listings alone")
    paper = settings.paper
    own = Account(
        PAPER_ACCOUNT.owner,
        PAPER_ACCOUNT.key,
        PAPER_ACCOUNT.secret,
        {paper.quote_asset: paper.quote_balance},
        uid=PAPER_ACCOUNT.uid,
    )
    given = () if wishes.account_file is None else accounts_in(wishes.account_file)
    return WorldTerms(
        start_ns=time.time_ns() if wishes.start_ns is None else wishes.start_ns,
        seed=paper.seed if wishes.seed is None else wishes.seed,
        accounts=distinct((own, *given, *map(account_of, wishes.accounts))),
        maker_fee=paper.maker_fee,
        taker_fee=paper.taker_fee,
        pairs=DEFAULT_PAIRS if wishes.pairs is None else wishes.pairs,
        replays=tuple(_replay(settings, text) for text in wishes.replays),
        coming=wishes.coming,
    )


def _replay(settings: Settings, text: str) -> BarReplay:
    """``BTCUSDT`` or ``BTCUSDT@60``: the lake's minutes of that pair, so many times as fast as they were.

    Raises:
        ConfigError: the speed is no number.
        DataError: the lake has not enough bars of it.
    """
    name, _, speed = text.partition("@")
    try:
        times = float(speed or "1")
    except ValueError:
        raise ConfigError(f"--replay {text}: the speed behind @ is no number") from None
    frame = Lake(settings.data / "lake").bars(str(Symbol.parse(name))).drop_nulls()
    if frame.height < LEAST_BARS:
        raise NotEnoughData(
            f"the lake has {frame.height} one-minute bars of {name}; a replay needs {LEAST_BARS}: "
            "bring some in with `mexclab import`"
        )
    columns = [frame[column].to_numpy() for column in ("open", "high", "low", "close", "volume")]
    bars = Bars(frame["ts"].dt.epoch("ns").to_numpy(), *columns)
    past = len(bars) // 2
    return BarReplay(fit(Symbol.parse(name), bars, past), bars, past, times)


def _server_terms(wishes: SimulateWishes) -> ServerTerms:
    many = 1_000_000_000
    pools = (
        {
            "ip_weight_10s": many,
            "uid_weight_10s": many,
            "orders_per_s": many,
            "batch_per_s": many,
            "account_per_s": many,
            "announcements_2s": many,
        }
        if wishes.patient
        else {}
    )
    anchor = None if wishes.stepped or wishes.start_ns is not None else time.time_ns()
    return ServerTerms(latency_ms_median=wishes.latency_ms, stepped=wishes.stepped, anchor_ns=anchor, **pools)


async def _serve(
    world: World, terms: ServerTerms, faults: Faults, wishes: SimulateWishes, say: Callable[[str], None]
) -> None:
    server = SimulatorServer(world, terms, faults)
    try:
        await server.start(wishes.host, wishes.port)
    except OSError as error:
        raise _not_listening(wishes, error) from error
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if wishes.child is not None:
        when_parent_is_gone(partial(loop.call_soon_threadsafe, stop.set))
        _write_address(wishes.child, server)
    else:
        say(f"MEXC-compatible venue: {server.url} (REST and listing pages), {server.ws_url} (streams)")
        more = len(world.accounts) - 1
        say(
            f"account: key {PAPER_ACCOUNT.key}, secret {PAPER_ACCOUNT.secret}"
            f"{f'; and {more} of yours' if more else ''}; Ctrl-C ends it"
        )
    try:
        await stop.wait()
    finally:
        await server.stop()


def _not_listening(wishes: SimulateWishes, error: OSError) -> ConfigError:
    where = f"{wishes.host}:{wishes.port}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"{where} is in use by another process; stop it, or choose another port (--port 0: any free one)",
            port=wishes.port,
        )
    known = error.errno is not None and error.errno > 0  # asyncio wraps the system's words in its own
    why = os.strerror(error.errno) if known and error.errno is not None else error.strerror
    return ConfigError(f"{where} cannot be listened on: {why}; see --host")


def _write_address(path: Path, server: SimulatorServer) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps({"url": server.url, "ws_url": server.ws_url}))
    fresh.replace(path)


@contextlib.contextmanager
def _only_one(memory: Path | None, patience_s: float) -> Iterator[None]:
    """Hold the memory's lock: two simulators on one journal would each forget what the other did.

    Raises:
        ConfigError: another simulator uses this memory, or it cannot be made.
    """
    if memory is None:
        yield
        return
    try:
        memory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (memory / "lock").open("a+")
    except OSError as error:
        raise ConfigError(
            f"the memory {memory} cannot be used: {error.strerror}", path=str(memory)
        ) from error
    with file:
        _lock(file, memory, patience_s)
        yield


def _lock(file: IO[str], memory: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.seek(0)
                who = file.read().strip() or "unknown"
                raise ConfigError(f"another simulator (process {who}) uses the memory {memory}") from None
            time.sleep(0.05)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
