"""The relay behind the live panel, what a kernel pays for it, and the servers that carry it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from traitlets.utils.importstring import import_item

from mexclab.config import Settings
from mexclab.daemon.row_types import OrderPage, ReconciledRow
from mexclab.errors import ConfigError, PortInUse
from mexclab.notebook import panel, serve, view
from mexclab.notebook.desk import DeskClient
from mexclab.notebook.panel import Pace, Relay, in_milliseconds
from tests.notebook.conftest import ClientOf
from tests.notebook.station import Desk, free_port

QUICK = Pace(frame_s=0.05, ack_s=0.3, alive_s=0.2, away_s=300.0, leave_s=300.0, books_s=0.05)
PATIENT = replace(QUICK, ack_s=300.0)
HASTY = replace(QUICK, away_s=0.6, leave_s=1.2)


class View:
    """What a page would have heard; optionally acknowledges as it would."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.acknowledges = False
        self.relay: Relay | None = None

    def take(self, message: dict[str, Any]) -> None:
        self.heard.append(message)
        if self.acknowledges and message["kind"] == "frame" and self.relay is not None:
            self.relay.take({"kind": "ack", "frame": message["frame"]})

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["kind"] == kind]


@contextmanager
def watched(
    client: DeskClient, *, beating: bool = True, leave: Callable[[], None] | None = None, pace: Pace = QUICK
) -> Iterator[View]:
    """A view and its relay; the view's heart beats as long as it is asked to."""
    view = View()
    view.relay = relay = Relay(client, view.take, leave, pace)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.1):
            relay.take({"kind": "beat"})

    if beating:
        threading.Thread(target=beat, daemon=True).start()
    try:
        yield view
    finally:
        done.set()
        relay.close()


def until(holds: Callable[[], object], deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.01)


# -- the relay ---------------------------------------------------------------------------------------


def test_nothing_is_asked_of_the_daemon_before_the_view_is_ready(
    desk: Desk, url: str, client_of: ClientOf
) -> None:
    with watched(client_of(url)) as view:
        time.sleep(0.4)
        assert (desk.pictures, view.heard) == (0, [])
        view.relay.take({"kind": "ready", "symbol": "SECONDUSDT"})
        until(lambda: view.kinds("frame"))
        assert view.kinds("frame")[0]["desk"]["chart"]["symbol"] == "SECONDUSDT"


def test_a_frame_waits_for_the_views_acknowledgement_but_not_for_ever(url: str, client_of: ClientOf) -> None:
    with watched(client_of(url)) as view:
        view.relay.take({"kind": "ready"})
        until(lambda: len(view.kinds("frame")) > 2)  # nobody acknowledged: the time is over each time
        view.acknowledges = True
        view.relay.take({"kind": "ack"})
        until(lambda: len(view.kinds("frame")) > 5)


def test_the_latest_picture_wins(desk: Desk, url: str, client_of: ClientOf) -> None:
    with watched(client_of(url), pace=PATIENT) as view:
        view.relay.take({"kind": "ready"})
        until(lambda: view.kinds("frame"))
        drawn = desk.pictures
        until(lambda: desk.pictures >= drawn + 10)
        assert len(view.kinds("frame")) == 1  # not acknowledged
        view.relay.take({"kind": "ack"})
        until(lambda: len(view.kinds("frame")) == 2)
        first, second = (message["frame"] for message in view.kinds("frame"))
        assert second > first + 1  # those in between were dropped, not queued


def test_a_halt_is_answered_while_frames_are_held_back(desk: Desk, url: str, client_of: ClientOf) -> None:
    with watched(client_of(url)) as view:
        view.relay.take({"kind": "ready"})
        until(lambda: view.kinds("frame"))
        view.relay.take({"kind": "command", "id": 9, "name": "halt", "why": "looks odd"})
        until(lambda: view.kinds("answer"))
        assert view.kinds("answer") == [
            {"kind": "answer", "id": 9, "ok": True, "message": "halt done", "halted": True}
        ]
        assert desk.asked == [("halt", "alice", "looks odd", "")]


