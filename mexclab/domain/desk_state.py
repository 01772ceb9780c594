"""The desk as one frozen value: what a snapshot keeps, so that a start need not fold the whole ledger."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from mexclab.domain import events as e
from mexclab.domain.desk import Desk, Halt, Result
from mexclab.domain.market import Symbol
from mexclab.domain.order import Order
from mexclab.domain.portfolio import Portfolio, Position
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Snipe
from mexclab.errors import DomainError


@dataclass(frozen=True, slots=True)
class Holdings:
    """A portfolio without its mappings: positions and days as rows, in their order."""

    opening_balance: Decimal
    positions: tuple[Position, ...]
    banked: Decimal
    realised_by_day: tuple[tuple[int, Decimal], ...]
    peak_equity: Decimal | None

    @classmethod
    def of(cls, portfolio: Portfolio) -> Holdings:
        return cls(
            opening_balance=portfolio.opening_balance,
            positions=tuple(portfolio.positions.values()),
            banked=portfolio.banked,
            realised_by_day=tuple(portfolio.realised_by_day.items()),
            peak_equity=portfolio.peak_equity,
        )

    def portfolio(self) -> Portfolio:
        return Portfolio(
            opening_balance=self.opening_balance,
            positions=MappingProxyType({position.symbol: position for position in self.positions}),
            banked=self.banked,
            realised_by_day=MappingProxyType(dict(self.realised_by_day)),
            peak_equity=self.peak_equity,
        )


@dataclass(frozen=True, slots=True)
class DeskState:
    """Everything that a desk holds, in values that can be written down. See ``of`` and ``put``.

    Rows keep the order of the desk's mappings, because questions to the desk are answered in that order.
    What follows from the orders (the trades that were counted, the orders of each snipe) is not kept twice.

    Attributes:
        open_orders: client ids of the orders of which more may come, in the desk's order.
        live_snipes: ids of the snipes that are not over, in the desk's order.
        declined: signal id and why no plan was made of it.
        disputed: symbol and why its reports could not be booked.
    """

    holdings: Holdings
    orders: tuple[Order, ...]
    open_orders: tuple[str, ...]
    snipes: tuple[Snipe, ...]
    live_snipes: tuple[str, ...]
    results: tuple[Result, ...]
    signals: tuple[Signal, ...]
    declined: tuple[tuple[str, str], ...]
    first_books: tuple[str, ...]
    first_trades: tuple[str, ...]
    external: tuple[e.ExternalOrderSeen, ...]
    disputed: tuple[tuple[Symbol, str], ...]
    halt: Halt | None
    strategy: e.StrategySet | None
    reconciled: e.Reconciled | None

    @classmethod
    def of(cls, desk: Desk) -> DeskState:
        """The state of ``desk`` as it is now; later folds do not change it."""
        return cls(
            holdings=Holdings.of(desk.portfolio),
            orders=tuple(desk.orders.values()),
            open_orders=tuple(desk._open),
            snipes=tuple(desk.snipes.values()),
            live_snipes=tuple(desk._live),
            results=tuple(desk._results.values()),
            signals=tuple(desk.signals.values()),
            declined=tuple(desk.declined.items()),
            first_books=tuple(desk.first_books),
            first_trades=tuple(desk.first_trades),
            external=tuple(desk.external.values()),
            disputed=tuple(desk.disputed.items()),
            halt=desk.halt,
            strategy=desk.strategy,
            reconciled=desk.reconciled,
        )


def put(desk: Desk, state: DeskState) -> None:
    """Load ``state`` into ``desk``, in place: whoever holds the desk sees it filled.

    Raises:
        DomainError: the desk is not empty, or the state names an order or a snipe that it does not hold;
            the desk is as it was.
    """
    if DeskState.of(desk) != _EMPTY:
        raise DomainError("a state can only be put into an empty desk")
    orders = {order.client_id: order for order in state.orders}
    snipes = {snipe.snipe_id: snipe for snipe in state.snipes}
    strays = [*(set(state.open_orders) - orders.keys()), *(set(state.live_snipes) - snipes.keys())]
    if strays:
        raise DomainError(f"the state names {', '.join(sorted(strays))} and does not hold it", strays=strays)
    by_snipe: dict[str, tuple[str, ...]] = {}
    for order in state.orders:
        by_snipe[order.snipe_id] = (*by_snipe.get(order.snipe_id, ()), order.client_id)
    desk.portfolio = state.holdings.portfolio()
    desk.orders, desk.snipes = orders, snipes
    desk.halt, desk.strategy, desk.reconciled = state.halt, state.strategy, state.reconciled
    desk._results = {result.snipe_id: result for result in state.results}
    desk.signals = {signal.signal_id: signal for signal in state.signals}
    desk.declined = dict(state.declined)
    desk.first_books = dict.fromkeys(state.first_books)
    desk.first_trades = dict.fromkeys(state.first_trades)
    desk.external = {seen.venue_id: seen for seen in state.external}
    desk.disputed = dict(state.disputed)
    desk._trades = dict.fromkeys(fill.trade_id for order in state.orders for fill in order.fills)
    desk._by_snipe = by_snipe
    desk._open = dict.fromkeys(state.open_orders)
    desk._live = dict.fromkeys(state.live_snipes)


_EMPTY = DeskState.of(Desk())
