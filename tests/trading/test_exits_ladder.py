"""Ladders: what is ordered, carried and left over, for any rules of the venue and any shares."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.desk import Desk
from mexclab.domain.market import Market, Side
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.snipe import ExitPlan, Rung, Snipe
from mexclab.trading.exits import Cancel, Place, exit_steps, ladder_orders
from mexclab.trading.ladder import free_units, holding, targets
from mexclab.venues.mexc.wire_market import SymbolInfo, market_of
from tests.trading.test_exits import ABC, HOUR, MARKET, NOW, book, held, placed, sales, snipe

ZERO = Decimal(0)


def ladders(whole: bool) -> st.SearchStrategy[tuple[Rung, ...]]:
    """Any ladder; ``whole``: its shares are everything, to the last digit."""

    def build(rungs: list[tuple[int, int]], rest: int) -> tuple[Rung, ...]:
        total = sum(share for _, share in rungs) + (0 if whole else rest)
        cuts = [Decimal(share * 10_000 // total) / 10_000 for _, share in rungs]
        cuts = [max(cut, Decimal("0.0001")) for cut in cuts]
        if whole:
            cuts[-1] = 1 - sum(cuts[:-1], ZERO)
        gain, made = ZERO, []
        for (step, _), cut in zip(rungs, cuts, strict=True):
            gain += Decimal(step) / 100
            made.append(Rung(gain, cut))
        return tuple(made)

    rung = st.tuples(st.integers(1, 80), st.integers(1, 50))
    return st.builds(build, st.lists(rung, min_size=1, max_size=6), st.integers(1, 100))


MARKETS = st.builds(
    Market,
    symbol=st.just(ABC),
    tick=st.sampled_from([Decimal("0.00001"), Decimal("0.001"), Decimal("0.01")]),
    lot=st.sampled_from([Decimal("0.01"), Decimal(1), Decimal(7)]),
    min_notional=st.sampled_from([ZERO, Decimal(1), Decimal(5)]),
)
QUANTITIES = st.integers(1, 300_000).map(lambda cents: str(Decimal(cents) / 100))


@given(quantity=QUANTITIES, market=MARKETS, ladder=ladders(whole=True))
def test_every_unit_that_the_venue_takes_has_an_exit_when_the_shares_are_the_whole(
    quantity: str, market: Market, ladder: tuple[Rung, ...]
) -> None:
    desk = held(quantity, "0.05", ladder)
    orders = ladder_orders(snipe(desk), desk, market, NOW)
    for order in orders:
        market.check(order.quantity, order.price)
    ordered = sum((order.quantity for order in orders), ZERO)
    best = market.limit_price(Decimal("0.05") * (1 + ladder[-1].gain), Side.SELL)
    sellable = market.whole_lots(Decimal(quantity))
    assert ordered == (ZERO if market.is_dust(sellable, best) else sellable)


@given(
    quantity=QUANTITIES,
    market=MARKETS,
    ladder=ladders(whole=False),
    filled=st.lists(st.integers(0, 100), min_size=6, max_size=6),
    dropped=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_whatever_fills_or_drops_no_more_is_ordered_than_is_held_and_a_settled_ladder_rests(
    quantity: str, market: Market, ladder: tuple[Rung, ...], filled: list[int], dropped: list[bool]
) -> None:
    desk = held(quantity, "0.05", ladder)
    for turn in range(6):
        orders = ladder_orders(snipe(desk), desk, market, NOW + turn)
        placed(desk, orders)
        assert ladder_orders(snipe(desk), desk, market, NOW + turn) == []
        live = sum((order.remaining for order in desk.open_orders()), ZERO)
        assert live <= holding(desk, "s-1")
        for order, part in zip(orders, filled, strict=False):
            sell(desk, order, market.whole_lots(order.quantity * part / 100), turn)
        for order, drop in zip(list(desk.open_orders()), dropped, strict=False):
            if drop:
                desk.fold(e.OrderCanceled(NOW, order.client_id, "the venue dropped it"))
        filled, dropped = filled[1:] + filled[:1], dropped[1:] + dropped[:1]
    assert holding(desk, "s-1") == desk.held(ABC) >= 0


def sell(desk: Desk, order: Order, quantity: Decimal, turn: int) -> None:
    if quantity > 0:
        trade_id = f"{order.client_id}-{turn}"
        fill = Fill(trade_id, order.client_id, ABC, Side.SELL, order.price, quantity, ZERO, "USDT", NOW)
        desk.fold(e.OrderFilled(NOW, fill))


@given(quantity=QUANTITIES, market=MARKETS, ladder=ladders(whole=False))
def test_each_target_is_at_its_rungs_gain_or_better_and_no_larger_than_its_carried_share(
    quantity: str, market: Market, ladder: tuple[Rung, ...]
) -> None:
    desk, whole = held(quantity, "0.05", ladder), Decimal(quantity)
    wanted = targets(snipe(desk), desk, market)
    assert [target.price for target in wanted] == sorted(target.price for target in wanted)
    for target in wanted:
        rung = ladder[int(target.leg[1:]) - 1]
        assert target.price >= Decimal("0.05") * (1 + rung.gain) > target.price - market.tick
    ordered = sum((target.quantity for target in wanted), ZERO)
    assert ordered <= whole * sum(rung.share for rung in ladder) + (
        market.lot if sum(rung.share for rung in ladder) == 1 else ZERO
    )


def test_a_rung_that_is_too_small_is_sold_with_the_next_one() -> None:
    ladder = [Rung(Decimal("0.05"), Decimal("0.1")), Rung(Decimal("0.2"), Decimal("0.5"))]
    desk = held("100", "0.05", ladder)
    (order,) = ladder_orders(snipe(desk), desk, MARKET, NOW)
    assert (order.leg, order.quantity) == ("t2", 60)


def test_a_last_rung_that_is_too_small_is_sold_with_the_one_before() -> None:
    ladder = [Rung(Decimal("0.05"), Decimal("0.5")), Rung(Decimal("0.2"), Decimal("0.1"))]
    desk = held("100", "0.05", ladder)
    (order,) = ladder_orders(snipe(desk), desk, MARKET, NOW)
    assert (order.leg, order.quantity) == ("t1", 60)


def test_a_holding_whose_fee_was_taken_in_the_base_asset_is_not_oversold() -> None:
    desk = held("1000")
    source = desk.orders["s-1-b-1"]
    more = replace(source, client_id="s-1-b-2", fills=(), state=type(source.state).DECIDED)
    desk.fold(e.OrderDecided(NOW, more))
    desk.fold(e.OrderSent(NOW, "s-1-b-2"))
    price = Decimal("0.05")
    desk.fold(
        e.OrderFilled(NOW, Fill("T2", "s-1-b-2", ABC, Side.BUY, price, Decimal(1000), Decimal(3), "ABC", NOW))
    )
    assert holding(desk, "s-1") == 1997
    assert sum(order.quantity for order in ladder_orders(snipe(desk), desk, MARKET, NOW)) == 1997


NO_LIMITS = replace(MARKET, takes_limits=False)


def test_where_no_limit_may_rest_a_rung_is_sold_at_its_price_once_the_bid_reaches_it() -> None:
    desk = held()
    assert exit_steps(snipe(desk), desk, NO_LIMITS, book("0.0524"), NOW) == []
    (first,) = sales(exit_steps(snipe(desk), desk, NO_LIMITS, book("0.0525"), NOW))
    assert (first.leg, first.type, first.price, first.quantity) == (
        "t1", OrderType.IMMEDIATE_OR_CANCEL, Decimal("0.0525"), 250,
    )  # fmt: skip
    placed(desk, [first])
    sell(desk, first, Decimal(100), 0)
    desk.fold(e.OrderCanceled(NOW, first.client_id, "nothing more within the limit", Decimal(100)))
    assert sales(exit_steps(snipe(desk), desk, NO_LIMITS, book("0.0525"), NOW)) == []
    steps = exit_steps(snipe(desk), desk, NO_LIMITS, book("0.0599", NOW + 10**9), NOW + 10**9)
    assert [(order.client_id, order.quantity) for order in sales(steps)] == [
        ("s-1-t1-2", 150),
        ("s-1-t2-1", 350),
    ]


@pytest.mark.parametrize(
    ("kinds", "rests"),
    [
        (["LIMIT", "MARKET"], True),
        (["MARKET"], False),
        (["LIMIT_MAKER", "MARKET"], False),
        ([], True),
        (None, True),
    ],
)
def test_whether_limits_may_rest_is_what_the_venue_lists_as_order_types(
    kinds: list[str] | None, rests: bool
) -> None:
    row = SymbolInfo(
        symbol="ABCUSDT", status="1", base_asset="ABC", base_asset_precision=2, quote_asset="USDT",
        quote_precision=4, quote_asset_precision=4, is_spot_trading_allowed=True,
        quote_amount_precision=Decimal(1), maker_commission=ZERO, taker_commission=ZERO, order_types=kinds,
    )  # fmt: skip
    assert market_of(row).takes_limits is rests


def test_where_no_limit_may_rest_an_old_or_absent_price_sells_no_rung() -> None:
    desk = held()
    assert sales(exit_steps(snipe(desk), desk, NO_LIMITS, book("0.06"), NOW + 10**11)) == []
    assert sales(exit_steps(snipe(desk), desk, NO_LIMITS, None, NOW)) == []


def replaced(desk: Desk, ladder: tuple[Rung, ...], version: int) -> Snipe:
    plan = ExitPlan(ladder, Decimal("0.1"), HOUR, version=version)
    desk.fold(e.ExitReplaced(NOW, "s-1", plan, "ada", "other gains"))
    return snipe(desk)


def test_another_plans_ladder_waits_until_the_venue_has_given_back_what_the_old_one_locks() -> None:
    desk = held()
    old = ladder_orders(snipe(desk), desk, MARKET, NOW)
    placed(desk, old)
    sell(desk, old[0], Decimal(250), 0)
    whole = (Rung(Decimal("0.1"), Decimal("0.5")), Rung(Decimal("0.3"), Decimal("0.5")))
    now = replaced(desk, whole, 1)
    steps = exit_steps(now, desk, MARKET, book("0.05"), NOW)
    assert [step.client_id for step in steps if isinstance(step, Cancel)] == [o.client_id for o in old[1:]]
    assert len(steps) == 3
    for order in old[1:]:
        desk.fold(e.CancelSent(NOW, order.client_id, "replaced"))
    sell(desk, old[1], Decimal(50), 0)  # it traded before the cancel arrived
    for order in old[1:]:
        assert exit_steps(now, desk, MARKET, book("0.05"), NOW) == []
        desk.fold(e.OrderCanceled(NOW, order.client_id, "replaced"))
    fresh = sales(exit_steps(now, desk, MARKET, book("0.05"), NOW))
    assert [(order.client_id, order.quantity, order.price) for order in fresh] == [
        ("s-1-t1v1-1", 350, Decimal("0.055")),
        ("s-1-t2v1-1", 350, Decimal("0.065")),
    ]
    placed(desk, fresh)
    sell(desk, fresh[0], Decimal(350), 0)
    assert exit_steps(now, desk, MARKET, book("0.05"), NOW) == []
    assert free_units(desk, now) == 0


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_replaced_plan_has_all_its_tries_whatever_the_old_one_used_up(version: int) -> None:
    desk = held()
    for number in range(version):
        for turn in range(8):
            for order in ladder_orders(snipe(desk), desk, MARKET, NOW + turn * 10**11):
                placed(desk, [order])
                desk.fold(e.OrderCanceled(NOW, order.client_id, "the venue dropped it"))
        assert ladder_orders(snipe(desk), desk, MARKET, NOW + 10**12) == []
        replaced(desk, snipe(desk).plan.exit.ladder, number + 1)
    steps = exit_steps(snipe(desk), desk, MARKET, book("0.05"), NOW)
    assert sum(step.order.quantity for step in steps if isinstance(step, Place)) == 1000