def test_a_refusal_reaches_the_view_as_a_sentence(url: str, client_of: ClientOf) -> None:
    with watched(client_of(url)) as view:
        view.relay.take({"kind": "command", "id": 1, "name": "arm", "snipe_id": "ABC-1"})
        view.relay.take({"kind": "command", "id": 2, "name": "buy"})
        until(lambda: len(view.kinds("answer")) == 2)
        told = {answer["id"]: (answer["ok"], answer["message"]) for answer in view.kinds("answer")}
        assert told[1] == (False, "open snipes would be 4, the limit is 3")
        assert told[2][1].startswith("The desk has no command 'buy'")


def test_the_view_is_told_why_there_is_no_connection(client_of: ClientOf) -> None:
    with watched(client_of(f"http://127.0.0.1:{free_port()}")) as view:
        view.relay.take({"kind": "ready"})
        until(lambda: view.kinds("link"))
        assert "mexclab demo" in view.kinds("link")[0]["why"]
        until(lambda: view.kinds("alive"))


def test_a_dead_tab_gets_nothing_more_and_its_kernel_ends(url: str, client_of: ClientOf) -> None:
    left = threading.Event()
    with watched(client_of(url), beating=False, leave=left.set, pace=HASTY) as view:
        view.relay.take({"kind": "ready"})
        assert left.wait(60)
        told = ("frame", "alive", "link")  # the books may have been under way
        heard = [len(view.kinds(kind)) for kind in told]
        time.sleep(0.5)
        assert [len(view.kinds(kind)) for kind in told] == heard


def test_orders_that_are_over_are_asked_for_when_the_ledger_has_grown_and_by_a_new_page(
    desk: Desk, url: str, client_of: ClientOf
) -> None:
    desk.desk.page = OrderPage([], True, [], [])
    with watched(client_of(url)) as view:
        view.acknowledges = True
        view.relay.take({"kind": "ready"})
        until(lambda: view.kinds("books"))
        assert view.kinds("books") == [{"kind": "books", "orders": [], "more": True, "snipes": [], "why": ""}]
        time.sleep(0.5)  # ten times as long as between two looks
        assert len(view.kinds("books")) == 1
        desk.seq += 1
        until(lambda: len(view.kinds("books")) == 2)
        view.relay.take({"kind": "ready"})
        until(lambda: len(view.kinds("books")) == 3)


@dataclass
class Folio:
    """A portfolio that was only told what to say; counts how often the venue was asked."""

    cash: str = "900"
    asked: int = 0

    def page(self) -> dict[str, Any]:
        return {"cash": self.cash, "positions": [{"symbol": "ABCUSDT", "quantity": "5"}]}

    def balances(self) -> dict[str, Any]:
        self.asked += 1
        return {"agrees": True}

    def attribution(self) -> dict[str, Any]:
        return {}

    def stress(self) -> dict[str, Any]:
        return {}

    def curve(self, points: int) -> dict[str, Any]:
        return {"points": [], "most": points}


