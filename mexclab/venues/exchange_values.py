"""From ccxt's unified dicts to the domain's values: parsed once, exactly, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderState, OrderType
from mexclab.domain.reports import Balance, Balances, VenueOrder
from mexclab.errors import DomainError, VenueUnavailable

Unified = Mapping[str, Any]
_ZERO = Decimal(0)

# type, and the parameters that make it what it is; ccxt translates both into the exchange's own words
TYPES: Mapping[OrderType, tuple[str, Mapping[str, Any]]] = {
    OrderType.LIMIT: ("limit", {}),
    OrderType.MARKET: ("market", {}),
    OrderType.LIMIT_MAKER: ("limit", {"postOnly": True}),
    OrderType.IMMEDIATE_OR_CANCEL: ("limit", {"timeInForce": "IOC"}),
    OrderType.FILL_OR_KILL: ("limit", {"timeInForce": "FOK"}),
}
_ENDS = frozenset({"canceled", "expired"})
_RESTS = frozenset({"open", "canceling"})


def exactly(value: object, what: str) -> Decimal:
    """A number of ccxt's, digit by digit.

    Raises:
        VenueUnavailable: there is none, or it has been a float.
    """
    if isinstance(value, str | Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite():
            return number
    raise VenueUnavailable(f"{what}: {value!r} is no exact number; nothing is known. Ask again", what=what)


def text(value: object, what: str) -> str:
    """A name that must be there.

    Raises:
        VenueUnavailable: it is not.
    """
    if isinstance(value, str) and value and value.isprintable() and len(value) <= 128:
        return value
    raise VenueUnavailable(f"{what}: {str(value)[:40]!r} is no name; nothing is known. Ask again", what=what)


def side_of(value: object) -> Side:
    """``buy`` or ``sell``.

    Raises:
        VenueUnavailable: it is neither.
    """
    if value not in ("buy", "sell"):
        raise VenueUnavailable(f"{value!r} is no side; nothing is known. Ask again")
    return Side.BUY if value == "buy" else Side.SELL


def symbol_of(market: Unified) -> Symbol | None:
    """The pair by the venue's own names; None of what is no spot pair of ours."""
    try:
        return Symbol(str(market["baseId"]), str(market["quoteId"])) if market.get("spot") else None
    except DomainError:
        return None


def market_of(market: Unified, symbol: Symbol, in_steps: bool) -> Market:
    """The trading rules. Fees are those that the exchange lists, or ccxt's own table where it lists none.

    Args:
        in_steps: precision is a step; otherwise a number of decimals.

    Raises:
        VenueUnavailable: ccxt knows no step.
        DomainError: the rules cannot be those of a market.
    """
    precision, limits = market["precision"], market["limits"]

    def step(name: str) -> Decimal:
        found = exactly(precision.get(name), f"{symbol}: the step of its {name}")
        return found if in_steps else Decimal(1).scaleb(-int(found))

    least = (limits.get("cost") or {}).get("min")
    fees = {
        name: exactly(market[key], f"{symbol}: its {key} fee")
        for name, key in (("maker_fee", "maker"), ("taker_fee", "taker"))
        if market.get(key) is not None
    }
    notional = _ZERO if least is None else exactly(least, f"{symbol}: its least value")
    return Market(symbol, step("price"), step("amount"), notional, **fees)


def venue_order_of(row: Unified, symbol: Symbol) -> VenueOrder:
    """An order as the venue tells it; ``client_id`` is "" where it does not say.

    Raises:
        VenueUnavailable: something that must be known is not.
    """
    venue_id = text(row.get("id"), "the id of an order")
    what = f"order {venue_id}"
    filled = exactly(row.get("filled"), f"{what}: what is filled")
    amount, price = row.get("amount"), row.get("price")
    # a market order that was given as money to spend has no quantity but what it bought
    quantity = filled if amount is None else exactly(amount, f"{what}: its quantity")
    return VenueOrder(
        client_id=str(row.get("clientOrderId") or ""),
        venue_id=venue_id,
        symbol=symbol,
        side=side_of(row.get("side")),
        state=_state(row.get("status"), filled, quantity, what),
        quantity=quantity,
        price=_ZERO if price is None else exactly(price, f"{what}: its price"),
        filled=filled,
    )


