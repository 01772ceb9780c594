"""Statements of a desk: how many bets it is, what the venue says, and where one looks back to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import reduce

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, from_utc
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Level, Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.portfolio import Portfolio
from mexclab.domain.reports import Balance
from mexclab.errors import ParameterError
from mexclab.research.tail_risk import Returns
from mexclab.trading.lookback import NOW, Cut, Past
from mexclab.trading.statement import World, statement
from mexclab.trading.statement_pages import attribution_page, balances_page, curve_page, stress_page
from mexclab.trading.statement_types import DiversificationRow
from tests.domain.histories import random_history

D = Decimal
FIRST, LAST = datetime(1971, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - hypothesis wants them without a zone
ABC, DEF, GHI = map(Symbol, ("ABC", "DEF", "GHI"))


def desk_of(*amounts: tuple[Symbol, str], fee: tuple[str, str] = ("0", "USDT")) -> Desk:
    """A desk that bought so many units of each at 1."""
    desk = Desk()
    fills = [
        Fill(str(n), f"s{n}-b-1", symbol, Side.BUY, D(1), D(size), D(fee[0]), fee[1], 1)
        for n, (symbol, size) in enumerate(amounts)
    ]
    desk.portfolio = reduce(lambda portfolio, fill: portfolio.after(fill), fills, Portfolio(D(1000)))
    return desk


def world(*priced: Symbol, returns: Returns | None = None) -> World:
    books = {symbol: Book(symbol, (Level(D(1), D(10_000)),), (), 9) for symbol in priced}
    return World("paper", "USDT", 7, 10 * MINUTE, books=books, returns=returns)


def diversified(sizes: Sequence[tuple[Symbol, str]], returns: Returns | None) -> DiversificationRow:
    priced = [symbol for symbol, _ in sizes]
    return statement(desk_of(*sizes), world(*priced, returns=returns)).diversification


def moves(columns: int, minutes: int = 400, seed: int = 5) -> Returns:
    return np.random.default_rng(seed).normal(0, 0.01, (minutes, columns))


def test_equal_and_independent_holdings_are_as_many_bets() -> None:
    row = diversified([(ABC, "50"), (DEF, "50"), (GHI, "50")], moves(3))
    assert row.hhi == pytest.approx(1 / 3)
    assert row.effective_holdings == pytest.approx(3)
    assert row.effective_bets == pytest.approx(3, abs=0.1)
    assert (row.clusters, row.why) == ((), "")


def test_what_moves_together_is_one_cluster_and_fewer_bets() -> None:
    returns = moves(3)
    returns[:, 1] = returns[:, 0] + 0.1 * returns[:, 1]
    row = diversified([(ABC, "50"), (DEF, "50"), (GHI, "50")], returns)
    assert row.clusters == (("ABCUSDT", "DEFUSDT"),)
    assert row.effective_bets is not None
    assert row.effective_bets < 2.9


def test_a_history_that_is_too_short_says_so_and_counts_as_moving_together() -> None:
    returns = moves(2)
    returns[:-1, 1] = np.nan
    row = diversified([(ABC, "50"), (DEF, "50")], returns)
    assert (row.effective_bets, row.clusters) == (None, (("ABCUSDT", "DEFUSDT"),))
    assert row.why == "bets cannot be told apart by 1 minutes of prices that all of them have"


def test_one_holding_is_one_bet_and_none_is_none() -> None:
    assert diversified([(ABC, "50")], moves(1, 3)).effective_bets == 1
    assert diversified([], None).why == "nothing is held"
    assert diversified([(ABC, "50")], None).why == "no returns are known"


def test_a_holding_without_a_price_leaves_no_sum_that_pretends_to_be_whole() -> None:
    page = statement(desk_of((ABC, "50"), (DEF, "50")), world(ABC))
    assert (page.equity, page.unrealised, page.exposure, page.profit) == (None,) * 4
    assert [row.why for row in page.positions] == ["", "nobody knows its price now"]
    assert page.diversification.why == "something that is held has no price"
    assert page.missing == ("DEFUSDT is held and has no price; its profit on paper is not known",)
    assert [total.unpriced for total in stress_page(desk_of((DEF, "5")), world()).totals] == [
        ("DEFUSDT",)
    ] * 5


def test_fees_are_shown_in_their_asset_and_weighed_where_they_have_a_price() -> None:
    desk = desk_of((ABC, "50"), fee=("2", "MX"))
    [fee] = statement(desk, world(ABC)).fees
    assert (fee.asset, fee.amount, fee.worth) == ("MX", "2", None)
    priced = statement(desk, world(ABC, Symbol("MX")))
    assert (priced.fees[0].worth, priced.other_fees, priced.profit, priced.equity) == ("2", "2", "-2", "1000")


def test_balances_that_nobody_asked_for_are_not_said_to_agree() -> None:
    page = balances_page(desk_of((ABC, "50")), world(ABC), None)
    assert (page.agrees, page.rows, page.words) == (None, (), "the venue has not been asked for its balances")


def test_an_asset_in_which_fees_were_paid_is_no_difference() -> None:
    desk = desk_of((ABC, "50"), fee=("2", "MX"))
    balances = {"USDT": Balance(D(940), D(10)), "ABC": Balance(D(50), D(0)), "MX": Balance(D(3), D(0))}
    page = balances_page(desk, world(ABC), balances)
    rows = {row.asset: row for row in page.rows}
    assert (page.agrees, rows["USDT"].venue, rows["USDT"].locked) == (True, "950", "10")
    assert (rows["MX"].ledger, rows["MX"].agrees) == (None, None)
    assert rows["MX"].words.startswith("2 MX of fees were paid from it")


# -- looking back ----------------------------------------------------------------------------------


def test_every_page_of_an_earlier_entry_is_that_of_the_fold_up_to_it(seed: int) -> None:
    entries = list(enumerate(random_history(seed, stories=4), 1))
    for seq in (0, 1, len(entries) // 2, len(entries)):
        past = Past().grow(entries, Cut(seq=seq))
        desk = Desk.of(event for number, event in entries if number <= seq)
        there = World("paper", "USDT", past.seq, past.at_ns, past=True)
        assert past.seq == seq
        assert statement(past.desk, there) == statement(desk, there)
        page = attribution_page(past.shares, there)
        assert sum(D(row.realised) for row in page.by_symbol) == desk.portfolio.realised
        assert len(curve_page(past.curve.points, there, 50).points) <= 50


def test_growing_in_steps_is_growing_at_once(seed: int) -> None:
    entries = list(enumerate(random_history(seed, stories=4), 1))
    whole, stepped = Past(whole=False).grow(entries), Past(whole=False)
    for start in range(0, len(entries), 37):
        stepped.grow(entries[start : start + 37])
    assert stepped.seq == whole.seq
    assert stepped.shares.by_symbol() == whole.shares.by_symbol()
    assert stepped.curve.points == whole.curve.points


def test_a_moment_ends_the_fold_at_the_first_entry_that_was_written_after_it() -> None:
    entries = [(n, e.AlertRaised(at, "info", "x")) for n, at in enumerate((10, 20, 15, 30, 12), 1)]
    assert Past().grow(entries, Cut(at_ns=20)).seq == 3
    assert Past().grow(entries, Cut(at_ns=9)).seq == 0
    assert Past().grow(entries, NOW).seq == 5


@given(st.integers(0, 10**12))
def test_a_number_is_an_entry(seq: int) -> None:
    assert Cut.read(f" {seq} ") == Cut(seq=seq)


@given(st.datetimes(FIRST, LAST), st.integers(-14 * 4, 14 * 4))
def test_a_moment_is_read_in_its_own_zone_and_in_utc_without_one(moment: datetime, quarters: int) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=15 * quarters)))
    assert Cut.read(there.isoformat()) == Cut.read(moment.isoformat()) == Cut(at_ns=from_utc(there))


@given(st.text(max_size=50))
def test_any_other_text_is_refused_in_one_sentence(text: str) -> None:
    words = text.strip()
    assume(not words[:4].isdigit() and not (words.isascii() and words.isdigit()))  # a moment or an entry may
    with pytest.raises(ParameterError, match="is no place in the ledger"):
        Cut.read(text)
