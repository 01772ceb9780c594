"""The WebSocket client against a real server, and against bytes that no server should send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc.websocket import WebSocket, connect

Talk = Callable[[ServerConnection], Awaitable[None]]


class Heard:
    """An ear that writes down."""

    def __init__(self) -> None:
        self.all: list[bytes | str] = []
        self.why: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.enough = asyncio.Event()

    def frame(self, payload: bytes) -> None:
        self.all.append(payload)
        self.enough.set()

    def text(self, payload: str) -> None:
        self.all.append(payload)
        self.enough.set()

    def closed(self, why: str) -> None:
        self.why.set_result(why)


@asynccontextmanager
async def talking(talk: Talk, ear: Heard | None = None) -> AsyncIterator[tuple[WebSocket, Heard]]:
    """A client of a server that says what ``talk`` says."""
    async with serve(talk, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        heard = ear or Heard()
        socket = await connect(f"ws://127.0.0.1:{port}/ws?listenKey=k", heard, 5)
        yield socket, heard
        socket.abort("the test is over")
        await asyncio.wait_for(heard.why, 5)


class Answer(asyncio.Protocol):
    """Reads a handshake, answers these bytes and hangs up; None: never answers."""

    def __init__(self, data: bytes | None) -> None:
        self._data = data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._data is not None:
            self._transport.write(self._data)
            self._transport.close()


@asynccontextmanager
async def answering(data: bytes | None) -> AsyncIterator[str]:
    """The address of a server that answers every handshake in this way."""
    server = await asyncio.get_running_loop().create_server(lambda: Answer(data), "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


async def test_messages_of_every_size_and_kind_arrive_whole_and_in_order() -> None:
    sizes = (0, 1, 125, 126, 127, 65_535, 65_536, 300_000)

    async def talk(server: ServerConnection) -> None:
        assert server.request is not None
        assert server.request.path == "/ws?listenKey=k"
        assert "Sec-WebSocket-Extensions" not in server.request.headers, (
            "compression costs more than it saves"
        )
        for size in sizes:
            await server.send(bytes(size))
        await server.send([b"in ", b"three ", b"parts"])
        await server.send("text: 十")
        await server.close()

    async with talking(talk) as (_, heard):
        assert "1000" in await asyncio.wait_for(heard.why, 10)
        assert heard.all == [*(bytes(size) for size in sizes), b"in three parts", "text: 十"]


async def test_pings_are_answered_between_the_parts_of_a_message() -> None:
    async def talk(server: ServerConnection) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"be"
            await asyncio.wait_for(await server.ping(b"there?"), 5)
            yield b"fore"

        await server.send(parts())
        await server.wait_closed()

    async with talking(talk) as (_, heard):
        await asyncio.wait_for(heard.enough.wait(), 10)
        assert heard.all == [b"before"]


async def test_what_we_say_arrives_and_our_goodbye_is_answered() -> None:
    said: list[str | bytes] = []

    async def talk(server: ServerConnection) -> None:
        said.extend([message async for message in server])

    async with talking(talk) as (socket, heard):
        socket.send('{"method":"PING"}')
        socket.send("x" * 70_000)
        socket.close("done")
        assert await asyncio.wait_for(heard.why, 5) == "done"
        assert not socket.is_open
        socket.send("to nobody")
    assert said == ['{"method":"PING"}', "x" * 70_000]


async def test_a_refused_handshake_says_what_the_venue_answered() -> None:
    async with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as url:
        with pytest.raises(VenueUnavailable, match="403 Forbidden"):
            await connect(url, Heard(), 5)


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"x" * 40_000]
)
async def test_an_answer_that_is_no_handshake_opens_nothing(answer: bytes) -> None:
    async with answering(answer) as url:
        with pytest.raises(VenueUnavailable):
            await connect(url, Heard(), 5)


async def test_a_venue_that_does_not_answer_is_given_up_at_the_deadline() -> None:
    async with answering(None) as url:
        with pytest.raises(VenueUnavailable, match="no answer within"):
            await connect(url, Heard(), 0.1)


async def test_an_address_that_is_none_is_an_error_of_the_settings() -> None:
    with pytest.raises(ConfigError):
        await connect("http://127.0.0.1/ws", Heard(), 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x82\x85abcd12345", "masked"),
        (b"\xc2\x01x", "bits"),
        (b"\x83\x01x", "kind 3"),
        (b"\x80\x01x", "kind 0"),
        (b"\x02\x01x\x82\x01x", "within another"),
        (b"\x82\x7f\x00\x00\x00\xff\x00\x00\x00\x00", "bytes"),
        (b"\x81\x02\xc3\x28", "UTF-8"),
    ],
)
async def test_bytes_that_are_no_frames_of_a_server_end_the_connection(data: bytes, why: str) -> None:
    async def talk(server: ServerConnection) -> None:
        server.transport.write(b"\x82\x02ok" + data)
        await server.wait_closed()

    async with talking(talk) as (_, heard):
        assert why in await asyncio.wait_for(heard.why, 5)
        assert heard.all == [b"ok"]


async def test_a_connection_cut_within_a_frame_tells_only_whole_ones() -> None:
    async def talk(server: ServerConnection) -> None:
        for byte in b"\x82\x05whole\x82\x05ha":
            server.transport.write(bytes((byte,)))
            await asyncio.sleep(0.001)
        server.transport.abort()

    async with talking(talk) as (_, heard):
        await asyncio.wait_for(heard.why, 5)
        assert heard.all == [b"whole"]


class Breaking(Heard):
    """An ear with a bug."""

    def frame(self, payload: bytes) -> None:
        raise ZeroDivisionError


async def test_what_an_ear_raises_ends_the_connection_and_is_kept() -> None:
    async def talk(server: ServerConnection) -> None:
        await server.send(b"boom")
        await server.wait_closed()

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with talking(talk, Breaking()) as (socket, heard):
        await asyncio.wait_for(heard.why, 5)
        assert isinstance(socket.bug, ZeroDivisionError)
