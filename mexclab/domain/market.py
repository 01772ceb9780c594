"""Symbols, trading rules, prices: what a venue offers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from mexclab.domain.values import quick
from mexclab.errors import DomainError

QUOTES = ("USDT", "USDC", "BTC", "ETH", "EUR", "TUSD", "USDE", "MX")


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A spot pair. ``str(symbol)`` is the venue's spelling: ``BTCUSDT``."""

    base: str
    quote: str = "USDT"

    def __post_init__(self) -> None:
        for part in (self.base, self.quote):
            if not part or any(c.isspace() or c in "/\\" for c in part):
                raise DomainError(
                    f"{self.base!r}/{self.quote!r} is not a symbol: base and quote are names without spaces",
                    base=self.base,
                    quote=self.quote,
                )

    @classmethod
    def parse(cls, text: str) -> Symbol:
        """Read ``BTCUSDT``, ``BTC/USDT``, ``BTC_USDT`` or ``BTC-USDT``.

        Raises:
            DomainError: no known quote currency ends the text.
        """
        for mark in "/_-":
            base, found, quote = text.rpartition(mark)
            if found and quote.upper() in QUOTES:
                return cls(base.upper(), quote.upper())
        upper = text.strip().upper()
        for quote in QUOTES:
            if upper.endswith(quote) and len(upper) > len(quote):
                return cls(upper[: -len(quote)], quote)
        raise DomainError(
            f"{text!r} is not a symbol: expected a pair such as BTCUSDT or BTC/USDT, "
            f"quoted in one of {', '.join(QUOTES)}",
            text=text,
        )

    def __str__(self) -> str:
        return self.base + self.quote

    def __hash__(self) -> int:
        return hash(self.base)  # every book asks for it, and few bases have two quotes


def on_grid(value: Decimal, step: Decimal) -> bool:
    """Whether ``value`` is a whole number of ``step``."""
    return value % step == 0


@dataclass(frozen=True, slots=True)
class Market:
    """The rules by which one symbol trades, as the venue publishes them."""

    symbol: Symbol
    tick: Decimal  # smallest price step, in quote units
    lot: Decimal  # smallest quantity step, in base units
    min_notional: Decimal = Decimal(1)  # least value of an order, in quote units
    maker_fee: Decimal = Decimal(0)  # fraction of the value
    taker_fee: Decimal = Decimal("0.0005")  # fraction of the value
    market_band: Decimal = Decimal("0.05")  # how far a MARKET order may walk from the touch, as a fraction
    takes_limits: bool = True  # whether limit orders may rest in its book

    def __post_init__(self) -> None:
        for name in ("tick", "lot"):
            if not getattr(self, name) > 0:
                raise DomainError(
                    f"{self.symbol}: {name} must be above zero", name=name, value=str(getattr(self, name))
                )
        for name in ("min_notional", "maker_fee", "taker_fee", "market_band"):
            if not getattr(self, name) >= 0:
                raise DomainError(
                    f"{self.symbol}: {name} must not be negative", name=name, value=str(getattr(self, name))
                )

    def limit_price(self, price: Decimal, side: Side) -> Decimal:
        """The nearest tick that is never worse than ``price`` for ``side``."""
        toward = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
        return (price / self.tick).to_integral_value(toward) * self.tick

    def whole_lots(self, quantity: Decimal) -> Decimal:
        """The largest tradable quantity that is not above ``quantity``."""
        return (quantity / self.lot).to_integral_value(ROUND_FLOOR) * self.lot

    def is_dust(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether a holding is too small to be sold at ``price``."""
        lots = self.whole_lots(quantity)
        return lots <= 0 or lots * price < self.min_notional

    def check(self, quantity: Decimal, price: Decimal) -> None:
        """Refuse an order that the venue would refuse.

        Raises:
            DomainError: names the value and the rule.
        """
        rules = (
            (price > 0, f"price {price} must be above zero"),
            (quantity > 0, f"quantity {quantity} must be above zero"),
            (on_grid(price, self.tick), f"price {price} is not a multiple of the tick {self.tick}"),
            (on_grid(quantity, self.lot), f"quantity {quantity} is not a multiple of the lot {self.lot}"),
            (
                price * quantity >= self.min_notional,
                f"value {price * quantity} {self.symbol.quote} is below the minimum {self.min_notional}",
            ),
        )
        for holds, sentence in rules:
            if not holds:
                raise DomainError(f"{self.symbol}: {sentence}", symbol=str(self.symbol))


@quick
@dataclass(frozen=True, slots=True)
class Level:
    """A price and the quantity that rests there."""

    price: Decimal
    quantity: Decimal


@quick
@dataclass(frozen=True, slots=True)
class Book:
    """The best levels of an order book at one moment, best first on both sides."""

    symbol: Symbol
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at_ns: int
    version: int = 0

    @property
    def bid(self) -> Decimal | None:
        return self.bids[0].price if self.bids else None

    @property
    def ask(self) -> Decimal | None:
        return self.asks[0].price if self.asks else None

    @property
    def mid(self) -> Decimal | None:
        if not self.bids or not self.asks:
            return None
        return (self.bids[0].price + self.asks[0].price) / 2


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade. ``side`` is the taker's."""

    symbol: Symbol
    price: Decimal
    quantity: Decimal
    side: Side
    at_ns: int


@dataclass(frozen=True, slots=True)
class Candle:
    """A bar of trades; ``open_ns`` is its opening time, ``quote_volume`` is in quote units."""

    symbol: Symbol
    open_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal

    def after(self, trade: Trade) -> Candle:
        """The bar with one more trade in it."""
        return Candle(
            self.symbol,
            self.open_ns,
            self.open,
            max(self.high, trade.price),
            min(self.low, trade.price),
            trade.price,
            self.volume + trade.quantity,
            self.quote_volume + trade.price * trade.quantity,
        )
