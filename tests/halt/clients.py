"""Who may ask for a halt. Each says when it was asked, and comes back when it has been answered."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from mexclab.domain.clock import MILLISECOND
from mexclab.notebook.desk import DeskClient
from mexclab.notebook.panel import Relay
from tests.halt.stage import START_S, TIMEOUT_MS, WAIT_S, Stage
from tests.processes import environment

WHY = "a drill"
Client = Callable[[Stage], int]  # gives when it was asked, by this machine's clock


def command_line(stage: Stage) -> int:
    """``mexclab halt``, from the moment at which its process is started."""
    asked_ns = time.time_ns()
    subprocess.run(
        [sys.executable, "-m", "mexclab", "halt", WHY],
        env=environment(stage.data), cwd=stage.data, capture_output=True, timeout=WAIT_S,
    )  # fmt: skip
    return asked_ns


def api(stage: Stage) -> int:
    """POST /halt, tried until somebody answers."""
    asked_ns = time.time_ns()
    with httpx.Client(timeout=WAIT_S, trust_env=False, verify=False) as http:
        while time.time_ns() < asked_ns + WAIT_S * 10**9:
            with suppress(httpx.TransportError, OSError):
                reply = http.post(f"{stage.url}/halt", json={"by": "api", "why": WHY}, headers=stage.headers)
                if reply.status_code == 200:
                    break
            time.sleep(0.01)
    return asked_ns


def dashboard(stage: Stage) -> int:
    """The panel's relay, as when its button is pressed."""
    answered = threading.Event()

    def send(message: Mapping[str, Any]) -> None:
        if message.get("kind") == "answer":
            answered.set()

    with DeskClient.on(stage.data) as client:
        relay = Relay(client, send)
        asked_ns = time.time_ns()
        relay.take({"kind": "command", "id": 1, "name": "halt", "why": WHY})
        answered.wait(WAIT_S)
        relay.close()
    return asked_ns


def file(stage: Stage) -> int:
    """Somebody makes the file, as with ``touch``."""
    asked_ns = time.time_ns()
    stage.file.write_text(WHY)
    return asked_ns


def trigger(stage: Stage) -> int:
    """The answer to an order is lost and ``halt.errors`` is 1, from the moment at which the loss is durable.

    The order is the one that is under way in a burst, or comes with a start; else a new offer of what is
    held. Where nothing is answered, it is from the moment at which the first answer that counts is overdue.
    """
    if stage.silent_ns:
        return stage.until("question", stage.unanswered_ns) + TIMEOUT_MS * MILLISECOND
    before = stage.ledger.last
    stage.loses_an_answer()
    if stage.is_quiet:
        row = stage.snipe(stage.held)
        assert row is not None
        stage.act(f"/snipes/{row['snipe_id']}/exit", ladder="4000:100", why=WHY)
    lost = stage.until("lost order", lambda: stage.ledger.since(before, "OrderLost"), START_S)
    return lost[0].heard_ns


def nobody(stage: Stage) -> int:
    """Nobody asks: what a halt would have prevented happens."""
    return time.time_ns()


PEOPLE: Mapping[str, Client] = {"cli": command_line, "api": api, "dashboard": dashboard, "file": file}
HALTING: Mapping[str, Client] = {**PEOPLE, "trigger": trigger}
ALL: Mapping[str, Client] = {**HALTING, "nobody": nobody}
