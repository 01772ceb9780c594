"""Coins that are gone: a person accepts it, the cost is a loss, the snipe ends, and the desk goes on."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from mexclab.domain import events as e
from mexclab.domain.attribution import attribution
from mexclab.domain.clock import DAY, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState
from mexclab.domain.equity import Booked
from mexclab.domain.market import Book, Level
from mexclab.domain.order import Order
from mexclab.domain.post_mortem import post_mortem
from mexclab.domain.reports import Balance, Balances, BookSeen, Refused
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DomainError, RiskRefused, VenueUnavailable
from mexclab.trading import exits, handling, recovery, safety, write_off
from tests.trading.truth_scene import ABC, Desks, Truth

WHY = "sold by hand"


class Emptied(Truth):
    """A venue on whose account a person has sold what the desk holds; it refuses sales of that."""

    gone = Decimal(0)
    is_silent = False

    async def balances(self) -> Balances:
        if self.is_silent:
            raise VenueUnavailable("no answer")
        told = dict(await super().balances())
        told["ABC"] = Balance(told["ABC"].total - self.gone, Decimal(0))
        return told

    def submit(self, order: Order) -> None:
        if self.gone:
            self.news.append(Refused(order.client_id, 30005, "Oversold", self.clock.now_ns()))
        else:
            super().submit(order)

    def sell_by_hand(self, quantity: str) -> None:
        for client_id, row in list(self.rows.items()):
            if row.order.side == "SELL":
                self.end(client_id)
        self.gone = Decimal(quantity)


async def held() -> Desks:
    """40 ABC bought at 0.9 for 36, all of it offered."""
    scene = Desks(venue=Emptied)
    await scene.start()
    client_id = await scene.bought()
    told = scene.venue.take(client_id)
    told += scene.venue.trade(client_id, scene.desk.orders[client_id].quantity, Decimal("0.9"))
    await scene.engine.on(told)
    for client_id, row in list(scene.venue.rows.items()):
        if row.order.side == "SELL":
            await scene.engine.on(scene.venue.accepted(client_id))
    return scene


async def halted(quantity: str) -> Desks:
    """So much of it was sold by hand, the venue has said so twice, and the desk has halted."""
    scene = await held()
    venue = scene.venue
    assert isinstance(venue, Emptied)
    venue.sell_by_hand(quantity)
    for _ in range(2):
        await recovery.reconcile(scene.engine)
    levels = (Level(Decimal("0.89"), Decimal(99)),), (Level(Decimal("0.9"), Decimal(99)),)
    await scene.engine.on([BookSeen(Book(ABC, *levels, scene.clock.now_ns()))])
    await safety.flatten(scene.engine, "ada", "out of it")
    await scene.run(MINUTE)
    assert scene.desk.disputed
    assert scene.desk.halt is not None
    assert scene.desk.halt.by == "trigger mismatch"
    await at_rest(scene)
    return scene


async def at_rest(scene: Desks) -> None:
    """Until no try to sell is under way."""
    for _ in range(60):
        if next(scene.desk.open_orders(), None) is None:
            return
        await scene.run(SECOND)
    raise AssertionError(list(scene.desk.open_orders()))


async def test_what_was_sold_by_hand_is_accepted_and_the_freeze_is_lifted() -> None:
    scene = await halted("40")
    engine = scene.engine
    with pytest.raises(RiskRefused, match="mismatch still holds"):
        await safety.resume(engine, "ada", WHY)
    said = await write_off.accept(engine, ABC, "ada", WHY)
    assert said == "40 ABC are written off, at a loss of what they cost; resume allows entries again"
    snipe = scene.desk.snipes["s-1"]
    assert (snipe.state, snipe.reason) == (SnipeState.CLOSED, "written_off")
    assert snipe.why == "40 ABC were written off, and nothing else is held"
    assert (scene.desk.held(ABC), scene.desk.live_snipes(), scene.desk.sagas) == (0, [], {})
    assert scene.desk.committed() == 0
    await engine.read_clock()
    assert await safety.resume(engine, "ada", WHY) == "resumed: new entries are allowed"
    assert not scene.desk.frozen(ABC)
    await scene.run(20 * MINUTE)
    assert (scene.desk.halt, scene.desk.disputed) == (None, {})


async def test_the_loss_is_what_it_cost_everywhere_and_a_restart_knows_it() -> None:
    scene = await halted("40")
    await write_off.accept(scene.engine, ABC, "ada", WHY)
    now, cost = scene.clock.now_ns(), Decimal(-36)
    portfolio = scene.desk.portfolio
    assert (portfolio.realised, portfolio.realised_on(now), portfolio.cost) == (cost, cost, 0)
    assert portfolio.realised_by_day == {now // DAY: cost}
    assert [result.profit for result in scene.desk.results] == [cost]
    events = [event for _, event in scene.ledger.read()]
    booked, shares = Booked(), attribution(events)
    for event in events:
        booked.take(event)
    assert booked.portfolio == portfolio
    for share in (*shares.by_symbol(), *shares.by_strategy()):
        assert (share.realised, share.held, share.closed, share.won) == (cost, (), 1, 0)
    row = post_mortem("s-1", events)
    assert (row.held, row.profit, row.received) == (0, cost, 0)
    assert [(each.by, each.why) for each in events if isinstance(each, e.WrittenOff)] == [("ada", WHY)]
    await scene.restart()
    assert DeskState.of(scene.desk) == DeskState.of(Desk.of(event for _, event in scene.ledger.read()))
    assert (scene.desk.held(ABC), exits.holding(scene.desk, "s-1")) == (0, 0)


async def test_what_is_still_there_goes_on_being_sold() -> None:
    scene = await halted("30")
    said = await write_off.accept(scene.engine, ABC, "ada", WHY)
    assert said.startswith("30 ABC are written off")
    assert (scene.desk.snipes["s-1"].state, scene.desk.held(ABC)) == (SnipeState.EXITING, 10)
    assert scene.desk.portfolio.realised == Decimal(-27)
    assert scene.desk.reconciled is not None
    assert scene.desk.reconciled.differences == ()
    venue = scene.venue
    assert isinstance(venue, Emptied)
    submit = super(Emptied, venue).submit
    venue.submit = submit  # type: ignore[method-assign]
    await scene.run(MINUTE)
    sale = next(order for order in scene.desk.exits("s-1") if order.is_live)
    assert sale.quantity == 10
    await scene.engine.on(venue.trade(sale.client_id, Decimal(10), Decimal("0.8")))
    assert (scene.desk.snipes["s-1"].state, scene.desk.held(ABC)) == (SnipeState.CLOSED, 0)
    assert scene.desk.profit("s-1") == scene.desk.portfolio.realised == Decimal(-28)


async def refuses(scene: Desks, words: str, by: str = "ada", why: str = WHY) -> None:
    before = scene.ledger.last()
    with pytest.raises(DomainError, match=words):
        await write_off.accept(scene.engine, ABC, by, why)
    assert scene.ledger.last() == before


async def test_nothing_is_written_off_while_ledger_and_venue_agree_or_the_venue_holds_more() -> None:
    scene = await held()
    venue = scene.venue
    assert isinstance(venue, Emptied)
    await safety.flatten(scene.engine, "ada", "out of it")
    for client_id in list(venue.cancels):
        await scene.engine.on(venue.end(client_id))
    assert next(scene.desk.open_orders(), None) is None
    await refuses(scene, "agree about ABCUSDT: there is nothing to write off")
    venue.gone = Decimal(-5)
    await recovery.reconcile(scene.engine)
    await refuses(scene, "more than the ledger knows is not the desk's")


async def test_a_difference_that_nobody_has_seen_or_that_changed_is_not_accepted() -> None:
    scene = await halted("40")
    venue = scene.venue
    assert isinstance(venue, Emptied)
    venue.gone = Decimal(39)
    await refuses(scene, "Now ABC: the ledger holds 40, the venue 1; the last comparison found .* venue 0")
    await recovery.reconcile(scene.engine)
    await write_off.accept(scene.engine, ABC, "ada", WHY)
    assert scene.desk.held(ABC) == 1


async def test_a_difference_that_was_seen_once_only_is_not_accepted() -> None:
    scene = await held()
    venue = scene.venue
    assert isinstance(venue, Emptied)
    await safety.flatten(scene.engine, "ada", "out of it")
    for client_id in list(venue.cancels):
        await scene.engine.on(venue.end(client_id))
    venue.gone = Decimal(40)
    await recovery.reconcile(scene.engine)
    await refuses(scene, "Reconcile until it is disputed")


async def test_an_order_that_is_open_or_of_unknown_fate_may_explain_it() -> None:
    scene = await held()
    venue = scene.venue
    assert isinstance(venue, Emptied)
    venue.gone = Decimal(40)
    for _ in range(2):
        await recovery.reconcile(scene.engine)
    await refuses(scene, r"open or of unknown fate: s-1-t1-1 \(ACCEPTED\), .* Flatten takes back what rests")
    client_id = "s-1-t1-1"
    await scene.engine.record(e.OrderLost(scene.clock.now_ns(), client_id, "a test"))
    await refuses(scene, r"s-1-t1-1 \(UNKNOWN\)")


@pytest.mark.parametrize(("by", "why"), [("", WHY), ("  ", WHY), ("automatic", WHY), ("ada", " ")])
async def test_it_is_a_persons_act_with_a_reason(by: str, why: str) -> None:
    scene = await halted("40")
    await refuses(scene, "a person's act: say who, and why", by, why)


async def test_a_venue_that_is_silent_afterwards_is_said_and_nothing_is_lost() -> None:
    scene = await halted("40")
    venue = scene.venue
    assert isinstance(venue, Emptied)
    scene.engine.parts.bus.subscribe(_silencing(venue))
    said = await write_off.accept(scene.engine, ABC, "ada", WHY)
    assert "the venue could not be compared anew" in said
    assert scene.desk.held(ABC) == 0


def _silencing(venue: Emptied) -> Callable[[int, e.Event], None]:
    def take(seq: int, event: e.Event) -> None:
        venue.is_silent = venue.is_silent or isinstance(event, e.WrittenOff)

    return take


async def test_what_over_snipes_left_behind_is_written_off_first() -> None:
    scene = await halted("15")
    now = scene.clock.now_ns()
    await scene.engine.record(e.SnipeMoved(now, "s-1", SnipeState.CLOSED, "drill", "given up in a drill"))
    assert [each.quantity for each in handling.remainders(scene.desk, {}, {})] == [40]
    await write_off.accept(scene.engine, ABC, "ada", WHY)
    assert [each.quantity for each in handling.remainders(scene.desk, {}, {})] == [25]


def test_more_than_is_held_cannot_be_written_off() -> None:
    with pytest.raises(DomainError, match="cannot be written off of 0 held"):
        Desk().portfolio.without(ABC, Decimal(1), 0)
    with pytest.raises(DomainError, match="never planned"):
        Desk().fold(e.WrittenOff(0, "s-1", ABC, Decimal(1), "ada", WHY))
