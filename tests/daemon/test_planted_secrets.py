"""Nothing secret is printed: a live desk has a bad day, and all that it left behind is searched."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mexclab.store.vault import VAULT_FILE
from tests.daemon.live_scene import (
    KEY,
    PHRASE,
    SECRET,
    LiveDesk,
    add_key,
    opens_in,
    process_text,
    write_settings,
)
from tests.processes import Simulator, coming_listing, run, simulator

LISTING_SEED, LISTING = coming_listing(time.time_ns())
PLANTED = {"API key": KEY, "secret": SECRET, "passphrase": PHRASE}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Outside pytest's own: the embedded server's user must be able to pass through to it."""
    folder = Path(tempfile.mkdtemp(prefix="mexclab-planted-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def venue(folder: Path) -> Iterator[Simulator]:
    """The venue knows the key; its own file of accounts lies beside the desk's folder, not in it."""
    file = folder / "accounts.toml"
    file.touch(0o600)
    file.write_text(f'[[account]]\nname = "me"\nkey = "{KEY}"\nsecret = "{SECRET}"\nbalances.USDT = "1000"\n')
    words = ("--quiet", "--pair", "MXUSDT", "--patient", "--seed", str(LISTING_SEED))
    with simulator(folder, *words, "--accounts", str(file)) as venue:
        yield venue


@pytest.fixture
def desk(folder: Path, venue: Simulator) -> Iterator[LiveDesk]:
    data = folder / "data"
    data.mkdir(mode=0o755)
    write_settings(data, venue, cap_multiple="20")
    add_key(data)
    desk = LiveDesk(data)
    try:
        yield desk
    finally:
        desk.stop()


def spellings(text: str) -> Iterator[bytes]:
    """As it is, and as a careless writer might have wrapped it."""
    raw = text.encode()
    yield from (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")[:-1], text.encode("utf-16-le"))
    yield text.replace(" ", "+").encode()
    yield text.replace(" ", "%20").encode()


def found_in(where: str, raw: bytes) -> list[str]:
    return [
        f"the {name} is in {where}"
        for name, text in PLANTED.items()
        if any(spelling in raw for spelling in spellings(text))
    ]


def found_below(folder: Path) -> list[str]:
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert {"process.log", "daemon.token", VAULT_FILE.name, "PG_VERSION"} <= {file.name for file in files}
    return [words for file in files for words in found_in(str(file), file.read_bytes())]


def found_in_processes(pid: int, data: Path) -> list[str]:
    """The daemon, its children, and the servers that outlive it."""
    daemon = psutil.Process(pid)
    servers = [int(file.read_text().split()[0]) for file in data.rglob("postmaster.pid")]
    assert servers
    pids = {pid, *servers, *(child.pid for child in daemon.children(recursive=True))}
    return [
        words for each in sorted(pids) for words in found_in(f"process {each}", process_text(each).encode())
    ]


def test_the_search_finds_what_was_planted(tmp_path: Path) -> None:
    for text in (SECRET, SECRET.encode().hex(), base64.b64encode(f"{SECRET}".encode()).decode()):
        assert found_in("here", f"x{text}y".encode()) == ["the secret is in here"]
    assert found_in("here", PHRASE.replace(" ", "%20").encode()) == ["the passphrase is in here"]
    assert found_in("here", b"nothing") == []


def a_bad_day(desk: LiveDesk, venue: Simulator) -> list[str]:
    """A fill, refused exits, a clock that makes every signature too old, a halt; what was told meanwhile."""
    opens_in(venue, str(LISTING.symbol), 8)
    desk.confirm()
    assert desk.act(f"/snipes/{desk.snipe()['snipe_id']}/arm", by="ada").status_code == 200
    desk.until(lambda: desk.told("OrderFilled"))
    refuse = {"fault": "refuse", "code": 30005, "msg": "Oversold", "path": "/api/v3/order", "method": "POST"}
    venue.post("faults", rule=[refuse])
    assert desk.act("/flatten", why="out").status_code == 200
    desk.until(lambda: desk.told("OrderRejected"))
    venue.post("clock", shift_ms=8000)
    pictures = [json.dumps(desk.ask("/preflight", symbol="MXUSDT"))]
    assert "700003" in pictures[0]
    desk.act("/halt", why="a bad day")
    pictures += [json.dumps(desk.ask("/snapshot")), json.dumps(desk.ask("/events", limit=10_000))]
    return pictures


def test_neither_secret_nor_passphrase_is_anywhere_but_sealed_after_a_bad_day(
    desk: LiveDesk, venue: Simulator
) -> None:
    said = [run(desk.data, "vault", "list", stdin=f"{PHRASE}\n").stdout]
    said += [run(desk.data, "vault", "list", stdin=f"{PHRASE}x\n").stderr]
    first = desk.start()
    assert found_in_processes(first.pid, desk.data) == []
    said += a_bad_day(desk, venue)
    first.send_signal(signal.SIGKILL)
    first.wait()

    second = desk.start()  # the venue's clock is still off: what is held must be managed, nothing is entered
    assert desk.ask("/snapshot")["halt"] is not None
    assert desk.ask("/snapshot")["positions"]
    assert any("time stamp" in halted["why"] for halted in desk.told("Halted"))
    said += [json.dumps(desk.ask("/events", limit=10_000))]
    second.send_signal(signal.SIGKILL)
    second.wait()
    venue.post("clock", shift_ms=0)
    again = desk.start()
    assert desk.ask("/snapshot")["halt"]["why"] == "a bad day"
    assert desk.ask("/snapshot")["positions"]
    said += [json.dumps(desk.ask("/events", limit=10_000)), desk.log]
    said += [run(desk.data, "status").stdout]
    assert found_in_processes(again.pid, desk.data) == []
    desk.stop()

    assert found_below(desk.data) == []
    assert [words for text in said for words in found_in("what was said", text.encode())] == []
    assert found_in("this process's environment", json.dumps(dict(os.environ)).encode()) == []
    assert not re.search(r"signature=[0-9a-f]{64}", "".join(said))
