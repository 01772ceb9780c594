"""Questions over REST: signed as sent, limited, and every way of failing told apart."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mexclab.domain.reports import DriftSeen
from mexclab.errors import ConfigError, MexclabError, OrderUnknown, VenueRejected, VenueUnavailable
from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.http import PoolTerms
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.rest import Rest, RestTerms
from mexclab.venues.mexc.signing import Signer
from tests.venues.mexc.raw_server import (
    Act,
    RawServer,
    cut,
    hangs_up,
    message,
    raw,
    raw_server,
    refuses,
    says,
    silence,
)

KEY, SECRET = "mx0PlantedKey", "PlantedSecret0123456789abcdef0123"
NOW_NS = 1_644_489_390_087_654_321
TIME = {"serverTime": 1_644_489_390_087}


@asynccontextmanager
async def asking(*script: Act, otherwise: Act = silence) -> AsyncIterator[tuple[Rest, RawServer]]:
    """A ``Rest`` in front of a server that goes by a script."""
    drifts: list[DriftSeen] = []
    terms = RestTerms(answer_s=0.3, pool=PoolTerms(body_limit=10_000))
    async with raw_server(otherwise, *script) as server:
        rest = Rest(
            server.url,
            lambda: NOW_NS,
            Limiter(LimitTerms()),
            Drift(drifts.append),
            Signer(KEY, SECRET),
            terms,
        )
        try:
            yield rest, server
        finally:
            await rest.close()


async def test_a_public_question_carries_no_key_and_no_signature() -> None:
    async with asking(says(200, TIME)) as (rest, server):
        answer = await rest.ask(e.TIME)
        assert answer.server_time == TIME["serverTime"]
        (seen,) = server.seen
        assert (seen.method, seen.path, seen.query) == ("GET", "/api/v3/time", "")
        assert "X-MEXC-APIKEY" not in seen.headers
        assert seen.headers["Host"] == f"localhost:{server.port}"


async def test_a_signed_question_is_signed_over_the_encoded_text_exactly_as_it_is_sent() -> None:
    async with asking(says(200, [])) as (rest, server):
        await rest.ask(e.OPEN_ORDERS, (("symbol", "GOLD(PAXG)索USDT"),))
        (seen,) = server.seen
        signed, _, signature = seen.query.rpartition("&signature=")
        start = "symbol=GOLD%28PAXG%29%E7%B4%A2USDT&recvWindow=5000&timestamp="
        assert signed == f"{start}{NOW_NS // 1_000_000}"
        assert signature == hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        assert seen.headers["X-MEXC-APIKEY"] == KEY


async def test_what_changes_something_is_json_without_a_body() -> None:
    async with asking(says(200, {"listenKey": "abc"})) as (rest, server):
        assert (await rest.ask(e.LISTEN_KEY_NEW)).listen_key == "abc"
        (seen,) = server.seen
        assert seen.method == "POST"
        assert seen.headers["Content-Type"] == "application/json"
        assert seen.headers["Content-Length"] == "0"


async def test_a_signed_question_without_a_key_is_not_sent() -> None:
    async with raw_server() as server:
        rest = Rest(server.url, lambda: NOW_NS, Limiter(LimitTerms()), Drift(print))
        with pytest.raises(ConfigError, match="vault"):
            await rest.ask(e.ACCOUNT)
        await rest.close()
        assert server.seen == []


async def test_a_refusal_carries_the_venues_code_and_words() -> None:
    async with asking(refuses(700002, "Signature for this request is not valid.")) as (rest, _):
        with pytest.raises(VenueRejected) as caught:
            await rest.ask(e.ACCOUNT)
        assert caught.value.data["code"] == 700002
        assert caught.value.data["words"] == "Signature for this request is not valid."


BROKEN = [
    silence,
    hangs_up,
    cut(message(200, b'{"serverTime":1}')[:-4]),
    raw(b"garbage\r\n\r\n"),
    says(200, b"<html>Welcome</html>", "Content-Type: text/html"),
    says(200, {"serverTime": "soon"}),
    says(200, b'{"serverTime":16444'),
    says(200, [1, 2, 3]),
    says(502, b"<html>Bad Gateway</html>", "Content-Type: text/html"),
    says(500, {"code": 500, "msg": "Internal"}),
    says(403, b"<html>Access Denied</html>", "Content-Type: text/html"),
    says(302, b"", "Location: http://elsewhere/"),
]


@pytest.mark.parametrize("act", BROKEN)
async def test_a_question_without_a_readable_answer_is_unavailable_and_is_not_asked_again_by_itself(
    act: Act,
) -> None:
    async with asking(act) as (rest, server):
        with pytest.raises(VenueUnavailable):
            await rest.ask(e.TIME)
        assert len(server.seen) == 1


@pytest.mark.parametrize("act", BROKEN)
async def test_a_cancellation_without_a_readable_answer_may_have_happened(act: Act) -> None:
    async with asking(act) as (rest, server):
        with pytest.raises(OrderUnknown):
            await rest.ask(e.CANCEL_ORDER, (("symbol", "BTCUSDT"), ("orderId", "1")), urgent=True)
        assert len(server.seen) == 1


async def test_a_cancellation_that_finds_no_connection_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    rest = Rest(
        f"http://127.0.0.1:{port}", lambda: NOW_NS, Limiter(LimitTerms()), Drift(print), Signer(KEY, SECRET)
    )
    with pytest.raises(VenueUnavailable):
        await rest.ask(e.CANCEL_ORDER, (("symbol", "BTCUSDT"), ("orderId", "1")))
    await rest.close()


@pytest.mark.parametrize(("status", "banned"), [(429, False), (418, True)])
async def test_a_wish_for_silence_is_kept_for_as_long_as_it_says(status: int, banned: bool) -> None:
    told = says(status, {"code": 429, "msg": "Too Many Requests"}, "Retry-After: 20")
    async with asking(told, otherwise=says(200, TIME)) as (rest, server):
        with pytest.raises(VenueUnavailable) as caught:
            await rest.ask(e.TIME)
        assert caught.value.data["retry_after_s"] == 20
        state = rest.limiter.state()
        assert 19 < state.quiet_for_s <= 20
        assert state.is_banned is banned
        assert not rest.limiter.try_take(e.TIME)
        assert len(server.seen) == 1


async def test_failures_in_a_row_open_the_breaker_and_refusals_do_not() -> None:
    async with asking(otherwise=refuses(-1121, "Invalid symbol.")) as (rest, server):
        for _ in range(8):
            with pytest.raises(VenueRejected):
                await rest.ask(e.DEPTH, (("symbol", "NOPE"),))
        server.otherwise = says(500, b"")
        for _ in range(LimitTerms().breaker_failures):
            with pytest.raises(VenueUnavailable):
                await rest.ask(e.DEPTH, (("symbol", "BTCUSDT"),))
        asked = len(server.seen)
        with pytest.raises(VenueUnavailable, match="rest"):
            await rest.ask(e.DEPTH, (("symbol", "BTCUSDT"),))
        assert len(server.seen) == asked


async def test_questions_that_are_asked_at_once_each_get_their_own_answer() -> None:
    async def echo(talk: object) -> None:
        symbol = talk.seen.params["symbol"]  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
        await talk.say(message(200, f'{{"mins":5,"price":"{symbol[3:]}"}}'.encode()))  # type: ignore[attr-defined]

    async with asking(otherwise=echo) as (rest, server):
        wanted = [f"ABC{number}" for number in range(1, 21)]
        answers = await asyncio.gather(*(rest.ask(e.AVG_PRICE, (("symbol", name),)) for name in wanted))
        assert [f"ABC{answer.price}" for answer in answers] == wanted
        assert server.connections <= PoolTerms().most


async def test_a_question_that_is_given_up_leaves_no_answer_for_the_next_one() -> None:
    async def slow(talk: object) -> None:
        await asyncio.sleep(0.1)
        await talk.say(message(200, b'{"mins":5,"price":"1"}'))  # type: ignore[attr-defined]

    async with asking(slow, otherwise=says(200, {"mins": 5, "price": "2"})) as (rest, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await rest.ask(e.AVG_PRICE, (("symbol", "A"),))
        for _ in range(3):
            assert (await rest.ask(e.AVG_PRICE, (("symbol", "B"),))).price == 2
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "act", [*BROKEN, refuses(700002, "no"), says(429, {"code": 429, "msg": "slow down"})]
)
async def test_no_error_and_no_repr_shows_a_secret_or_a_signature(act: Act) -> None:
    async with asking(act) as (rest, server):
        with pytest.raises(MexclabError) as caught:
            await rest.ask(e.CANCEL_ORDER, (("symbol", "BTCUSDT"), ("orderId", "1")))
        signature = server.seen[0].params["signature"]
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.data) + repr(rest)
        for secret in (KEY, SECRET, signature):
            assert secret not in told


@pytest.mark.parametrize(
    "terms", [{"recv_window_ms": 0}, {"recv_window_ms": 60_000}, {"answer_s": 0}, {"user_agent": "a\r\nb: c"}]
)
def test_terms_that_the_venue_would_refuse_are_refused_at_the_start(terms: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        RestTerms(**terms)  # type: ignore[arg-type]
