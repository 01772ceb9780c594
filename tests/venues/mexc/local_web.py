"""A real HTTP server on loopback that says what a test wants said, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from tests.payloads.mexc import ANSWERS


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    params: dict[str, str]
    headers: dict[str, str]


def html(status: int = 403) -> Page:
    return Page(b"<html><body>Access Denied</body></html>", status, (("Content-Type", "text/html"),))


@dataclass
class LocalWeb:
    """``pages`` by path; a path without a page is 404. Use as ``async with``."""

    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _serving: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    def paths(self) -> list[str]:
        """The last parts of the paths asked since the last call, in alphabetic order."""
        found = sorted(each.path.rsplit("/", 1)[-1] for each in self.asked)
        self.asked.clear()
        return found

    async def __aenter__(self) -> LocalWeb:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        for writer in self._serving.values():
            writer.close()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                _, target, _ = head[0].split(" ")
                parts = urlsplit(target)
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
                }
                self.asked.append(Asked(parts.path, dict(parse_qsl(parts.query)), headers))
                page = self.pages.get(parts.path, Page(b"nothing here", 404))
                await asyncio.sleep(page.delay_s)
                lines = [f"HTTP/1.1 {page.status} X", f"Content-Length: {len(page.body)}"]
                lines += [f"{name}: {value}" for name, value in page.headers]
                writer.write("\r\n".join([*lines, "", ""]).encode() + page.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            del self._serving[task]


def healthy_pages() -> dict[str, Page]:
    """Every listing source, as the samples have it."""
    api, market = "/api/v3/", "/api/platform/spot/market-v2/web/"
    paths = {
        "/api/operation/new_coin_calendar": "new_coin_calendar",
        f"{market}symbolsV2": "symbolsV2",
        f"{market}symbols": "web/symbols",
        "/api/operateactivity/activity/list/by/currencies": "activities",
        f"{api}exchangeInfo": "exchangeInfo",
        f"{api}announcements": "announcements",
        f"{api}symbol/offline": "symbol/offline",
        f"{api}defaultSymbols": "defaultSymbols",
        f"{api}selfSymbols": "selfSymbols",
    }
    return {path: Page(ANSWERS[name]) for path, name in paths.items()}
