"""The equity curve: points of marks and closes, and the fall from the highest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MINUTE
from mexclab.domain.desk import Desk
from mexclab.domain.equity import CLOSE, MARK, START, Point, equity_curve, thinned
from mexclab.domain.market import Side, Symbol
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError
from tests.domain.histories import random_history
from tests.domain.snipe_history import ABC, ID, OPEN, bought, stopped

D = Decimal
STARTED = e.DaemonStarted(OPEN - 9 * HOUR, "paper", "paper venue", "1", D(1000))


def marked(equity: str, at_ns: int, *unpriced: Symbol) -> e.EquityMarked:
    return e.EquityMarked(at_ns, D(equity), D(equity) - 1000, D(60), unpriced)


def brief(points: Sequence[Point]) -> list[tuple[str, Decimal, Decimal | None]]:
    return [(point.kind, point.equity, point.unrealised) for point in points]


def test_an_empty_ledger_has_no_points() -> None:
    assert equity_curve([]) == []


def test_the_curve_begins_with_the_opening_balance_and_goes_from_mark_to_close() -> None:
    at = OPEN + MINUTE
    points = equity_curve([STARTED, *bought(), marked("1004", at), marked("990", at + 1), *stopped()])
    assert brief(points) == [(START, 1000, 0), (MARK, 1004, 4), (MARK, 990, -10), (CLOSE, 990, 0)]
    assert [point.drawdown for point in points] == [0, 0, D(14) / 1004, D(14) / 1004]
    assert [point.realised for point in points] == [0, 0, 0, -10]
    assert (points[1].exposure, points[-1].exposure) == (60, 0)


def test_a_close_beside_other_holdings_takes_them_at_cost_and_says_so() -> None:
    points = equity_curve([STARTED, *bought(), *stopped(size="30")])
    assert brief(points)[-1] == (CLOSE, D("992.5"), None)
    assert points[-1].exposure is None


def test_a_fee_in_a_third_asset_leaves_the_equity_as_it_is_and_a_close_exact() -> None:
    events = [STARTED, *bought(), *stopped()]
    in_mx = [replace(x, fill=replace(x.fill, fee=D(1), fee_asset="MX")) if isinstance(x, e.OrderFilled) else x
             for x in events]  # fmt: skip
    assert brief(equity_curve(in_mx))[-1] == (CLOSE, 990, 0)


def test_a_value_at_cost_is_no_high_to_fall_from() -> None:
    events = [STARTED, *bought(), *stopped(size="30", price="3"), marked("1020", OPEN + HOUR)]
    points = equity_curve(events)
    assert points[-2].equity > 1020
    assert points[-1].drawdown == 0


def test_a_mark_keeps_the_names_of_what_had_no_price() -> None:
    [_, point] = equity_curve([STARTED, marked("980", OPEN, ABC)])
    assert point.unpriced == (ABC,)
    assert point.drawdown == D("0.02")


def test_a_later_start_does_not_move_the_opening_balance_once_an_order_was_decided() -> None:
    again = replace(STARTED, at_ns=OPEN + HOUR, opening_balance=D(5))
    assert brief(equity_curve([STARTED, again]))[0] == (START, 5, 0)
    assert [point.kind for point in equity_curve([STARTED, *bought(), again])] == [START]


def test_without_a_single_mark_the_closes_alone_make_the_curve() -> None:
    points = equity_curve([STARTED, *bought(), *stopped()])
    assert [point.kind for point in points] == [START, CLOSE]


def test_the_curve_of_a_long_history_ends_where_the_desk_does(seed: int) -> None:
    events = random_history(seed)
    desk, points = Desk.of(events), equity_curve(events)
    moves = [event for event in events if isinstance(event, e.SnipeMoved) and event.to is SnipeState.CLOSED]
    marks = [event for event in events if isinstance(event, e.EquityMarked)]
    assert (len([p for p in points if p.kind == CLOSE]), [p.equity for p in points if p.kind == MARK]) == (
        len(moves),
        [mark.equity for mark in marks],
    )
    assert points[-1].realised <= max(point.realised for point in points)
    assert [p for p in points if p.kind == CLOSE][-1].realised + desk.portfolio.opening_balance > 0
    assert all(0 <= point.drawdown <= 1 for point in points)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=300), st.integers(4, 50))
def test_a_thinned_curve_keeps_its_ends_its_high_and_its_low(equities: list[int], most: int) -> None:
    points = [Point(n, MARK, D(equity), D(0), D(0), D(0), D(0)) for n, equity in enumerate(equities)]
    kept = thinned(points, most)
    assert len(kept) <= max(most, 4)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert {max(equities), min(equities)} <= {int(point.equity) for point in kept}
    assert kept == sorted(kept, key=lambda point: point.at_ns)


def test_more_sold_than_held_is_no_curve() -> None:
    sale = next(event for event in stopped() if isinstance(event, e.OrderFilled))
    assert sale.fill.side is Side.SELL
    assert sale.fill.client_id.startswith(ID)
    with pytest.raises(DomainError, match="sold of 0 held"):
        equity_curve([STARTED, sale])
