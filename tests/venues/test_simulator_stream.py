"""The stream's wire: control in text, refusals in MEXC's words, and every rule that ends a connection."""

from __future__ import annotations

import asyncio
import json
import os
import socket as sockets
from collections.abc import AsyncIterator

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mexclab.errors import VenueRejected
from mexclab.venues.simulator.listen_keys import ListenKeys
from mexclab.venues.simulator.pools import ServerTerms
from mexclab.venues.simulator.session import answer, framed
from tests.venues.stream_door import Venue, venue

DEPTH = "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"
DEALS = "spot@public.aggre.deals.v3.api.pb@10ms@BTCUSDT"
ORDERS = "spot@private.orders.v3.api.pb"


@pytest.fixture
async def stream() -> AsyncIterator[Venue]:
    async with venue() as served:
        yield served


# -- control -----------------------------------------------------------------------------------------


async def test_a_subscription_is_acknowledged_with_the_channel_and_the_id_it_was_asked_with(
    stream: Venue,
) -> None:
    async with stream.client() as client:
        assert await client.ask("SUBSCRIPTION", [DEPTH]) == {"id": 0, "code": 0, "msg": DEPTH}
        assert await client.ask("SUBSCRIPTION", [DEALS], id=7) == {"id": 7, "code": 0, "msg": DEALS}
        assert await client.ask("UNSUBSCRIPTION", [DEALS], id=8) == {"id": 8, "code": 0, "msg": DEALS}


async def test_the_bytes_of_a_reply_are_those_of_the_venue() -> None:
    assert answer(3, "PONG") == b'{"id":3,"code":0,"msg":"PONG"}'


@pytest.mark.parametrize("method", ["PING", "ping"])
async def test_a_ping_in_text_is_answered(stream: Venue, method: str) -> None:
    async with stream.client() as client:
        assert await client.ask(method) == {"id": 0, "code": 0, "msg": "PONG"}
        await asyncio.wait_for(await client.socket.ping(), 5)  # and one of the protocol too


@pytest.mark.parametrize(
    "channel",
    [
        "",
        "spot@",
        "spot@public.aggre.deals.v3.api.pb@100ms",
        "spot@public.aggre.deals.v3.api.pb@50ms@BTCUSDT",
        "spot@public.aggre.deals.v3.api.pb@100ms@NOSUCHUSDT",
        "spot@public.aggre.deals.v3.api.pb@100ms@btcusdt",
        "spot@public.aggre.deals.v3.api@100ms@BTCUSDT",
        "spot@public.limit.depth.v3.api.pb@BTCUSDT@50",
        "spot@public.kline.v3.api.pb@BTCUSDT@Min2",
        "spot@public.miniTicker.v3.api.pb@BTCUSDT",
        "spot@public.miniTicker.v3.api.pb@BTCUSDT@UTC+14",
        "spot@public.miniTickers.v3.api.pb",
        "spot@public.miniTickers.v3.api.pb@UTC-4:30",
        "spot@private.orders.v3.api.pb",
        "swap@public.aggre.deals.v3.api.pb@100ms@BTCUSDT",
        "索拉拉USDT",
    ],
)
async def test_what_there_is_not_is_refused_with_code_0_and_a_full_width_colon(
    stream: Venue, channel: str
) -> None:
    async with stream.client() as client:
        words = f"Not Subscribed successfully! [{channel}].  Reason： Blocked! "
        assert await client.ask("SUBSCRIPTION", [channel]) == {"id": 0, "code": 0, "msg": words}
        assert stream.hub._channels == {}


async def test_each_of_several_channels_is_taken_or_refused_for_itself(stream: Venue) -> None:
    async with stream.client() as client:
        first = await client.ask("SUBSCRIPTION", [DEPTH, "x", DEALS, "y", DEPTH], id=4)
        assert first == {"id": 4, "code": 0, "msg": f"{DEPTH},{DEALS}"}
        second = await client.text()
        assert second["msg"] == "Not Subscribed successfully! [x,y].  Reason： Blocked! "


async def test_a_channel_subscribed_to_twice_counts_and_speaks_once(stream: Venue) -> None:
    async with stream.client(DEPTH) as client:
        assert (await client.ask("SUBSCRIPTION", [DEPTH, DEPTH]))["msg"] == DEPTH
        stream.step(2)
        channels = [frame.channel for frame in await client.until_mark(1)]
        assert channels == [DEPTH]


async def test_the_31st_subscription_is_refused_and_room_is_made_by_unsubscribing(stream: Venue) -> None:
    zones = [f"UTC{hours:+d}" for hours in range(-10, 14)]
    names = [f"spot@public.miniTicker.v3.api.pb@BTCUSDT@{zone}" for zone in [*zones, "24H", "UTC+4:30"]]
    names += [f"spot@public.limit.depth.v3.api.pb@MXUSDT@{depth}" for depth in (5, 10, 20)]
    names += [DEPTH]
    assert len(names) == 30
    async with stream.client(*names) as client:
        assert "Blocked" in (await client.ask("SUBSCRIPTION", [DEALS]))["msg"]
        assert (await client.ask("SUBSCRIPTION", [DEPTH]))["msg"] == DEPTH  # it has it already
        await client.ask("UNSUBSCRIPTION", [names[0]])
        assert (await client.ask("SUBSCRIPTION", [DEALS]))["msg"] == DEALS


