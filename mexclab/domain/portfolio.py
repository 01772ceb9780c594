"""Positions and profit: a pure fold over fills, exact in Decimal.

Fees are kept in the asset in which they were taken. One in the quote asset is part of cost and profit, one
in the base asset lowers what is held. One in a third asset (MX) is paid from a balance of its own: it moves
neither, and takes a price of that asset to be weighed against them (:meth:`Portfolio.valued`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from mexclab.domain.clock import DAY
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.errors import DomainError

ZERO = Decimal(0)
Fees: TypeAlias = tuple[tuple[str, Decimal], ...]  # (asset, amount), by asset
K = TypeVar("K")

# The cost of a part of a position is a quotient. Cut to this, every sum that it enters is exact. It is always
# the part of what was held after the last purchase, never a part of a part, so that in whichever order sales
# are told, what is left costs the same to the last digit.
_QUANTUM = Decimal("1e-18")
_WIDE = Context(prec=60)
_asset_in = lru_cache(maxsize=256)(Symbol)  # the pair that prices an asset; making one checks its letters


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of one symbol.

    ``cost`` is what was paid for what is still held, in quote units, fees in quote included; a fee
    taken in the base asset lowers ``quantity`` instead, which raises the average cost by itself.
    ``fees`` are all that trades in this symbol paid since it was last empty, in whichever asset.
    ``bought`` is (quantity, cost) as of after the last purchase.
    """

    symbol: Symbol
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Fees = ()
    bought: tuple[Decimal, Decimal] = (ZERO, ZERO)

    @property
    def average_cost(self) -> Decimal | None:
        return self.cost / self.quantity if self.quantity else None

    def unrealised(self, price: Decimal) -> Decimal:
        """Profit on paper at ``price``, after the fees in quote and base of what is still held."""
        return self.quantity * price - self.cost

    def after(self, fill: Fill) -> Position:
        """The position after one more trade.

        Raises:
            DomainError: more would be sold than is held (spot has no shorts).
        """
        symbol, fee, asset = fill.symbol, fill.fee, fill.fee_asset
        in_quote = fee if asset == symbol.quote else ZERO
        in_base = fee if asset == symbol.base else ZERO
        fees = _paid(self.fees, asset, fee) if fee else self.fees
        value = fill.price * fill.quantity
        if fill.side is Side.BUY:
            bought = self.quantity + fill.quantity - in_base, self.cost + value + in_quote
            return Position(self.symbol, *bought, self.realised, fees, bought)
        sold = fill.quantity + in_base
        if sold > self.quantity:
            raise DomainError(
                f"{self.symbol}: {sold} sold of {self.quantity} held (trade {fill.trade_id})",
                trade_id=fill.trade_id,
            )
        left = self._less(sold)
        realised = self.realised + value - in_quote - (self.cost - left[1])
        return Position(self.symbol, *left, realised, fees, self.bought)

    def without(self, quantity: Decimal) -> Position:
        """The position after so much of it was written off: its cost is lost.

        Raises:
            DomainError: that is more than is held, or nothing.
        """
        if not 0 < quantity <= self.quantity:
            raise DomainError(f"{self.symbol}: {quantity} cannot be written off of {self.quantity} held")
        left = self._less(quantity)
        return replace(self, quantity=left[0], cost=left[1], realised=self.realised - (self.cost - left[1]))

    def _less(self, quantity: Decimal) -> tuple[Decimal, Decimal]:
        """(quantity, cost) of what is left without so much of it."""
        left, (whole, cost) = self.quantity - quantity, self.bought
        if not left:
            return left, ZERO
        # without the zeros behind it: pages show every digit that there is
        return left, (cost * left / whole).quantize(_QUANTUM, context=_WIDE).normalize(_WIDE)


def _paid(fees: Fees, asset: str, amount: Decimal) -> Fees:
    if len(fees) == 1 and fees[0][0] == asset:  # nearly always
        return ((asset, fees[0][1] + amount),)
    paid = dict(fees)
    paid[asset] = paid.get(asset, ZERO) + amount
    return tuple(sorted(paid.items()))


