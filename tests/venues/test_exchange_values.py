"""From ccxt's dicts to values: exactly, or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mexclab.domain.market import Symbol
from mexclab.domain.order import OrderState
from mexclab.errors import VenueUnavailable
from mexclab.venues.exchange_values import balances_of, exactly, fill_of, market_of, symbol_of, venue_order_of

BTC = Symbol("BTC")
ORDER: dict[str, Any] = {
    "id": "7", "clientOrderId": "mine", "side": "buy", "status": "open", "amount": "2", "filled": "0",
    "price": "10.5",
}  # fmt: skip
TRADE: dict[str, Any] = {
    "id": "9", "order": "7", "side": "sell", "price": "10.5", "amount": "0.1", "timestamp": 1_700_000_000_123,
    "takerOrMaker": "maker", "fee": {"cost": "0.000000000000000001", "currency": "MX"},
}  # fmt: skip


@pytest.mark.parametrize("wrong", [0.1, float("nan"), None, True, "", "abc", "NaN", "Infinity", [], {}])
def test_what_is_no_exact_number_is_none(wrong: object) -> None:
    with pytest.raises(VenueUnavailable):
        exactly(wrong, "it")


def test_an_exact_number_keeps_every_digit() -> None:
    assert str(exactly("0.1234567890123456789012345678901234567890", "it"))[-4:] == "7890"
    assert exactly(10**30, "it") == 10**30


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("open", "0", OrderState.ACCEPTED),
        ("open", "1", OrderState.PARTIALLY_FILLED),
        ("canceling", "0", OrderState.ACCEPTED),
        ("closed", "2", OrderState.FILLED),
        ("closed", "1", OrderState.CANCELED),
        ("canceled", "1", OrderState.CANCELED),
        ("expired", "0", OrderState.CANCELED),
        ("rejected", "0", OrderState.REJECTED),
    ],
)
def test_the_state_of_an_order_follows_from_status_and_fill(
    status: str, filled: str, state: OrderState
) -> None:
    found = venue_order_of({**ORDER, "status": status, "filled": filled}, BTC)
    assert (found.state, found.filled) == (state, Decimal(filled))


@pytest.mark.parametrize(
    "change",
    [{"status": None}, {"status": "?"}, {"side": None}, {"id": None}, {"filled": 0.5}, {"id": "a\nb"}],
)
def test_an_order_that_is_not_fully_told_is_not_told(change: dict[str, Any]) -> None:
    with pytest.raises(VenueUnavailable):
        venue_order_of({**ORDER, **change}, BTC)


def test_a_fee_is_in_whichever_asset() -> None:
    fill = fill_of(TRADE, BTC, "mine")
    assert (fill.fee, fill.fee_asset) == (Decimal("1E-18"), "MX")
    assert (fill.is_maker, fill.at_ns) == (True, 1_700_000_000_123_000_000)
    both = [{"cost": "1", "currency": "MX"}, {"cost": "2", "currency": "MX"}]
    assert fill_of({**TRADE, "fees": both}, BTC, "").fee == 3
    free = fill_of({**TRADE, "fee": None}, BTC, "")
    assert (free.fee, free.fee_asset) == (0, "")
    with pytest.raises(VenueUnavailable, match="several assets"):
        fill_of({**TRADE, "fees": [*both, {"cost": "1", "currency": "USDT"}]}, BTC, "")


@pytest.mark.parametrize(
    "change", [{"price": 10.5}, {"amount": "0"}, {"price": "-1"}, {"timestamp": None}, {"id": None}]
)
def test_a_trade_that_is_not_fully_told_is_not_told(change: dict[str, Any]) -> None:
    with pytest.raises(VenueUnavailable):
        fill_of({**TRADE, **change}, BTC, "")


def account(rows: Any, **held: tuple[str, str]) -> dict[str, Any]:
    free = {asset: pair[0] for asset, pair in held.items()}
    used = {asset: pair[1] for asset, pair in held.items()}
    return {"info": {"accountType": "SPOT", "balances": rows}, "free": free, "used": used}


def test_a_row_of_the_account_that_ccxt_passed_over_is_missed() -> None:
    usdt = {"asset": "USDT", "free": "1", "locked": "0"}
    assert balances_of(account([usdt], USDT=("1", "0")))["USDT"].free == 1
    with pytest.raises(VenueUnavailable, match="names no asset"):
        balances_of(account([usdt, {"asset": None, "free": "5", "locked": "0"}], USDT=("1", "0")))


def test_an_account_without_assets_is_empty_and_one_without_a_list_is_unknown() -> None:
    assert balances_of(account([])) == {}
    with pytest.raises(VenueUnavailable, match="no list"):
        balances_of(account(None))


def test_a_market_needs_a_step_and_tells_decimals_from_steps() -> None:
    row = {
        "precision": {"price": "2", "amount": "5"},
        "limits": {"cost": {"min": None}},
        "maker": "0",
        "taker": None,
    }
    found = market_of(row, BTC, in_steps=False)
    assert (found.tick, found.lot, found.min_notional) == (Decimal("0.01"), Decimal("0.00001"), 0)
    assert market_of(row, BTC, in_steps=True).tick == 2
    with pytest.raises(VenueUnavailable):
        market_of({**row, "precision": {"price": 0.01, "amount": "5"}}, BTC, in_steps=True)


def test_only_spot_pairs_with_names_of_ours_are_symbols() -> None:
    assert symbol_of({"baseId": "BTC", "quoteId": "USDT", "spot": True}) == BTC
    assert symbol_of({"baseId": "BTC", "quoteId": "USDT", "spot": False}) is None
    assert symbol_of({"baseId": "A B", "quoteId": "USDT", "spot": True}) is None