def test_the_venue_is_asked_for_balances_again_as_soon_as_a_fill_came(
    url: str, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, folio = client_of(url), Folio()
    monkeypatch.setattr(type(client), "portfolio", folio)
    with watched(client, pace=replace(QUICK, portfolio_s=0.05, balances_s=300.0)) as view:
        view.relay.take({"kind": "ready"})
        view.relay.take({"kind": "view", "view": "portfolio"})
        until(lambda: len(view.kinds("portfolio")) >= 4)
        assert folio.asked == 1
        folio.cash = "850"
        until(lambda: folio.asked == 2)
        told = len(view.kinds("portfolio"))
        until(lambda: len(view.kinds("portfolio")) >= told + 3)
        assert folio.asked == 2


def test_a_comparison_with_the_venue_is_told_in_a_sentence(desk: Desk, url: str, client_of: ClientOf) -> None:
    with watched(client_of(url)) as view:
        desk.desk.last = ReconciledRow(5, 3, 1, 0, 0, ())
        view.relay.take({"kind": "command", "id": 1, "name": "reconcile"})
        until(lambda: len(view.kinds("answer")) == 1)
        desk.desk.last = ReconciledRow(6, 3, 0, 1, 0, ("ABC: the ledger holds 2, the venue 1",))
        view.relay.take({"kind": "command", "id": 2, "name": "reconcile"})
        until(lambda: len(view.kinds("answer")) == 2)
        assert [answer["message"] for answer in view.kinds("answer")] == [
            "compared: ledger and venue agree; 3 orders asked, 1 missed fills found",
            "compared: ABC: the ledger holds 2, the venue 1 (3 orders asked, 0 missed fills found)",
        ]


def test_a_fault_in_the_relay_is_shown_not_lost(desk: Desk, url: str, client_of: ClientOf) -> None:
    desk.wall_ns = None  # a picture without its own time cannot be made into a message
    with watched(client_of(url)) as view:
        view.relay.take({"kind": "ready"})
        until(lambda: view.kinds("fault"))
        assert "TypeError" in view.kinds("fault")[0]["text"]


def test_times_cross_in_milliseconds_and_nothing_else_changes() -> None:
    served = {
        "at_ns": 1_500_000,
        "halt": {"at_ns": None},
        "rows": [{"open_ns": 2_000_000, "cap": "0.1"}],
        "n": [1],
    }
    assert in_milliseconds(served) == {
        "at_ms": 1.5, "halt": {"at_ms": None}, "rows": [{"open_ms": 2.0, "cap": "0.1"}], "n": [1],
    }  # fmt: skip


# -- what it costs, and what it says when it cannot -------------------------------------------------


def test_a_kernel_pays_for_no_data_library() -> None:
    heavy = ["pandas", "polars", "numpy", "plotly", "duckdb", "sqlalchemy", "pydantic", "voila"]
    code = f"import mexclab.notebook.panel, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_panel_that_was_not_built_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "STATIC", tmp_path)
    with pytest.raises(ConfigError, match="npm --prefix frontend ci"):
        panel.DeskPanel()


def test_the_page_names_no_other_host() -> None:
    links = re.compile(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//|@import|url\(\s*["']?https?:""")
    files = [file for file in serve.TEMPLATES.rglob("*") if file.is_file()]
    files += list((Path(panel.__file__).parents[2] / "frontend" / "src").glob("*.css"))
    assert len(files) > 4
    assert [file.name for file in files if links.search(file.read_text(encoding="utf-8"))] == []


# -- the servers -------------------------------------------------------------------------------------


def test_no_key_reaches_a_server_or_its_kernels(tmp_path: Path) -> None:
    secrets = {
        "MEXC_API_KEY": "k",
        "MEXCLAB_LEDGER__URL": "postgresql://u:p@h/d",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    given = serve.environment(Settings(data=tmp_path), {**os.environ, **secrets})
    assert not set(secrets) & set(given)
    assert given["MEXCLAB_DATA"] == str(tmp_path)
    assert given["PATH"] == os.environ["PATH"]


def test_the_template_is_found_through_the_environment(tmp_path: Path) -> None:
    given = serve.environment(Settings(data=tmp_path), {"JUPYTER_PATH": "/elsewhere"})
    first, rest = given["JUPYTER_PATH"].split(os.pathsep)
    assert (Path(first) / "voila" / "templates" / "mexclab" / "index.html.j2").is_file()
    assert rest == "/elsewhere"


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in (serve.voila_command, serve.lab_command):
            with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is in use"):
                command(Settings(), port)


def test_a_dashboard_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no dashboard .*missing\.ipynb"):
        serve.voila_command(Settings(), free_port(), tmp_path / "missing.ipynb")


def test_dashboards_listen_on_loopback_and_open_no_browser() -> None:
    command = serve.voila_command(Settings(), free_port())
    assert {"--no-browser", "--Voila.ip=127.0.0.1", "--template=mexclab"} <= set(command)
    assert "--preheat_kernel=False" in command


def test_jupyterlab_asks_the_internet_for_nothing(tmp_path: Path) -> None:
    command = serve.lab_command(Settings(), free_port(), tmp_path)
    assert {"--LabApp.news_url=None", "--LabApp.extension_manager=readonly"} <= set(command)
    flags = dict(flag.split("=", 1) for flag in command if flag.startswith("--LabApp.") and "=" in flag)
    # one name that cannot be imported, and JupyterLab drops all of its settings without a word
    assert import_item(flags["--LabApp.check_for_updates_class"]).__name__ == "NeverCheckForUpdate"


def test_the_pieces_of_voila_are_those_that_exist(tmp_path: Path) -> None:
    (tmp_path / "voila.js").write_text("x.e(12).then(x.e(7)),x.e(12),x.e(99)")
    for name in ("12.voila.js", "7.voila.js"):
        (tmp_path / name).touch()
    assert serve.pieces([tmp_path / "empty", tmp_path]) == ["12.voila.js", "7.voila.js"]
    assert serve.pieces([]) == []
