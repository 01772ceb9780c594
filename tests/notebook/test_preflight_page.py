"""A preflight as a notebook shows it: what was asked, what is not green, no markup of the venue's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mexclab.domain.market import Symbol
from mexclab.notebook.display import register
from mexclab.venues.mexc.preflight_report import Check, PreflightReport

AT_NS = 1_779_278_400_000_000_000
GOOD = Check("clock", True, "1 ms", "within 250 ms")
RED = Check("API key", False, "refused (10072)", "known to the venue", "<b>Api key</b> info invalid")
UNKNOWN = Check("balance", None, "unknown", "at least 50 USDT", "no answer within 10 s")


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    assert register(shell)
    yield shell
    InteractiveShell.clear_instance()


def page(shell: InteractiveShell, *checks: Check, symbol: Symbol | None = None) -> str:
    shown, _ = shell.display_formatter.format(PreflightReport(checks, symbol, AT_NS))
    return str(shown["text/html"])


def test_green_promises_an_order_only_where_a_pair_was_asked_about(shell: InteractiveShell) -> None:
    assert "Preflight of MXUSDT, 2026-" in (pair := page(shell, GOOD, symbol=Symbol("MX")))
    assert "green: an order would be taken" in pair
    account = page(shell, GOOD)
    assert "Preflight of the account, 2026-" in account
    assert "an order would be taken" not in account
    assert "no pair was asked about" in account


def test_red_and_unknown_are_told_apart_and_neither_is_green(shell: InteractiveShell) -> None:
    html = page(shell, GOOD, RED, UNKNOWN)
    assert "NOT green" in html
    assert [mark in html for mark in ("✓ green", "✕ RED", "? unknown")] == [True] * 3
    assert "no answer within 10 s" in html


def test_words_of_the_venue_are_text_and_never_markup(shell: InteractiveShell) -> None:
    html = page(shell, RED)
    assert "&lt;b&gt;Api key&lt;/b&gt; info invalid" in html
    assert "<b>Api key" not in html


def test_a_report_without_any_check_is_not_green(shell: InteractiveShell) -> None:
    assert "NOT green" in page(shell)
