"""More pages of a statement: who earned it, when, what could become of it, and what the venue says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from mexclab.domain.attribution import Attribution, Share
from mexclab.domain.desk import Desk
from mexclab.domain.equity import Point, thinned
from mexclab.domain.figures import exact, exact_or_none, short, short_or_none
from mexclab.domain.market import Level
from mexclab.domain.portfolio import ZERO, Portfolio
from mexclab.domain.reports import Balances
from mexclab.research.stress import SCENARIOS, Held, Scenario, Stress, stress
from mexclab.trading.statement import World, fee_rows, stop_of
from mexclab.trading.statement_types import (
    AttributionPage,
    BalanceRow,
    BalancesPage,
    CurvePage,
    PointRow,
    ScenarioRow,
    ShareRow,
    StressPage,
    StressRow,
    StressTotalRow,
)

MOST_SHARES = 500  # symbols on one page
MOST_ASSETS = 200  # assets of others on one page
AMPLE = 1_000  # times what is held
USUAL_FEE = Decimal("0.0005")  # of a sale, where the pair's own fee is not known

# -- who earned it ---------------------------------------------------------------------------------


def attribution_page(shares: Attribution, world: World) -> AttributionPage:
    """The shares of symbols and strategies, the largest profit first."""
    symbols, strategies = shares.by_symbol(), shares.by_strategy()
    return AttributionPage(
        mode=world.mode,
        quote=world.quote,
        seq=world.seq,
        at_ns=world.at_ns,
        by_symbol=_ranked(symbols, world)[:MOST_SHARES],
        by_strategy=_ranked(strategies, world)[:MOST_SHARES],
        more=max(len(symbols), len(strategies)) > MOST_SHARES,
    )


def _ranked(shares: Iterable[Share], world: World) -> tuple[ShareRow, ...]:
    prices = world.known_prices()
    valued = [(share, share.valued(prices)) for share in shares]
    valued.sort(
        key=lambda pair: (-(pair[1].realised + pair[1].unrealised - pair[1].other_fees), pair[0].name)
    )
    return tuple(
        ShareRow(
            name=share.name,
            snipes=share.snipes,
            closed=share.closed,
            won=share.won,
            win_rate=None if share.win_rate is None else float(share.win_rate),
            bought=exact(share.bought),
            sold=exact(share.sold),
            realised=exact(worth.realised),
            unrealised=None if worth.unpriced else exact(worth.unrealised),
            profit=exact_or_none(worth.profit),
            fees=fee_rows(share.fees, world.quote, prices),
            missing=worth.missing,
        )
        for share, worth in valued
    )


def now_point(portfolio: Portfolio, world: World, peak: Decimal) -> Point | None:
    """The equity of this moment, behind the ledger's points; None while something held has no price.

    Args:
        peak: the highest known equity before it.
    """
    worth = portfolio.valued(world.known_prices())
    if worth.unpriced:
        return None
    equity = portfolio.equity(worth.unrealised)
    peak = max(peak, equity)
    fall = (peak - equity) / peak if peak > 0 else ZERO
    return Point(world.at_ns, "now", equity, worth.realised, worth.unrealised, worth.exposure, fall)


def curve_page(points: Sequence[Point], world: World, most: int) -> CurvePage:
    """The equity curve in at most ``most`` points."""
    kept = thinned(points, most)
    return CurvePage(
        mode=world.mode,
        quote=world.quote,
        seq=world.seq,
        points=tuple(
            PointRow(
                at_ns=point.at_ns,
                kind=point.kind,
                equity=exact(point.equity),
                realised=exact(point.realised),
                unrealised=exact_or_none(point.unrealised),
                exposure=exact_or_none(point.exposure),
                drawdown=short(point.drawdown),
                unpriced=tuple(map(str, point.unpriced)),
            )
            for point in kept
        ),
        left_out=len(points) - len(kept),
        max_drawdown=short(max((point.drawdown for point in points), default=ZERO)),
    )


# -- what could become of it -----------------------------------------------------------------------


def stressed(desk: Desk, world: World, scenarios: Sequence[Scenario] = SCENARIOS) -> Stress:
    """What each scenario would do to what the desk holds; the quote balance is the ledger's."""
    prices, cash = world.known_prices(), max(desk.portfolio.cash, ZERO)
    held = []
    for position in desk.portfolio.held:
        symbol = position.symbol
        price, market = prices.get(symbol), world.markets.get(symbol)
        # a price without a book says nothing of the depth, which is taken to be ample
        ample = () if price is None else (Level(price, position.quantity * AMPLE),)
        bids = world.bids(symbol) or ample
        fee = USUAL_FEE if market is None else market.taker_fee
        held.append(Held(symbol, position.quantity, position.cost, bids, stop_of(desk, symbol), fee))
    return stress(held, cash, world.quote, scenarios)


