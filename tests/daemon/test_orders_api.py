"""Orders, snipes, positions and reconciliation through the API of a real desk that trades on a real venue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest

from mexclab.errors import DeskError
from mexclab.notebook.address import address_in
from mexclab.notebook.desk import DeskClient
from tests.daemon.conftest import Running, _running
from tests.daemon.live_scene import opens_in
from tests.processes import LONGEST_S, Simulator, coming_listing, settings, simulator

LISTING_SEED, LISTING = coming_listing(time.time_ns())
SYMBOL = str(LISTING.symbol)
T = TypeVar("T")


@dataclass
class Scene:
    """A simulated venue with one coming listing, and a paper desk that trades on it."""

    venue: Simulator
    running: Running
    client: httpx.Client
    desk: DeskClient

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def refused(self, status: int, path: str, **body: Any) -> str:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error", "message"}
        return str(answer.json()["message"])

    def until(self, holds: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + LONGEST_S
        while not (found := holds()):
            assert time.monotonic() < deadline, (self.running.data / "process.log").read_text()[-3000:]
            time.sleep(0.1)
        return found

    @property
    def snipe_id(self) -> str:
        return str(self.get("/snipes")["snipes"][0]["snipe_id"])

    def snipe(self) -> dict[str, Any]:
        row: dict[str, Any] = self.get(f"/snipes/{self.snipe_id}")["snipe"]
        return row


def planned_on(running: Running, venue: Simulator) -> Iterator[Scene]:
    """A paper desk on that venue that has planned its snipe; the opening is ten minutes away."""
    seconds = dict.fromkeys(("calendar_interval_s", "symbols_interval_s", "near_interval_s"), 1)
    file = running.data / "mexclab.toml"
    file.write_text(
        settings(
            venue={"rest_url": venue.url, "ip_weight_10s": 100_000, **seconds},
            listings={"poll_interval_s": 1},
            limits={"clock_offset_ms": 2000, "stale_price_s": 30, "clock_age_s": 120},
            snipe={"auto_arm": True, "cap_multiple": "10", "stop_loss": "0.9"},
        )
    )
    opens_in(venue, SYMBOL, 600)
    running.start("trade", "--config", str(file))
    with running.client() as client, DeskClient(partial(address_in, running.data), by="ada") as desk:
        scene = Scene(venue, running, client, desk)
        scene.until(lambda: scene.get("/snipes")["snipes"])
        yield scene


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Shared: the tests below follow one snipe from its plan to its post-mortem, in this order."""
    with contextmanager(_running)() as running:
        words = ("--quiet", "--pair", "MXUSDT", "--patient", "--seed", str(LISTING_SEED))
        with simulator(running.data, *words) as venue:
            yield from planned_on(running, venue)


def test_a_planned_snipe_tells_its_plan_its_exit_and_its_history(scene: Scene) -> None:
    [row] = scene.get("/snipes", state="live")["snipes"]
    assert (row["symbol"], row["entry_price"], row["profit"]) == (SYMBOL, None, None)
    assert row["exit"]["preset"] == "balanced"
    assert row["stop"] == {"price": None, "raised": False, "peak": None}
    story = scene.get(f"/snipes/{row['snipe_id']}")
    kinds = [entry["kind"] for entry in story["history"]]
    assert kinds[:2] == ["SignalRaised", "SnipePlanned"]
    assert (story["orders"], story["more"]) == ([], False)
    assert story["post_mortem"]["snipe_id"] == row["snipe_id"]
    assert story["post_mortem"]["first_seen_ns"] < row["open_ns"]
    assert scene.get("/snipes", state="over")["snipes"] == []


@pytest.mark.parametrize(
    "path", ["/orders/nobody-b-1", "/snipes/nobody", "/post-mortems/nobody"]
)  # fmt: skip
def test_what_does_not_exist_is_a_404_that_names_it(scene: Scene, path: str) -> None:
    answer = scene.client.get(path)
    assert answer.status_code == 404
    assert repr(path.split("/")[2]) in answer.json()["message"]


@pytest.mark.parametrize("act", ["exit", "abort", "flatten", "arm", "disarm"])
def test_an_act_on_an_unknown_snipe_is_a_404_and_moves_nothing(scene: Scene, act: str) -> None:
    before = scene.get("/events")["last"]
    body = {} if act in ("arm", "disarm") else {"why": "a test"}
    more = {"preset": "balanced"} if act == "exit" else {}
    assert "'nobody'" in scene.refused(404, f"/snipes/nobody/{act}", **body, **more)
    assert not [e for e in scene.get("/events", after=before)["events"] if e["correlation"] == "nobody"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({}, "nothing would change"),
        ({"preset": "balanced", "ladder": "5:50 9:50"}, "give one of them"),
        ({"preset": "reckless"}, "preset"),
        ({"ladder": "5:25 4:75"}, "ascending"),
        ({"ladder": "5:80 9:80"}, "at most 1"),
        ({"ladder": "5"}, "no rung"),
        ({"ladder": "1E-999999:1E-999999"}, "ladder"),
        ({"stop_loss": "1.5"}, "stop_loss"),
        ({"stop_loss": "0"}, "stop loss"),
        ({"trailing": "NaN"}, "trailing"),
        ({"time_stop_s": 0}, "time_stop_s"),
    ],
)  # fmt: skip
def test_an_exit_plan_that_is_none_is_refused_with_the_rule_it_breaks(
    scene: Scene, wish: dict[str, Any], words: str
) -> None:
    before = scene.snipe()["exit"]
    message = scene.refused(422, f"/snipes/{scene.snipe_id}/exit", why="a test", **wish)
    assert words in message
    assert scene.snipe()["exit"] == before


