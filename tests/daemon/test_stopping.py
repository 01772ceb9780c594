"""SIGTERM: nothing new is entered, what is held is kept or sold by setting, and the ledger ends whole."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mexclab.store.postgres import connect
from tests.daemon.live_scene import LiveDesk, opens_in
from tests.processes import Simulator, coming_listing, run, settings, simulator

LISTING_SEED, LISTING = coming_listing(time.time_ns())
SYMBOL, BASE = str(LISTING.symbol), LISTING.symbol.base
OWNER = "paper"


def write_settings(data: Path, venue: Simulator, on_stop: str) -> None:
    """Paper, on that venue by URL; arms by itself, and no rung of its ladder is ever reached."""
    seconds = dict.fromkeys(("calendar_interval_s", "symbols_interval_s", "near_interval_s"), 1)
    groups: dict[str, dict[str, Any]] = {
        "venue": {"rest_url": venue.url, "ip_weight_10s": 100_000, **seconds},
        "listings": {"poll_interval_s": 1},
        "limits": {"clock_offset_ms": 2000, "stale_price_s": 30, "clock_age_s": 120},
        "snipe": {"auto_arm": True, "cap_multiple": 50, "ladder": "5000:100", "stop_loss": "0.95"},
        "orders": {"on_stop": on_stop, "stop_within_s": 60},
    }
    (data / "mexclab.toml").write_text(settings(**groups))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Outside pytest's own: the embedded server's user must be able to pass through to it."""
    folder = Path(tempfile.mkdtemp(prefix="mexclab-stop-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def venue(folder: Path) -> Iterator[Simulator]:
    with simulator(folder, "--quiet", "--pair", "MXUSDT", "--patient", "--seed", str(LISTING_SEED)) as venue:
        yield venue


@pytest.fixture
def desk(folder: Path) -> Iterator[LiveDesk]:
    data = folder / "data"
    data.mkdir(mode=0o755)
    desk = LiveDesk(data)
    database = connect(None, data, pool_size=1)  # the server stays up between the starts
    try:
        yield desk
    finally:
        desk.stop()
        database.close()


def held(venue: Simulator) -> tuple[Decimal, Decimal]:
    """Units of the coin that are free and that resting orders hold, by the venue's own word."""
    row = venue.money(OWNER).get(BASE, {"free": "0", "locked": "0"})
    return Decimal(row["free"]), Decimal(row["locked"])


def enters(desk: LiveDesk, venue: Simulator) -> None:
    """Start, let the listing open, and wait until all that was bought is offered for sale."""
    desk.start()
    opens_in(venue, SYMBOL, 6)
    desk.until(lambda: desk.snipe()["state"] == "ENTERED")
    desk.until(lambda: held(venue)[1] > 0)


def terminated(desk: LiveDesk) -> None:
    process = desk.processes[-1]
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 130, desk.log[-2000:]
    assert "Traceback" not in desk.log


def test_a_stop_keeps_what_is_held_and_its_exits_and_a_start_takes_them_up_again(
    desk: LiveDesk, venue: Simulator
) -> None:
    write_settings(desk.data, venue, "keep")
    enters(desk, venue)
    before, received = held(venue), venue.orders_received
    terminated(desk)
    assert (held(venue), venue.orders_received) == (before, received)
    desk.start()
    assert desk.snipe()["state"] == "ENTERED"
    assert [stop["why"] for stop in desk.told("DaemonStopped")] == ["asked to by SIGTERM"]
    last = desk.told("Reconciled")[-1]
    assert (last["orders_asked"], last["fills_found"], last["unknown_left"], last["external"]) == (1, 0, 0, 0)
    assert (held(venue), venue.orders_received) == (before, received)


def test_a_stop_that_is_to_flatten_sells_what_is_held_before_it_ends(
    desk: LiveDesk, venue: Simulator
) -> None:
    write_settings(desk.data, venue, "flatten")
    enters(desk, venue)
    terminated(desk)
    free, locked = held(venue)
    assert locked == 0
    assert free < Decimal("0.01") * LISTING.lot.max(Decimal(100))
    done = run(desk.data, "ledger", "verify")
    assert done.returncode == 0, done.stderr
    desk.start()
    assert [move["reason"] for move in desk.told("SnipeMoved") if move["to"] == "CLOSED"] == ["flatten"]
    assert desk.told("Reconciled")[-1]["unknown_left"] == 0
