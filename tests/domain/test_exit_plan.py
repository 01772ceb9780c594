"""Exit plans: what cannot exist, and how a ladder is written and read."""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mexclab.domain.clock import HOUR
from mexclab.domain.snipe import (
    LADDERS,
    ExitPlan,
    Rung,
    ladder_of,
    parse_ladder,
    written_ladder,
)
from mexclab.errors import DomainError

FIFTEEN = Decimal("0.15")


@pytest.mark.parametrize(
    ("name", "rungs"),
    [
        ("conservative", [("0.03", "0.30"), ("0.07", "0.40"), ("0.12", "0.30")]),
        ("balanced", [("0.05", "0.25"), ("0.12", "0.35"), ("0.20", "0.25"), ("0.35", "0.15")]),
        ("aggressive", [("0.08", "0.20"), ("0.18", "0.30"), ("0.35", "0.30"), ("0.60", "0.20")]),
    ],
)
def test_the_presets_sell_everything_at_their_published_gains(
    name: str, rungs: list[tuple[str, str]]
) -> None:
    assert LADDERS[name] == tuple(Rung(Decimal(gain), Decimal(share)) for gain, share in rungs)
    assert sum(rung.share for rung in LADDERS[name]) == 1


def test_a_plan_is_made_of_a_preset_or_of_a_ladder_of_ones_own() -> None:
    plan = ExitPlan.preset(
        "Balanced", FIFTEEN, HOUR, trailing=Decimal("0.1"), break_even_after=Decimal("0.05")
    )
    assert plan == ExitPlan(LADDERS["balanced"], FIFTEEN, HOUR, Decimal("0.1"), Decimal("0.05"))
    own = ExitPlan.preset("5:25 12.5:35", FIFTEEN, HOUR)
    assert own.ladder == (
        Rung(Decimal("0.05"), Decimal("0.25")),
        Rung(Decimal("0.125"), Decimal("0.35")),
    )
    assert str(plan) == (
        "ladder 5:25 12:35 20:25 35:15, stop 15 %, trailing 10 %, break-even after 5 %, time 1 h 00 min"
    )


@pytest.mark.parametrize("text", ["5:25 12:35", "5%:25% 12%:35%", "5:25,12:35", " 5:25 ,\n 12:35 "])
def test_a_ladder_is_read_in_every_usual_spelling(text: str) -> None:
    assert parse_ladder(text) == parse_ladder("5:25 12:35")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1 to 6 rungs, not 0"),
        ("1:10 2:10 3:10 4:10 5:10 6:10 7:10", "1 to 6 rungs, not 7"),
        ("5", "'5' is no rung"),
        ("5:25:1", "'5:25:1' is no rung"),
        ("five:25", "'five:25' is no rung"),
        ("nan:25", "rung 1 .* NaN and 0.25 are not two numbers"),
        ("5:inf", "rung 1 .* 0.05 and Infinity are not two numbers"),
        ("1e9999999:25", "'1e9999999:25' is no rung"),
        ("12:35 5:25", "rung 2 .* 5 % is not above the 12 %"),
        ("5:25 5:25", "rung 2 .* 5 % is not above the 5 %"),
        ("0:25", "rung 1 .* 0 % is not positive"),
        ("-5:25", "rung 1 .* -5 % is not positive"),
        ("5:0", "rung 1 .* share must be positive, not 0 %"),
        ("5:-1", "rung 1 .* share must be positive, not -1 %"),
        ("5:60 12:60", "sum to at most 1 .* not to 120 %"),
        ("10001:50", "a gain of 10001 % is above 10000 %"),
        ("1e999:50", "a gain of 1E.* is above"),
    ],
)
def test_a_text_that_is_no_ladder_is_refused_with_the_value_and_the_rule(text: str, words: str) -> None:
    with pytest.raises(DomainError, match=words):
        parse_ladder(text)


@example("1e-30:50")
@example("1e-1000020:50")
@given(st.text(max_size=30) | st.text("0123456789:., %eE-+", max_size=40))
def test_any_text_is_a_ladder_that_can_be_written_back_or_one_clear_refusal(text: str) -> None:
    refusal = ""
    ladder: tuple[Rung, ...] = ()
    try:
        ladder = parse_ladder(text)
    except DomainError as error:
        refusal = error.message
    assert len(refusal) < 250
    assert refusal or parse_ladder(written_ladder(ladder)) == ladder


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(1, 166)), min_size=1, max_size=6))
def test_a_written_ladder_is_read_back_as_it_was(cuts: list[tuple[int, int]]) -> None:
    gains = accumulate(gain for gain, _ in cuts)
    ladder = tuple(
        Rung(Decimal(gain) / 1000, Decimal(share) / 1000)
        for gain, (_, share) in zip(gains, cuts, strict=True)
    )
    assert parse_ladder(written_ladder(ladder)) == ladder


def test_an_unknown_preset_is_refused_with_those_that_exist() -> None:
    with pytest.raises(DomainError, match="'bold'; there are conservative, balanced, aggressive"):
        ladder_of("bold")


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", "NaN", "Infinity"])
def test_stops_are_fractions_between_0_and_1(value: str) -> None:
    with pytest.raises(DomainError, match=f"stop loss {value} is not a fraction between 0 and 1"):
        ExitPlan(LADDERS["balanced"], Decimal(value), HOUR)
    with pytest.raises(DomainError, match=f"trailing stop {value} is not a fraction between 0 and 1"):
        ExitPlan(LADDERS["balanced"], FIFTEEN, HOUR, Decimal(value))


@pytest.mark.parametrize("value", ["0", "-0.1", "101", "NaN", "Infinity"])
def test_the_gain_for_break_even_is_above_0_and_within_reason(value: str) -> None:
    with pytest.raises(DomainError, match=f"gain for break-even {value} is not a fraction above 0"):
        ExitPlan(LADDERS["balanced"], FIFTEEN, HOUR, break_even_after=Decimal(value))


@pytest.mark.parametrize("time_stop_ns", [0, -1])
def test_the_time_stop_is_after_the_entry(time_stop_ns: int) -> None:
    with pytest.raises(DomainError, match=f"after the entry, not {time_stop_ns} ns"):
        ExitPlan(LADDERS["balanced"], FIFTEEN, time_stop_ns)


@pytest.mark.parametrize(("gain", "share"), [("NaN", "0.5"), ("0.1", "Infinity")])
def test_a_rung_needs_two_numbers(gain: str, share: str) -> None:
    with pytest.raises(DomainError, match="are not two numbers"):
        ExitPlan((Rung(Decimal(gain), Decimal(share)),), FIFTEEN, HOUR)
