"""The desk as one frozen value: what a snapshot keeps, so that a start need not fold the whole ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

from mexclab.domain import events as e
from mexclab.domain.desk import Desk, Halt, Result
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order
from mexclab.domain.portfolio import Fees, Portfolio, Position
from mexclab.domain.protection import Protection
from mexclab.domain.saga import Saga
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Snipe
from mexclab.errors import DomainError


@dataclass(frozen=True, slots=True)
class Holdings:
    """A portfolio without its mappings: positions, days and fees as rows, in their order."""

    opening_balance: Decimal
    positions: tuple[Position, ...]
    realised: Decimal
    realised_by_day: tuple[tuple[int, Decimal], ...]
    peak_equity: Decimal | None
    fees: Fees
    other_fees: tuple[tuple[Symbol, Decimal], ...]

    @classmethod
    def of(cls, portfolio: Portfolio) -> Holdings:
        return cls(
            opening_balance=portfolio.opening_balance,
            positions=tuple(portfolio.positions.values()),
            realised=portfolio.realised,
            realised_by_day=tuple(portfolio.realised_by_day.items()),
            peak_equity=portfolio.peak_equity,
            fees=tuple(portfolio.fees.items()),
            other_fees=tuple(portfolio.other_fees.items()),
        )

    def portfolio(self) -> Portfolio:
        return Portfolio(
            opening_balance=self.opening_balance,
            positions=MappingProxyType({position.symbol: position for position in self.positions}),
            realised=self.realised,
            realised_by_day=MappingProxyType(dict(self.realised_by_day)),
            peak_equity=self.peak_equity,
            fees=MappingProxyType(dict(self.fees)),
            other_fees=MappingProxyType(dict(self.other_fees)),
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
        disputed_trades: ids of the trades among those reports.
        written_off: snipe id and what of it a person accepted to be gone, in base units.

    Raises:
        DomainError: it names an order or a snipe that it does not hold.
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
    protections: tuple[Protection, ...]
    spent: tuple[tuple[str, int], ...]
    monitors: tuple[e.MonitorChanged, ...]
    confirmed: e.LimitsConfirmed | None
    checked: e.AccountChecked | None
    marked: e.EquityMarked | None
    peaks: tuple[e.EquityMarked, ...]
    rehearsed: e.Rehearsed | None
    sagas: tuple[Saga, ...]
    disputed_trades: tuple[str, ...]
    written_off: tuple[tuple[str, Decimal], ...]

    def __post_init__(self) -> None:
        strays = {*self.open_orders}.difference(order.client_id for order in self.orders)
        strays |= {*self.live_snipes}.difference(snipe.snipe_id for snipe in self.snipes)
        if strays:
            names = ", ".join(sorted(strays))
            raise DomainError(f"the state names {names} and does not hold it", strays=sorted(strays))

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
            protections=tuple(desk.protections.values()),
            spent=tuple(desk.spent.items()),
            monitors=tuple(desk.monitors.values()),
            confirmed=desk.confirmed,
            checked=desk.checked,
            marked=desk.marked,
            peaks=desk.peaks,
            rehearsed=desk.rehearsed,
            sagas=tuple(desk.sagas.values()),
            disputed_trades=tuple(desk.disputed_trades),
            written_off=tuple(desk.written_off.items()),
        )


def put(desk: Desk, state: DeskState) -> None:
    """Load ``state`` into ``desk``, in place: whoever holds the desk or one of its mappings sees it filled.

    Raises:
        DomainError: the desk is not empty; it is as it was.
    """
    require_empty(desk)
    desk.portfolio = state.holdings.portfolio()
    desk.halt, desk.strategy, desk.reconciled = state.halt, state.strategy, state.reconciled
    desk.confirmed, desk.checked, desk.rehearsed = state.confirmed, state.checked, state.rehearsed
    desk.marked, desk.peaks = state.marked, state.peaks
    desk.spent.update(state.spent)
    desk.protections.update((each.protection_id, each) for each in state.protections)
    for each in state.monitors:
        desk.monitors[each.monitor, "" if each.symbol is None else str(each.symbol)] = each
    desk.sagas.update((saga.saga_id, saga) for saga in state.sagas)
    desk.orders.update((order.client_id, order) for order in state.orders)
    desk.snipes.update((snipe.snipe_id, snipe) for snipe in state.snipes)
    desk.signals.update((signal.signal_id, _read_only(signal)) for signal in state.signals)
    desk.declined.update(state.declined)
    desk.first_books.update(dict.fromkeys(state.first_books))
    desk.first_trades.update(dict.fromkeys(state.first_trades))
    desk.external.update((seen.venue_id, seen) for seen in state.external)
    desk.disputed.update(state.disputed)
    desk.disputed_trades.update(dict.fromkeys(state.disputed_trades))
    desk.written_off.update(state.written_off)
    desk._results.update((result.snipe_id, result) for result in state.results)
    desk._open.update(dict.fromkeys(state.open_orders))
    desk._live.update(dict.fromkeys(state.live_snipes))
    desk._buying.update((each, None) for each in state.open_orders if desk.orders[each].side is Side.BUY)
    desk._unknown = len(desk.unknown_orders())
    desk.busy = sum(snipe.state.is_busy for snipe in state.snipes)
    desk._trades.update((fill.trade_id, None) for order in state.orders for fill in order.fills)
    by_snipe: dict[str, list[str]] = {}
    for order in state.orders:
        by_snipe.setdefault(order.snipe_id, []).append(order.client_id)
    desk._by_snipe.update((snipe_id, tuple(client_ids)) for snipe_id, client_ids in by_snipe.items())


def _read_only(signal: Signal) -> Signal:
    """The signal with evidence that cannot be changed, as a ledger gives it; what is written down forgets."""
    if isinstance(signal.evidence, MappingProxyType):
        return signal
    return replace(signal, evidence=MappingProxyType(dict(signal.evidence)))


def require_empty(desk: Desk) -> None:
    """Refuse a desk into which something was folded that it still holds.

    Raises:
        DomainError: it is not empty.
    """
    if DeskState.of(desk) != _EMPTY:
        raise DomainError("a state can only be put into an empty desk")


_EMPTY = DeskState.of(Desk())