async def test_after_unsubscribing_nothing_more_comes_and_the_channel_is_forgotten(stream: Venue) -> None:
    async with stream.client(DEPTH) as client:
        await client.ask("UNSUBSCRIPTION", [DEPTH, "never subscribed to"])
        stream.step(2)
        assert await client.until_mark(1) == []
    assert stream.hub._channels == {}


# -- the ends of a connection ------------------------------------------------------------------------


def quick(**terms: float) -> ServerTerms:
    """A day in nine seconds: 30 s are 3 ms, so tests give what they want to outlive."""
    return ServerTerms(**{"time_scale": 100.0, **terms})  # type: ignore[arg-type]


async def closed(client: websockets.ClientConnection) -> tuple[int | None, float]:
    """Read to the end: the close code and when it came, in seconds from here."""
    began = asyncio.get_running_loop().time()
    try:
        while True:
            await asyncio.wait_for(client.recv(), 10)
    except ConnectionClosed:
        pass
    return client.close_code, asyncio.get_running_loop().time() - began


async def test_a_connection_without_a_subscription_is_closed_after_30_s_of_the_venue() -> None:
    async with venue(terms=quick()) as stream, stream.client() as client:
        assert (await client.ask("SUBSCRIPTION", ["nothing"]))["code"] == 0  # is no subscription
        code, after_s = await closed(client.socket)
        assert code == 1008
        assert 0.15 < after_s < 2  # 30 s / 100, and a slow machine


async def test_who_unsubscribes_from_everything_has_another_30_s() -> None:
    async with venue(terms=quick()) as stream, stream.client(DEPTH) as client:
        await asyncio.sleep(0.4)
        await client.ask("UNSUBSCRIPTION", [DEPTH])
        code, after_s = await closed(client.socket)
        assert code == 1008
        assert after_s > 0.15


async def test_a_connection_without_data_is_closed_after_60_s_and_a_ping_keeps_it() -> None:
    async with venue(terms=quick()) as stream, stream.client(DEPTH) as kept, stream.client(DEALS) as idle:
        began = asyncio.get_running_loop().time()
        task = asyncio.ensure_future(closed(idle.socket))
        for _ in range(12):
            await asyncio.sleep(0.1)
            assert await kept.ask("PING") == {"id": 0, "code": 0, "msg": "PONG"}
        code, after_s = await task
        assert code == 1008
        assert 0.4 < after_s < 1.2 <= asyncio.get_running_loop().time() - began


async def test_a_connection_has_its_day_and_no_more() -> None:
    terms = quick(connection_life_s=60.0, idle_s=1e9)
    async with venue(terms=terms) as stream, stream.client(DEPTH) as client:
        code, after_s = await closed(client.socket)
        assert code == 1001
        assert 0.3 < after_s < 3


async def test_more_than_a_hundred_messages_in_a_second_end_the_connection(stream: Venue) -> None:
    async with stream.client() as client:
        for _ in range(250):
            await client.socket.send('{"method":"PING"}')
        code, _ = await closed(client.socket)
        assert code == 1008


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_are_served(stream: Venue) -> None:
    async with stream.client(DEALS) as good:
        _, writer = await raw_subscriber(stream.url, DEPTH)
        slow = next(iter(stream.hub._channels[DEPTH].sessions))
        megabyte = framed(bytes(1 << 20))
        for _ in range(40):  # nobody reads: the kernel takes a few of them, then they pile up here
            stream.hub._put([slow], megabyte)
            stream.hub._write_out()
            await asyncio.sleep(0)
            if stream.hub.connections == 1:
                break
        assert stream.hub.connections == 1
        stream.step(5)
        assert {frame.channel for frame in await good.until_mark(1)} == {DEALS}
        writer.close()


