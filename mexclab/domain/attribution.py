"""What each symbol and each strategy earned, from one pass over the ledger's events.

Every trade changes a position: its quantity, its cost, what it realised. That change is the share of the
trade's symbol, and of the strategy whose snipe traded. So the shares of all symbols add up to the portfolio
to the last digit, and so do those of all strategies, also where one sold what another had bought.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.equity import Booked
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.portfolio import ZERO, Fees, Position, Valuation
from mexclab.domain.snipe import SnipeState

UNKNOWN = "unknown"  # the strategy of plans that did not name theirs


@dataclass(frozen=True, slots=True)
class Share:
    """What one symbol, or one strategy, came to. Money is in quote units.

    Attributes:
        snipes: that bought something.
        closed: how many of them are over.
        won: how many of those ended with a profit, after fees in quote.
        bought, sold: the values that were traded, before fees.
        realised: after fees in quote and base.
        fees: all that were paid, by asset.
        other_fees: those in third assets, by the pair that prices them.
        held: (symbol, quantity, cost) of what is still held.
    """

    name: str
    snipes: int
    closed: int
    won: int
    bought: Decimal
    sold: Decimal
    realised: Decimal
    fees: Fees
    other_fees: tuple[tuple[Symbol, Decimal], ...]
    held: tuple[tuple[Symbol, Decimal, Decimal], ...]

    @property
    def win_rate(self) -> Decimal | None:
        """Winners among the snipes that are over; None while none is."""
        return Decimal(self.won) / self.closed if self.closed else None

    def valued(self, prices: Mapping[Symbol, Decimal]) -> Valuation:
        """What it comes to at ``prices``; what has no price is named."""
        priced = [(quantity * prices[s], cost) for s, quantity, cost in self.held if s in prices]
        return Valuation(
            realised=self.realised,
            unrealised=sum((worth - cost for worth, cost in priced), ZERO),
            exposure=sum((worth for worth, _ in priced), ZERO),
            other_fees=sum((paid * prices[pair] for pair, paid in self.other_fees if pair in prices), ZERO),
            unpriced=tuple(symbol for symbol, _, _ in self.held if symbol not in prices),
            unpriced_fees=tuple(item for item in self.other_fees if item[0] not in prices),
        )


@dataclass(slots=True)
class _Tally:
    """What the trades of one share add up to so far."""

    bought: Decimal = ZERO
    sold: Decimal = ZERO
    realised: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    other_fees: dict[Symbol, Decimal] = field(default_factory=dict)
    held: dict[Symbol, tuple[Decimal, Decimal]] = field(default_factory=dict)
    snipes: dict[str, None] = field(default_factory=dict)

    def book(self, fill: Fill, before: Position, after: Position) -> None:
        if fill.side is Side.BUY:
            self.bought += fill.value
        else:
            self.sold += fill.value
        self.move(before, after)
        if fill.fee:
            self.fees[fill.fee_asset] = self.fees.get(fill.fee_asset, ZERO) + fill.fee
        if fill.fee and fill.fee_asset not in (fill.symbol.base, fill.symbol.quote):
            pair = Symbol(fill.fee_asset, fill.symbol.quote)
            self.other_fees[pair] = self.other_fees.get(pair, ZERO) + fill.fee

    def move(self, before: Position, after: Position) -> None:
        """What a change of a position is to this share: realised, and held."""
        self.realised += after.realised - before.realised
        quantity, cost = self.held.get(after.symbol, (ZERO, ZERO))
        quantity, cost = quantity + after.quantity - before.quantity, cost + after.cost - before.cost
        if quantity or cost:
            self.held[after.symbol] = quantity, cost
        else:
            self.held.pop(after.symbol, None)

    def settle(self, symbol: Symbol, price: Decimal) -> None:
        """The symbol is empty: what strategies sold or left of one another changes hands at ``price``."""
        quantity, cost = self.held.pop(symbol, (ZERO, ZERO))
        self.realised += quantity * price - cost


class Attribution:
    """A fold of shares; ``take`` the ledger's events in order."""

    def __init__(self) -> None:
        self._booked = Booked()
        self._symbols: dict[Symbol, _Tally] = {}
        self._strategies: dict[str, _Tally] = {}
        self._strategy_of: dict[str, str] = {}  # by snipe
        self._cash: dict[str, Decimal] = {}  # by snipe: sold minus bought minus fees in quote
        self._results: dict[str, Decimal] = {}  # by snipe that was closed

    def take(self, event: e.Event) -> None:
        """Take one event in.

        Raises:
            DomainError: the events are no ledger's: more was sold than is held.
        """
        match event:
            case e.SnipePlanned(plan=plan):
                self._strategy_of[plan.snipe_id] = plan.strategy or UNKNOWN
            case e.SnipeMoved(snipe_id=snipe_id, to=SnipeState.CLOSED):
                self._results[snipe_id] = self._cash.get(snipe_id, ZERO)
            case e.OrderFilled(fill=fill):
                before = self._booked.portfolio.positions.get(fill.symbol) or Position(fill.symbol)
                if self._booked.take(event) is not None:
                    self._book(fill, before)
            case e.WrittenOff(symbol=symbol):
                before = self._booked.portfolio.positions.get(symbol) or Position(symbol)
                self._booked.take(event)
                self._write_off(event, before)

    def _book(self, fill: Fill, before: Position) -> None:
        snipe_id = e.snipe_of(fill.client_id)
        strategy = self._strategy_of.get(snipe_id, UNKNOWN)
        after = before.after(fill)
        mine = self._symbols.setdefault(fill.symbol, _Tally())
        for tally in (mine, self._strategies.setdefault(strategy, _Tally())):
            tally.book(fill, before, after)
            if fill.side is Side.BUY:
                tally.snipes[snipe_id] = None
        if not after.quantity:
            for tally in self._strategies.values():
                tally.settle(fill.symbol, fill.price)
        sign = 1 if fill.side is Side.SELL else -1
        cost = fill.fee if fill.fee_asset == fill.symbol.quote else ZERO
        self._cash[snipe_id] = self._cash.get(snipe_id, ZERO) + sign * fill.value - cost

    def _write_off(self, event: e.WrittenOff, before: Position) -> None:
        after, strategy = before.without(event.quantity), self._strategy_of.get(event.snipe_id, UNKNOWN)
        for tally in (self._symbols[event.symbol], self._strategies.setdefault(strategy, _Tally())):
            tally.move(before, after)
        if not after.quantity:
            for tally in self._strategies.values():
                tally.settle(event.symbol, ZERO)

    def by_symbol(self) -> list[Share]:
        """A share per symbol that was ever traded, by name."""
        return [self._share(str(symbol), tally) for symbol, tally in sorted(self._symbols.items())]

    def by_strategy(self) -> list[Share]:
        """A share per strategy, by name; plans that did not name theirs are ``unknown``."""
        return [self._share(name, tally) for name, tally in sorted(self._strategies.items())]

    def _share(self, name: str, tally: _Tally) -> Share:
        closed = [self._results[snipe_id] for snipe_id in tally.snipes if snipe_id in self._results]
        return Share(
            name=name,
            snipes=len(tally.snipes),
            closed=len(closed),
            won=sum(profit > 0 for profit in closed),
            bought=tally.bought,
            sold=tally.sold,
            realised=tally.realised,
            fees=tuple(sorted(tally.fees.items())),
            other_fees=tuple(sorted(tally.other_fees.items())),
            held=tuple((symbol, *amounts) for symbol, amounts in sorted(tally.held.items())),
        )


def attribution(events: Iterable[e.Event]) -> Attribution:
    """The shares of these events, which are a ledger's from its first entry on, in order.

    Raises:
        DomainError: more is sold in them than is held.
    """
    shares = Attribution()
    for event in events:
        shares.take(event)
    return shares
