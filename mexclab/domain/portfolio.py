"""Positions and profit: a pure fold over fills, exact in Decimal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType

from mexclab.domain.clock import DAY
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.errors import DomainError

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of one symbol.

    ``cost`` is what was paid for what is still held, in quote units, fees in quote included; a fee
    taken in the base asset lowers ``quantity`` instead, which raises the average cost by itself.
    """

    symbol: Symbol
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO  # in quote units, for the eye; already inside cost and realised

    @property
    def average_cost(self) -> Decimal | None:
        return self.cost / self.quantity if self.quantity else None

    def after(self, fill: Fill) -> Position:
        """The position after one more trade.

        Raises:
            DomainError: more would be sold than is held (spot has no shorts).
        """
        in_quote = fill.fee if fill.fee_asset == fill.symbol.quote else ZERO
        in_base = fill.fee if fill.fee_asset == fill.symbol.base else ZERO
        fees = self.fees + in_quote + in_base * fill.price
        if fill.side is Side.BUY:
            quantity = self.quantity + fill.quantity - in_base
            return replace(self, quantity=quantity, cost=self.cost + fill.value + in_quote, fees=fees)
        sold = fill.quantity + in_base
        if sold > self.quantity:
            raise DomainError(
                f"{self.symbol}: {sold} sold of {self.quantity} held (trade {fill.trade_id})",
                trade_id=fill.trade_id,
            )
        # the last sale takes the whole remaining cost, so that rounding leaves nothing behind
        cost_out = self.cost if sold == self.quantity else self.cost * sold / self.quantity
        return replace(
            self,
            quantity=self.quantity - sold,
            cost=self.cost - cost_out,
            realised=self.realised + fill.value - in_quote - cost_out,
            fees=fees,
        )


def _with(days: Mapping[int, Decimal], day: int, earned: Decimal) -> Mapping[int, Decimal]:
    # a read-only view copies itself far quicker than it is read item by item
    copy = days.copy() if isinstance(days, MappingProxyType) else dict(days)
    copy[day] = earned
    return MappingProxyType(copy)


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Everything held and earned.

    Attributes:
        opening_balance: the quote balance before the first trade.
        positions: what is held, dust included; what was sold to the last digit is not in it.
        banked: realised profit of everything that is not held any more, in quote units.
    """

    opening_balance: Decimal = ZERO
    positions: Mapping[Symbol, Position] = field(default_factory=lambda: MappingProxyType({}))
    banked: Decimal = ZERO
    realised_by_day: Mapping[int, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    peak_equity: Decimal | None = None

    def after(self, fill: Fill) -> Portfolio:
        """The portfolio after one more trade. The caller counts each trade once."""
        before = self.positions.get(fill.symbol, Position(fill.symbol))
        held = before.after(fill)
        day = fill.at_ns // DAY
        earned = self.realised_by_day.get(day, ZERO) + held.realised - before.realised
        positions, banked = {**self.positions, fill.symbol: held}, self.banked
        if not held.quantity:  # a long history must not make every later trade slower
            banked += positions.pop(fill.symbol).realised
        fresh = replace(
            self,
            positions=MappingProxyType(positions),
            banked=banked,
            realised_by_day=_with(self.realised_by_day, day, earned),
        )
        equity = fresh.opening_balance + fresh.realised
        peak = equity if fresh.peak_equity is None else max(fresh.peak_equity, equity)
        return replace(fresh, peak_equity=max(peak, fresh.opening_balance))

    @property
    def held(self) -> tuple[Position, ...]:
        return tuple(position for position in self.positions.values() if position.quantity > 0)

    @property
    def realised(self) -> Decimal:
        return self.banked + sum((position.realised for position in self.positions.values()), ZERO)

    @property
    def cost(self) -> Decimal:
        """What is invested now, in quote units."""
        return sum((position.cost for position in self.positions.values()), ZERO)

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
