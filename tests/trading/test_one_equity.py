"""There is one equity: limits, marks, curve, attribution, statement and stress mean the same number."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from mexclab.domain import events as e
from mexclab.domain.attribution import Attribution
from mexclab.domain.clock import DAY, MINUTE
from mexclab.domain.desk import Desk
from mexclab.domain.equity import EquityCurve
from mexclab.domain.market import Side, Symbol
from mexclab.domain.marks import mark_of
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.research.stress import SCENARIOS
from mexclab.trading.standing import Standing
from mexclab.trading.statement import World, statement
from mexclab.trading.statement_pages import attribution_page, now_point, stress_page

D = Decimal
START = 20_600 * DAY
CAPITAL = D(1000)
SYMBOLS = (Symbol("ABC"), Symbol("DEF"), Symbol("MX"))
STARTED = e.DaemonStarted(START, "paper", "a venue", "test", CAPITAL)
prices = st.decimals(D("0.001"), D(50), places=3)
Row = tuple[int, bool, Decimal, int, str, Decimal]
rows = st.lists(
    st.tuples(
        st.integers(0, 2), st.booleans(), prices, st.integers(1, 100),
        st.sampled_from(["base", "USDT", "MX", "OKB"]),
        st.decimals(D(0), D("0.5"), places=3),
    ),
    max_size=12,
)  # fmt: skip


def told(chosen: Sequence[Row]) -> list[e.Event]:
    """A ledger: orders and their trades, sales of no more than is held."""
    desk, events = Desk(), list[e.Event]()

    def write(event: e.Event) -> None:
        desk.fold(event)
        events.append(event)

    write(STARTED)
    for number, (which, buys, price, size, asset, fee) in enumerate(chosen):
        symbol = SYMBOLS[which]
        held = desk.held(symbol)
        quantity = D(size) if buys else min(D(size), held)
        asset = symbol.base if asset == "base" else asset
        if asset == symbol.base:
            quantity, fee = (
                (quantity, min(fee, quantity / 2)) if buys else (quantity - min(fee, quantity / 2), fee)
            )
            fee = fee if buys else min(fee, held - quantity)
        if quantity <= 0:
            continue
        at_ns, side = START + (number + 1) * MINUTE, Side.BUY if buys else Side.SELL
        kind = OrderType.IMMEDIATE_OR_CANCEL
        order = Order(f"s{number}-b-1", symbol, side, kind, quantity, price, f"s{number}", "b")
        write(e.OrderDecided(at_ns, order))
        write(e.OrderSent(at_ns, order.client_id))
        fill = Fill(f"x{number}", order.client_id, symbol, side, price, quantity, fee, asset, at_ns)
        write(e.OrderFilled(at_ns, fill))
    return events


@given(rows, st.tuples(prices, prices, prices))
def test_after_every_event_everything_that_speaks_of_equity_means_the_same(
    chosen: list[Row], bids: tuple[Decimal, Decimal, Decimal]
) -> None:
    desk, curve, shares = Desk(), EquityCurve(), Attribution()
    known = {**dict(zip(SYMBOLS, bids, strict=True)), Symbol("OKB"): D(3)}
    for event in told(chosen):
        for fold in (desk.fold, curve.take, shares.take):
            fold(event)
        portfolio = desk.portfolio
        held = {position.symbol: known[position.symbol] for position in portfolio.held}
        worth = portfolio.valued(known)
        # naive: the quote balance by the trades alone, and what is held at its bid
        fills = [fill for order in desk.orders.values() for fill in order.fills]
        signs = [(1 if fill.side is Side.SELL else -1) * fill.value for fill in fills]
        paid = [fill.fee for fill in fills if fill.fee_asset == fill.symbol.quote]
        equity = CAPITAL + sum(signs) - sum(paid) + sum(p.quantity * known[p.symbol] for p in portfolio.held)

        mark = mark_of(portfolio, worth, event.at_ns)
        curve.take(mark)
        world = World("paper", "USDT", 1, event.at_ns, prices=known)
        now = now_point(portfolio, world, curve.peak)
        by_symbol = [share.valued(known) for share in shares.by_symbol()]
        by_strategy = [share.valued(known) for share in shares.by_strategy()]
        assert now is not None
        means = {
            "limits": Standing.of(desk, held).equity,
            "marks": mark.equity,
            "curve": curve.points[-1].equity,
            "the curve's last point": now.equity,
            "symbols": CAPITAL + sum(each.realised + each.unrealised for each in by_symbol),
            "strategies": CAPITAL + sum(each.realised + each.unrealised for each in by_strategy),
            "statement": D(statement(desk, world).equity or "0"),
            "stress": D(stress_page(desk, world, SCENARIOS).equity or "0"),
        }  # fmt: skip
        assert {
            name: value - equity for name, value in means.items() if abs(value - equity) > D("1e-15")
        } == {}
        assert D(statement(desk, world).profit or "0") == equity - CAPITAL - worth.other_fees
        assert attribution_page(shares, world).by_symbol is not None


@given(rows)
def test_what_has_no_price_stands_at_its_cost_in_marks_and_at_nothing_in_limits(chosen: list[Row]) -> None:
    desk = Desk.of(told(chosen))
    standing, mark = Standing.of(desk, {}), mark_of(desk.portfolio, desk.portfolio.valued({}), START)
    assert mark.equity == desk.portfolio.equity()
    assert mark.equity - standing.equity == desk.portfolio.cost
    assert set(standing.unpriced) == set(mark.unpriced)
