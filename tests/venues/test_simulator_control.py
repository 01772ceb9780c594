"""The control endpoint: for this machine only, and every act on the venue that it offers."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.market import Symbol
from mexclab.venues.simulator import control
from mexclab.venues.simulator.control import is_loopback
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.http import Call, Reply
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.server import SimulatorServer
from mexclab.venues.simulator.world import PAPER_ACCOUNT, World, WorldTerms
from tests.venues.served import PATIENT, START_NS, Served, listings_only, served

SECRET = "5ecre7" * 5


async def state(venue: Served) -> dict[str, Any]:
    told: dict[str, Any] = await venue.ask("/simulator/state")
    return told


async def refused(venue: Served, name: str, body: Any) -> str:
    reply = await venue.client.post(f"/simulator/{name}", content=json.dumps(body))
    assert reply.status_code == 400, reply.text
    words: str = reply.json()["msg"]
    return words


# -- who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("::ffff:10.0.0.1", False), ("8.8.8.8", False), ("", False), ("localhost", False), ("0.0.0.0", False)],
)  # fmt: skip
def test_only_this_machines_own_addresses_are_loopback(peer: str, ours: bool) -> None:
    assert is_loopback(peer) is ours


@pytest.mark.parametrize(
    ("peer", "headers"), [("10.0.0.9", {}), ("127.0.0.1", {"origin": "http://a.example"})]
)
async def test_a_stranger_may_nothing(peer: str, headers: dict[str, str]) -> None:
    server = SimulatorServer(listings_only(START_NS), PATIENT, Faults())
    for (method, path), route in control.routes(server).items():
        reply = route.handle(Call(method, path, "", b"{}", headers, peer, {}))
        assert isinstance(reply, Reply)
        assert reply.status == 403, path
    server.hub.stop()


async def test_a_page_in_this_machines_browser_is_a_stranger() -> None:
    async with served() as venue:
        reply = await venue.client.delete("/simulator/faults", headers={"Origin": "http://a.example"})
    assert reply.status_code == 403


# -- the state -----------------------------------------------------------------------------------


async def test_the_state_tells_time_symbols_accounts_faults_and_counters_but_no_secret() -> None:
    async with served() as venue:
        key = "mx0annsKeyIsLong"
        account = {"owner": "ann", "key": key, "secret": SECRET, "balances": {"USDT": "5.50"}}
        assert (await venue.control("accounts", **account)).status_code == 200
        reply = await venue.client.get("/simulator/state")
        told = reply.json()
    assert SECRET not in reply.text
    assert PAPER_ACCOUNT.secret not in reply.text
    assert key not in reply.text
    assert told["now_ns"] == told["told_ns"] == START_NS
    assert told["next_ns"] > START_NS
    assert told["stepped"] is True
    assert {row["symbol"] for row in told["symbols"]} >= {"BTCUSDT", "ETHUSDT"}
    ann = next(row for row in told["accounts"] if row["owner"] == "ann")
    assert ann["balances"] == {"USDT": {"free": "5.5", "locked": "0"}}
    assert told["counters"]["requests"] == 2
    assert told["faults"]["applied"] == []


# -- faults and the clock ------------------------------------------------------------------------


async def test_a_fault_plan_is_put_in_shown_and_ended() -> None:
    rule = {"fault": "status", "path": "/api/v3/time", "status": 503, "name": "down"}
    async with served() as venue:
        reply = await venue.control("faults", seed=3, rule=[rule])
        assert reply.json() == {"code": 0, "msg": "success", "rules": 1, "acts": 0}
        assert (await venue.client.get("/api/v3/time")).status_code == 503
        told = (await state(venue))["faults"]
        assert told["plan"]["seed"] == 3
        assert told["counts"] == {"status": 1}
        assert told["applied"] == [
            {"at_ns": START_NS, "rule": "down", "fault": "status", "what": "GET /api/v3/time"}
        ]
        assert (await venue.client.delete("/simulator/faults")).status_code == 200
        assert (await venue.client.get("/api/v3/time")).status_code == 200


async def test_a_plan_may_come_as_toml() -> None:
    text = '[[rule]]\nfault = "html"\npath = "/api/v3/time"\n'
    async with served() as venue:
        headers = {"Content-Type": "application/toml"}
        reply = await venue.client.post("/simulator/faults", content=text, headers=headers)
        assert reply.status_code == 200
        assert (await venue.client.get("/api/v3/time")).text.startswith("<html>")


async def test_a_plan_that_cannot_be_used_leaves_the_old_one() -> None:
    async with served() as venue:
        await venue.control("faults", rule=[{"fault": "html", "path": "/api/v3/time"}])
        words = await refused(venue, "faults", {"rule": [{"fault": "html", "path": "*", "oops": 1}]})
        assert "rule 1" in words
        assert "oops" in words
        assert (await venue.client.get("/api/v3/time")).status_code == 502


async def test_the_clock_is_set_wrong_and_right_again() -> None:
    async with served() as venue:
        await venue.control("clock", shift_ms=-5000)
        assert (await state(venue))["told_ns"] == START_NS - 5 * SECOND
        await venue.control("clock")
        assert (await state(venue))["told_ns"] == START_NS
        assert "shift_ms" in await refused(venue, "clock", {"shift_ms": "much"})


# -- listings ------------------------------------------------------------------------------------


async def test_every_act_on_a_listing_is_done() -> None:
    async with served() as venue:
        world = venue.world

        async def act(name: str, symbol: str = "BTCUSDT", **more: Any) -> dict[str, Any]:
            reply = await venue.control("listing", act=name, symbol=symbol, **more)
            assert reply.status_code == 200, reply.text
            told: dict[str, Any] = reply.json()["symbol"]
            return told

        assert (await act("pause"))["status"] == "2"
        assert (await act("reopen"))["status"] == "1"
        assert (await act("limit_sides", side="BUY"))["side_type"] == 2
        assert (await act("limit_sides"))["side_type"] == 1
        assert (await act("forbid_api", for_s=20))["api_tradable"] is False
        world.advance(START_NS + 21 * SECOND)
        assert (await state(venue))["symbols"][0]["api_tradable"] is True
        assert (await act("delist"))["status"] == "3"
        coming = next(row for row in world.rows() if row.first_open_ns > world.now_ns)
        later = coming.first_open_ns + 30 * MINUTE
        assert (await act("postpone", str(coming.symbol), by_s=1800))["first_open_ns"] == later
        assert (await act("postpone", str(coming.symbol), to_ns=later + 1))["first_open_ns"] == later + 1


async def test_a_pause_may_end_by_itself() -> None:
    async with served() as venue:
        await venue.control("listing", act="pause", symbol="BTCUSDT", for_s=60)
        venue.world.advance(START_NS + 59 * SECOND)
        assert (await state(venue))["symbols"][0]["status"] == "2"
        venue.world.advance(START_NS + 60 * SECOND)
        assert (await state(venue))["symbols"][0]["status"] == "1"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"act": "pause", "symbol": "NOPEUSDT"}, "'NOPEUSDT' is neither listed nor announced"),
        ({"act": "pause"}, "needs the symbol"),
        ({"act": "fly", "symbol": "BTCUSDT"}, "act"),
        ({"act": "pause", "symbol": "BTCUSDT", "at_s": 1}, "take it out"),
        ({"act": "postpone", "symbol": "BTCUSDT", "to_ns": 1}, "that is past"),
        ({"act": "postpone", "symbol": "BTCUSDT", "to_ns": 10**40}, "to_ns"),
        ({"act": "clock", "shift_ms": 1}, "the clock is no listing"),
        ([], "listing"),
    ],
)
async def test_an_act_that_cannot_be_done_is_refused_in_words(body: Any, words: str) -> None:
    async with served() as venue:
        assert words in await refused(venue, "listing", body)


# -- accounts ------------------------------------------------------------------------------------


async def test_an_account_is_added_and_paid() -> None:
    async with served() as venue:
        account = {"owner": "ann", "key": "mx0ann", "secret": SECRET, "balances": {"USDT": "10"}}
        assert (await venue.control("accounts", **account)).json()["accounts"] == 2
        paid = await venue.control("deposit", owner="ann", asset="BTC", amount="0.25")
        assert paid.json() == {"code": 0, "msg": "success", "free": "0.25", "locked": "0"}
        taken = await venue.control("deposit", owner="ann", asset="BTC", amount="-0.05")
        assert taken.json()["free"] == "0.2"
        assert venue.world.matcher.accounts.balance("ann", "USDT").free == Decimal(10)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("accounts", {"owner": "ann"}, "key"),
        ("accounts", {"owner": "", "key": "k", "secret": "s"}, "owner"),
        ("accounts", {"owner": "a b", "key": "k", "secret": "s"}, "owner must be"),
        (
            "accounts",
            {"owner": "a", "key": "k", "secret": "s", "balances": {"USDT": "NaN"}},
            "balance of USDT",
        ),
        (
            "accounts",
            {"owner": "a", "key": "k", "secret": "s", "balances": {"USDT": "-1"}},
            "balance of USDT",
        ),
        ("accounts", {"owner": "a", "key": PAPER_ACCOUNT.key, "secret": "s"}, "that key is paper's"),
        ("deposit", {"owner": "nobody", "asset": "USDT", "amount": "1"}, "nobody here is called nobody"),
        ("deposit", {"owner": "paper", "asset": "USDT", "amount": "-1e9"}, "more than is free"),
        ("deposit", {"owner": "paper", "asset": "USDT", "amount": "Infinity"}, "must be a number"),
        ("deposit", {"owner": "paper", "asset": "USDT", "amount": "x"}, "amount"),
    ],
)
async def test_what_cannot_be_an_account_or_a_deposit_is_refused(name: str, body: Any, words: str) -> None:
    async with served() as venue:
        assert words in await refused(venue, name, body)
        assert len(venue.world.accounts) == 1
        assert venue.world.matcher.accounts.balance("paper", "USDT").free == Decimal(1000)


# -- stepping ------------------------------------------------------------------------------------


async def test_a_step_moves_the_world_and_says_what_comes_next() -> None:
    async with served() as venue:
        told = (await venue.control("advance", to_ns=START_NS + SECOND)).json()
        assert list(told) == ["now_ns", "next_ns", "mark", "orders_in_flight"]
        assert told["now_ns"] == venue.world.now_ns == START_NS + SECOND
        assert told["next_ns"] > told["now_ns"]
        again = (await venue.control("advance", to_ns=START_NS)).json()
        assert again["now_ns"] == START_NS + SECOND
        assert again["mark"] == told["mark"] + 1
        assert (await venue.control("advance")).json()["now_ns"] == START_NS + SECOND


async def test_every_open_stream_sees_the_mark_after_all_that_was_due() -> None:
    channel = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
    async with served() as venue, websockets.connect(venue.server.ws_url) as socket:
        await socket.send(json.dumps({"method": "SUBSCRIPTION", "params": [channel]}))
        assert json.loads(await socket.recv())["msg"] == channel
        told = (await venue.control("advance", to_ns=START_NS + 20 * SECOND)).json()
        got = []
        async with asyncio.timeout(5):
            while not isinstance(frame := await socket.recv(), str):
                got.append(frame)
    assert got
    assert json.loads(frame) == {"id": 0, "code": 0, "msg": f"MARK {told['mark']}"}


async def test_a_step_waits_for_the_orders_that_are_on_their_way() -> None:
    async with served() as venue:
        step = asyncio.create_task(venue.control("advance", to_ns=START_NS + SECOND, orders=1))
        await asyncio.sleep(0.1)
        assert not step.done()
        assert venue.world.now_ns == START_NS
        assert (await venue.client.delete("/api/v3/order?symbol=BTCUSDT")).status_code == 400
        assert (await step).json()["now_ns"] == START_NS + SECOND


async def test_a_step_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "WAIT_S", 0.2)
    async with served() as venue:
        reply = await venue.control("advance", to_ns=START_NS + SECOND, orders=3)
        assert reply.status_code == 409
        assert "0 of 3 orders" in reply.json()["msg"]
        assert venue.world.now_ns == START_NS


async def test_time_that_runs_by_itself_is_not_to_be_stepped() -> None:
    async with served(terms=ServerTerms(), world=listings_only(START_NS)) as venue:
        reply = await venue.control("advance", to_ns=START_NS + SECOND)
    assert reply.status_code == 409
    assert "stepped" in reply.json()["msg"]


@pytest.mark.parametrize(
    "body", [{"to_ns": -1}, {"to_ns": 2**63}, {"to_ns": "soon"}, {"orders": -1}, {"x": 1}, []]
)
async def test_a_step_that_is_none_is_refused(body: Any) -> None:
    async with served() as venue:
        assert "advance" in await refused(venue, "advance", body)
        assert venue.world.now_ns == START_NS


# -- nonsense ------------------------------------------------------------------------------------

_texts = st.binary(max_size=40) | st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["act", "symbol", "owner", "to_ns", "rule", "shift_ms"]), inner, max_size=4
        )
    ),
).map(lambda value: json.dumps(value).encode())


@given(st.sampled_from(["faults", "listing", "clock", "accounts", "deposit", "advance"]), _texts)
def test_any_body_is_done_or_refused_and_never_breaks_the_venue(name: str, body: bytes) -> None:
    async def ask() -> Reply:
        answer = _NONSENSE[name].handle(Call("POST", f"/simulator/{name}", "", body, {}, "127.0.0.1", {}))
        return answer if isinstance(answer, Reply) else await answer

    reply = asyncio.run(ask())
    assert reply.status in (200, 400, 409)
    json.loads(reply.body)


def _nonsense_routes() -> dict[str, Any]:
    world = World(WorldTerms(START_NS, seed=7, pairs=("MXUSDT",), past_days=1))
    server = SimulatorServer(world, ServerTerms(), Faults())
    return {path.rpartition("/")[2]: route for (_, path), route in control.routes(server).items()}


_NONSENSE = _nonsense_routes()


async def test_unknown_symbols_of_other_alphabets_are_named_as_they_are() -> None:
    async with served() as venue:
        assert "索拉拉USDT" in await refused(venue, "listing", {"act": "pause", "symbol": "索拉拉USDT"})
        assert venue.world.row(str(Symbol("BTC"))) is not None
