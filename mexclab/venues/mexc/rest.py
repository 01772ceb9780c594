"""Questions and requests over MEXC's REST API: limited, signed, sent, decoded, and errors told apart.

Orders themselves go through ``gate.py``, which writes without waiting; this is the way of everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mexclab.domain.clock import MILLISECOND
from mexclab.errors import ConfigError, OrderUnknown, VenueError, VenueUnavailable
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.http import NoAnswer, Origin, Outcome, Pool, PoolTerms
from mexclab.venues.mexc.limits import Limiter
from mexclab.venues.mexc.refusals import refusal, unreadable
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.wire import decode

Params = Sequence[tuple[str, str]]
LONGEST_RECV_WINDOW_MS = 60_000
BANNED = 418
BRIEF_S = 2.0  # a question that is to come again so soon comes again by itself, once


@dataclass(frozen=True, slots=True)
class RestTerms:
    """How we ask."""

    recv_window_ms: int = 5_000  # the venue takes no signed request that is older
    answer_s: float = 4.0  # an answer that takes longer is none
    user_agent: str = "mexclab"
    pool: PoolTerms = field(default_factory=PoolTerms)

    def __post_init__(self) -> None:
        if not 0 < self.recv_window_ms < LONGEST_RECV_WINDOW_MS:
            raise ConfigError(f"recv_window_ms must be above 0 and below {LONGEST_RECV_WINDOW_MS}")
        if not self.answer_s > 0:
            raise ConfigError("answer_s must be above 0")
        if not self.user_agent.isascii() or not self.user_agent.isprintable():
            raise ConfigError("user_agent must be plain printable text")


class Rest:
    """One account's (or nobody's) way to one REST address. For one event loop.

    Args:
        base_url: ``https://api.mexc.com``, or a simulator's address.
        clock_ns: the venue's time.
        limiter: asked before every request, told how each one ended.
        drift: where payloads that are not as described are told.
        signer: needed by the endpoints that are signed.

    Attributes:
        lane: the connections of orders alone, so that no long answer is ever in their way.

    Raises:
        ConfigError: the address or a term cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        clock_ns: Callable[[], int],
        limiter: Limiter,
        drift: Drift,
        signer: Signer | None = None,
        terms: RestTerms = RestTerms(),
    ) -> None:
        self.origin = Origin.parse(base_url)
        self.clock_ns = clock_ns
        self.limiter = limiter
        self.drift = drift
        self.signer = signer
        self.terms = terms
        self.lane = Pool(self.origin, terms.pool)
        self._questions = Pool(self.origin, terms.pool)
        common = f" HTTP/1.1\r\nHost: {self.origin.authority}\r\nUser-Agent: {terms.user_agent}\r\n"
        self.common_lines = common.encode()

    def __repr__(self) -> str:
        return f"Rest({self.origin.authority}, {'signed' if self.signer else 'public'})"

    async def ask(self, endpoint: Endpoint, params: Params = (), urgent: bool = False) -> Any:
        """Send one request and read its answer.

        Args:
            params: in the order in which they are sent; values as text, not yet percent-encoded.
            urgent: a cancel or an exit: uses the reserve of its pool, and no breaker stops it.

        Returns:
            What ``wire.decode`` makes of this endpoint's answer.

        Raises:
            VenueRejected: the venue said no.
            VenueUnavailable: no answer that says anything; for what moves orders: none was moved.
            OrderUnknown: the request moves orders and left, and nobody knows what became of it.
        """
        await self.limiter.take(endpoint, urgent)
        outcome = await self._send(endpoint, params)
        if isinstance(outcome, NoAnswer) and not outcome.left and endpoint.is_idempotent:
            outcome = await self._send(endpoint, params)
        try:
            return self.read(endpoint, outcome)
        except VenueUnavailable as error:
            wait_s = error.data.get("retry_after_s")
            if not endpoint.is_idempotent or wait_s is None or wait_s > BRIEF_S:
                raise
        await self.limiter.take(endpoint, urgent)  # the limits have heard of it, and let it wait
        return self.read(endpoint, await self._send(endpoint, params))

    def read(self, endpoint: Endpoint, outcome: Outcome) -> Any:
        """What became of a request, and what it means for the limits; raises as :meth:`ask` does."""
        if isinstance(outcome, NoAnswer):
            failure: VenueError = (
                unreadable(endpoint, outcome.why)
                if outcome.left
                else VenueUnavailable(f"{endpoint.name} was not sent: {outcome.why}. Ask again")
            )
        elif 200 <= outcome.status < 300:
            try:
                found = decode(endpoint, outcome.body, self.drift, self.clock_ns())
            except VenueError as error:
                self._report(endpoint, error)
                raise
            self.limiter.report(endpoint, ok=True)
            return found
        else:
            failure = refusal(outcome.status, outcome.body, outcome.named, endpoint)
        self._report(endpoint, failure)
        raise failure

    def request(self, endpoint: Endpoint, params: Params, at_ns: int) -> bytes:
        """The request's bytes, signed for ``at_ns`` on the venue's clock if it is to be signed.

        Raises:
            ConfigError: it is to be signed, and there is no key.
        """
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in params)
        lines = self.common_lines
        if endpoint.signed:
            if self.signer is None:
                raise ConfigError(f"{endpoint.name} needs an API key: add one to the vault")
            joint = "&" if query else ""
            window = self.terms.recv_window_ms
            query += f"{joint}recvWindow={window}&timestamp={at_ns // MILLISECOND}"
            query += f"&signature={self.signer.sign(query.encode()).decode()}"
            lines += self.signer.header
        if endpoint.method != "GET":
            lines += b"Content-Type: application/json\r\nContent-Length: 0\r\n"
        target = f"{endpoint.method} {self.origin.prefix}{endpoint.path}{'?' if query else ''}{query}"
        return target.encode() + lines + b"\r\n"

    async def close(self) -> None:
        """Close every connection."""
        await self.lane.close()
        await self._questions.close()

    async def _send(self, endpoint: Endpoint, params: Params) -> Outcome:
        connection = await self._questions.take()
        request = self.request(endpoint, params, self.clock_ns())
        heard: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not heard.done():
                heard.set_result(outcome)

        if not connection.send(request, self.terms.answer_s, done):
            return NoAnswer(False, "the connection had just ended")
        return await heard

    def _report(self, endpoint: Endpoint, error: VenueError) -> None:
        """Tell the limits of an answer that was none, or was no."""
        wait_s = error.data.get("retry_after_s")
        if wait_s is not None:
            self.limiter.obey(endpoint, wait_s, banned=error.data.get("code") == BANNED)
        failed = isinstance(error, OrderUnknown) or (isinstance(error, VenueUnavailable) and wait_s is None)
        self.limiter.report(endpoint, ok=not failed)
