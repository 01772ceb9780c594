"""Money counted the plain way: what came in, what went out, what is left. No average cost, no fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill

ZERO = Decimal(0)


def quantities(fills: Iterable[Fill]) -> dict[Symbol, Decimal]:
    """Units of the base asset held, by symbol; what is zero is left out."""
    held: dict[Symbol, Decimal] = {}
    for fill in fills:
        sign = 1 if fill.side is Side.BUY else -1
        fee = fill.fee if fill.fee_asset == fill.symbol.base else ZERO
        held[fill.symbol] = held.get(fill.symbol, ZERO) + sign * fill.quantity - fee
    return {symbol: quantity for symbol, quantity in held.items() if quantity}


def cash(fills: Iterable[Fill]) -> Decimal:
    """Change of the quote balance."""
    total = ZERO
    for fill in fills:
        sign = 1 if fill.side is Side.SELL else -1
        fee = fill.fee if fill.fee_asset == fill.symbol.quote else ZERO
        total += sign * fill.price * fill.quantity - fee
    return total


def fees(fills: Iterable[Fill]) -> dict[str, Decimal]:
    """All fees by asset."""
    paid: dict[str, Decimal] = {}
    for fill in fills:
        if fill.fee:
            paid[fill.fee_asset] = paid.get(fill.fee_asset, ZERO) + fill.fee
    return paid


def profit(fills: Iterable[Fill], prices: Mapping[Symbol, Decimal]) -> Decimal:
    """Everything after every fee, at ``prices``, which must hold every symbol held and every fee's pair."""
    told = list(fills)
    worth = sum((q * prices[symbol] for symbol, q in quantities(told).items()), ZERO)
    others = ZERO
    for fill in told:
        if fill.fee and fill.fee_asset not in (fill.symbol.base, fill.symbol.quote):
            others += fill.fee * prices[Symbol(fill.fee_asset, fill.symbol.quote)]
    return cash(told) + worth - others
