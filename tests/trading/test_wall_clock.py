"""Somebody sets this machine's clock while a position is held: nothing goes blind, and nothing is sold."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexclab.config import LimitSettings
from mexclab.domain.clock import AHEAD_NS, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Book, Level
from mexclab.domain.reports import BookSeen, ClockReading
from mexclab.domain.snipe import SnipeState
from mexclab.errors import VenueUnavailable
from mexclab.runtime.clock import SystemClock
from mexclab.trading import shots
from mexclab.trading.calm import Calm
from mexclab.trading.risk import Intent, clock_breaches
from mexclab.trading.stops import EXIT_BOOK_AGE_NS, fresh_bid
from tests.trading.risk_scene import NOW, broken, entry, facts, funded, plan
from tests.trading.truth_scene import ABC, MARKET, Desks, Truth


class Machine:
    """A desk that holds a position, on a machine whose clock can be set; its venue's clock is true."""

    def __init__(self, desk: Desks) -> None:
        self.desk = desk
        self.wall_ns = self.steady_ns = desk.clock.now_ns()
        self.clock = SystemClock(lambda: self.wall_ns, lambda: self.steady_ns)
        object.__setattr__(desk.engine.parts, "clock", self.clock)
        self.venue_ns = 0  # ahead of the steady clock
        self.is_away = False
        desk.venue.clock_reading = self.measured  # type: ignore[method-assign]

    async def measured(self) -> ClockReading:
        if self.is_away:
            raise VenueUnavailable("no answer")
        reading = ClockReading(self.venue_ns, MILLISECOND, self.steady_ns + self.venue_ns)
        self.clock.follow(reading)
        return reading

    def passes(self, by_ns: int) -> None:
        self.wall_ns += by_ns
        self.steady_ns += by_ns

    async def price(self, ahead_ns: int = 0) -> None:
        bid, ask = Level(Decimal("0.89"), Decimal(99)), Level(Decimal("0.9"), Decimal(99))
        await self.desk.engine.on([BookSeen(Book(ABC, (bid,), (ask,), self.clock.now_ns() + ahead_ns))])

    @property
    def state(self) -> SnipeState:
        return self.desk.desk.snipes["s-1"].state

    def due(self) -> dict[str, float]:
        """In how many seconds each question is due."""
        now = self.clock.now_ns()
        usual = self.desk.engine.questions._usual(now)
        return {name: (at - now) / SECOND for at, name, _ in usual}


@pytest.fixture
async def machine() -> Machine:
    desk = Desks(venue=Truth)
    await desk.start()
    client_id = await desk.bought()
    order = desk.desk.orders[client_id]
    await desk.engine.on(desk.venue.take(client_id) + desk.venue.trade(client_id, order.quantity))
    for name, row in list(desk.venue.rows.items()):
        if row.order.side == "SELL":
            await desk.engine.on(desk.venue.accepted(name))
    await desk.run(MINUTE)
    machine = Machine(desk)
    await desk.engine.read_clock()
    await machine.price()
    return machine


@pytest.mark.parametrize("step_ns", [-HOUR, 3 * HOUR])
async def test_a_step_of_the_wall_clock_neither_blinds_the_desk_nor_sells(
    machine: Machine, step_ns: int
) -> None:
    engine, before = machine.desk.engine, machine.due()
    machine.wall_ns += step_ns
    after = machine.due()
    assert {name: at for name, at in after.items() if name != "clock"} == {
        name: at for name, at in before.items() if name != "clock"
    }
    machine.passes(2 * SECOND)
    assert machine.due()["clock"] <= 0, "the venue's clock is measured before anything else"
    assert engine.guard.is_due(), "triggers are looked at"
    await machine.price()
    assert machine.state is SnipeState.ENTERED
    assert shots.facts_of(engine, MARKET, machine.clock.now_ns()).clock is None, (
        "no entry until it is measured"
    )
    await engine.read_clock()
    assert shots.facts_of(engine, MARKET, machine.clock.now_ns()).clock is not None
    assert machine.due()["clock"] == 20


async def test_a_venue_that_does_not_tell_its_time_after_a_step_is_not_asked_without_end(
    machine: Machine,
) -> None:
    machine.wall_ns += HOUR
    machine.is_away = True
    machine.passes(3 * SECOND)
    await machine.desk.engine.read_clock()
    assert machine.due()["clock"] == 2


async def test_a_venue_whose_clock_goes_back_is_followed_and_everything_is_asked_anew(
    machine: Machine,
) -> None:
    engine = machine.desk.engine
    machine.venue_ns = -HOUR
    await engine.read_clock()
    assert max(machine.due().values()) <= 60, "nothing waits for the hour to come again"
    assert engine.guard.is_due()
    assert ABC not in engine.books, "a price of the future would keep out every newer one"
    await machine.price()
    assert machine.state is SnipeState.ENTERED
    assert engine.books[ABC].bid == Decimal("0.89")


# -- nothing that is stamped after now is fresh ----------------------------------------------------


@pytest.mark.parametrize("ahead_ns", [0, AHEAD_NS, AHEAD_NS + 1, HOUR])
def test_what_is_stamped_ahead_of_our_clock_is_of_unknown_age(ahead_ns: int) -> None:
    is_unknown = ahead_ns > AHEAD_NS
    reading, limits = ClockReading(0, 0, NOW + ahead_ns), LimitSettings()
    assert [breach.limit for breach in clock_breaches(reading, limits, NOW)] == ["clock_unknown"] * is_unknown
    book = Book(
        ABC, (Level(Decimal("1.8"), Decimal(9)),), (Level(Decimal("1.9"), Decimal(9)),), NOW + ahead_ns
    )
    said = broken(funded(), Intent(entry(plan()), plan()), limits, facts(book=book))
    assert said == ({"stale_price"} if is_unknown else set())
    assert (fresh_bid(book, NOW) is None) == is_unknown
    calm = Calm(1, MARKET, Decimal(1), None, NOW + HOUR)
    assert calm.holds(1, MARKET, book, NOW) == (not is_unknown)


def test_a_price_is_fresh_to_the_last_nanosecond_of_its_age() -> None:
    book = Book(ABC, (Level(Decimal(1), Decimal(1)),), (), NOW)
    assert fresh_bid(book, NOW + EXIT_BOOK_AGE_NS) == 1
    assert fresh_bid(book, NOW + EXIT_BOOK_AGE_NS + 1) is None
