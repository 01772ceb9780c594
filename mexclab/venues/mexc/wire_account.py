"""Payloads about our own account and orders, and what they are in our words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from msgspec import field

from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, OrderState
from mexclab.domain.reports import Balance, Balances, VenueOrder
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.venues.mexc.wire_types import Amount, Count, Id, Ms, Name, Positive, Small, Text, Wire, ns

Status: TypeAlias = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "PARTIALLY_CANCELED"]
BuyOrSell: TypeAlias = Literal["BUY", "SELL"]
SymbolOf: TypeAlias = Callable[[str], Symbol]

STATES: Mapping[str, OrderState] = MappingProxyType(
    {
        "NEW": OrderState.ACCEPTED,
        "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
        "FILLED": OrderState.FILLED,
        "CANCELED": OrderState.CANCELED,
        "PARTIALLY_CANCELED": OrderState.CANCELED,
    }
)


class NewOrderReply(Wire, frozen=True):
    """The venue took an order; neither its state nor a fill is told."""

    order_id: Id
    symbol: Name | None = None
    order_list_id: Small | None = None
    price: Amount | None = None
    orig_qty: Amount | None = None
    type: Text | None = None
    side: BuyOrSell | None = None
    stp_mode: Text | None = None
    transact_time: Ms | None = None
    client_order_id: Text | None = None


class BatchItem(Wire, frozen=True):
    """One answer of a batch, in the order of the questions: an ``order_id``, or ``code`` and ``msg``."""

    symbol: Name | None = None
    order_id: Id | None = None
    new_client_order_id: Text | None = None
    order_list_id: Small | None = None
    code: Small | None = None
    msg: Text | None = None


class CancelReply(Wire, frozen=True):
    order_id: Id
    symbol: Name
    status: Status
    executed_qty: Amount
    orig_client_order_id: Text | None = None
    client_order_id: Text | None = None
    order_list_id: Small | None = None
    price: Amount | None = None
    orig_qty: Amount | None = None
    cummulative_quote_qty: Amount | None = None
    time_in_force: Text | None = None
    type: Text | None = None
    side: BuyOrSell | None = None
    stp_mode: Text | None = None


class OrderRow(Wire, frozen=True):
    """An order of ours. MEXC's documents print ``Qty`` where ``origQty`` is sent."""

    symbol: Name
    order_id: Id
    executed_qty: Amount
    status: Status
    side: BuyOrSell
    type: Text
    client_order_id: Text | None = None
    price: Amount | None = None
    orig_qty: Amount | None = None
    qty: Amount | None = field(name="Qty", default=None)
    cummulative_quote_qty: Amount | None = None
    order_list_id: Small | None = None
    time_in_force: Text | None = None
    stop_price: Amount | None = None
    iceberg_qty: Amount | None = None
    time: Ms | None = None
    update_time: Ms | None = None
    is_working: bool | None = None
    orig_quote_order_qty: Amount | None = None
    stp_mode: Text | None = None
    cancel_reason: Text | None = None


class MyTradeRow(Wire, frozen=True):
    symbol: Name
    id: Id
    order_id: Id
    price: Positive
    qty: Positive
    commission: Amount
    commission_asset: Name
    time: Ms
    is_buyer: bool
    is_maker: bool
    quote_qty: Amount | None = None
    order_list_id: Small | None = None
    is_best_match: bool | None = None
    is_self_trade: bool | None = None
    client_order_id: Text | None = None


class BalanceRow(Wire, frozen=True):
    asset: Name
    free: Amount
    locked: Amount
    available: Amount | None = None


class AccountReply(Wire, frozen=True):
    can_trade: bool
    balances: list[BalanceRow]
    can_withdraw: bool | None = None
    can_deposit: bool | None = None
    maker_commission: Amount | None = None
    taker_commission: Amount | None = None
    buyer_commission: Amount | None = None
    seller_commission: Amount | None = None
    update_time: Ms | None = None
    account_type: Text | None = None
    permissions: list[Text] | None = None


class Fees(Wire, frozen=True):
    maker_commission: Amount
    taker_commission: Amount