def _state(status: object, filled: Decimal, quantity: Decimal, what: str) -> OrderState:
    if status == "closed":  # with less than all of it filled, its rest is gone
        return OrderState.FILLED if filled >= quantity else OrderState.CANCELED
    if status in _RESTS:
        return OrderState.PARTIALLY_FILLED if filled > 0 else OrderState.ACCEPTED
    if status in _ENDS:
        return OrderState.CANCELED
    if status == "rejected":
        return OrderState.REJECTED
    raise VenueUnavailable(f"{what}: {status!r} is no state that we know; ask again", status=status)


def fill_of(row: Unified, symbol: Symbol, client_id: str) -> Fill:
    """A trade of ours.

    Raises:
        VenueUnavailable: something that must be known is not, or its fee is in several assets.
    """
    trade_id = text(row.get("id"), "the id of a trade")
    what = f"trade {trade_id}"
    fee, fee_asset = _fee(row, what)
    at_ms = row.get("timestamp")
    if not isinstance(at_ms, int):
        raise VenueUnavailable(f"{what}: the venue does not say when it was; ask again")
    try:
        return Fill(
            trade_id=trade_id,
            client_id=client_id,
            symbol=symbol,
            side=side_of(row.get("side")),
            price=exactly(row.get("price"), f"{what}: its price"),
            quantity=exactly(row.get("amount"), f"{what}: its quantity"),
            fee=fee,
            fee_asset=fee_asset,
            at_ns=at_ms * MILLISECOND,
            is_maker=row.get("takerOrMaker") == "maker",
        )
    except DomainError as error:
        raise VenueUnavailable(f"{what} cannot be: {error.message}; ask again") from error


def _fee(row: Unified, what: str) -> tuple[Decimal, str]:
    told = row.get("fees") or [row.get("fee") or {}]
    fees = [fee for fee in told if fee.get("cost") is not None]
    assets = {str(fee.get("currency")) for fee in fees}
    if len(assets) > 1:
        raise VenueUnavailable(f"{what}: its fee is in several assets, {', '.join(sorted(assets))}")
    cost = sum((exactly(fee["cost"], f"{what}: its fee") for fee in fees), _ZERO)
    return cost, assets.pop() if assets else ""


def balances_of(answer: Unified) -> Balances:
    """What the account holds, by asset; assets of which there is nothing are left out.

    ccxt passes over rows that it cannot read, and takes an answer without rows for an empty account. Both
    would make money disappear, so every row of the answer must be found again, and there must be a list.

    Raises:
        VenueUnavailable: an amount is not exactly known, or a row was passed over.
    """
    held: Mapping[str, object] = answer["free"]
    rows = _rows(answer.get("info"))
    if rows is None and not held:
        raise VenueUnavailable("the answer about the account has no list of assets; nothing is known")
    codes = {code.upper() for code in held}
    for row in rows or ():
        if not any(isinstance(value, str) and value.upper() in codes for value in row.values()):
            raise VenueUnavailable("a row of the account names no asset; what it says is not known")
    found = {}
    for asset, free in held.items():
        balance = Balance(exactly(free, f"free {asset}"), exactly(answer["used"][asset], f"locked {asset}"))
        if balance.total:
            found[asset] = balance
    return found


def _rows(raw: object) -> list[Mapping[str, object]] | None:
    """The innermost rows of a raw answer; None where there is no list that could hold any."""
    inner = list(raw.values()) if isinstance(raw, Mapping) else raw
    if not isinstance(inner, list):
        return None
    if isinstance(raw, list):
        deeper = [found for each in inner if (found := _rows(each)) is not None]
        rows = [row for found in deeper for row in found]
        plain = [each for each in inner if isinstance(each, Mapping) and _rows(each) is None]
        return rows + plain
    lists = [found for each in inner if (found := _rows(each)) is not None]
    return [row for found in lists for row in found] if lists else None


def order_words(order: Order) -> tuple[str, str, str, str | None, dict[str, Any]]:
    """Type, side, quantity, price and parameters as ``create_order`` takes them, numbers as text.

    A MARKET order goes without its price: ccxt would make an amount to spend of it. The venue's own
    protective bound holds.
    """
    kind, more = TYPES[order.type]
    price = None if order.type is OrderType.MARKET else f"{order.price:f}"
    side = str(order.side).lower()
    return kind, side, f"{order.quantity:f}", price, {**more, "clientOrderId": order.client_id}
