"""One source of listing facts: when it may be asked again, whether it answers, and how the web is asked.

www.mexc.com is no API: it is asked seldom, under our own name, without cookies or redirects, and where it
does not want us (403, a page for people instead of data) it is left alone for longer each time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from mexclab.domain.clock import SECOND, span
from mexclab.domain.reports import FeedNews
from mexclab.errors import ConfigError, MexclabError, VenueUnavailable
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.refusals import refusal, unreadable
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.wire import decode

LARGEST_BYTES = 32_000_000  # a table of symbols has 1-2 million
MOST_DOUBLINGS = 10
Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ListingTerms:
    """How often, and how, listings are asked for. Seconds of the venue's clock, but for ``patience_s``.

    Attributes:
        calendar_s, symbols_s: between two looks at the calendar and at the symbol table.
        near_s: between two looks inside ``near_window_s`` before a known opening.
        refused_s: the shortest time that the web is left alone after it refused us; doubled each time.
        longest_s: no source is left alone for longer.
        still_s: from so long before a known opening until so long after it nothing is asked, because
            reading a big answer would make a shot late.
        patience_s: how long an answer from the web may take.
        user_agent: how we introduce ourselves.
    """

    calendar_s: float = 300.0
    symbols_s: float = 30.0
    near_s: float = 5.0
    near_window_s: float = 3600.0
    refused_s: float = 300.0
    longest_s: float = 1800.0
    still_s: float = 2.0
    patience_s: float = 10.0
    user_agent: str = "mexclab"

    def __post_init__(self) -> None:
        for name in ("calendar_s", "symbols_s", "near_s", "refused_s", "longest_s", "patience_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be above zero, not {getattr(self, name)}", name=name)
        if not (0 <= self.still_s < math.inf and 0 <= self.near_window_s < math.inf):
            raise ConfigError("still_s and near_window_s must not be negative")
        if not (self.user_agent.isascii() and self.user_agent.isprintable() and self.user_agent.strip()):
            raise ConfigError("user_agent must be plain printable text", name="user_agent")


@dataclass(frozen=True, slots=True)
class SourceState:
    """One source for display. ``problem`` is "" while it answers; ``read_ns`` None until it first did."""

    name: str
    is_official: bool
    problem: str
    read_ns: int | None
    asked_ns: int | None
    next_ns: int
    rows: int


class Source:
    """One source and what it last told.

    Args:
        name: for people.
        read: asks it, keeps its facts, and returns how many rows it had.
        tell: told when it stops answering, and when it answers again; once each.
    """

    def __init__(
        self,
        name: str,
        is_official: bool,
        read: Callable[[], Awaitable[int]],
        tell: Callable[[FeedNews], None],
        terms: ListingTerms,
    ) -> None:
        self.name = name
        self.is_official = is_official
        self.problem = ""
        self.read_ns: int | None = None
        self.next_ns = 0
        self._asked_ns: int | None = None
        self._rows = 0
        self._failures = 0
        self._read = read
        self._tell = tell
        self._terms = terms

    @property
    def is_well(self) -> bool:
        """It has answered, and did so the last time."""
        return self.read_ns is not None and not self.problem

    @property
    def state(self) -> SourceState:
        return SourceState(
            self.name, self.is_official, self.problem, self.read_ns, self._asked_ns, self.next_ns, self._rows
        )

    def due_ns(self, interval_s: float) -> int:
        """When it may be asked; a shorter interval than when it was last asked counts from then on."""
        if self._asked_ns is None or self._failures:
            return self.next_ns
        return self._asked_ns + int(interval_s * SECOND)

    async def ask(self, now_ns: int, interval_s: float) -> None:
        """Ask it now. Whatever comes of that is kept here; nothing is raised but for a cancellation."""
        self._asked_ns, self.next_ns = now_ns, now_ns + int(interval_s * SECOND)
        try:
            self._rows = await self._read()
        except MexclabError as error:
            self._failed(error, now_ns, interval_s)
            return
        self.read_ns, self._failures = now_ns, 0
        if self.problem:
            self.problem = ""
            self._tell(
                FeedNews(f"listings: {self.name}", f"{self.name}: there are answers again", now_ns, False)
            )

    def _failed(self, error: MexclabError, now_ns: int, interval_s: float) -> None:
        base_s = self._terms.refused_s if error.data.get("waf") else interval_s
        pause_s = min(base_s * 2 ** min(self._failures, MOST_DOUBLINGS), self._terms.longest_s)
        pause_s = max(pause_s, error.data.get("retry_after_s") or 0.0)
        self._failures += 1
        self.next_ns = now_ns + int(pause_s * SECOND)
        is_news, self.problem = not self.problem, error.message
        if is_news:
            on = "the other sources" if self.is_official else "the official sources"
            told = (
                f"no readable answer from {self.name}, so listings may be seen late; {on} carry on, and it "
                f"is asked again in {span(self.next_ns - now_ns)} ({error.message})"
            )
            self._tell(FeedNews(f"listings: {self.name}", told, now_ns, True))


class Web:
    """The pages of www.mexc.com that hold data.

    Args:
        rest: whose clock, limits and drift these questions share.
        url: ``https://www.mexc.com``, or a simulator's address.
    """

    def __init__(self, rest: Rest, url: str, terms: ListingTerms) -> None:
        self._rest = rest
        self._url = url.rstrip("/")
        self._terms = terms
        self._client: httpx.AsyncClient | None = None

    async def ask(self, endpoint: Endpoint, params: Params = ()) -> Any:
        """One question and its decoded answer.

        Raises:
            VenueUnavailable: no readable answer; ``data["waf"]`` is True when we are not wanted.
            VenueRejected: a refusal in the words of an API.
        """
        await self._rest.limiter.take(endpoint)
        try:
            async with asyncio.timeout(self._terms.patience_s):
                status, headers, body = await self._get(endpoint, params)
        except (TimeoutError, httpx.TimeoutException) as late:
            raise unreadable(endpoint, f"no answer in {self._terms.patience_s:g} s") from late
        except (httpx.HTTPError, httpx.InvalidURL) as lost:
            raise unreadable(endpoint, f"{self._url} cannot be reached ({type(lost).__name__})") from lost
        if status != httpx.codes.OK:
            raise refusal(status, body, headers, endpoint)
        if body.lstrip()[:1] == b"<":
            raise unreadable(endpoint, "a page for people came instead of data", status=status, waf=True)
        return decode(endpoint, body, self._rest.drift, self._rest.clock_ns())

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _get(self, endpoint: Endpoint, params: Params) -> tuple[int, httpx.Headers, bytes]:
        if self._client is None:
            names = {"User-Agent": self._terms.user_agent, "Accept": "application/json"}
            self._client = httpx.AsyncClient(headers=names, timeout=self._terms.patience_s, trust_env=False)
        self._client.cookies.clear()
        question = self._client.stream("GET", self._url + endpoint.path, params=list(params))
        async with question as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST_BYTES:
                    raise VenueUnavailable(
                        f"{endpoint.name}: the answer is larger than {LARGEST_BYTES} bytes; it was cut off"
                    )
            return response.status_code, response.headers, bytes(body)