class TradeFeeReply(Wire, frozen=True):
    data: Fees
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class Deduct(Wire, frozen=True):
    mx_deduct_enable: bool


class MxDeductReply(Wire, frozen=True):
    data: Deduct
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class KycReply(Wire, frozen=True):
    status: Text


class UidReply(Wire, frozen=True):
    uid: Id


class Envelope(Wire, frozen=True):
    """An answer whose content is of no use to us: cancelling all orders, the groups against self-trades."""

    data: Any = None
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class ListenKeyReply(Wire, frozen=True):
    listen_key: Id


class ListenKeysReply(Wire, frozen=True):
    listen_key: list[Id]
    total: Count | None = None
    available: Count | None = None


class Network(Wire, frozen=True):
    """Of all that is told about a chain, what a trader of spot coins may ask for."""

    coin: Name | None = None
    deposit_desc: Text | None = None
    deposit_enable: bool | None = None
    min_confirm: Small | None = None
    name: Text | None = field(name="Name", default=None)
    lower_name: Text | None = field(name="name", default=None)
    network: Text | None = None
    net_work: Text | None = None
    withdraw_enable: bool | None = None
    withdraw_fee: Amount | None = None
    withdraw_integer_multiple: Amount | None = None
    withdraw_max: Amount | None = None
    withdraw_min: Amount | None = None
    same_address: bool | None = None
    contract: Text | None = None
    withdraw_tips: Text | None = None
    deposit_tips: Text | None = None


class CoinRow(Wire, frozen=True):
    coin: Name
    network_list: list[Network]
    name: Text | None = field(name="Name", default=None)
    lower_name: Text | None = field(name="name", default=None)


def balances_of(reply: AccountReply) -> Balances:
    """What is free and what open orders hold, by asset. Rows that could not be read were told as drift."""
    return {row.asset: Balance(row.free, row.locked) for row in reply.balances}


def venue_order_of(row: OrderRow, symbol_of: SymbolOf = Symbol.parse) -> VenueOrder:
    """An order as the venue knows it.

    A MARKET order that was given as a value to spend may have no quantity: then what it has executed
    stands there. ``client_id`` is "" where the venue sends none (old orders, orders made by hand).

    Args:
        symbol_of: from the venue's spelling to the pair; the venue does not say where the base ends.

    Raises:
        VenueUnavailable: the quantity is missing, or the pair has no name of ours.
    """
    quantity = row.orig_qty if row.orig_qty is not None else row.qty
    if row.type == "MARKET" and not quantity:
        quantity = row.executed_qty
    if quantity is None:
        raise VenueUnavailable(
            f"order {row.order_id}: the venue does not say its quantity; ask again later",
            order_id=row.order_id,
        )
    return VenueOrder(
        client_id=row.client_order_id or "",
        venue_id=row.order_id,
        symbol=_named(row.symbol, symbol_of),
        side=Side(row.side),
        state=STATES[row.status],
        quantity=quantity,
        price=row.price if row.price is not None else Decimal(0),
        filled=row.executed_qty,
    )


def fill_of(row: MyTradeRow, symbol_of: SymbolOf = Symbol.parse, client_id: str | None = None) -> Fill:
    """A trade of ours.

    Args:
        client_id: whose it is, where the caller knows it by the order's id; the venue often sends none.

    Raises:
        VenueUnavailable: the pair has no name of ours.
    """
    return Fill(
        trade_id=row.id,
        client_id=(client_id if client_id is not None else row.client_order_id) or "",
        symbol=_named(row.symbol, symbol_of),
        side=Side.BUY if row.is_buyer else Side.SELL,
        price=row.price,
        quantity=row.qty,
        fee=row.commission,
        fee_asset=row.commission_asset,
        at_ns=ns(row.time),
        is_maker=row.is_maker,
    )


def _named(wire_name: str, symbol_of: SymbolOf) -> Symbol:
    try:
        return symbol_of(wire_name)
    except (DomainError, KeyError) as unknown:
        raise VenueUnavailable(
            f"the venue names {wire_name}, a pair that we cannot take apart; ask exchangeInfo for it",
            symbol=wire_name,
        ) from unknown
