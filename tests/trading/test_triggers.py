"""Triggers: each fires at its threshold, says why, and never when it is switched off."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.config import HaltSettings, LimitSettings
from mexclab.domain.clock import DAY, HOUR, SECOND
from mexclab.domain.events import EquityMarked
from mexclab.domain.portfolio import Portfolio
from mexclab.trading.triggers import Vitals, fired

NOW = 20_600 * DAY + 12 * HOUR
LIMITS, HALT = LimitSettings(), HaltSettings()  # day loss 100, drawdown 10 %
PORTFOLIO = Portfolio(Decimal(1000))
OFF = HaltSettings(day_loss=False, drawdown=False, mismatch=False, clock_s=0, errors=0, ledger_lag_s=0)


def mark(equity: object = 1000, unrealised: object = 0) -> EquityMarked:
    return EquityMarked(NOW, Decimal(str(equity)), Decimal(str(unrealised)), Decimal(0))


def earned(today: object, total: object = 0) -> Portfolio:
    realised = {NOW // DAY: Decimal(str(today))}
    return replace(PORTFOLIO, realised_by_day=realised, realised=Decimal(str(total)))


def names(portfolio: Portfolio, vitals: Vitals, halt: HaltSettings = HALT) -> list[str]:
    return [trigger.name for trigger in fired(portfolio, LIMITS, halt, vitals)]


def test_a_desk_that_is_well_has_no_reason_to_halt() -> None:
    assert names(PORTFOLIO, Vitals(mark())) == []


@pytest.mark.parametrize(
    ("portfolio", "vitals", "name", "why"),
    [
        (earned(-60), Vitals(mark(950, -40)), "day_loss", "today's loss is 100.00, paper losses included"),
        (PORTFOLIO, Vitals(mark(900)), "drawdown", "equity 900.00 is 10.0% below its highest realised value"),
        (PORTFOLIO, Vitals(mark(), missing=("ABC: 5 against 4",)), "mismatch", "ABC: 5 against 4, twice"),
        (PORTFOLIO, Vitals(mark(), clock_wrong_ns=120 * SECOND, clock_why="too old"), "clock", "2 min 00 s"),
        (PORTFOLIO, Vitals(mark(), failures=20), "errors", "20 answers failed or were lost within a minute"),
        (PORTFOLIO, Vitals(mark(), lag_ns=5 * SECOND), "ledger_lag", "an append to the ledger took 5 s"),
    ],
)
def test_each_trigger_fires_at_its_threshold_and_says_why(
    portfolio: Portfolio, vitals: Vitals, name: str, why: str
) -> None:
    (found,) = fired(portfolio, LIMITS, HALT, vitals)
    assert found.name == name
    assert why in found.why
    assert names(portfolio, vitals, OFF) == []


@pytest.mark.parametrize(
    ("portfolio", "vitals"),
    [
        (earned(-60), Vitals(mark(950, "-39.99"))),
        (earned(-99), Vitals(mark(950, 40))),  # what is gained on paper makes up for no loss
        (PORTFOLIO, Vitals(mark("900.01"))),
        (PORTFOLIO, Vitals(mark(), clock_wrong_ns=120 * SECOND - 1)),
        (PORTFOLIO, Vitals(mark(), failures=19)),
        (PORTFOLIO, Vitals(mark(), lag_ns=5 * SECOND - 1)),
    ],
)
def test_just_below_its_threshold_none_fires(portfolio: Portfolio, vitals: Vitals) -> None:
    assert names(portfolio, vitals) == []


def test_paper_gains_make_up_for_no_loss_of_the_day() -> None:
    assert names(earned(-100, -100), Vitals(mark(980, 80))) == ["day_loss"]


def test_a_drawdown_is_held_against_what_was_realised_and_not_against_a_spike_on_paper() -> None:
    grown = replace(PORTFOLIO, realised=Decimal(200), peak_equity=Decimal(1200))
    assert names(grown, Vitals(mark(1081))) == []
    assert names(grown, Vitals(mark(1080))) == ["drawdown"]


def test_every_trigger_that_holds_is_named() -> None:
    vitals = Vitals(mark(800, -150), ("ABC",), DAY, "too old", 99, 9 * SECOND)
    assert names(PORTFOLIO, vitals) == ["day_loss", "drawdown", "mismatch", "clock", "errors", "ledger_lag"]
