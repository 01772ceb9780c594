"""Whose orders the watch may take back, and what it says of it. The venue's side is in test_watch.py."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.cancelling import Cancelled, is_entry, is_ours
from mexclab.domain.listing import Listing
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderState, client_order_id
from mexclab.domain.reports import VenueOrder
from mexclab.patterns.registry import signal_id


@given(st.text(max_size=12), st.sampled_from(["b", "t1", "stop", "x"]), st.integers(0, 10**6))
def test_every_id_that_the_desk_makes_is_ours(coin: str, leg: str, attempt: int) -> None:
    listing = Listing(Symbol("MIDAS", "USDT"), coin, coin, 2, 1)
    assert is_ours(client_order_id(signal_id("calendar_lead", listing), leg, attempt))


@pytest.mark.parametrize(
    "client_id",
    [
        "",
        "x",
        "web_123456",
        "MY-BOT-1-1",
        "abc-12345678-b",
        "abc-1234567g-b-1",
        "abc-12345678-b-1-",
        "a b-12345678-b-1",
    ],
)
def test_an_id_of_another_make_is_not(client_id: str) -> None:
    assert not is_ours(client_id)


def test_only_open_entries_of_ours_are_taken_back() -> None:
    mine = VenueOrder(
        "MIDAS-0a1b2c3d-b-1",
        "1",
        Symbol("MIDAS", "USDT"),
        Side.BUY,
        OrderState.ACCEPTED,
        Decimal(1),
        Decimal(1),
        Decimal(0),
    )
    assert is_entry(mine)
    assert not is_entry(replace(mine, side=Side.SELL))
    assert not is_entry(replace(mine, client_id="stranger"))
    assert not is_entry(replace(mine, state=OrderState.CANCELED))


def test_what_came_of_it_is_said_in_a_sentence() -> None:
    assert str(Cancelled()) == "no open entry was found at the venue"
    assert str(Cancelled(("a",), (), 2)) == (
        "1 open entry was cancelled at the venue (a); 2 orders that are not ours were left alone"
    )
    failed = Cancelled((), ("b",), 0, "the venue does not answer")
    assert str(failed) == "no entry was cancelled; still open: b; the venue does not answer"
    assert not failed.is_done
