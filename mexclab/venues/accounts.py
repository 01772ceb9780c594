"""Accounts: what is free, what open orders hold, and what each trade moves.

Money is ``Decimal``, added and multiplied without rounding (an inexact result is an error); only fees
are rounded, down, to 18 places, so that what was reserved always suffices.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from typing import NamedTuple

from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.reports import Balance
from mexclab.errors import DomainError
from mexclab.venues.orders import HOUSE, NewOrder, Refusal, Terms

ZERO = Decimal(0)
FEE_STEP = Decimal("1e-18")

INSUFFICIENT = Refusal(10101, "Insufficient balance")
OVERSOLD = Refusal(30005, "Oversold")

EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
_ROUNDING = Context(prec=100, traps=[InvalidOperation])
_add, _subtract, _multiply = EXACT.add, EXACT.subtract, EXACT.multiply


class FeeAsset(StrEnum):
    """Which asset pays a buyer's fee. Sellers receive quote and pay in quote under both."""

    QUOTE = "quote"  # what MEXC shows: the buyer pays on top of the value
    RECEIVED = "received"  # the buyer receives that much less


@dataclass(slots=True)
class Hold:
    """What an open order keeps locked; ``unit`` is what each base unit still open needs (None: in quote)."""

    owner: str
    market: Market
    side: Side
    unit: Decimal | None
    left: Decimal  # base units that may still trade
    locked: Decimal

    @property
    def asset(self) -> str:
        return self.market.symbol.quote if self.side is Side.BUY else self.market.symbol.base


class Fee(NamedTuple):
    amount: Decimal
    asset: str


class Accounts:
    """Balances by owner and asset. The house may owe what it likes and pays no fees.

    Over all owners, the house included, plus ``fees``, each asset sums to what was deposited.
    """

    def __init__(self, fee_asset: FeeAsset = FeeAsset.QUOTE) -> None:
        self.fee_asset = fee_asset
        self.fees: dict[str, Decimal] = {}
        self._free: dict[tuple[str, str], Decimal] = {}
        self._locked: dict[tuple[str, str], Decimal] = {}
        self._assets: dict[str, dict[str, None]] = {}

    def deposit(self, owner: str, asset: str, amount: Decimal) -> None:
        """Bring money in, or with a negative amount take it out.

        Raises:
            DomainError: more would go than is free.
        """
        if _add(self._free.get((owner, asset), ZERO), amount) < 0:
            raise DomainError(f"{owner}: {-amount} {asset} is more than is free", owner=owner, asset=asset)
        self._receive(owner, asset, amount)

    def owners(self) -> set[str]:
        """Everybody who ever held something, the house included."""
        return set(self._assets)

    def balance(self, owner: str, asset: str) -> Balance:
        return Balance(self._free.get((owner, asset), ZERO), self._locked.get((owner, asset), ZERO))

    def balances(self, owner: str) -> dict[str, Balance]:
        """Every asset that the owner ever held."""
        return {asset: self.balance(owner, asset) for asset in self._assets.get(owner, ())}

    def reserve(self, order: NewOrder, market: Market, terms: Terms) -> Hold | Refusal:
        """Lock what the order may need at worst: base to SELL; quote, with the taker's fee, to BUY."""
        lots, ticks, budget = terms
        quantity = lots * market.lot
        if order.side is Side.SELL:
            hold = Hold(order.owner, market, Side.SELL, Decimal(1), quantity, quantity)
        else:
            rate = max(market.maker_fee, market.taker_fee) if self.fee_asset is FeeAsset.QUOTE else ZERO
            unit = _multiply(ticks * market.tick, _add(Decimal(1), rate))
            hold = Hold(order.owner, market, Side.BUY, unit, quantity, _multiply(unit, quantity))
            if budget is not None:
                hold.unit = None
                hold.locked = _multiply(order.quote_quantity or ZERO, _add(Decimal(1), rate))
        key = (hold.owner, hold.asset)
        free = _subtract(self._free.get(key, ZERO), hold.locked)
        if free < 0:
            return INSUFFICIENT if hold.side is Side.BUY else OVERSOLD
        self._free[key] = free
        self._locked[key] = _add(self._locked.get(key, ZERO), hold.locked)
        return hold

    def release(self, hold: Hold) -> None:
        """Free what is still locked: the order is over."""
        self._unlock(hold, hold.locked, spent=ZERO)

    def settle(self, hold: Hold, price: Decimal, quantity: Decimal, is_maker: bool) -> Fee:
        """Book one trade of the order behind ``hold``; what it needs no longer is free again."""
        market, symbol = hold.market, hold.market.symbol
        value = _multiply(price, quantity)
        rate = market.maker_fee if is_maker else market.taker_fee
        hold.left = _subtract(hold.left, quantity) if hold.unit is not None else ZERO
        if hold.side is Side.SELL:
            fee = Fee(_fee(value, rate), symbol.quote)
            self._unlock(hold, quantity, spent=quantity)
            self._receive(hold.owner, symbol.quote, _subtract(value, fee.amount))
        else:
            in_quote = self.fee_asset is FeeAsset.QUOTE
            fee = Fee(_fee(value, rate), symbol.quote) if in_quote else Fee(_fee(quantity, rate), symbol.base)
            spent = _add(value, fee.amount) if in_quote else value
            needed = spent if hold.unit is None else _subtract(hold.locked, _multiply(hold.unit, hold.left))
            self._unlock(hold, needed, spent=spent)
            self._receive(hold.owner, symbol.base, quantity if in_quote else _subtract(quantity, fee.amount))
        self.fees[fee.asset] = _add(self.fees.get(fee.asset, ZERO), fee.amount)
        return fee

    def settle_house(self, side: Side, symbol: Symbol, price: Decimal, quantity: Decimal) -> None:
        """Book the house's side of a trade with an account."""
        value = _multiply(price, quantity)
        base, quote = (quantity, -value) if side is Side.BUY else (-quantity, value)
        self._receive(HOUSE, symbol.base, base)
        self._receive(HOUSE, symbol.quote, quote)

    def total(self, asset: str) -> Decimal:
        """Everybody's balance, the house's and the collected fees: what was deposited."""
        total = self.fees.get(asset, ZERO)
        for balances in (self._free, self._locked):
            for (_, held), amount in balances.items():
                if held == asset:
                    total = _add(total, amount)
        return total

    def _unlock(self, hold: Hold, amount: Decimal, spent: Decimal) -> None:
        key = (hold.owner, hold.asset)
        hold.locked = _subtract(hold.locked, amount)
        self._locked[key] = _subtract(self._locked[key], amount)
        self._free[key] = _add(self._free[key], _subtract(amount, spent))

    def _receive(self, owner: str, asset: str, amount: Decimal) -> None:
        self._assets.setdefault(owner, {})[asset] = None
        self._free[owner, asset] = _add(self._free.get((owner, asset), ZERO), amount)


def _fee(of: Decimal, rate: Decimal) -> Decimal:
    exact = _multiply(of, rate)
    rounded = exact.quantize(FEE_STEP, ROUND_DOWN, _ROUNDING)
    return exact if rounded == exact else rounded
