"""Public market payloads of MEXC's spot API, and what they are in our words.

Source: spot v3 as recorded in 2026-01; fields that only newer or older answers carry have a default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from msgspec import field

from mexclab.domain.market import Book, Candle, Level, Market, Side, Symbol, Trade
from mexclab.errors import DomainError
from mexclab.venues.mexc.wire_types import (
    Amount,
    Change,
    Count,
    Decimals,
    Ms,
    Name,
    Positive,
    Small,
    Text,
    Wire,
    WireArray,
    ns,
    step,
)

ONLINE = frozenset({"1", "ENABLED"})  # since 2024-08, and before
PERCENT_PRICE = "PERCENT_PRICE_BY_SIDE"


class Nothing(Wire, frozen=True):
    """An answer that only says yes: ping, order/test."""


class ServerTime(Wire, frozen=True):
    server_time: Ms


class Filter(Wire, frozen=True):
    filter_type: Text
    bid_multiplier_up: Amount | None = None
    ask_multiplier_down: Amount | None = None


class SymbolInfo(Wire, frozen=True):
    """A row of exchangeInfo.

    ``quote_amount_precision`` is the least value of an order and ``base_size_precision`` the least quantity
    (it may be 0), whatever their names say; ``status`` is "1" online, "2" paused, "3" offline, and was
    "ENABLED" before 2024-08; ``st`` flags a risky coin.
    """

    symbol: Name
    status: Text
    base_asset: Name
    base_asset_precision: Decimals
    quote_asset: Name
    quote_precision: Decimals
    quote_asset_precision: Decimals
    is_spot_trading_allowed: bool
    quote_amount_precision: Amount
    maker_commission: Amount
    taker_commission: Amount
    base_size_precision: Amount | None = None
    base_commission_precision: Decimals | None = None
    quote_commission_precision: Decimals | None = None
    order_types: list[Text] | None = None
    quote_order_qty_market_allowed: bool | None = None
    is_margin_trading_allowed: bool | None = None
    permissions: list[Text] | None = None
    filters: list[Filter] | None = None
    max_quote_amount: Amount | None = None
    quote_amount_precision_market: Amount | None = None
    max_quote_amount_market: Amount | None = None
    full_name: Text | None = None
    trade_side_type: Small | None = None  # 1 all, 2 buy only, 3 sell only, 4 closed
    contract_address: Text | None = None
    concept_plate_ids: list[Small] | None = None
    concept_plates: list[Text] | None = None
    first_open_time: Ms | None = None
    st: bool | None = None

    @property
    def is_online(self) -> bool:
        return self.status in ONLINE

    @property
    def is_api_tradable(self) -> bool:
        """Whether the venue says that it takes orders by API for it now."""
        return self.is_online and self.is_spot_trading_allowed and self.trade_side_type != 4

    @property
    def first_open_ns(self) -> int | None:
        return ns(self.first_open_time) if self.first_open_time else None


class ExchangeInfo(Wire, frozen=True):
    symbols: list[SymbolInfo]
    timezone: Text | None = None
    server_time: Ms | None = None
    rate_limits: list[Any] | None = None
    exchange_filters: list[Any] | None = None


class PriceLevel(WireArray, frozen=True):
    """A price and what rests there; unpacks like a pair."""

    price: Positive
    quantity: Amount

    def __iter__(self) -> Iterator[Decimal]:
        yield self.price
        yield self.quantity


class DepthReply(Wire, frozen=True):
    last_update_id: Count
    bids: list[PriceLevel]
    asks: list[PriceLevel]
    timestamp: Ms | None = None


class PublicTradeRow(Wire, frozen=True):
    """A row of trades; the newest comes first."""

    price: Positive
    qty: Positive
    time: Ms
    is_buyer_maker: bool
    id: Text | None = None
    quote_qty: Amount | None = None
    is_best_match: bool | None = None
    trade_type: Literal["BID", "ASK"] | None = None


class AggTradeRow(Wire, frozen=True, rename=None):
    """A row of aggTrades; the newest comes first, ``at_ms`` is a whole second."""

    price: Positive = field(name="p")
    quantity: Positive = field(name="q")
    at_ms: Ms = field(name="T")
    is_buyer_maker: bool = field(name="m")
    is_best_match: bool | None = field(name="M", default=None)
    first_id: Text | None = field(name="f", default=None)
    last_id: Text | None = field(name="l", default=None)
    id: Text | None = field(name="a", default=None)


class KlineRow(WireArray, frozen=True):
    """A bar; ``close_ms`` is the opening of the next one."""

    open_ms: Ms
    open: Positive
    high: Positive
    low: Positive
    close: Positive
    volume: Amount
    close_ms: Ms
    quote_volume: Amount


class AvgPrice(Wire, frozen=True):
    price: Amount
    mins: Small | None = None


class Ticker24h(Wire, frozen=True):
    """``price_change_percent`` is a fraction: -0.0055 is -0.55 %."""

    symbol: Name
    price_change: Change | None = None
    price_change_percent: Change | None = None
    prev_close_price: Amount | None = None
    last_price: Amount | None = None
    bid_price: Amount | None = None
    bid_qty: Amount | None = None
    ask_price: Amount | None = None
    ask_qty: Amount | None = None
    open_price: Amount | None = None
    high_price: Amount | None = None
    low_price: Amount | None = None
    volume: Amount | None = None
    quote_volume: Amount | None = None
    open_time: Ms | None = None
    close_time: Ms | None = None
    count: Count | None = None


class TickerPrice(Wire, frozen=True):
    symbol: Name
    price: Amount | None = None


class BookTicker(Wire, frozen=True):
    symbol: Name
    bid_price: Amount | None = None
    bid_qty: Amount | None = None
    ask_price: Amount | None = None
    ask_qty: Amount | None = None


@dataclass(frozen=True, slots=True)
class PriceBand:
    """How far an order's price may be from the last one, as fractions.

    MEXC documents PERCENT_PRICE_BY_SIDE as multipliers and sends 0.005 and 0.2, which only make sense as
    bands: a BUY at most at last x (1 + up), a SELL at least at last x (1 - down). None: no such limit.
    """

    up: Decimal | None
    down: Decimal | None


def symbol_of(row: SymbolInfo) -> Symbol:
    """The pair of a row.

    Raises:
        DomainError: base and quote do not spell its name, so orders for it would name another pair.
    """
    symbol = Symbol(row.base_asset, row.quote_asset)
    if str(symbol) != row.symbol:
        raise DomainError(
            f"{row.symbol} is not {row.base_asset} and {row.quote_asset}; it cannot be named safely",
            symbol=row.symbol,
        )
    return symbol


def market_of(row: SymbolInfo) -> Market:
    """The trading rules of a row.

    The tick follows from ``quoteAssetPrecision`` (the digits of a price; ``quotePrecision`` has always been
    the same, and the coarser of the two is valid for both). The lot follows from ``baseAssetPrecision``:
    recorded books hold 8.97 of a coin whose ``baseSizePrecision`` is 0.1, so that field is the least
    quantity and no step. ``Market`` has no least quantity; the least value covers it for all but the
    cheapest, and the row keeps it for preflight.

    Raises:
        DomainError: the row's name is not its base and quote.
    """
    return Market(
        symbol=symbol_of(row),
        tick=step(min(row.quote_precision, row.quote_asset_precision)),
        lot=step(row.base_asset_precision),
        min_notional=row.quote_amount_precision,
        maker_fee=row.maker_commission,
        taker_fee=row.taker_commission,
        takes_limits=not row.order_types or "LIMIT" in row.order_types,  # a row may leave them unsaid
    )


def band_of(row: SymbolInfo) -> PriceBand | None:
    """The PERCENT_PRICE_BY_SIDE band of a row; None when it names none."""
    for rule in row.filters or ():
        if rule.filter_type == PERCENT_PRICE:
            return PriceBand(rule.bid_multiplier_up, rule.ask_multiplier_down)
    return None


def book_of(depth: DepthReply, symbol: Symbol, at_ns: int) -> Book:
    """A snapshot as a book; ``at_ns`` stands where the venue sends no time. Levels of 0 are dropped."""
    at = at_ns if depth.timestamp is None else ns(depth.timestamp)
    return Book(symbol, levels_of(depth.bids), levels_of(depth.asks), at, depth.last_update_id)


def levels_of(levels: list[PriceLevel]) -> tuple[Level, ...]:
    return tuple(Level(level.price, level.quantity) for level in levels if level.quantity)


def trade_of(row: PublicTradeRow | AggTradeRow, symbol: Symbol) -> Trade:
    """A public trade; the taker sells when the buyer was resting."""
    side = Side.SELL if row.is_buyer_maker else Side.BUY
    if isinstance(row, AggTradeRow):
        return Trade(symbol, row.price, row.quantity, side, ns(row.at_ms))
    return Trade(symbol, row.price, row.qty, side, ns(row.time))


def candle_of(row: KlineRow, symbol: Symbol) -> Candle:
    return Candle(
        symbol, ns(row.open_ms), row.open, row.high, row.low, row.close, row.volume, row.quote_volume
    )  # fmt: skip
