"""HTTP on bare sockets: keep-alive, pipelining, chunks, and whatever else may come."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.venues.simulator.connection import LARGEST_BODY, LARGEST_HEAD, UNANSWERED, Connection, Turn
from mexclab.venues.simulator.fault_plan import FaultPlan, plan_of
from mexclab.venues.simulator.http import Call, Reply, body_parameters, parameters, plain
from tests.naive.query import naive_parameters
from tests.venues.raw_wire import JSON, PATIENT, TRADER, Wire, request, venue

PING = request("GET", "/api/v3/ping")
TIME = request("GET", "/api/v3/time")
ORDER = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.001&price=50000"


# -- on sockets --------------------------------------------------------------------------------------


async def test_a_connection_serves_one_request_after_the_other():
    async with venue() as v:
        for _ in range(3):
            answer = await v.wire.ask("GET", "/api/v3/ping")
            assert (answer.status, answer.body) == (200, b"{}")
            assert answer.headers["content-type"].startswith("application/json")
        assert len(v.server.connections) == 1


async def test_pipelined_requests_are_answered_in_their_order():
    async with venue() as v:
        v.wire.send(PING + TIME + request("GET", "/nothing") + PING)
        bodies = [(await v.wire.answer()).body for _ in range(4)]
        assert bodies == [b"{}", b'{"serverTime":%d}' % v.now_ms, b'{"code":404,"msg":"Not Found"}', b"{}"]


async def test_an_early_answer_waits_for_a_late_one_before_it():
    rule = {"path": "/api/v3/time", "fault": "delay", "delay_ms": 40}
    async with venue(plan=plan_of({"rule": [rule]})) as v:
        v.wire.send(TIME + PING)
        assert b"serverTime" in (await v.wire.answer()).body
        assert (await v.wire.answer()).body == b"{}"


async def test_a_request_may_come_byte_by_byte():
    async with venue() as v:
        for byte in PING:
            v.wire.send(bytes((byte,)))
            await v.wire.writer.drain()
            await asyncio.sleep(0)
        assert (await v.wire.answer()).body == b"{}"


async def test_a_body_may_come_in_chunks():
    async with venue() as v:
        body = f"{ORDER}&timestamp={v.now_ms}"
        target = v.signed("order/test")
        chunked = f"POST {target} HTTP/1.1\r\nX-MEXC-APIKEY: {TRADER.key}\r\nTransfer-Encoding: chunked\r\n"
        chunked += "Content-Type: application/json\r\n\r\n"
        v.wire.send(
            chunked.encode()
            + b"3\r\nsym\r\n%x\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(body) - 3, body[3:].encode())
        )
        assert (await v.wire.answer()).refusal[1] == 700002  # read whole, and judged with the query
        assert (await v.wire.ask("GET", "/api/v3/ping")).status == 200


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n"],
)
async def test_what_is_no_http_is_refused_in_json_and_hung_up_on(garbage):
    async with venue() as v:
        v.wire.send(garbage)
        answer = await v.wire.answer()
        assert answer.refusal == (400, 400, "Bad Request")
        assert answer.headers["connection"] == "close"
        assert await v.wire.is_closed()
        other = await Wire.open(v.server)
        assert (await other.ask("GET", "/api/v3/ping")).status == 200
        await other.close()


async def test_requests_before_the_garbage_are_still_answered():
    async with venue() as v:
        v.wire.send(PING + b"\x00\x00\x00")
        assert (await v.wire.answer()).status == 200
        assert (await v.wire.answer()).status == 400
        assert await v.wire.is_closed()


@pytest.mark.parametrize(
    "head", [b"GET /%b HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX: %b\r\n", b"GET / HTTP/1.1\r\n%b: x\r\n"]
)
async def test_a_head_that_is_too_large_is_refused(head):
    async with venue() as v:
        v.wire.send(head % (b"a" * (LARGEST_HEAD + 1)) + b"\r\n")
        assert (await v.wire.answer()).status == 431
        assert await v.wire.is_closed()


async def test_a_head_without_an_end_is_refused():
    async with venue() as v:
        v.wire.send(b"GET / HTTP/1.1\r\n")
        for number in range(30):
            v.wire.send(b"X-%d: %b\r\n" % (number, b"y" * 8_000))
        assert (await v.wire.answer()).status == 431


async def test_a_body_that_is_too_large_is_refused():
    async with venue() as v:
        v.wire.send(request("POST", "/api/v3/order", b"x" * (LARGEST_BODY + 1)))
        assert (await v.wire.answer()).refusal == (413, 413, "Payload Too Large")


async def test_unknown_paths_and_methods_are_told_apart():
    async with venue() as v:
        assert (await v.wire.ask("GET", "/api/v3/unknown")).refusal == (404, 404, "Not Found")
        assert (await v.wire.ask("GET", "/api/v3")).refusal[0] == 404
        assert (await v.wire.ask("DELETE", "/api/v3/ping")).refusal[0] == 405


async def test_a_client_that_says_close_is_closed():
    async with venue() as v:
        answer = await v.wire.ask("GET", "/api/v3/ping", Connection="close")
        assert answer.headers["connection"] == "close"
        assert await v.wire.is_closed()
        old = await Wire.open(v.server)
        old.send(b"GET /api/v3/ping HTTP/1.0\r\n\r\n")
        assert (await old.answer()).status == 200
        assert await old.is_closed()
        await old.close()


async def test_a_head_request_is_answered_without_a_body():
    async with venue() as v:
        v.wire.send(request("HEAD", "/api/v3/ping"))
        answer = await v.wire.answer(has_body=False)
        assert answer.status == 405
        assert int(answer.headers["content-length"]) > 0
        assert (await v.wire.ask("GET", "/api/v3/ping")).body == b"{}"


async def test_who_expects_to_be_told_to_go_on_is_told():
    async with venue() as v:
        v.wire.send(b"POST /api/v3/order HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await v.wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        v.wire.send(b"{}")
        assert (await v.wire.answer()).refusal == (400, 400, "api key required")


async def test_who_closes_his_half_still_gets_his_answers():
    rule = {"path": "/api/v3/time", "fault": "delay", "delay_ms": 30}
    async with venue(plan=plan_of({"rule": [rule]})) as v:
        v.wire.send(TIME + PING)
        v.wire.writer.write_eof()
        assert (await v.wire.answer()).status == 200
        assert (await v.wire.answer()).status == 200
        assert await v.wire.is_closed()


async def test_a_flood_of_pipelined_requests_is_answered_whole():
    async with venue() as v:
        count = 4 * UNANSWERED
        v.wire.send(PING * count)
        for _ in range(count):
            assert (await v.wire.answer()).status == 200


async def test_a_websocket_is_only_at_its_path():
    async with venue() as v:
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        v.wire.send(request("GET", "/api/v3/ping", headers=upgrade))
        assert (await v.wire.answer()).status == 404
        assert await v.wire.is_closed()
        stream = await Wire.open(v.server)
        stream.send(request("GET", "/ws", headers=upgrade) + b'\x81\x86\x00\x00\x00\x00{"a":1')
        head = await stream.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert v.server.hub.connections == 1
        await stream.close()


async def test_an_upgrade_to_something_else_is_answered_as_if_nothing_were_asked():
    async with venue() as v:
        answer = await v.wire.ask("GET", "/api/v3/ping", Upgrade="h2c", Connection="Upgrade")
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_silent_connection_is_closed():
    async with venue(terms=replace(PATIENT, time_scale=1_500)) as v:
        assert (await v.wire.ask("GET", "/api/v3/ping")).status == 200
        assert await v.wire.is_closed()


async def test_stopping_hangs_up_on_everybody():
    async with venue() as v:
        await v.wire.ask("GET", "/api/v3/ping")
        await v.server.stop()
        assert await v.wire.is_closed()
        with pytest.raises(OSError):
            await Wire.open(v.server)


# -- faults on the wire ------------------------------------------------------------------------------


def faulty(fault: str, **more: object) -> FaultPlan:
    rule = {"path": "/api/v3/order", "fault": fault, "nth": 1, **more}
    return plan_of({"rule": [rule]})


async def test_a_lost_reply_is_of_an_order_that_exists():
    async with venue(plan=faulty("lose_reply")) as v:
        v.wire.send(request("POST", v.signed("order", ORDER), b"", {"X-MEXC-APIKEY": TRADER.key, **JSON}))
        assert await v.wire.is_closed()
        assert len(v.world.matcher.placed("trader")) == 1
        assert v.server.orders_received == 1


async def test_a_dropped_request_leaves_no_trace():
    async with venue(plan=faulty("drop")) as v:
        v.wire.send(request("POST", v.signed("order", ORDER), b"", {"X-MEXC-APIKEY": TRADER.key, **JSON}))
        assert await v.wire.is_closed()
        assert v.world.matcher.placed("trader") == []


async def test_a_request_that_is_doubled_is_carried_out_twice_and_answered_once():
    async with venue(plan=faulty("duplicate_request")) as v:
        assert (await v.order(ORDER))["symbol"] == "BTCUSDT"
        assert len(v.world.matcher.placed("trader")) == 2
        assert await v.ok("GET", "kyc/status") == {"status": "1"}


async def test_a_doubled_reply_comes_twice():
    async with venue(plan=faulty("duplicate_reply")) as v:
        first = await v.order(ORDER)
        assert (await v.wire.answer()).json == first


async def test_a_reply_that_drips_arrives_whole_and_later_ones_after_it():
    async with venue(plan=faulty("slow_reply", delay_ms=30)) as v:
        headers = {"X-MEXC-APIKEY": TRADER.key, **JSON}
        v.wire.send(request("POST", v.signed("order", ORDER), b"", headers) + PING)
        assert (await v.wire.answer()).json["origQty"] == "0.001"
        assert (await v.wire.answer()).body == b"{}"


async def test_a_fault_may_be_of_one_account_alone():
    async with venue(plan=faulty("drop", account="somebody else")) as v:
        await v.order(ORDER)
    async with venue(plan=faulty("status", status=503, account="trader")) as v:
        assert (await v.refused("POST", "order", ORDER))[0] == 503


# -- the door itself ---------------------------------------------------------------------------------


class Memory(asyncio.Transport):
    """A transport whose other end is a list of bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: object) -> None:
        assert not self.is_closed
        self.written += bytes(data)  # type: ignore[call-overload]

    def close(self) -> None:
        self.is_closed = True

    def can_write_eof(self) -> bool:
        return False


