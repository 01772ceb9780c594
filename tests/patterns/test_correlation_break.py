"""The pattern of a broken tie: silent without prices, an alarm with them, a signal for an opening to come."""

from __future__ import annotations

from importlib.metadata import entry_points

import numpy as np
import pytest

from mexclab.config import ListingsSettings
from mexclab.domain.clock import DAY, HOUR, MINUTE
from mexclab.domain.listing import Listing
from mexclab.domain.market import Symbol
from mexclab.errors import ParameterError
from mexclab.patterns.correlation_break import CorrelationBreak
from mexclab.research.correlation_watch import Break, BreakOptions

SYMBOLS = tuple(f"C{at}USDT" for at in range(8))
LOOSE = Symbol("C3", "USDT")


def fed(rows: int = 700, since: int = 600) -> tuple[CorrelationBreak, list[Break]]:
    """A pattern that saw eight coins move together, and one that leaves the others from bar ``since`` on."""
    pattern = CorrelationBreak(ListingsSettings(), BreakOptions(recent=40, before=300))
    pattern.follow(SYMBOLS)
    rng = np.random.default_rng(1)
    moves = 1e-3 * (rng.normal(size=(rows, 1)) + 0.6 * rng.normal(size=(rows, 8)))
    moves[since:, 3] = 1e-3 * rng.normal(size=rows - since)
    closes = 2.0 * np.exp(np.cumsum(moves, axis=0))
    alarms: list[Break] = []
    for at, row in enumerate(closes):
        alarms += pattern.see((at + 1) * MINUTE, dict(zip(SYMBOLS, row.tolist(), strict=True)))
    return pattern, alarms


def listing(symbol: Symbol, open_ns: int) -> Listing:
    return Listing(symbol, "c-1", "Coin", open_ns, first_seen_ns=0)


def test_a_coin_that_comes_loose_before_its_opening_raises_a_signal_with_its_evidence() -> None:
    pattern, alarms = fed()
    assert [alarm.symbol for alarm in alarms] == [str(LOOSE)]
    now_ns = 700 * MINUTE
    signal = pattern.observe(listing(LOOSE, now_ns + 5 * HOUR), now_ns)
    assert signal is not None
    assert (signal.pattern, signal.symbol, signal.lead_ns) == ("correlation_break", LOOSE, 5 * HOUR)
    assert "with 7 others" in signal.evidence["correlation"]
    assert "meets the floor" in signal.evidence["lead"]
    assert "prior belief" in signal.evidence["basis"]
    again = pattern.observe(listing(LOOSE, now_ns + 6 * HOUR), now_ns + MINUTE)
    assert again is not None
    assert again.signal_id == signal.signal_id


def test_openings_that_are_past_other_coins_and_old_alarms_raise_none() -> None:
    pattern, alarms = fed()
    now_ns = 700 * MINUTE
    assert pattern.observe(listing(LOOSE, now_ns), now_ns) is None
    assert pattern.observe(listing(Symbol("C0"), now_ns + HOUR), now_ns) is None
    late_ns = alarms[0].at_ns + DAY + 1
    assert pattern.observe(listing(LOOSE, late_ns + HOUR), late_ns) is None
    assert pattern.observe(listing(LOOSE, now_ns + HOUR), alarms[0].at_ns - 1) is None


def test_it_is_installed_and_silent_until_it_is_fed() -> None:
    (point,) = [each for each in entry_points(group="mexclab.patterns") if each.name == "correlation_break"]
    pattern = point.load()(ListingsSettings())
    assert isinstance(pattern, CorrelationBreak)
    assert pattern.observe(listing(LOOSE, 2 * HOUR), HOUR) is None


def test_a_missing_close_is_a_gap_and_a_wrong_one_is_refused() -> None:
    pattern, _ = fed(rows=350, since=350)
    assert pattern.see(400 * MINUTE, {SYMBOLS[0]: 1.0}) == ()
    with pytest.raises(ParameterError, match="is not followed"):
        pattern.see(401 * MINUTE, {"XUSDT": 1.0})
    with pytest.raises(ParameterError, match="not positive"):
        pattern.see(401 * MINUTE, {SYMBOLS[0]: 0.0})
    with pytest.raises(ParameterError, match="named once"):
        pattern.follow([str(LOOSE), str(LOOSE)])
    with pytest.raises(ParameterError, match="Nothing is followed"):
        CorrelationBreak(ListingsSettings()).see(0, {})
