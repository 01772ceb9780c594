"""Risk through the API: what is used, what an entry would use, pauses, permits; a refusal moves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mexclab.daemon import risk_rows
from mexclab.domain import events as e
from mexclab.domain.clock import HOUR
from mexclab.trading import permits, safety
from tests.daemon.risk_scene import Door, paused, planned


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    made = await planned(tmp_path)
    yield made
    made.station.close()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    async with door.client() as client:
        yield client


async def ask(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await (client.post(path, json=body) if body else client.get(path))
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def refused(door: Door, client: httpx.AsyncClient, status: int, path: str, **body: Any) -> str:
    """The one sentence of a refusal; the ledger is as it was."""
    seq = door.station.engine.seq
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "message"}
    assert door.station.engine.seq == seq
    return str(answer.json()["message"])


# -- what is used --------------------------------------------------------------------------------------


async def test_every_limit_is_told_with_what_is_used_of_it(client: httpx.AsyncClient) -> None:
    page = await ask(client, "/risk")
    rows = {row["limit"]: row for row in page["limits"]}
    assert {"total_exposure_quote", "day_loss_quote", "drawdown", "value_at_risk_quote"} <= rows.keys()
    exposure = rows["total_exposure_quote"]
    assert (exposure["used"], exposure["bound"], exposure["unit"]) == ("0.00", "200.00", "USDT")
    assert (exposure["fraction"], exposure["broken"], exposure["why"]) == (0.0, False, "")
    assert (page["mode"], page["account"], page["missing"], page["halt"]) == ("paper", "paper", [], None)
    assert {each["name"] for each in page["triggers"]} >= {"day_loss", "drawdown", "mismatch", "clock"}
    assert {each["kind"] for each in page["watched"]} == {rule["kind"] for rule in page["watched"]}
    assert page["sizing"]["method"] == "budget"


async def test_the_picture_of_a_dashboard_says_the_same(door: Door, client: httpx.AsyncClient) -> None:
    await paused(door)
    page, shown = await ask(client, "/risk"), risk_rows.shown(door.station.engine)
    for name in ("protections", "monitors", "triggers", "missing", "rehearsed", "quote", "at_risk", "equity"):
        assert shown[name] == page[name], name
    gauges = {row["limit"]: row for row in shown["limits"]}
    assert all(row in page["limits"] for row in gauges.values())
    assert all(row["bound"] for row in gauges.values())
    assert {"name", "used", "bound", "unit", "fraction"} <= gauges["total_exposure_quote"].keys()


async def test_a_halt_and_a_pause_are_told_with_who_and_until_when(
    door: Door, client: httpx.AsyncClient
) -> None:
    pause = await paused(door)
    await safety.halt(door.station.engine, "ada", "a drill")
    page = await ask(client, "/risk")
    assert (page["halt"]["by"], page["halt"]["why"]) == ("ada", "a drill")
    [row] = page["protections"]
    assert (row["protection_id"], row["until_ns"]) == (pause.protection_id, pause.until_ns)
    assert row["ends"].startswith("until ")
    broken = {each["limit"] for each in page["limits"] if each["broken"]}
    assert {"halted", "protection_loss_streak"} <= broken


async def test_what_live_trading_lacks_is_told(tmp_path: Path) -> None:
    live = await planned(tmp_path, mode="live")
    async with live.client() as client:
        page = await ask(client, "/risk")
        assert [row["limit"] for row in page["missing"]] == ["live_preflight", "live_limits"]
        assert {"live_preflight", "live_limits"} <= {r["limit"] for r in page["limits"] if r["broken"]}
        told = await ask(client, "/risk/check", snipe_id=live.snipe_id)
        assert not told["cleared"]
        assert {"live_preflight", "live_limits"} <= {row["limit"] for row in told["breaches"]}
    live.station.close()


# -- what if -------------------------------------------------------------------------------------------


async def test_an_entry_is_asked_about_and_nothing_is_written(door: Door, client: httpx.AsyncClient) -> None:
    seq = door.station.engine.seq
    told = await ask(client, "/risk/check", snipe_id=door.snipe_id)
    assert told["cleared"], told["breaches"]
    rows = {row["limit"]: row for row in told["limits"]}
    total = rows["total_exposure_quote"]
    assert (total["before"], total["after"], total["broken"]) == ("0.00", "50.00", False)
    assert total["fraction"] == 0.25
    assert told["plan"]["snipe_id"] == door.snipe_id
    assert door.station.engine.seq == seq


async def test_every_limit_that_an_entry_would_break_is_named(door: Door, client: httpx.AsyncClient) -> None:
    await paused(door)
    told = await ask(client, "/risk/check", snipe_id=door.snipe_id, budget="900", probability="0.1")
    names = {row["limit"] for row in told["breaches"]}
    assert not told["cleared"]
    assert {"per_order_quote", "per_symbol_quote", "total_exposure_quote", "minimum_probability"} <= names
    assert "protection_loss_streak" in names
    assert all(row["why"] for row in told["breaches"])
    assert names == {row["limit"] for row in told["limits"] if row["broken"]}


async def test_a_pair_is_asked_about_as_the_strategy_would_plan_it(
    door: Door, client: httpx.AsyncClient
) -> None:
    symbol = door.symbol
    told = await ask(client, "/risk/check", symbol=symbol, budget="20", price_cap="5")
    plan = told["plan"]
    assert (plan["snipe_id"], plan["symbol"], plan["budget"], plan["price_cap"]) == (None, symbol, "20", "5")
    assert {row["limit"]: row for row in told["limits"]}["per_order_quote"]["after"] == "20.00"


BAD_PLANS: list[tuple[int, dict[str, Any], str]] = [
    (422, {"budget": "5"}, "snipe_id or a symbol"),
    (422, {"symbol": "ABCUSDT", "snipe_id": "x"}, "not both"),
    (422, {"symbol": "ABCUSDT", "budget": "-5"}, "budget"),
    (422, {"symbol": "ABCUSDT", "budget": "NaN"}, "budget"),
    (422, {"symbol": "ABCUSDT", "leverage": "5"}, "leverage"),
    (404, {"snipe_id": "nobody"}, "'nobody'"),
    (409, {"symbol": "nonsense"}, "is not a symbol"),
    (409, {"symbol": "NOWHEREUSDT"}, "NOWHEREUSDT"),
]


@pytest.mark.parametrize(("status", "body", "words"), BAD_PLANS)
async def test_a_plan_that_is_none_is_one_clear_error(
    door: Door, client: httpx.AsyncClient, status: int, body: dict[str, Any], words: str
) -> None:
    assert words in await refused(door, client, status, "/risk/check", **body)


async def test_a_budget_that_buys_nothing_is_one_clear_error(door: Door, client: httpx.AsyncClient) -> None:
    message = await refused(door, client, 409, "/risk/check", snipe_id=door.snipe_id, budget="0.0000001")
    assert "above the budget" in message


# -- limits that a person takes on ---------------------------------------------------------------------


async def test_the_limits_are_shown_in_full_and_confirmed_by_their_digest(
    door: Door, client: httpx.AsyncClient
) -> None:
    shown = await ask(client, "/limits")
    assert (shown["account"], shown["confirmed"]) == ("paper", None)
    texts = {row["name"]: row["text"] for row in shown["limits"]}
    assert (texts["limits.per_order_quote"], texts["halt.day_loss"]) == ("50", "on")
    answer = await ask(
        client, "/limits/confirm", account="paper", digest=shown["digest"], by="ada", why="seen"
    )
    assert "confirmed by ada" in answer["message"]
    after = await ask(client, "/limits")
    assert (after["confirmed"]["by"], after["confirmed"]["in_force"]) == ("ada", True)
    assert door.station.engine.desk.confirmed is not None


BAD_CONFIRMATIONS: list[tuple[int, dict[str, str], str]] = [
    (409, {"digest": "0" * 64}, "not the limits in force"),
    (409, {"account": "other"}, "not on 'other'"),
    (422, {"digest": "short"}, "digest"),
    (422, {"why": "   "}, "why"),
    (422, {"account": ""}, "account"),
]


@pytest.mark.parametrize(("status", "wrong", "words"), BAD_CONFIRMATIONS)
async def test_limits_that_were_not_shown_are_not_confirmed(
    door: Door, client: httpx.AsyncClient, status: int, wrong: dict[str, str], words: str
) -> None:
    body = {"account": "paper", "digest": permits.digest(door.station.rules), "by": "ada", "why": "seen"}
    assert words in await refused(door, client, status, "/limits/confirm", **(body | wrong))
    assert door.station.engine.desk.confirmed is None


async def test_limits_are_not_confirmed_by_a_call_that_says_nobody(
    door: Door, client: httpx.AsyncClient
) -> None:
    body = {"account": "paper", "digest": permits.digest(door.station.rules), "why": "seen"}
    assert "name of a person" in await refused(door, client, 409, "/limits/confirm", **body)
    assert door.station.engine.desk.confirmed is None


# -- pauses --------------------------------------------------------------------------------------------


async def test_a_pause_is_released_with_a_reason_and_a_name(door: Door, client: httpx.AsyncClient) -> None:
    pause = await paused(door)
    await ask(client, f"/protections/{pause.protection_id}/release", by="ada", why="looked at")
    assert (await ask(client, "/risk"))["protections"] == []
    told = [event for _, event in door.station.ledger.read() if isinstance(event, e.ProtectionReleased)]
    assert [(event.protection_id, event.by, event.why) for event in told] == [
        (pause.protection_id, "ada", "looked at")
    ]


async def test_a_pause_is_not_released_without_a_reason_nor_one_that_is_none(
    door: Door, client: httpx.AsyncClient
) -> None:
    pause = await paused(door)
    path = f"/protections/{pause.protection_id}/release"
    assert "why" in await refused(door, client, 422, path, by="ada", why=" ")
    assert "why" in await refused(door, client, 422, path, by="ada")
    assert "'nothing'" in await refused(door, client, 404, "/protections/nothing/release", why="x")
    assert len((await ask(client, "/risk"))["protections"]) == 1


async def test_a_pause_that_is_over_is_not_released(door: Door, client: httpx.AsyncClient) -> None:
    now = door.station.clock.now_ns()
    pause = await paused(door, until_ns=now + 1)
    door.station.clock.move_to(now + HOUR)
    path = f"/protections/{pause.protection_id}/release"
    assert pause.protection_id in await refused(door, client, 409, path, why="too late")


# -- who asks ------------------------------------------------------------------------------------------

DOORS = [
    ("GET", "/risk"), ("GET", "/limits"), ("POST", "/risk/check"), ("POST", "/limits/confirm"),
    ("POST", "/protections/x/release"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), DOORS, ids=[f"{m} {p}" for m, p in DOORS])
async def test_a_wrong_token_is_told_nothing_and_moves_nothing(door: Door, method: str, path: str) -> None:
    seq = door.station.engine.seq
    async with door.client(token="an-expired-token") as client:
        answer = await client.request(method, path, json={"why": "x"} if method == "POST" else None)
    assert answer.status_code == 401
    assert "token is missing or wrong" in answer.json()["message"]
    assert door.station.engine.seq == seq