def stress_page(desk: Desk, world: World, scenarios: Sequence[Scenario] = SCENARIOS) -> StressPage:
    """The same as rows."""
    found, worth = stressed(desk, world, scenarios), desk.portfolio.valued(world.known_prices())
    equity = desk.portfolio.equity(worth.unrealised)
    return StressPage(
        mode=world.mode,
        quote=world.quote,
        seq=world.seq,
        at_ns=world.at_ns,
        equity=None if worth.unpriced else exact(equity),
        cash=exact(desk.portfolio.cash),
        scenarios=tuple(
            ScenarioRow(s.name, s.words, exact(s.price), exact(s.liquidity), s.gap, s.selling, exact(s.quote))
            for s in found.scenarios
        ),
        totals=tuple(
            StressTotalRow(
                scenario=total.scenario,
                words=total.words,
                loss=short(total.loss),
                loss_with_stop=short(total.loss_with_stop),
                saved=short(total.saved),
                exit_cost=short(total.exit_cost),
                fraction=float(total.loss / equity) if equity > 0 and not worth.unpriced else None,
                unpriced=total.unpriced,
            )
            for total in found.totals
        ),
        rows=tuple(
            StressRow(
                scenario=hit.scenario,
                name=hit.name,
                value=short_or_none(hit.value),
                loss=short_or_none(hit.loss),
                loss_with_stop=short_or_none(hit.loss_with_stop),
                saved=short_or_none(hit.saved),
                exit_cost=short(hit.exit_cost),
                unsold=exact(hit.unsold),
                stop=short_or_none(hit.stop),
                words=hit.words,
            )
            for hit in found.hits
        ),
    )


# -- against the venue -----------------------------------------------------------------------------


def balances_page(desk: Desk, world: World, balances: Balances | None) -> BalancesPage:
    """What the ledger says there is, beside what the venue does; ``None``: the venue was not asked."""
    head = (world.mode, world.quote, world.seq, world.at_ns)
    if balances is None:
        return BalancesPage(*head, None, (), "the venue has not been asked for its balances")
    portfolio = desk.portfolio
    ours = {world.quote: portfolio.cash}
    for position in portfolio.held:
        asset = position.symbol.base
        ours[asset] = ours.get(asset, ZERO) + position.quantity
    paid = {pair.base: amount for pair, amount in portfolio.other_fees.items()}
    strangers = [asset for asset, each in balances.items() if each.total and asset not in ours][:MOST_ASSETS]
    rows = [_balance(asset, amount, balances, world.quote) for asset, amount in ours.items()]
    rows += [_not_ours(asset, paid.get(asset), balances) for asset in dict.fromkeys((*paid, *strangers))]
    wrong = [row for row in rows if row.agrees is False]
    moving = " Orders are open: trades may be on their way." if next(desk.open_orders(), None) else ""
    words = f"{len(wrong)} of {len(ours)} balances differ.{moving}" if wrong else "Every balance agrees."
    return BalancesPage(*head, not wrong, tuple(rows), words)


def _balance(asset: str, amount: Decimal, balances: Balances, quote: str) -> BalanceRow:
    found = balances.get(asset)
    total = found.total if found else ZERO
    gap = total - amount
    if not gap:
        words = "they agree"
    elif asset == quote:
        side = "more" if gap > 0 else "less"
        more = f"the venue has {exact(abs(gap))} {asset} {side}"
        words = f"{more}: somebody paid in or took out, or a trade is missing"
    elif gap > 0:
        words = f"the venue has {exact(gap)} {asset} more, which is not this ledger's and is not touched"
    else:
        words = (
            f"the venue has {exact(-gap)} {asset} less than this ledger: compare and look before trading on"
        )
    return BalanceRow(
        asset=asset,
        ledger=exact(amount),
        venue=exact(total),
        free=exact(found.free) if found else "0",
        locked=exact(found.locked) if found else "0",
        difference=exact(gap),
        agrees=not gap,
        words=words,
    )


def _not_ours(asset: str, paid: Decimal | None, balances: Balances) -> BalanceRow:
    found = balances.get(asset)
    words = "not of this ledger; it is not touched"
    if paid is not None:
        words = (
            f"{exact(paid)} {asset} of fees were paid from it; the ledger does not know what there was before"
        )
    total, free, locked = (found.total, found.free, found.locked) if found else (ZERO, ZERO, ZERO)
    return BalanceRow(asset, None, exact(total), exact(free), exact(locked), None, None, words)