async def raw_subscriber(url: str, channel: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A subscriber with a small receive buffer, by hand."""
    host, port = url.removeprefix("ws://").split("/")[0].split(":")
    plug = sockets.socket()
    plug.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=plug, limit=1 << 16)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    text = json.dumps({"method": "SUBSCRIPTION", "params": [channel]}).encode()
    mask = os.urandom(4)
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    writer.write(bytes((0x81, 0x80 | len(text))) + mask + body)
    await reader.readuntil(b"}")
    return reader, writer


async def test_a_compression_offer_is_not_taken_up(stream: Venue) -> None:
    async with stream.client() as client:
        assert client.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in client.socket.response.headers


async def test_a_request_that_is_no_upgrade_is_answered_and_the_hub_forgets_it(stream: Venue) -> None:
    host, port = stream.url.removeprefix("ws://").split("/")[0].split(":")
    for head in (
        b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //[?listenKey=%ff HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head)
        reply = await asyncio.wait_for(reader.read(), 5)
        assert reply == b"" or reply.startswith((b"HTTP/1.1 4", b"HTTP/1.1 426"))
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0)
    assert stream.hub.connections == 0


async def test_stopping_says_goodbye_to_everybody() -> None:
    async with venue() as stream, stream.client(DEPTH) as client:
        stream.hub.stop()
        code, _ = await closed(client.socket)
        assert code == 1001
    assert stream.hub.connections == 0


# -- listen keys -------------------------------------------------------------------------------------


async def test_a_bad_listen_key_is_told_in_plain_text(stream: Venue) -> None:
    async with stream.client(key="no-such-key") as client:
        assert await client.next() == "Invalid listen key"
        code, _ = await closed(client.socket)
        assert code == 1000


async def test_a_listen_key_carries_five_connections(stream: Venue) -> None:
    key = stream.hub.listen_keys.create("ann")
    clients = [await websockets.connect(f"{stream.url}?listenKey={key}") for _ in range(5)]
    async with stream.client(key=key) as sixth:
        assert await sixth.next() == "Invalid listen key"
    await clients.pop().close()
    async with stream.client(ORDERS, key=key):
        pass
    for client in clients:
        await client.close()


async def test_the_connection_ends_with_its_listen_key() -> None:
    async with venue(terms=ServerTerms()) as stream:
        key = stream.hub.listen_keys.create("ann")
        async with stream.client(ORDERS, key=key) as client:
            assert stream.hub.listen_keys.delete("ann", key)
            code, _ = await closed(client.socket)
            assert code == 1000


def test_a_listen_key_lives_an_hour_from_its_latest_extension() -> None:
    now = [0.0]
    keys = ListenKeys(now=lambda: now[0])
    key = keys.create("ann")
    now[0] = 3_599.0
    assert keys.owner_of(key) == "ann"
    assert keys.extend("ann", key)
    assert not keys.extend("bob", key)
    now[0] = 3_599.0 + 3_599.0
    assert keys.keys("ann") == [key]
    now[0] += 1.0
    assert keys.owner_of(key) is None
    assert not keys.extend("ann", key)
    assert keys.keys("ann") == []


def test_an_account_has_at_most_sixty_listen_keys() -> None:
    keys = ListenKeys()
    made = [keys.create("ann") for _ in range(60)]
    assert len(set(made)) == 60
    with pytest.raises(VenueRejected):
        keys.create("ann")
    keys.create("bob")
    assert keys.delete("ann", made[0])
    assert not keys.delete("ann", made[0])
    assert not keys.delete("bob", made[1])
    keys.create("ann")


# -- anything a client may send ----------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
params = st.lists(st.sampled_from([DEPTH, DEALS, ORDERS, "x", "spot@a@b", "@@@@"]) | st.text(max_size=30))
controls = st.fixed_dictionaries(
    {"method": st.sampled_from(["SUBSCRIPTION", "UNSUBSCRIPTION", "PING", "ping", "x"]) | json_values},
    optional={"params": params | json_values, "id": json_values, "more": json_values},
)
deep = st.integers(1, 20_000).map(lambda n: '{"method":"PING","id":' + "[" * n + "]" * n + "}")
messages = st.lists(
    st.text(max_size=200)
    | st.binary(max_size=200)
    | controls.map(json.dumps)
    | deep
    | st.just('{"method":"SUBSCRIPTION","params":["a"],"params":["b"]}')
    | st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sent=messages)
async def test_no_message_ends_a_session_but_by_its_rules(sent: list[str | bytes | list[bytes]]) -> None:
    async with venue() as stream, stream.client() as bystander, stream.client() as client:
        for message in sent:
            await client.socket.send(message)
        last = await client.ask("PING", id=424242)
        while last != {"id": 424242, "code": 0, "msg": "PONG"}:
            last = await client.text()
        stream.step(0.5)
        await client.until_mark(1)
        assert await bystander.until_mark(1) == []


@settings(max_examples=60)
@given(raw=st.binary(min_size=1, max_size=300))
async def test_no_bytes_take_the_venue_down(raw: bytes) -> None:
    async with venue() as stream, stream.client(DEPTH) as bystander:
        reader, writer = await raw_subscriber(stream.url, DEPTH)
        writer.write(raw)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        stream.step(1)
        assert [frame.channel for frame in await bystander.until_mark(1)] == [DEPTH]


async def test_a_message_that_is_too_long_or_no_utf_8_ends_the_session_by_the_protocol(
    stream: Venue,
) -> None:
    async with stream.client() as client:
        await client.socket.send("x" * 70_000)
        assert (await closed(client.socket))[0] == 1009
    reader, writer = await raw_subscriber(stream.url, DEPTH)
    writer.write(bytes((0x81, 0x82, 0, 0, 0, 0)) + b"\xff\xfe")
    assert (await asyncio.wait_for(reader.read(), 5))[:4] == bytes((0x88, 2 + len("not UTF-8"), 0x03, 0xEF))
    writer.close()


async def test_the_handshake_is_refused_by_the_protocol_when_the_version_is_wrong(stream: Venue) -> None:
    with pytest.raises(InvalidStatus):
        await websockets.connect(stream.url, additional_headers={"Sec-WebSocket-Version": "12"})
