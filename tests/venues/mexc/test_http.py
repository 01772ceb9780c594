"""The HTTP client: what became of a request is always known, and no reply is taken for another's."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc.http import Answer, Connection, NoAnswer, Origin, Outcome, Pool, PoolTerms
from tests import patient
from tests.venues.mexc.raw_server import (
    Talk,
    cut,
    hangs_up,
    message,
    raw,
    raw_server,
    says,
    silence,
)

REQUEST = b"GET /api/v3/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
FINE = says(200, {})


@asynccontextmanager
async def pool_to(url: str, **terms: object) -> AsyncIterator[Pool]:
    pool = Pool(Origin.parse(url), PoolTerms(**terms))  # type: ignore[arg-type]
    try:
        yield pool
    finally:
        await pool.close()


async def ask(pool: Pool, deadline_s: float = 2.0, connection: Connection | None = None) -> Outcome:
    connection = connection or await pool.take()
    heard: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    assert connection.send(REQUEST, deadline_s, heard.set_result)
    return await heard


async def test_a_connection_is_used_again_after_a_whole_reply() -> None:
    async with raw_server(says(200, {"a": 1}, "X-Told: yes")) as server, pool_to(server.url) as pool:
        for _ in range(5):
            answer = await ask(pool)
            assert isinstance(answer, Answer)
            assert (answer.status, answer.body) == (200, b'{"a": 1}')
            assert answer.named["X-Told"] == "yes"
        assert server.connections == 1


async def test_a_reply_in_pieces_and_chunks_is_put_together() -> None:
    whole = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n'

    async def dribble(talk: Talk) -> None:
        for place in range(len(whole)):
            await talk.say(whole[place : place + 1])
            await asyncio.sleep(0)

    async with raw_server(dribble) as server, pool_to(server.url) as pool:
        for _ in range(2):
            answer = await ask(pool)
            assert isinstance(answer, Answer)
            assert answer.body == b'{"a": 1}'
        assert server.connections == 1


async def test_an_interim_reply_is_not_the_answer() -> None:
    both = b"HTTP/1.1 100 Continue\r\n\r\n" + message(400, b'{"code":10007}')
    async with raw_server(raw(both)) as server, pool_to(server.url) as pool:
        answer = await ask(pool)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body) == (400, b'{"code":10007}')


async def test_silence_ends_at_the_deadline_and_the_late_reply_is_nobodys_answer() -> None:
    async def late(talk: Talk) -> None:
        await asyncio.sleep(0.15)
        await talk.say(message(200, b'"late"'))

    async with raw_server(FINE, late) as server, pool_to(server.url) as pool:
        began = asyncio.get_running_loop().time()
        outcome = await ask(pool, deadline_s=0.1)
        assert isinstance(outcome, NoAnswer)
        assert outcome.left
        assert 0.09 < asyncio.get_running_loop().time() - began < 0.5
        await asyncio.sleep(0.1)
        answer = await ask(pool)
        assert isinstance(answer, Answer)
        assert answer.body == b"{}"
        assert server.connections == 2


async def test_the_deadline_of_each_request_is_its_own() -> None:
    async def slow(talk: Talk) -> None:
        await asyncio.sleep(0.08)
        await talk.say(message(200, b"{}"))

    async with raw_server(silence, slow, slow, slow) as server, pool_to(server.url) as pool:
        for _ in range(3):
            assert isinstance(await ask(pool, deadline_s=0.2), Answer)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert isinstance(await ask(pool, deadline_s=0.2), NoAnswer)
        assert 0.19 < loop.time() - began < 0.6


@pytest.mark.parametrize(
    "act",
    [
        hangs_up,
        cut(b"HTTP/1.1 200 OK\r\nContent-Le"),
        cut(message(200, b'{"orderId":"C02__1"}')[:-7]),
        cut(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a"'),
        raw(b"what is this?\r\n\r\n"),
        raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello"),
        says(200, b"x" * 200_000),
    ],
)
async def test_a_reply_that_is_not_whole_is_no_answer_and_its_connection_is_not_used_again(
    act: object,
) -> None:
    async with raw_server(FINE, act) as server, pool_to(server.url, body_limit=1_000) as pool:
        outcome = await ask(pool)
        assert isinstance(outcome, NoAnswer)
        assert outcome.left
        assert isinstance(await ask(pool), Answer)
        assert server.connections == 2


@pytest.mark.parametrize("surplus", [message(200, b'"too many"'), b"HTTP/1.1 20", b"garbage"])
async def test_of_two_replies_the_first_counts_and_the_second_is_nobodys(surplus: bytes) -> None:
    twice = raw(message(200, b'"mine"') + surplus)
    async with raw_server(FINE, twice) as server, pool_to(server.url) as pool:
        answer = await ask(pool)
        assert isinstance(answer, Answer)
        assert answer.body == b'"mine"'
        answer = await ask(pool)
        assert isinstance(answer, Answer)
        assert answer.body == b"{}"
        assert server.connections == 2


async def test_a_reply_that_nobody_asked_for_ends_its_connection() -> None:
    async def and_later_more(talk: Talk) -> None:
        await talk.say(message(200, b"{}"))
        await asyncio.sleep(0.05)
        await talk.say(message(200, b'"unasked"'))

    async with raw_server(FINE, and_later_more) as server, pool_to(server.url) as pool:
        await ask(pool)
        await asyncio.sleep(0.1)
        answer = await ask(pool)
        assert isinstance(answer, Answer)
        assert answer.body == b"{}"
        assert server.connections == 2


async def test_the_venues_wish_to_close_is_kept() -> None:
    async with raw_server(says(200, {}, "Connection: close")) as server, pool_to(server.url) as pool:
        await ask(pool)
        await ask(pool)
        assert server.connections == 2


async def test_a_farewell_that_the_loop_has_not_seen_is_seen_before_anything_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with pool_to(url) as pool:
            await pool.warm(1, 5.0)
            peer, _ = listener.accept()
            connection = pool.ready()
            assert connection is not None
            pool.back(connection)
            peer.close()  # and the loop gets no turn
            assert pool.ready() is None


async def test_an_ended_connection_takes_no_request_and_says_so() -> None:
    async with raw_server(FINE) as server, pool_to(server.url) as pool:
        connection = await pool.take()
        connection.close()
        assert not connection.send(REQUEST, 1.0, lambda outcome: pytest.fail("nothing was sent"))
        await asyncio.sleep(0.02)
        assert server.seen == []


async def test_a_busy_connection_takes_no_second_request() -> None:
    async with raw_server(silence) as server, pool_to(server.url) as pool:
        connection = await pool.take()
        outcomes: list[Outcome] = []
        assert connection.send(REQUEST, 0.1, outcomes.append)
        assert not connection.send(REQUEST, 0.1, outcomes.append)
        await asyncio.sleep(0.2)
        assert len(outcomes) == len(server.seen) == 1


async def test_where_no_connection_can_be_opened_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with pool_to(f"http://127.0.0.1:{port}") as pool:
        with pytest.raises(VenueUnavailable):
            await pool.take()


async def test_small_requests_leave_at_once() -> None:
    async with raw_server(FINE) as server, pool_to(server.url) as pool:
        connection = await pool.take()
        transport = connection._transport
        peer = transport.get_extra_info("socket")
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        pool.back(connection)


async def test_when_all_connections_are_busy_the_next_one_waits_and_who_gives_up_costs_nobody_a_turn() -> (
    None
):
    async with raw_server(FINE) as server, pool_to(server.url, most=1) as pool:
        held = await pool.take()
        patient, impatient = (asyncio.create_task(pool.take()) for _ in range(2))
        await asyncio.sleep(0.01)
        assert not patient.done()
        last = asyncio.create_task(pool.take())
        await asyncio.sleep(0.01)
        impatient.cancel()
        pool.back(held)
        assert await patient is held
        pool.back(held)
        assert await asyncio.wait_for(last, 1) is held
        pool.back(held)
        assert server.connections == 1


async def test_a_turn_that_comes_to_someone_who_has_just_left_goes_to_the_next() -> None:
    async with raw_server(FINE) as server, pool_to(server.url, most=1) as pool:
        held = await pool.take()
        leaving, last = (asyncio.create_task(pool.take()) for _ in range(2))
        await asyncio.sleep(0.01)
        pool.back(held)
        leaving.cancel()
        assert await asyncio.wait_for(last, 1) is held
        pool.back(held)


async def test_a_connection_that_has_been_idle_for_long_is_replaced_by_a_fresh_one() -> None:
    async with raw_server(FINE) as server, pool_to(server.url, warm=2, retire_after_s=0.1) as pool:
        await ask(pool)
        first = pool.ready()
        assert first is not None
        pool.back(first)
        await asyncio.sleep(0.4)
        assert server.connections >= 3
        fresh = pool.ready()
        assert fresh is not None
        assert fresh is not first
        pool.back(fresh)


async def test_warming_opens_what_is_missing_and_no_more() -> None:
    async with raw_server(FINE) as server, pool_to(server.url, most=3) as pool:
        await pool.warm(2, 5.0)
        await pool.warm(2, 5.0)
        assert server.connections == 2
        await pool.warm(9, 5.0)
        assert server.connections == 3


async def test_requests_under_way_when_the_pool_closes_end_without_an_answer() -> None:
    async with raw_server(silence) as server:
        pool = Pool(Origin.parse(server.url), PoolTerms())
        connection = await pool.take()
        outcomes: list[Outcome] = []
        connection.send(REQUEST, 5.0, outcomes.append)
        await asyncio.sleep(0.02)
        await pool.close()
        await asyncio.sleep(0.02)
        assert [type(outcome) for outcome in outcomes] == [NoAnswer]
        with pytest.raises(VenueUnavailable):
            await pool.take()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=4),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"]),
)
def test_whatever_bytes_come_back_the_request_ends_once(pieces: list[bytes], head: bytes) -> None:
    async def anything(talk: Talk) -> None:
        for piece in (head, *pieces):
            await talk.say(piece)
        talk.hang_up()

    async def scene() -> None:
        async with raw_server(anything) as server, pool_to(server.url) as pool:
            outcome = await asyncio.wait_for(ask(pool, 1.0), 5)
            if isinstance(outcome, Answer):
                assert head.endswith(b"\r\n\r\n")
                assert outcome.body == b"".join(pieces)[:3]
            else:
                assert outcome.left

    patient.run(scene())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own for localhost, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_trusted_certificate_is_talked_to_over_one_warm_connection(certificate: Path) -> None:
    async with (
        raw_server(FINE, context=server_side(certificate)) as server,
        pool_to(server.url, ca_file=str(certificate)) as pool,
    ):
        await pool.warm(1, 5.0)
        await asyncio.sleep(0.05)  # session tickets arrive after the handshake
        for _ in range(3):
            connection = pool.ready()
            assert connection is not None
            assert isinstance(await ask(pool, connection=connection), Answer)
        assert server.connections == 1


async def test_a_certificate_that_nobody_vouches_for_gets_no_request(certificate: Path) -> None:
    async with raw_server(FINE, context=server_side(certificate)) as server, pool_to(server.url) as pool:
        with pytest.raises(VenueUnavailable, match="certificate"):
            await pool.take()
        assert server.seen == []


async def test_a_certificate_for_another_name_gets_no_request(certificate: Path) -> None:
    async with raw_server(FINE, context=server_side(certificate)) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        async with pool_to(url, ca_file=str(certificate)) as pool:
            with pytest.raises(VenueUnavailable):
                await pool.take()
        assert server.seen == []


@pytest.mark.parametrize(
    "url",
    ["", "api.mexc.com", "ftp://api.mexc.com", "http://", "http://h:99999", "https://me:pw@h", "http://[x"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Origin.parse(url)
    assert "pw" not in str(caught.value)


def test_the_host_header_names_a_port_only_where_it_is_not_the_usual_one() -> None:
    assert Origin.parse("https://api.mexc.com").authority == "api.mexc.com"
    assert Origin.parse("http://127.0.0.1:8080").authority == "127.0.0.1:8080"
    assert Origin.parse("http://[::1]:8080").authority == "[::1]:8080"
    assert Origin.parse("http://h/base/").prefix == "/base"
