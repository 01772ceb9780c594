"""The equity curve: what everything was worth, mark by mark and close by close, from the ledger's events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from mexclab.domain import events as e
from mexclab.domain.market import Symbol
from mexclab.domain.order import Fill
from mexclab.domain.portfolio import ZERO, Portfolio
from mexclab.domain.snipe import SnipeState

START, MARK, CLOSE = "start", "mark", "close"


@dataclass(frozen=True, slots=True)
class Point:
    """The equity at one moment, in quote units.

    A mark was made at the best bids of its moment. A close is a snipe's end: it is exact when nothing else is
    held; otherwise ``unrealised`` and ``exposure`` are None, and ``equity`` takes what is held at its cost.

    Attributes:
        kind: ``start``, ``mark`` or ``close``.
        realised: profit of all sales so far, after fees in quote and base.
        drawdown: fall from the highest known equity before it, a fraction of that; 0 at a new high.
        unpriced: held symbols whose price nobody knew when the mark was made.
    """

    at_ns: int
    kind: str
    equity: Decimal
    realised: Decimal
    unrealised: Decimal | None
    exposure: Decimal | None
    drawdown: Decimal
    unpriced: tuple[Symbol, ...] = ()


class Booked:
    """The portfolio that a ledger's events add up to; each trade counts once, as on the desk."""

    def __init__(self) -> None:
        self.portfolio = Portfolio()
        self.has_begun = False  # an order was decided: the opening balance stands
        self._trades: set[str] = set()

    def take(self, event: e.Event) -> Fill | None:
        """Take one event in; the trade that it booked, if it did. What is written off is gone at its cost.

        Raises:
            DomainError: more would be sold than is held.
        """
        match event:
            case e.OrderFilled(fill=fill):
                if fill.trade_id in self._trades:
                    return None
                self.portfolio = self.portfolio.after(fill)
                self._trades.add(fill.trade_id)
                return fill
            case e.WrittenOff(symbol=symbol, quantity=quantity):
                self.portfolio = self.portfolio.without(symbol, quantity, event.at_ns)
            case e.OrderDecided():
                self.has_begun = True
            case e.DaemonStarted() if not self.has_begun:
                self.portfolio = replace(self.portfolio, opening_balance=event.opening_balance)
        return None


class EquityCurve:
    """A fold of points; ``take`` the ledger's events in order."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._booked = Booked()
        self.peak = ZERO  # the highest known equity

    def take(self, event: e.Event) -> None:
        """Take one event in.

        Raises:
            DomainError: the events are no ledger's: more was sold than is held.
        """
        self._booked.take(event)
        match event:
            case e.DaemonStarted() if not self._booked.has_begun:
                self.points.clear()
                self.peak = ZERO
                self._add(event.at_ns, START, ZERO, ZERO)
            case e.EquityMarked():
                self._add(event.at_ns, MARK, event.unrealised, event.exposure, event)
            case e.SnipeMoved(to=SnipeState.CLOSED):
                nothing = None if self._booked.portfolio.held else ZERO
                self._add(event.at_ns, CLOSE, nothing, nothing)

    def _add(
        self,
        at_ns: int,
        kind: str,
        unrealised: Decimal | None,
        exposure: Decimal | None,
        mark: e.EquityMarked | None = None,
    ) -> None:
        portfolio = self._booked.portfolio
        equity = mark.equity if mark else portfolio.equity()
        if unrealised is not None and not (mark and mark.unpriced):
            self.peak = max(self.peak, equity)
        fall = max((self.peak - equity) / self.peak, ZERO) if self.peak > 0 else ZERO
        unpriced = mark.unpriced if mark else ()
        realised = portfolio.realised
        self.points.append(Point(at_ns, kind, equity, realised, unrealised, exposure, fall, unpriced))


def equity_curve(events: Iterable[e.Event]) -> list[Point]:
    """The points of these events, which are a ledger's from its first entry on, in order.

    Raises:
        DomainError: more is sold in them than is held.
    """
    curve = EquityCurve()
    for event in events:
        curve.take(event)
    return curve.points


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most ``most`` of the points (at least four), in order; ends, highs and lows stay.

    The range is cut into stretches of as many points; of each, the lowest and the highest equity stay.
    """
    if len(points) <= max(most, 4):
        return list(points)
    stretches = max((most - 2) // 2, 1)
    kept = {0, len(points) - 1}
    for number in range(stretches):
        stretch = range(number * len(points) // stretches, (number + 1) * len(points) // stretches)
        kept.add(min(stretch, key=lambda place: points[place].equity))
        kept.add(max(stretch, key=lambda place: points[place].equity))
    return [points[place] for place in sorted(kept)]
