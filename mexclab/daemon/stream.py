"""The daemon's websocket: pictures of the desk, as they become new."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import WebSocket, WebSocketDisconnect

from mexclab.daemon.station import Station
from mexclab.domain.market import Symbol
from mexclab.errors import DomainError

FRAMES_PER_S = 5
KEEP_ALIVE_S = 1.0


async def stream(station: Station, socket: WebSocket) -> None:
    """Send the newest picture at most five times a second; the client may switch the chart's symbol."""
    await socket.accept()
    chosen: dict[str, Symbol | None] = {"symbol": None}
    try:
        chosen["symbol"] = symbol_of(socket.query_params.get("symbol", ""))
        async with asyncio.TaskGroup() as group:
            group.create_task(_listen(socket, chosen))
            group.create_task(_send(station, socket, chosen))
    except* (WebSocketDisconnect, RuntimeError, asyncio.CancelledError):
        pass  # the client left, or the server stops
    except* DomainError as errors:
        await socket.close(4422, str(errors.exceptions[0])[:120])


def symbol_of(text: str) -> Symbol | None:
    """The symbol that a caller named, or None for an empty text."""
    return Symbol.parse(text) if text else None


async def _listen(socket: WebSocket, chosen: dict[str, Symbol | None]) -> None:
    while True:
        try:
            asked = json.loads(await socket.receive_text())
        except ValueError:
            raise DomainError('the stream takes JSON objects such as {"symbol": "BTCUSDT"}') from None
        if not isinstance(asked, dict):
            raise DomainError('the stream takes JSON objects such as {"symbol": "BTCUSDT"}')
        chosen["symbol"] = symbol_of(str(asked.get("symbol") or ""))


async def _send(station: Station, socket: WebSocket, chosen: dict[str, Symbol | None]) -> None:
    frame = 0
    async for _ in _beats(station):
        frame += 1
        await socket.send_text(json.dumps(station.picture(frame, chosen["symbol"]), separators=(",", ":")))


async def _beats(station: Station) -> AsyncIterator[None]:
    """A beat per piece of news, no more than the allowed frames, no less than one a second."""
    shown, quiet = -1, 0
    while True:
        news = station.news()
        if news != shown or quiet >= FRAMES_PER_S * KEEP_ALIVE_S:
            shown, quiet = news, 0
            yield
        quiet += 1
        await asyncio.sleep(1 / FRAMES_PER_S)
