"""What the desk has at stake, read once for every limit that asks for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import is_, mul

from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderState
from mexclab.domain.portfolio import ZERO, Portfolio
from mexclab.ports import Prices

_BUY, _UNKNOWN = Side.BUY, OrderState.UNKNOWN  # looked up once: this is read for every order of every entry


@dataclass(frozen=True, eq=False, slots=True)
class Standing:
    """Money at stake, in quote units.

    Attributes:
        held: symbols that are held.
        worth: of each of them, at its best bid. Without a price: at its cost, which is what it may still
            lose; or nothing, when it is written off.
        reserved: what open buy orders may still spend, by symbol.
        held_cost: what was paid for everything that is held, fees in quote included.
        unrealised: profit on paper. What has no price counts as worth nothing here.
        unpriced: held symbols without a price that are not written off.
        written_off: held symbols without a price that are.
        unknown: symbols of orders of unknown fate, one for each order.
    """

    portfolio: Portfolio
    held: tuple[Symbol, ...]
    worth: tuple[Decimal, ...]
    reserved: dict[Symbol, Decimal]
    held_cost: Decimal
    unrealised: Decimal
    unpriced: tuple[Symbol, ...]
    written_off: tuple[Symbol, ...]
    unknown: tuple[Symbol, ...]

    @classmethod
    def of(cls, desk: Desk, prices: Prices, written_off: Collection[Symbol] = ()) -> Standing:
        """Read the desk once. Every entry waits for this: each pass goes over one thing."""
        portfolio = desk.portfolio
        columns = portfolio.columns
        held, quantities = columns.symbols, columns.quantities
        bids = _bids(held, prices)
        unpriced: tuple[Symbol, ...] = ()
        lost: tuple[Symbol, ...] = ()
        try:  # to look for what has no price takes longer than to reckon as if there were nothing of the kind
            worth = tuple(map(mul, quantities, bids))
            value = sum(worth, ZERO)
        except TypeError:
            rows = tuple(zip(held, quantities, columns.costs, bids, strict=True))
            value = sum((quantity * bid for _, quantity, _, bid in rows if bid is not None), ZERO)
            lost = tuple(symbol for symbol, _, _, bid in rows if bid is None and symbol in written_off)
            unpriced = tuple(symbol for symbol, _, _, bid in rows if bid is None and symbol not in lost)
            worth = tuple(
                quantity * bid if bid is not None else (ZERO if symbol in lost else cost)
                for symbol, quantity, cost, bid in rows
            )
        reserved: dict[Symbol, Decimal] = {}
        unknown: list[Symbol] = []
        for order in desk.staked_orders():
            if order.side is _BUY:
                reserved[order.symbol] = reserved.get(order.symbol, ZERO) + order.value_at_risk
            if order.state is _UNKNOWN:
                unknown.append(order.symbol)
        cost = columns.cost
        return cls(portfolio, held, worth, reserved, cost, value - cost, unpriced, lost, tuple(unknown))

    @property
    def committed(self) -> Decimal:
        """The cost of what is held, and what open buy orders may still spend."""
        return self.held_cost + sum(self.reserved.values(), ZERO)

    @property
    def equity(self) -> Decimal:
        """By :meth:`Portfolio.equity`; what has no price counts as worth nothing here."""
        return self.portfolio.equity(self.unrealised)

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """Everything with money in it, in a steady order."""
        held = self.portfolio.positions
        return (*self.held, *(symbol for symbol in self.reserved if symbol not in held))

    def committed_in(self, symbol: Symbol) -> Decimal:
        position = self.portfolio.positions.get(symbol)
        return (ZERO if position is None else position.cost) + self.reserved.get(symbol, ZERO)


def _bids(held: tuple[Symbol, ...], prices: Prices) -> Sequence[Decimal | None]:
    """The price of each symbol; None where there is none."""
    # nearly always the prices were looked up for what is held, in its order: no symbol need be hashed again
    if len(prices) == len(held) and all(map(is_, held, prices)):
        return tuple(prices.values())
    return [prices.get(symbol) for symbol in held]