def _with(totals: Mapping[K, Decimal], key: K, amount: Decimal) -> Mapping[K, Decimal]:
    # a read-only view copies itself far quicker than it is read item by item
    copy = totals.copy() if isinstance(totals, MappingProxyType) else dict(totals)
    copy[key] = copy.get(key, ZERO) + amount
    return MappingProxyType(copy)


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a portfolio comes to at given prices, in quote units; what has no price is named, never guessed.

    Attributes:
        realised: after fees in quote and base.
        unrealised: of what is held and has a price, after such fees.
        exposure: what that is worth.
        other_fees: fees in third assets, worth at these prices, of those that have one.
        unpriced: symbols that are held and have no price.
        unpriced_fees: pairs whose price is missing, and how much of their base asset was paid.
    """

    realised: Decimal
    unrealised: Decimal
    exposure: Decimal
    other_fees: Decimal = ZERO
    unpriced: tuple[Symbol, ...] = ()
    unpriced_fees: tuple[tuple[Symbol, Decimal], ...] = ()

    @property
    def profit(self) -> Decimal | None:
        """Realised and unrealised after every fee; None while a price is missing."""
        if self.unpriced or self.unpriced_fees:
            return None
        return self.realised + self.unrealised - self.other_fees

    @property
    def missing(self) -> tuple[str, ...]:
        """What the sums leave out for want of a price, in sentences."""
        held = (f"{symbol} is held and has no price; its profit on paper is not known"
                for symbol in self.unpriced)  # fmt: skip
        paid = (f"{amount:f} {pair.base} of fees have no price in {pair.quote}; they are in no sum"
                for pair, amount in self.unpriced_fees)  # fmt: skip
        return (*held, *paid)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is held, side by side: what every entry is judged on, and what only a trade changes.

    Attributes:
        made_of: the positions that they were read from.
        cost: of all of them.
    """

    made_of: Mapping[Symbol, Position]
    symbols: tuple[Symbol, ...]
    quantities: tuple[Decimal, ...]
    costs: tuple[Decimal, ...]
    cost: Decimal

    @classmethod
    def of(cls, positions: Mapping[Symbol, Position]) -> Columns:
        rows = positions.values()
        costs = tuple([row.cost for row in rows])
        return cls(
            positions,
            tuple([row.symbol for row in rows]),
            tuple([row.quantity for row in rows]),
            costs,
            sum(costs, ZERO),
        )


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Everything held and earned.

    Attributes:
        opening_balance: the quote balance before the first trade.
        positions: what is held, dust included; what was sold to the last digit is not in it.
        realised: profit of all sales, after fees in quote and base, in quote units.
        realised_by_day: the same by UTC day (days since the epoch).
        peak_equity: the highest of opening balance and realised profit. It follows the order of the trades.
        fees: all that were ever paid, by asset.
        other_fees: those in a third asset, by the pair that prices them: so much MX under MXUSDT.
    """

    opening_balance: Decimal = ZERO
    positions: Mapping[Symbol, Position] = field(default_factory=lambda: MappingProxyType({}))
    realised: Decimal = ZERO
    realised_by_day: Mapping[int, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    peak_equity: Decimal | None = None
    fees: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    other_fees: Mapping[Symbol, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    _columns: Columns | None = field(default=None, compare=False, repr=False)  # once they were asked for

    @property
    def columns(self) -> Columns:
        """Every position, in columns."""
        known = self._columns
        if known is None or known.made_of is not self.positions:
            known = Columns.of(self.positions)
            object.__setattr__(self, "_columns", known)
        return known

    def after(self, fill: Fill) -> Portfolio:
        """The portfolio after one more trade. The caller counts each trade once.

        Raises:
            DomainError: more would be sold than is held.
        """
        symbol = fill.symbol
        before = self.positions.get(symbol) or Position(symbol)
        held = before.after(fill)
        positions = self._holding(held)
        earned = held.realised - before.realised
        realised, days = self.realised, self.realised_by_day
        if fill.side is Side.SELL:
            realised, days = realised + earned, _with(days, fill.at_ns // DAY, earned)
        fees, others = self.fees, self.other_fees
        if fill.fee:
            fees = _with(fees, fill.fee_asset, fill.fee)
            if fill.fee_asset not in (symbol.quote, symbol.base):
                others = _with(others, _asset_in(fill.fee_asset, symbol.quote), fill.fee)
        peak = self.opening_balance if self.peak_equity is None else self.peak_equity
        peak = max(peak, self.opening_balance + realised)
        return Portfolio(self.opening_balance, positions, realised, days, peak, fees, others)

    def without(self, symbol: Symbol, quantity: Decimal, at_ns: int) -> Portfolio:
        """The portfolio after so much of ``symbol`` was written off; its cost is a loss of that day.

        Raises:
            DomainError: that is more than is held, or nothing.
        """
        before = self.positions.get(symbol) or Position(symbol)
        held = before.without(quantity)
        lost = held.realised - before.realised
        days = _with(self.realised_by_day, at_ns // DAY, lost)
        return replace(
            self, positions=self._holding(held), realised=self.realised + lost, realised_by_day=days
        )

    def _holding(self, position: Position) -> Mapping[Symbol, Position]:
        """The positions with this one among them; an empty one is let go."""
        known = self.positions
        positions = known.copy() if isinstance(known, MappingProxyType) else dict(known)
        if position.quantity:
            positions[position.symbol] = position
        else:  # a long history must not make every later trade slower
            positions.pop(position.symbol, None)
        return MappingProxyType(positions)

    @property
    def held(self) -> tuple[Position, ...]:
        return tuple(position for position in self.positions.values() if position.quantity > 0)

    @property
    def cost(self) -> Decimal:
        """What is invested now, in quote units."""
        return sum((position.cost for position in self.positions.values()), ZERO)

    @property
    def cash(self) -> Decimal:
        """The quote balance that the trades lead to, if nobody paid in or took out."""
        return self.opening_balance + self.realised - self.cost

    def equity(self, unrealised: Decimal = ZERO) -> Decimal:
        """The one definition: the quote balance and what is held, at the prices behind ``unrealised``.

        Limits, drawdown, marks, curve, sizing and stress all mean this. A fee in a third asset was paid from
        a balance that is no part of it: it lowers the profit (:attr:`Valuation.profit`), never the equity.
        """
        return self.opening_balance + self.realised + unrealised

    def realised_on(self, at_ns: int) -> Decimal:
        """Realised profit of the UTC day of ``at_ns``."""
        return self.realised_by_day.get(at_ns // DAY, ZERO)

    def unrealised(self, prices: Mapping[Symbol, Decimal]) -> Decimal | None:
        """Profit on paper at ``prices``; None when the price of something held is missing."""
        total = ZERO
        for position in self.held:
            price = prices.get(position.symbol)
            if price is None:
                return None
            total += position.quantity * price - position.cost
        return total

    def valued(self, prices: Mapping[Symbol, Decimal]) -> Valuation:
        """What it comes to at ``prices``; a fee in MX needs the price of MXUSDT."""
        priced = [(p, prices[p.symbol]) for p in self.held if p.symbol in prices]
        paid = [(amount, prices[pair]) for pair, amount in self.other_fees.items() if pair in prices]
        return Valuation(
            realised=self.realised,
            unrealised=sum((position.unrealised(price) for position, price in priced), ZERO),
            exposure=sum((position.quantity * price for position, price in priced), ZERO),
            other_fees=sum((amount * price for amount, price in paid), ZERO),
            unpriced=tuple(position.symbol for position in self.held if position.symbol not in prices),
            unpriced_fees=tuple(item for item in self.other_fees.items() if item[0] not in prices),
        )
