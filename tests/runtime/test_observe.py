"""Logs: no secret in any form of them, machines and people can read them, the correlation stays."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.runtime.observe import MASK, configure, redact

SECRET = "hunter2-0123456789abcdef"
SECRET_NAMES = (
    "token", "api_key", "apikey", "API_KEY", "secret", "api_secret", "password", "passwd",
    "Authorization", "signature", "listen_key", "listenKey", "daemon_token",
)  # fmt: skip


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is the process's: leave it as it was found."""
    known = structlog.get_config()
    yield
    structlog.configure(**known)


def nested(leaf: Any, path: list[str]) -> Any:
    for step in path:
        leaf = {"list": [1, leaf], "tuple": (leaf, "x"), "dict": {"plain": leaf}}[step]
    return leaf


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# -- redaction -------------------------------------------------------------------------------------


@given(st.sampled_from(SECRET_NAMES), st.lists(st.sampled_from(["list", "tuple", "dict"]), max_size=6))
@settings(max_examples=60)
def test_a_secret_is_masked_by_its_name_at_any_depth(name: str, path: list[str]) -> None:
    shown = redact(nested({name: SECRET, "symbol": "ACEUSDT"}, path))
    assert shown == nested({name: MASK, "symbol": "ACEUSDT"}, path)


@given(st.lists(st.sampled_from(["list", "tuple", "dict"]), max_size=6))
@settings(max_examples=30)
def test_a_secret_inside_a_text_is_masked_at_any_depth(path: list[str]) -> None:
    assert SECRET not in repr(redact(nested(f"GET /ws?listenKey={SECRET} failed", path)))


def test_a_secret_that_is_a_whole_structure_is_masked_as_a_whole() -> None:
    assert redact({"secrets": {"first": SECRET, "second": [SECRET]}}) == {"secrets": MASK}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:{}@localhost:5432/mexclab", "postgresql://ada:{}@localhost:5432/mexclab"),
        ("cannot reach redis://cache:{}@10.0.0.7 now", "cannot reach redis://cache:{}@10.0.0.7 now"),
        (
            "https://api.example/order?symbol=ACE&signature={}&x=1",
            "https://api.example/order?symbol=ACE&signature={}&x=1",
        ),
        ("http://127.0.0.1:8321/?token={}", "http://127.0.0.1:8321/?token={}"),
        ("Authorization: Bearer {}", "Authorization: Bearer {}"),
        ("password = {}, then more", "password = {}, then more"),
        ('{{"api_key": "{}", "side": "BUY"}}', '{{"api_key": "{}", "side": "BUY"}}'),
    ],
)
def test_a_secret_in_a_url_or_a_text_is_masked_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text.format(SECRET)) == shown.format(MASK)


@pytest.mark.parametrize(
    "value",
    [
        "https://api.example:443/path?symbol=ACEUSDT",
        "the token bucket is empty",
        {"price": "1.25", "quantity": 3, "at_ns": 1_780_000_000_000_000_000, "why": None},
        ["BUY", ("SELL", True)],
    ],
)
def test_what_is_no_secret_is_left_as_it_is(value: object) -> None:
    assert redact(value) == value


def test_a_secret_that_is_not_set_shows_that_it_is_not_set() -> None:
    assert redact({"token": "", "password": None}) == {"token": "", "password": None}


# -- output ----------------------------------------------------------------------------------------


def test_json_logs_are_one_object_a_line_with_level_and_utc_time() -> None:
    stream = io.StringIO()
    configure("json", stream=stream)
    log = structlog.get_logger()
    log.info("order sent", client_id="ace-b-1", token=SECRET)
    log.error("two\nlines", reply={"headers": [{"Authorization": SECRET}]})
    first, second = lines(stream)
    assert (first["event"], first["level"], first["client_id"]) == ("order sent", "info", "ace-b-1")
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("two\nlines", "error")
    assert first["token"] == second["reply"]["headers"][0]["Authorization"] == MASK


def test_console_logs_are_readable_and_hold_no_secret_either() -> None:
    stream = io.StringIO()
    configure("console", stream=stream)
    structlog.get_logger().warning(
        "cannot sign in", password=SECRET, url=f"redis://me:{SECRET}@host", tries=3
    )
    text = stream.getvalue()
    assert "cannot sign in" in text
    assert "tries=3" in text
    assert f"password={MASK}" in text
    assert SECRET not in text
    assert "\x1b" not in text, "colours are for terminals"
    assert not text.startswith("{"), "this one is for people"


def test_what_is_not_a_terminal_gets_json_unless_asked_otherwise() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().info("hello")
    assert lines(stream)[0]["event"] == "hello"


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_logged_exception_shows_its_kind_and_not_its_secret(style: Any) -> None:
    stream = io.StringIO()
    configure(style, stream=stream)
    try:
        raise ConnectionError(f"postgresql://ada:{SECRET}@localhost is away")
    except ConnectionError:
        structlog.get_logger().exception("the ledger is away")
    assert "ConnectionError" in stream.getvalue()
    assert "localhost is away" in stream.getvalue()
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_what_is_below_the_level_is_not_written(level: str, written: list[str]) -> None:
    stream = io.StringIO()
    configure("json", level, stream)
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("something")
    assert [line["level"] for line in lines(stream)] == written


def test_the_correlation_is_kept_on_every_line_of_its_work_and_on_no_other() -> None:
    stream = io.StringIO()
    configure("json", stream=stream)
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(correlation="ACE-0f3a"):
        log.info("armed")
        log.bind(client_id="ACE-0f3a-b-1").info("fired")
    log.info("idle")
    armed, fired, idle = lines(stream)
    assert (armed["correlation"], fired["correlation"]) == ("ACE-0f3a", "ACE-0f3a")
    assert fired["client_id"] == "ACE-0f3a-b-1"
    assert "correlation" not in idle


@pytest.mark.parametrize(
    "text",
    [
        "redis://:tops3cret@host/0", "postgresql://u:tops3cret@ss@h/db", "secret_key=tops3cret",
        "api-key: tops3cret", "passwd=tops3cret", "listen_key=tops3cret", "Authorization: Basic tops3cret",
        "token=Bearer tops3cret",
    ],
)  # fmt: skip
def test_the_usual_ways_to_write_a_secret_are_all_masked(text: str) -> None:
    assert "tops3cret" not in str(redact(text))
    assert "tops3cret" not in str(redact(ConnectionError(text)))
