"""A long ledger to measure with: snipes from the signal to the last fill, written as a desk would have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import count
from types import MappingProxyType

from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType, client_order_id
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, Preflight, SnipeState

FIRST_NS = 19_000 * DAY  # the first opening
SPACING_NS = 4 * HOUR  # between two openings: about as often as a large venue lists
TAKER_FEE = Decimal("0.0005")
CENT = Decimal("0.01")


def history() -> Iterator[e.Event]:
    """Events without end: one listing after the other, every seventh missed, every fifth stopped out."""
    yield e.DaemonStarted(FIRST_NS - DAY, "paper", "paper venue", "benchmark", Decimal(100_000))
    for number in count():
        yield from Story(number).events()
        if number % 6 == 5:
            yield e.Reconciled(FIRST_NS + number * SPACING_NS + HOUR, 4, 0, 0, 0)


class Story:
    """One listing and what the desk made of it; the same number always gives the same story."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.symbol = Symbol(f"COIN{number:05d}")
        self.snipe_id = f"COIN{number:05d}-{number * 2654435761 % 2**32:08x}"
        self.open_ns = FIRST_NS + number * SPACING_NS
        self.price = Decimal(number % 900 + 100) / 10_000
        self.quantity = Decimal(1_000 + number % 700)
        self._trades = 0

    def events(self) -> Iterator[e.Event]:
        yield from self._announced()
        yield from self._ready()
        yield from self._fired()
        if self.number % 7 == 6:
            yield e.SnipeMoved(
                self.open_ns + 21 * SECOND, self.snipe_id, SnipeState.MISSED, "no_fill", "no seller"
            )
            return
        yield e.SnipeMoved(self.open_ns + SECOND, self.snipe_id, SnipeState.ENTERED, "filled", "it is bought")
        yield from (self._stopped() if self.number % 5 == 4 else self._sold_in_rungs())
        yield e.SnipeMoved(self.open_ns + HOUR, self.snipe_id, SnipeState.CLOSED, "sold", "nothing is held")

    def _announced(self) -> Iterator[e.Event]:
        seen = self.open_ns - 20 * HOUR
        evidence = MappingProxyType({"basis": "calendar entry", "lead": "20 h", "state": "2, 3, 4"})
        signal = Signal(
            self.snipe_id, self.symbol, "calendar_lead", seen, self.open_ns, Decimal("0.93"), evidence
        )
        ladder = ExitPlan(LADDERS["balanced"], Decimal("0.15"), 30 * MINUTE)
        plan = Plan(
            self.snipe_id, self.snipe_id, self.symbol, Decimal(60), self.price * 2, self.open_ns,
            self.open_ns + 20 * SECOND, ladder, Decimal("0.93"), attempts=2,
        )  # fmt: skip
        yield e.ListingSeen(seen, self.symbol, f"c{self.number}", self.open_ns, "calendar")
        yield e.SignalRaised(seen, signal)
        yield e.SnipePlanned(seen + SECOND, plan)
        yield e.ListingStateSeen(seen + HOUR, self.symbol, (2, 3, 4))

    def _ready(self) -> Iterator[e.Event]:
        for stage, before in (
            ("T-2h", 2 * HOUR),
            ("T-10min", 10 * MINUTE),
            ("T-60s", MINUTE),
            ("T-5s", 5 * SECOND),
        ):
            at = self.open_ns - before
            yield e.PreflightDone(at, self.snipe_id, Preflight(at, stage, True))
            if stage == "T-2h":
                yield e.SnipeMoved(at, self.snipe_id, SnipeState.PREFLIGHT)
                yield e.SnipeMoved(at + SECOND, self.snipe_id, SnipeState.ARMED, by="rule")
        yield e.SnipeMoved(self.open_ns - SECOND, self.snipe_id, SnipeState.FIRING)

    def _fired(self) -> Iterator[e.Event]:
        """Two immediate-or-cancel orders; of a missed one nothing trades."""
        missed = self.number % 7 == 6
        for attempt in (1, 2):
            at = self.open_ns + attempt * 50 * MILLISECOND
            order = self._order(Side.BUY, "entry", attempt, self.quantity)
            yield e.VerdictGiven(at - SECOND, self.snipe_id, order.client_id, ())
            yield from self._placed(order, at)
            yield e.Fired(at + 1, self.snipe_id, order.client_id, at, 92_000)
            yield e.ShotTimed(at + 2, order.client_id, at, at + 20_000, at + 92_000, at + 9_000_000, 1)
            if attempt == 1:
                yield e.FirstBookSeen(at + 3, self.snipe_id, self.symbol, self.price - CENT / 100, self.price)
            if missed or attempt == 2:
                yield e.OrderCanceled(at + 20 * MILLISECOND, order.client_id, "nothing at this price")
            else:
                yield from self._filled(order, at + 10 * MILLISECOND, 3)
        yield e.FirstTradeSeen(self.open_ns + SECOND, self.snipe_id, self.symbol, self.price, Decimal("12.5"))

    def _sold_in_rungs(self) -> Iterator[e.Event]:
        quarter = self.quantity / 4
        orders = [self._order(Side.SELL, f"tp{rung}", 1, quarter) for rung in range(1, 5)]
        for order in orders:
            yield from self._placed(order, self.open_ns + 2 * SECOND)
        for rung, order in enumerate(orders, 1):
            yield from self._filled(order, self.open_ns + rung * MINUTE, 2)

    def _stopped(self) -> Iterator[e.Event]:
        resting = self._order(Side.SELL, "tp1", 1, self.quantity)
        at = self.open_ns + 5 * MINUTE
        yield from self._placed(resting, self.open_ns + 2 * SECOND)
        yield e.ExitDecided(at, self.snipe_id, "stop", "the bid fell through the stop")
        yield e.SnipeMoved(at, self.snipe_id, SnipeState.EXITING, "stop", "selling everything")
        yield e.CancelSent(at + 1, resting.client_id, "stop")
        yield e.OrderCanceled(at + 2, resting.client_id, "stop")
        order = self._order(Side.SELL, "stop", 1, self.quantity)
        yield from self._placed(order, at + 3)
        yield from self._filled(order, at + 10 * MILLISECOND, 4)

    def _order(self, side: Side, leg: str, attempt: int, quantity: Decimal) -> Order:
        price = self.price * 2 if side is Side.BUY else self.price * Decimal("0.85")
        return Order(
            client_order_id(self.snipe_id, leg, attempt), self.symbol, side,
            OrderType.IMMEDIATE_OR_CANCEL if side is Side.BUY else OrderType.LIMIT,
            quantity, price, self.snipe_id, leg, decided_ns=self.open_ns - SECOND,
        )  # fmt: skip

    def _placed(self, order: Order, at_ns: int) -> Iterator[e.Event]:
        order = replace(order, decided_ns=at_ns - SECOND)
        yield e.OrderDecided(at_ns - SECOND, order)
        yield e.OrderSent(at_ns - SECOND, order.client_id, at_ns)
        venue_id = f"C02__{self.number * 97 + hash_of(order.client_id):018d}"
        yield e.OrderAccepted(at_ns + 9 * MILLISECOND, order.client_id, venue_id)

    def _filled(self, order: Order, at_ns: int, parts: int) -> Iterator[e.Event]:
        left = order.quantity
        for part in range(1, parts + 1):
            quantity = left if part == parts else (order.quantity / parts).quantize(CENT)
            left -= quantity
            self._trades += 1
            price = self.price * (100 + part) / 100 if order.side is Side.SELL else self.price
            fill = Fill(
                f"{self.number}X{self._trades}", order.client_id, self.symbol, order.side, price, quantity,
                (price * quantity * TAKER_FEE).quantize(Decimal("1e-8")), "USDT", at_ns + part * MILLISECOND,
            )  # fmt: skip
            yield e.OrderFilled(at_ns + part * MILLISECOND, fill)


def hash_of(text: str) -> int:
    """A number that spreads texts, the same in every process."""
    return sum((place + 1) * ord(mark) for place, mark in enumerate(text))