class Echo:
    """A desk that says what it was asked."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()

    def take(self, call: Call, turn: Turn) -> None:
        said = f"{call.method} {call.path} {sorted(call.params.items())} {sorted(call.headers)}"
        turn.reply(Reply(200, said.encode()))

    def upgrade(self, transport: asyncio.Transport, path: str, head: bytes) -> None:
        return None


def said(*pieces: bytes) -> Memory:
    """What a connection answers to these pieces."""
    transport, connection = Memory(), Connection(Echo())
    connection.connection_made(transport)
    for piece in pieces:
        connection.data_received(piece)
    return transport


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_no_bytes_break_the_door(pieces):
    transport = said(*pieces)
    assert transport.written == b"" or transport.written.startswith(b"HTTP/1.1 ")


@given(st.binary(max_size=40), st.integers(0, 400))
def test_no_damage_to_a_request_breaks_the_door(junk, place):
    sound = request("POST", "/api/v3/order?a=1", b'{"b":2}', {"X-MEXC-APIKEY": "k", **JSON})
    spot = place % len(sound)
    transport = said(sound[:spot] + junk + sound[spot:], PING)
    assert transport.written.startswith(b"HTTP/1.1 ") or not transport.is_closed


@given(st.lists(st.integers(0, 500), max_size=12))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts):
    body = b"a=1&b=%20&a=2"
    whole = PING + request("POST", "/x?y=%41+1", body, JSON) + request("DELETE", "/y?z") + TIME
    places = sorted({cut % len(whole) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(places)]
    assert said(*pieces).written == said(whole).written


query_text = st.text("ab=&%+é\x00 4F", max_size=24)


@given(query_text)
def test_parameters_are_read_as_the_naive_twin_reads_them(text):
    raw = text.encode()
    assert parameters(raw.decode("latin-1")) == naive_parameters(raw)


@given(st.binary(max_size=60))
def test_no_body_breaks_the_reading_of_parameters(body):
    assert all(isinstance(value, str) for value in body_parameters(b"{" + body).values())
    assert all(isinstance(value, str) for value in body_parameters(body).values())


def test_a_json_body_keeps_every_digit():
    told = body_parameters(b'{"quantity":0.10000000000000000001,"price":1e5,"symbol":"BTCUSDT","x":null}')
    assert told == {"quantity": "0.10000000000000000001", "price": "1e5", "symbol": "BTCUSDT", "x": "null"}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_numbers_are_written_plainly(value):
    text = plain(value)
    assert type(value)(text) == value
    assert "E" not in text
    assert text != "-0"
    assert "." not in text or not text.endswith(("0", "."))
