"""Alerts: which entries people are told, and how."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal

import pytest

from mexclab.domain import events as e
from mexclab.domain.alert import ALERT_KINDS, LEVELS, LONGEST, alert_of, worded
from mexclab.domain.market import Symbol
from mexclab.domain.protection import Protection
from tests.domain.histories import random_history

SYMBOL = Symbol.parse("ABCUSDT")


def protection(kind: str, symbol: Symbol | None = None, until_ns: int | None = None) -> Protection:
    return Protection("p1", kind, symbol, 1, until_ns, "3", "3", 1, "three losses in a row")


def test_nothing_outside_the_list_is_ever_an_alert_and_everything_in_it_exists(seed: int) -> None:
    assert set(ALERT_KINDS) <= set(e.EVENT_TYPES)
    for event in random_history(seed, stories=60):
        if worded(event) is not None:
            assert type(event).__name__ in ALERT_KINDS, event


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (e.AlertRaised(1, "warning", "low"), "warning", "low"),
        (e.AlertRaised(1, "shout", "low"), "critical", "low"),
        (e.Halted(1, "Ann", "lunch"), "critical", "halted by Ann: lunch"),
        (e.Resumed(1, "Ann", "back"), "warning", "resumed by Ann: back"),
        (
            e.ProtectionRaised(1, protection("loss_streak")),
            "warning",
            "entries pause in every symbol until a",
        ),
        (e.ProtectionRaised(1, protection("drawdown", SYMBOL)), "warning", "entries pause in ABCUSDT"),
        (e.ProtectionRaised(1, protection("cooldown", SYMBOL, 5)), "info", "until 1970-01-01"),
        (e.ProtectionReleased(1, "p1", "Ann", "it is fine"), "warning", "p1 was released by Ann: it is fine"),
        (e.MonitorChanged(1, "spread", SYMBOL, "tripped", "0.2", "0.1", "wide"), "warning", "for ABCUSDT"),
        (e.MonitorChanged(1, "clock", None, "tripped", "9", "1", "off"), "warning", "for the venue"),
        (e.Rehearsed(1, False, 1, 2, 3, "x.json", "Ann"), "critical", "failed; see x.json"),
        (e.Rehearsed(1, True, 1, 2, 3, "x.json", "Ann"), "info", "everything held"),
        (e.SagaEnded(1, "s1", "compensated", "no money"), "info", "s1 was taken back: no money"),
        (e.LimitsConfirmed(1, "main", "d", (), "Ann", "seen"), "info", "main were confirmed by Ann"),
        (
            e.WrittenOff(1, "s1", SYMBOL, Decimal("40.0"), "Ann", "sold by hand"),
            "warning",
            "Ann accepted that 40.0 ABC are gone, at a loss of what they cost: sold by hand",
        ),
        (e.DaemonStarted(1, "paper", "MEXC", "1", Decimal(1)), "info", "the desk started"),
        (e.DaemonStopped(1, "asked"), "info", "the desk stopped: asked"),
    ],
)
def test_an_entry_is_told_with_its_level_and_its_reason(event: e.Event, level: str, words: str) -> None:
    alert = alert_of(event, 7, "7-abc", "paper")
    assert alert is not None
    assert alert.level == level
    assert words in alert.text
    assert (alert.seq, alert.alert_id, alert.kind, alert.mode) == (7, "7-abc", type(event).__name__, "paper")


@pytest.mark.parametrize("state", ["quiet", "warning", "unknown"])
def test_a_monitor_that_did_not_trip_is_no_alert(state: str) -> None:
    assert alert_of(e.MonitorChanged(1, "spread", SYMBOL, state, "0", "1", ""), 1, "1") is None
    assert alert_of(e.SagaEnded(1, "s", "completed"), 1, "1") is None


def test_an_alert_is_one_line_however_it_was_written() -> None:
    alert = alert_of(e.AlertRaised(1, "warning", "a\n b\x1b" + "c" * 5000), 1, "1")
    assert alert is not None
    assert alert.text.startswith("a b c")
    assert len(alert.text) == LONGEST
    assert alert.text.isprintable()


def test_levels_are_in_order() -> None:
    alert = alert_of(e.AlertRaised(1, "warning", "x"), 1, "1")
    assert alert is not None
    assert [alert.is_at_least(level) for level in LEVELS] == [True, True, False]
    assert set(alert.to_dict()) >= {"id", "seq", "at", "at_ns", "level", "kind", "text", "mode", "source"}
    assert len(alert.to_dict()) == len(fields(alert)) + 1
