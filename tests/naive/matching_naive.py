"""The matching core as one would explain it: one plain list, sorted anew for every question; Decimal only."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from mexclab.domain.market import Market, Side
from mexclab.domain.order import OrderType

ZERO = Decimal(0)
RESTING = (OrderType.LIMIT, OrderType.LIMIT_MAKER)


@dataclass
class Line:
    """One resting order."""

    name: str
    owner: str
    side: Side
    price: Decimal
    left: Decimal
    whole: Decimal
    turn: int


@dataclass(frozen=True)
class NaiveTrade:
    price: Decimal
    quantity: Decimal
    maker: str
    taker: str


class NaiveMarket:
    """One symbol and its accounts; fees of both sides in quote, or of buyers in base."""

    def __init__(
        self, market: Market, deposits: dict[tuple[str, str], Decimal], fee_in_base: bool = False
    ) -> None:
        self.market = market
        self.lines: list[Line] = []
        self.funds = dict(deposits)  # free and locked together
        self.fees: dict[str, Decimal] = {}
        self.fee_in_base = fee_in_base
        self.turn = 0
        self.band: Decimal | None = None
        self.last: Decimal | None = None

    # -- the book --------------------------------------------------------------------------------

    def side(self, side: Side) -> list[Line]:
        """Best price first, then oldest first."""
        sign = -1 if side is Side.BUY else 1
        return sorted((x for x in self.lines if x.side is side), key=lambda x: (sign * x.price, x.turn))

    def levels(self, side: Side) -> list[tuple[Decimal, Decimal]]:
        prices = dict.fromkeys(line.price for line in self.side(side))
        return [
            (p, sum((x.left for x in self.lines if x.side is side and x.price == p), ZERO)) for p in prices
        ]

    # -- accounts --------------------------------------------------------------------------------

    def rate(self) -> Decimal:
        return ZERO if self.fee_in_base else max(self.market.maker_fee, self.market.taker_fee)

    def locked(self, owner: str, asset: str) -> Decimal:
        symbol, total = self.market.symbol, ZERO
        for line in self.lines:
            if line.owner == owner and line.side is Side.BUY and asset == symbol.quote:
                total += line.left * line.price * (1 + self.rate())
            if line.owner == owner and line.side is Side.SELL and asset == symbol.base:
                total += line.left
        return total

    def free(self, owner: str, asset: str) -> Decimal:
        return self.funds.get((owner, asset), ZERO) - self.locked(owner, asset)

    def pay(self, owner: str, asset: str, amount: Decimal) -> None:
        self.funds[owner, asset] = self.funds.get((owner, asset), ZERO) + amount

    def charge(self, owner: str, side: Side, trade: NaiveTrade, is_maker: bool) -> None:
        symbol, value = self.market.symbol, trade.price * trade.quantity
        sign = 1 if side is Side.BUY else -1
        self.pay(owner, symbol.base, sign * trade.quantity)
        self.pay(owner, symbol.quote, -sign * value)
        if owner == "house":
            return
        rate = self.market.maker_fee if is_maker else self.market.taker_fee
        in_base = self.fee_in_base and side is Side.BUY
        asset, of = (symbol.base, trade.quantity) if in_base else (symbol.quote, value)
        fee = (of * rate).quantize(Decimal("1e-18"), ROUND_DOWN)
        self.pay(owner, asset, -fee)
        self.fees[asset] = self.fees.get(asset, ZERO) + fee

    # -- commands --------------------------------------------------------------------------------

    def submit(
        self, name: str, owner: str, side: Side, kind: OrderType, terms: tuple[Decimal | None, ...]
    ) -> tuple[str | int, list[NaiveTrade]]:
        """``terms``: quantity, price, quote quantity. The status, or the error code, and the trades."""
        quantity, price, spend = terms
        facing = self.side(side.opposite)
        bound = price
        if kind is OrderType.MARKET:
            if not facing:
                return 30025, []
            factor = 1 + self.market.market_band if side is Side.BUY else 1 - self.market.market_band
            toward = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
            bound = (facing[0].price * factor / self.market.tick).to_integral_value(toward) * self.market.tick
        if code := self.refused(side, kind, (quantity, bound, spend), facing):
            return code, []
        if owner != "house" and (code := self.short(owner, side, (quantity, bound, spend))):
            return code, []
        within = [x for x in facing if (x.price <= bound if side is Side.BUY else x.price >= bound)]
        if kind is OrderType.FILL_OR_KILL and sum((x.left for x in within), ZERO) < quantity:
            return "CANCELED", []
        trades, left, afford = self.match(name, owner, within, quantity, spend)
        if spend is not None:
            done = bool(trades) and not afford
            return ("FILLED" if done else "PARTIALLY_CANCELED" if trades else "CANCELED"), trades
        if left and kind in RESTING:
            self.turn += 1
            self.lines.append(Line(name, owner, side, price, left, quantity, self.turn))
            return ("PARTIALLY_FILLED" if trades else "NEW"), trades
        return ("FILLED" if not left else "PARTIALLY_CANCELED" if trades else "CANCELED"), trades

    def refused(
        self, side: Side, kind: OrderType, terms: tuple[Decimal | None, ...], facing: list[Line]
    ) -> int | None:
        quantity, price, spend = terms
        at = facing[0].price if kind is OrderType.MARKET else price
        if (spend if spend is not None else quantity * at) < self.market.min_notional:
            return 30002
        if kind is OrderType.LIMIT_MAKER:
            crosses = facing and (facing[0].price <= price if side is Side.BUY else facing[0].price >= price)
            return 30041 if crosses else None
        if kind is not OrderType.MARKET and self.band is not None and self.last is not None:
            high, low = self.last * (1 + self.band), self.last * (1 - self.band)
            if (side is Side.BUY and price > high) or (side is Side.SELL and price < low):
                return 30087
        return None

    def short(self, owner: str, side: Side, terms: tuple[Decimal | None, ...]) -> int | None:
        quantity, price, spend = terms
        symbol = self.market.symbol
        if side is Side.SELL:
            return 30005 if self.free(owner, symbol.base) < quantity else None
        value = spend if spend is not None else quantity * price
        return 10101 if self.free(owner, symbol.quote) < value * (1 + self.rate()) else None

    def match(
        self, name: str, owner: str, within: list[Line], quantity: Decimal | None, spend: Decimal | None
    ) -> tuple[list[NaiveTrade], Decimal, Decimal]:
        """The trades, the quantity left, and what the money left would still buy at the last price met."""
        trades, left, money, afford = [], quantity, spend, ZERO
        for line in within:
            if spend is not None:
                left = self.market.whole_lots(money / line.price)
            traded = min(left, line.left)
            if not traded:
                return trades, ZERO, ZERO
            line.left -= traded
            left -= traded
            trade = NaiveTrade(line.price, traded, line.name, name)
            trades.append(trade)
            self.last = line.price
            self.charge(owner, line.side.opposite, trade, is_maker=False)
            self.charge(line.owner, line.side, trade, is_maker=True)
            self.lines = [x for x in self.lines if x.left]
            if spend is not None:
                money -= traded * line.price
                afford = left = self.market.whole_lots(money / line.price)
        return trades, left or ZERO, afford

    def cancel(self, name: str) -> str | int:
        found = [line for line in self.lines if line.name == name]
        if not found:
            return -2011
        self.lines.remove(found[0])
        return "CANCELED" if found[0].left == found[0].whole else "PARTIALLY_CANCELED"

    def requote(
        self, maker: str, bids: dict[Decimal, Decimal], asks: dict[Decimal, Decimal]
    ) -> list[NaiveTrade]:
        """Keep what stays, shrink in place, and put the rest anew at the back."""
        wanted = {(Side.BUY, p): q for p, q in bids.items()} | {(Side.SELL, p): q for p, q in asks.items()}
        for line in [line for line in self.lines if line.name == maker]:
            quantity = wanted.get((line.side, line.price), ZERO)
            if quantity and quantity <= line.left:
                line.left = quantity
            else:
                self.lines.remove(line)
        kept = {(line.side, line.price) for line in self.lines if line.name == maker}
        trades: list[NaiveTrade] = []
        for (side, price), quantity in wanted.items():
            if (side, price) not in kept:
                facing = self.side(side.opposite)
                within = [x for x in facing if (x.price <= price if side is Side.BUY else x.price >= price)]
                new, left, _ = self.match(maker, "house", within, quantity, None)
                trades += new
                if left:
                    self.turn += 1
                    self.lines.append(Line(maker, "house", side, price, left, quantity, self.turn))
        return trades
