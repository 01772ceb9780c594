"""Sinks: what each one takes, what it refuses, and what it never shows."""

from __future__ import annotations

import io
import json
import logging
import time
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from mexclab.config.risk import AlertSettings
from mexclab.domain.alert import LONGEST, Alert, plain
from mexclab.domain.clock import SECOND, utc
from mexclab.runtime.notify import LONGEST_WAIT_S, Console, LineFile, Refusal, Webhook, notifiers
from tests.receiver import Reply, receiver

ALERT = Alert(
    "41-9f3c2a1b", 41, 1_780_000_000 * SECOND, "critical", "Halted", "halted by Ann: lunch", "paper"
)


def test_the_console_says_everything_in_one_line() -> None:
    out = io.StringIO()
    assert Console(out).send(replace(ALERT, text="a\nb\x1b[31m c")) is None
    when = "2026-05-28 20:26:40 UTC"
    assert out.getvalue() == f"ALERT CRITICAL {when} desk (paper): a b [31m c [41-9f3c2a1b]\n"


def test_a_closed_console_refuses_and_does_not_raise() -> None:
    out = io.StringIO()
    out.close()
    assert isinstance(Console(out).send(ALERT), Refusal)


def test_the_file_has_a_line_of_json_for_each_alert_and_a_torn_line_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alerts.jsonl"
    sink = LineFile(path)
    assert sink.send(ALERT) is None
    with path.open("ab") as file:
        file.write(b'{"id": "40-torn')
    assert sink.send(replace(ALERT, alert_id="42-x", seq=42)) is None
    first, torn, second = path.read_text().splitlines()
    assert json.loads(first) == ALERT.to_dict()
    assert torn == '{"id": "40-torn'
    assert json.loads(second)["id"] == "42-x"
    assert path.stat().st_mode & 0o077 == 0
    path.rename(tmp_path / "moved")
    assert sink.send(ALERT) is None
    assert len(path.read_text().splitlines()) == 1


def test_a_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    assert LineFile(tmp_path).send(ALERT) == Refusal("Is a directory")


def test_a_webhook_gets_the_alert_as_json_with_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(Reply(204)) as there:
        sink = Webhook(there.url, 5)
        assert sink.send(ALERT) is None
        sink.close()
    assert there.bodies == [ALERT.to_dict()]
    assert there.heads[0]["idempotency-key"] == "41-9f3c2a1b"
    assert there.heads[0]["content-type"] == "application/json"


@pytest.mark.parametrize("status", [301, 400, 404, 410, 429, 500, 503])
def test_everything_but_2xx_is_no_delivery_and_no_redirection_is_followed(status: int) -> None:
    with receiver(Reply(status, {"Location": "/elsewhere"}), Reply()) as there:
        sink = Webhook(there.url, 5)
        assert sink.send(ALERT) == Refusal(f"HTTP {status}")
        assert len(there.bodies) == 1
        assert sink.send(ALERT) is None  # the connection is as good as before
        sink.close()


def test_a_receiver_that_asks_for_patience_gets_it_up_to_an_hour() -> None:
    now_ns = 1_780_000_000 * SECOND
    date = format_datetime(utc(now_ns + 90 * SECOND), usegmt=True)
    past = format_datetime(utc(now_ns - 90 * SECOND), usegmt=True)
    wishes = ["7", date, past, "99999999999", "soon", "Mon, 99 Foo", ""]
    with receiver(*(Reply(503, {"Retry-After": wish}) for wish in wishes)) as there:
        sink = Webhook(there.url, 5, lambda: now_ns)
        found = [refusal.after_s for _ in wishes if (refusal := sink.send(ALERT))]
        sink.close()
    assert found == [7, 90, 0, LONGEST_WAIT_S, 0, 0, 0]


@pytest.mark.parametrize("reply", [Reply(after_s=300), Reply(drip_s=0.05)], ids=["slow", "dripping"])
def test_a_slow_receiver_is_given_up_in_time(reply: Reply) -> None:
    with receiver(reply) as there:
        sink = Webhook(there.url, 0.5)
        began_s = time.monotonic()
        assert sink.send(ALERT) == Refusal("no answer within 0.5 s")
        assert time.monotonic() - began_s < 30
        sink.close()


def test_an_address_where_nobody_listens_is_a_refusal_without_the_address() -> None:
    with receiver() as there:
        url = there.url
    for address in (url, "http://no-such-host.invalid/planted-secret", "http://[::1/planted-secret"):
        sink = Webhook(address, 2)
        refusal = sink.send(ALERT)
        sink.close()
        assert isinstance(refusal, Refusal)
        assert "planted" not in refusal.why + repr(sink)


def test_no_logger_shows_the_address_of_a_webhook(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiver() as there:
        sink = Webhook(there.url, 5)
        assert sink.send(ALERT) is None
        sink.close()
    assert "planted" not in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_what_looks_like_a_secret_is_masked_before_it_leaves(tmp_path: Path) -> None:
    secret = replace(ALERT, text="refused: signature=0123456789abcdef&x=1")
    out = io.StringIO()
    Console(out).send(secret)
    LineFile(tmp_path / "f").send(secret)
    with receiver() as there:
        sink = Webhook(there.url, 5)
        sink.send(secret)
        sink.close()
    for text in (out.getvalue(), (tmp_path / "f").read_text(), there.texts[0]):
        assert "refused" in text
        assert "0123456789abcdef" not in text


def test_the_settings_name_the_sinks(tmp_path: Path) -> None:
    assert [sink.name for sink in notifiers(AlertSettings())] == ["console"]
    everything = AlertSettings(file=tmp_path / "f", webhook=SecretStr("https://example.org/planted"))
    assert [sink.name for sink in notifiers(everything)] == ["console", "file", "webhook"]
    assert "planted" not in repr(everything) + repr(notifiers(everything))
    assert not notifiers(AlertSettings(console=False))


def test_a_text_without_end_is_cut() -> None:
    assert len(plain("x" * 10 * LONGEST)) == LONGEST
    assert plain("a \r\n\t b\0c\u2028d") == "a b c d"
