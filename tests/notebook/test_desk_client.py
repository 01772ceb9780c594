"""The daemon's client against the daemon's own API, served on loopback."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mexclab.daemon import api
from mexclab.errors import DaemonUnreachable, DeskError, NotAuthorised, ParameterError
from mexclab.notebook.address import Address
from mexclab.notebook.desk import DeskClient, NotConnected, Snapshot
from tests.notebook.conftest import ClientOf
from tests.notebook.station import TOKEN, Desk, free_port, served


def leave_address(folder: Path, url: str, token: str = TOKEN) -> None:
    (folder / "daemon.json").write_text(json.dumps({"url": url, "pid": 1, "mode": "demo", "started_ns": 1}))
    (folder / "daemon.token").write_text(token + "\n")


# -- finding the daemon ------------------------------------------------------------------------------


def test_the_daemon_is_found_by_the_two_files_it_leaves(url: str, tmp_path: Path) -> None:
    leave_address(tmp_path, url)
    with DeskClient.discover(tmp_path) as client:
        assert client.snapshot().mode == "demo"


def test_the_data_folder_of_the_environment_is_used_when_none_is_named(url: str, data_folder: Path) -> None:
    leave_address(data_folder, url)
    with DeskClient.discover() as client:
        assert client.health().ready


def test_without_a_daemon_the_sentence_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match=r"mexclab demo.*mexclab trade"):
        DeskClient.discover(tmp_path)


def test_an_address_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    leave_address(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "daemon.json").write_text("{")
    with pytest.raises(DaemonUnreachable, match=r"daemon\.json"):
        DeskClient.discover(tmp_path)


def test_a_client_follows_a_daemon_that_was_restarted_elsewhere(desk: Desk, tmp_path: Path) -> None:
    with served(api.build(desk)) as first:
        leave_address(tmp_path, first)
        client = DeskClient.discover(tmp_path)
        assert client.health().ready
    with client:
        with pytest.raises(DaemonUnreachable, match="mexclab demo"):
            client.health()
        desk.token = "another"
        with served(api.build(desk)) as second:
            leave_address(tmp_path, second, "another")
            assert client.snapshot().mode == "demo"


# -- secrets -----------------------------------------------------------------------------------------


def test_the_token_is_never_shown(url: str, client_of: ClientOf) -> None:
    client = client_of(url)
    with pytest.raises(NotAuthorised) as refused:
        client_of(url, token="not-the-token").snapshot()
    told = [str(refused.value), repr(refused.value.data)]
    shown = [repr(client), repr(Address(url, TOKEN)), repr(client.stream()), *told]
    assert url in shown[0]
    assert not [text for text in shown if TOKEN in text or "not-the-token" in text]


def test_a_proxy_of_the_machine_never_sees_the_token(
    url: str, monkeypatch: pytest.MonkeyPatch, client_of: ClientOf
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert client_of(url).snapshot().mode == "demo"


# -- asking ------------------------------------------------------------------------------------------


def test_a_halt_says_who_asked_and_why(desk: Desk, url: str, client_of: ClientOf) -> None:
    answer = client_of(url).halt("looks odd")
    assert (answer.halted, answer.message, answer.seq) == (True, "halt done", 7)
    assert desk.asked == [("halt", "alice", "looks odd", "")]
    assert client_of(url).snapshot().halted


def test_every_command_reaches_the_daemon_as_itself(desk: Desk, url: str, client_of: ClientOf) -> None:
    client = client_of(url)
    client.halt("a"), client.resume("b"), client.flatten("c"), client.disarm("ABC-1")
    assert [(name, why, snipe) for name, _, why, snipe in desk.asked] == [
        ("halt", "a", ""), ("resume", "b", ""), ("flatten", "c", ""), ("disarm", "", "ABC-1"),
    ]  # fmt: skip


def test_a_refusal_carries_the_daemons_own_sentence(url: str, client_of: ClientOf) -> None:
    with pytest.raises(DeskError, match="open snipes would be 4") as refused:
        client_of(url).arm("ABC-1")
    assert refused.value.data == {"error": "RiskRefused", "status": 409}


def test_a_reason_that_is_empty_is_refused_in_words_and_nothing_is_asked(
    url: str, client_of: ClientOf, desk: Desk
) -> None:
    with pytest.raises(ParameterError, match="say why, in a few words"):
        client_of(url).flatten(" ")
    assert desk.asked == []
    client_of(url).halt(" ")  # nobody is asked for words in an emergency
    assert desk.asked == [("halt", "alice", "no reason given", "")]


def test_a_state_of_orders_that_is_none_is_refused_with_those_there_are(
    url: str, client_of: ClientOf
) -> None:
    with pytest.raises(ParameterError, match=r"open, unknown, all, DECIDED.*not 'FOO'"):
        client_of(url).orders(state="FOO")


def test_a_reason_that_the_daemon_does_not_take_is_told_in_words(url: str, client_of: ClientOf) -> None:
    with pytest.raises(DeskError, match=r"why: .*at most 2000 characters"):
        client_of(url).halt("x" * 2001)


def test_an_answer_that_is_late_may_have_been_carried_out(desk: Desk, url: str, client_of: ClientOf) -> None:
    desk.slow_s = 3.0
    with pytest.raises(DaemonUnreachable, match="may have been carried out"):
        client_of(url, deadline_s=0.2).halt("looks odd")


def test_failing_checks_are_told_though_the_daemon_is_not_ready(
    desk: Desk, url: str, client_of: ClientOf
) -> None:
    desk.ready = False
    health = client_of(url).health()
    assert not health.ready
    assert [(check.name, check.why) for check in health.checks if not check.ok] == [("clock", "12 ms off")]


def test_events_come_in_order_above_the_asked_number(url: str, client_of: ClientOf) -> None:
    events = client_of(url).events(after=10, limit=2, snipe="ABC-1")
    assert [(event.seq, event.kind, event.correlation) for event in events] == [
        (11, "Halted", "ABC-1"), (12, "Halted", "ABC-1"),
    ]  # fmt: skip


def test_what_is_no_daemon_is_named(tmp_path: Path, client_of: ClientOf) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}
        )
        await send({"type": "http.response.body", "body": b"<html>something else</html>"})

    with served(page) as elsewhere, pytest.raises(DeskError, match="not a trading daemon"):
        client_of(elsewhere).snapshot()


# -- the stream --------------------------------------------------------------------------------------


async def first(client: DeskClient, count: int, symbol: str | None = None) -> list[Snapshot | NotConnected]:
    seen: list[Snapshot | NotConnected] = []
    async with asyncio.timeout(60), aclosing(aiter(client.stream(symbol))) as pictures:
        async for picture in pictures:
            seen.append(picture)
            if len(seen) == count:
                break
    return seen


async def test_the_stream_yields_pictures_of_the_asked_symbol(url: str, client_of: ClientOf) -> None:
    seen = await first(client_of(url), 3, "SECONDUSDT")
    assert [picture.body["chart"]["symbol"] for picture in seen] == ["SECONDUSDT"] * 3
    assert [picture.frame for picture in seen] == sorted({picture.frame for picture in seen})


async def test_the_symbol_can_be_switched_while_the_stream_runs(url: str, client_of: ClientOf) -> None:
    stream, shown = client_of(url).stream("FIRSTUSDT"), []
    async with asyncio.timeout(60), aclosing(aiter(stream)) as pictures:
        async for picture in pictures:
            shown.append(picture.body["chart"]["symbol"])
            if shown[-1] == "SECONDUSDT":
                break
            await stream.switch("SECONDUSDT")
    assert shown[0] == "FIRSTUSDT"


async def test_the_stream_says_why_it_is_down_and_goes_on_when_the_daemon_is_back(
    desk: Desk, client_of: ClientOf
) -> None:
    port, kinds = free_port(), []
    async with asyncio.timeout(60):
        async with aclosing(aiter(client_of(f"http://127.0.0.1:{port}").stream())) as pictures:
            down = await anext(pictures)
            assert isinstance(down, NotConnected)
            assert "mexclab demo" in down.why
            with served(api.build(desk), port):
                while not isinstance(await anext(pictures), Snapshot):
                    pass
            async for picture in pictures:
                kinds.append(type(picture))
                if kinds[-1] is NotConnected:
                    break
    assert kinds[-1] is NotConnected


async def test_a_wrong_token_is_told_not_thrown(url: str, client_of: ClientOf) -> None:
    (told,) = await first(client_of(url, token="not-the-token"), 1)
    assert isinstance(told, NotConnected)
    assert "does not take this token" in told.why
    assert "not-the-token" not in told.why


async def test_a_symbol_that_cannot_be_read_is_told_once_and_not_asked_for_again(
    url: str, client_of: ClientOf
) -> None:
    told, shown = await first(client_of(url), 2, "no symbol")
    assert isinstance(told, NotConnected)
    assert "'no symbol'" in told.why
    assert isinstance(shown, Snapshot)
