"""Statements: the portfolio for people, the same from a running desk as from a ledger. Pure; asks nobody.

What a page shows at any earlier entry of the ledger is what the desk folded up to it comes to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from mexclab.domain.attribution import UNKNOWN
from mexclab.domain.desk import Desk
from mexclab.domain.figures import exact, exact_or_none, short, short_or_none
from mexclab.domain.market import Book, Level, Market, Symbol
from mexclab.domain.portfolio import Fees, Position, Valuation
from mexclab.domain.snipe import Snipe
from mexclab.errors import NotEnoughData
from mexclab.research.diversification import (
    correlation_clusters,
    effective_bets,
    effective_holdings,
    herfindahl,
)
from mexclab.research.tail_risk import Returns
from mexclab.trading.statement_types import (
    DiversificationRow,
    FeeRow,
    HoldingRow,
    MarkRow,
    ResultsRow,
    Statement,
)
from mexclab.trading.stops import stop_price


@dataclass(frozen=True, slots=True)
class World:
    """What a statement rests on beside the desk.

    Attributes:
        seq, at_ns: the last entry of the ledger that counts, and the moment that it stands for.
        past: it is of an earlier moment than now.
        books: the newest ones that are known.
        prices: more prices, of assets in which fees were paid or given by a person; a book wins over them.
        returns: (T, N) by minute, of the symbols in the order of ``desk.portfolio.held``; None: not known.
        cluster_correlation: from which correlation two symbols are one bet.
    """

    mode: str
    quote: str
    seq: int
    at_ns: int
    past: bool = False
    books: Mapping[Symbol, Book] = field(default_factory=dict)
    prices: Mapping[Symbol, Decimal] = field(default_factory=dict)
    markets: Mapping[Symbol, Market] = field(default_factory=dict)
    returns: Returns | None = None
    cluster_correlation: Decimal = Decimal("0.8")

    def known_prices(self) -> dict[Symbol, Decimal]:
        """A price for each symbol that has one: its best bid, or what was given."""
        bids = {symbol: book.bid for symbol, book in self.books.items() if book.bid is not None}
        return {**self.prices, **bids}

    def bids(self, symbol: Symbol) -> tuple[Level, ...] | None:
        """The newest bids, or None where there is no book."""
        book = self.books.get(symbol)
        return book.bids if book is not None and book.bids else None


def statement(desk: Desk, world: World) -> Statement:
    """The portfolio of the desk in that world."""
    portfolio, prices = desk.portfolio, world.known_prices()
    worth = portfolio.valued(prices)
    whole = not worth.unpriced
    equity = portfolio.equity(worth.unrealised)
    closed = desk.results
    won = sum(result.profit > 0 for result in closed)
    return Statement(
        mode=world.mode,
        quote=world.quote,
        seq=world.seq,
        at_ns=world.at_ns,
        past=world.past,
        opening_balance=exact(portfolio.opening_balance),
        cash=exact(portfolio.cash),
        realised=exact(portfolio.realised),
        today=exact(portfolio.realised_on(world.at_ns)),
        unrealised=exact(worth.unrealised) if whole else None,
        exposure=exact(worth.exposure) if whole else None,
        other_fees=None if worth.unpriced_fees else exact(worth.other_fees),
        profit=exact_or_none(worth.profit),
        equity=exact(equity) if whole else None,
        fees=fee_rows(tuple(sorted(portfolio.fees.items())), world.quote, prices),
        positions=_holdings(desk, world, worth),
        results=ResultsRow(len(closed), won, won / len(closed) if closed else None),
        mark=_mark(desk),
        diversification=_diversification(desk, world),
        missing=worth.missing,
    )


def _mark(desk: Desk) -> MarkRow | None:
    mark = desk.marked
    if mark is None:
        return None
    money = (exact(mark.equity), exact(mark.unrealised), exact(mark.exposure))
    return MarkRow(mark.at_ns, *money, tuple(map(str, mark.unpriced)))


def fee_rows(fees: Fees, quote: str, prices: Mapping[Symbol, Decimal]) -> tuple[FeeRow, ...]:
    """Fees by asset, each with what it is worth in the quote asset."""
    rows = []
    for asset, amount in fees:
        price = Decimal(1) if asset == quote else prices.get(Symbol(asset, quote))
        rows.append(FeeRow(asset, exact(amount), None if price is None else short(amount * price)))
    return tuple(rows)


def _snipes(desk: Desk) -> dict[Symbol, Snipe]:
    """The snipe behind each symbol that is held: the live one, or the last."""
    held = {position.symbol for position in desk.portfolio.held}
    found = {snipe.plan.symbol: snipe for snipe in desk.live_snipes() if snipe.plan.symbol in held}
    for snipe in reversed(desk.snipes.values()):
        if len(found) == len(held):
            break
        if snipe.plan.symbol in held:
            found.setdefault(snipe.plan.symbol, snipe)
    return found


def stop_of(desk: Desk, symbol: Symbol) -> Decimal | None:
    """The price at which the holding is to be sold, where a live snipe stands behind it."""
    snipe = next((each for each in desk.live_snipes() if each.plan.symbol == symbol), None)
    entry = desk.entry_price(snipe.snipe_id) if snipe is not None else None
    return stop_price(snipe, entry) if snipe is not None and entry is not None else None


def _holdings(desk: Desk, world: World, worth: Valuation) -> tuple[HoldingRow, ...]:
    snipes, prices = _snipes(desk), world.known_prices()
    priced = replace(world, prices=prices)
    return tuple(
        _holding(position, snipes.get(position.symbol), priced, worth, stop_of(desk, position.symbol))
        for position in desk.portfolio.held
    )


def _holding(
    position: Position, snipe: Snipe | None, world: World, worth: Valuation, stop: Decimal | None
) -> HoldingRow:
    symbol, prices = position.symbol, world.prices
    price, book = prices.get(symbol), world.books.get(symbol)
    value = None if price is None else position.quantity * price
    gain = None if price is None else position.unrealised(price)
    unpriced = "the ledger holds no price of that moment" if world.past else "nobody knows its price now"
    return HoldingRow(
        symbol=str(symbol),
        strategy=(snipe.plan.strategy if snipe else "") or UNKNOWN,
        snipe_id=snipe.snipe_id if snipe else None,
        quantity=exact(position.quantity),
        cost=exact(position.cost),
        average_cost=short_or_none(position.average_cost),
        price=exact_or_none(price),
        price_at_ns=book.at_ns if book is not None and book.bids else None,
        value=short_or_none(value),
        unrealised=short_or_none(gain),
        unrealised_fraction=float(gain / position.cost) if gain is not None and position.cost else None,
        share=float(value / worth.exposure) if value is not None and worth.exposure else None,
        realised=short(position.realised),
        stop=short_or_none(stop),
        fees=fee_rows(position.fees, symbol.quote, prices),
        why="" if price is not None else unpriced,
    )


def _diversification(desk: Desk, world: World) -> DiversificationRow:
    prices, held = world.known_prices(), desk.portfolio.held
    values = [position.quantity * prices[position.symbol] for position in held if position.symbol in prices]
    bound = exact(world.cluster_correlation)
    if not held:
        return DiversificationRow(None, None, None, (), bound, "nothing is held")
    if len(values) < len(held) or not sum(values):
        return DiversificationRow(None, None, None, (), bound, "something that is held has no price")
    money = [float(value) for value in values]
    concentrated = (herfindahl(money), effective_holdings(money))
    if world.returns is None:
        return DiversificationRow(*concentrated, None, (), bound, "no returns are known")
    bets, why = _bets(world.returns, money)
    groups: dict[int, list[str]] = {}
    labels = correlation_clusters(world.returns, float(world.cluster_correlation))
    for position, label in zip(held, labels, strict=True):
        groups.setdefault(label, []).append(str(position.symbol))
    together = tuple(tuple(group) for group in groups.values() if len(group) > 1)
    return DiversificationRow(*concentrated, bets, together, bound, why)


def _bets(returns: Returns, money: list[float]) -> tuple[float | None, str]:
    """The effective number of bets over the minutes in which everything held was known; or why it is not."""
    if len(money) == 1:
        return 1.0, ""
    known = returns[(returns == returns).all(axis=1)]  # what is not known is no number, and unlike itself
    try:
        return effective_bets(known, money).number, ""
    except NotEnoughData:
        return None, f"bets cannot be told apart by {len(known)} minutes of prices that all of them have"
