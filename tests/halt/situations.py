"""What goes on when a halt is asked for. Each prepares it, asks, and waits until it would have mattered."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mexclab.domain.clock import SECOND
from tests.halt import clients
from tests.halt.clients import Client
from tests.halt.stage import SOON_S, START_S, TIMEOUT_MS, WAIT_S, Stage

AFTER_S = 1.5  # that an opening is watched after it
NOISY = 8  # listings that trade in a busy life, each with a hundred looks at its book a second
READERS = (("/snapshot", 0.02), ("/orders", 0.05), ("/events?limit=100", 0.05), ("/positions", 0.05))
NOISE_S = 4.0
FIRED = 3  # entries of a burst that have gone out when the halt is asked for
BURST_S = 2.0  # that is looked at after the halt
CLOSED_S = 25.0  # that an opening refuses orders by API
AWAY_S = 300.0  # the opening is so far away until the next desk is up, however long its start takes


@dataclass(frozen=True, slots=True)
class Situation:
    """One of them.

    Attributes:
        run: asks by the client, waits, and gives when it was asked.
        listings: how many each round uses besides the one that is held.
        extra: how many the whole life needs.
        is_busy: listings that trade requote very often.
        prepare: done once in a life, before its first round.
        own: settings above the usual ones.
    """

    name: str
    run: Callable[[Stage, Client], int]
    listings: int = 1
    extra: int = 0
    is_busy: bool = False
    prepare: Callable[[Stage], None] = lambda stage: None
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _idle(stage: Stage, client: Client) -> int:
    """A shot is loaded and leaves within a second; for a trigger it is armed, and opens soon."""
    _, opens_ns = stage.armed(6.0) if client is clients.trigger else stage.loaded()
    asked_ns = client(stage)
    _wait_until(opens_ns)
    return asked_ns


def _network_out(stage: Stage, client: Client) -> int:
    """As idle, and the venue answers nothing any more."""
    _, opens_ns = stage.armed(6.0) if client is clients.trigger else stage.loaded()
    stage.falls_silent()
    asked_ns = client(stage)
    _wait_until(opens_ns)
    return asked_ns


def _mid_burst(stage: Stage, client: Client) -> int:
    """Entries go out one after another, because the venue says: not open yet."""
    symbol, opens_ns = stage.armed()
    closed = {"act": "forbid_api", "symbol": symbol, "open_s": 0, "for_s": CLOSED_S}
    stage.goes_wrong(acts=[closed])
    stage.until(f"burst for {symbol}", lambda: len(stage.entries(0, symbol)) >= FIRED)
    stage.is_quiet = False
    asked_ns = client(stage)
    stage.is_quiet = True
    _wait_until(max(opens_ns, time.time_ns()) + round((BURST_S - AFTER_S) * SECOND))
    return asked_ns


def _restart(stage: Stage, client: Client) -> int:
    """The desk was killed while something was armed; it is asked while the next one starts."""
    symbol, _ = stage.armed(AWAY_S)
    stage.until("new opening", lambda: stage.ledger.since(stage.ledger.last - 50, "SnipeRetimed"))
    stage.end(signal.SIGKILL)
    if client is clients.trigger:
        stage.cancel_all(stage.held)  # it will be offered anew
        stage.loses_an_answer()
    stage.is_quiet = False
    stage.launch()
    time.sleep(random.uniform(0.1, 2.5) if client is not clients.trigger else 0)
    asked: list[int] = []
    asking = threading.Thread(target=lambda: asked.append(client(stage)))
    asking.start()
    stage.until("start", stage.is_up, START_S)
    asking.join(WAIT_S)
    stage.is_quiet = True
    _wait_until(stage.opens_in(symbol, SOON_S))
    return asked[0]


def _noise(stage: Stage) -> None:
    """Listings that nobody arms trade like mad, and people look at everything."""
    for _ in range(NOISY):
        stage.opens_in(stage.symbols.pop(), NOISE_S)
    time.sleep(NOISE_S)
    for path, pause_s in READERS:
        stage.read_on(path, pause_s)


def _wait_until(opens_ns: int) -> None:
    time.sleep(max((opens_ns - time.time_ns()) / SECOND + AFTER_S, 0))


SITUATIONS: Sequence[Situation] = (
    Situation("idle", _idle),
    Situation("under load", _idle, extra=NOISY, is_busy=True, prepare=_noise),
    Situation("network out", _network_out, own={"venue": {"timeout_ms": TIMEOUT_MS}}),
    Situation("mid-burst", _mid_burst),
    Situation("restart", _restart),
)
BY_NAME = {situation.name: situation for situation in SITUATIONS}