def test_an_exit_plan_is_replaced_and_what_was_not_named_stays(scene: Scene) -> None:
    answer = scene.desk.replace_exit(scene.snipe_id, "closer", ladder="4:50 9:50", trailing="0.8")
    assert "another plan" in answer.message
    after = scene.snipe()["exit"]
    assert (after["preset"], after["text"], after["trailing"]) == ("", "4:50 9:50", "0.8")
    assert (after["stop_loss"], after["time_stop_s"]) == ("0.9", 1800)
    entries = scene.get(f"/snipes/{scene.snipe_id}")["history"]
    assert [e["body"]["why"] for e in entries if e["kind"] == "ExitReplaced"] == ["closer"]
    scene.desk.replace_exit(scene.snipe_id, "and off again", trailing="0")
    assert scene.snipe()["exit"]["trailing"] is None


def test_a_snipe_that_holds_nothing_cannot_be_flattened_and_the_answer_names_its_state(scene: Scene) -> None:
    message = scene.refused(409, f"/snipes/{scene.snipe_id}/flatten", why="a test")
    assert scene.snipe()["state"] in message
    assert "no position" in message


def test_parameters_of_the_strategy_are_shown_changed_and_given_back(scene: Scene) -> None:
    before = scene.desk.strategy()
    assert (before["name"], before["by"]) == ("opening_snipe", "settings")
    refused = scene.refused(422, "/strategy", parameters={"attempts": "many", "atempts": 3}, why="a test")
    assert "attempts" in refused
    assert "atempts" in refused
    assert scene.desk.strategy() == before
    assert "attempts 6 -> 7" in scene.desk.tune({"attempts": 7}, "more").message
    after = scene.desk.strategy()
    assert (after["parameters"]["attempts"], after["why"]) == ("7", "more")
    assert "settings" in scene.desk.reset_strategy("enough").message
    assert scene.desk.strategy()["parameters"] == before["parameters"]


def test_reconciling_compares_now_and_says_what_was_found(scene: Scene) -> None:
    before = scene.desk.reconciliation()["last"]["at_ns"]
    told = scene.desk.reconcile()
    assert told["last"]["at_ns"] > before
    assert (told["last"]["differences"], told["unknown"], told["external"]) == ([], [], [])
    assert scene.desk.reconciliation() == told


def test_nothing_is_written_off_where_ledger_and_venue_agree(scene: Scene) -> None:
    said = scene.refused(409, "/reconcile/accept", symbol=SYMBOL, why="sold by hand", by="ada")
    assert f"agree about {SYMBOL}" in said
    assert "is not a symbol" in scene.refused(409, "/reconcile/accept", symbol="?", why="sold by hand")
    assert "why" in scene.refused(422, "/reconcile/accept", symbol=SYMBOL)
    with pytest.raises(DeskError, match="agree about"):
        scene.desk.accept(SYMBOL, "sold by hand")


def test_a_venue_that_does_not_answer_is_a_503_and_nothing_was_compared(scene: Scene) -> None:
    before = scene.desk.reconciliation()["last"]
    scene.venue.post("faults", rule=[{"fault": "status", "path": "/api/v3/openOrders", "status": 503}])
    try:
        scene.refused(503, "/reconcile")
    finally:
        scene.venue.post("faults")
    assert scene.desk.reconciliation()["last"] == before


def test_a_trade_is_told_from_the_shot_to_the_post_mortem(scene: Scene) -> None:
    snipe_id = scene.snipe_id
    opens_in(scene.venue, SYMBOL, 7)
    scene.until(lambda: [p for p in scene.desk.positions()["positions"] if p["targets"]])

    listed = scene.get("/orders", snipe=snipe_id)["orders"]
    assert [o["decided_ns"] for o in listed] == sorted((o["decided_ns"] for o in listed), reverse=True)
    entry = next(o for o in listed if o["side"] == "BUY" and o["state"] in ("FILLED", "CANCELED"))
    assert entry["left_ns"] >= entry["decided_ns"]
    assert entry["venue_id"]
    story = scene.desk.order(entry["client_id"])
    assert {"OrderDecided", "OrderSent", "Fired"} <= {e["kind"] for e in story["history"]}
    assert entry["client_id"] == story["order"]["client_id"]
    assert all(f["client_id"] == entry["client_id"] for f in story["fills"])
    resting = scene.get("/orders", state="open", symbol=SYMBOL)["orders"]
    assert {o["side"] for o in resting} == {"SELL"}
    assert scene.get("/orders", state="open", symbol="MXUSDT")["orders"] == []
    assert scene.get("/orders", limit=1)["more"] is True

    [held] = scene.desk.positions()["positions"]
    assert (held["symbol"], held["snipe_id"], held["sellable"]) == (SYMBOL, snipe_id, True)
    picture = scene.get("/snapshot")
    assert picture["positions"][0]["stop_price"] == held["stop_price"]
    assert picture["reconciliation"]["at_ns"] > 0
    assert (picture["external_count"], picture["remainders"]) == (0, [])

    assert "cannot be aborted" in scene.refused(409, f"/snipes/{snipe_id}/abort", why="too late")
    assert "being sold" in scene.desk.flatten_snipe(snipe_id, "enough").message
    scene.until(lambda: scene.snipe()["state"] == "CLOSED")
    [row] = scene.desk.post_mortems()["post_mortems"]
    assert (row["snipe_id"], row["state"], row["exit_why"]) == (snipe_id, "CLOSED", "flatten")
    assert row == scene.desk.post_mortem(snipe_id)
    assert row["profit"] == scene.snipe()["profit"]
    assert scene.get("/snapshot")["results"][0]["headline"].startswith(("+", "-"))
    assert scene.desk.reconcile()["last"]["differences"] == []
    assert scene.desk.sweep("tidy").message
