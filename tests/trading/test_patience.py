"""A joke of a bid: it may reach a stop, but what was bought is neither sold to it at once nor given up."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.market import Book, Level
from mexclab.domain.reports import BookSeen
from mexclab.domain.snipe import SnipeState
from mexclab.trading import patience
from tests.trading.truth_scene import ABC, OPENS, Desks

JOKE, TORN, SANE = ("0.001", "0.9"), ("0.2", "0.9"), ("0.89", "0.91")


async def see(scene: Desks, prices: tuple[str, str]) -> None:
    bid, ask = (Level(Decimal(price), Decimal(99)) for price in prices)
    await scene.engine.on([BookSeen(Book(ABC, (bid,), (ask,), scene.clock.now_ns()))])


async def entered(prices: tuple[str, str]) -> Desks:
    """40 ABC bought at 0.9 while the book stands at these prices; no question for its price is asked."""
    scene = Desks()
    await scene.start()
    client_id = await scene.bought()
    scene.engine.questions.reconcile_ns = None
    scene.venue.book = lambda symbol: _no_book()  # type: ignore[method-assign]
    await see(scene, prices)
    told = scene.venue.take(client_id)
    told += scene.venue.trade(client_id, scene.desk.orders[client_id].quantity, Decimal("0.9"))
    await scene.engine.on(told)
    return scene


async def _no_book() -> None:
    return None


async def stand(scene: Desks, prices: tuple[str, str], for_ns: int) -> None:
    """A book a second, always at these prices."""
    until_ns = scene.clock.now_ns() + for_ns
    while scene.clock.now_ns() < until_ns:
        await scene.run(min(SECOND, until_ns - scene.clock.now_ns()))
        await see(scene, prices)


def state(scene: Desks) -> SnipeState:
    return scene.desk.snipes["s-1"].state


def criticals(scene: Desks) -> list[str]:
    found = (event for _, event in scene.ledger.read() if isinstance(event, e.AlertRaised))
    return [event.text for event in found if event.level == "critical"]


async def test_a_joke_bid_does_not_close_a_snipe_that_holds_what_it_bought() -> None:
    scene = await entered(JOKE)
    assert (state(scene), scene.desk.snipes["s-1"].exit_why) == (SnipeState.EXITING, "stop")
    await stand(scene, JOKE, 2 * MINUTE)
    assert (state(scene), scene.desk.held(ABC)) == (SnipeState.EXITING, 40)
    await see(scene, SANE)
    (sale,) = scene.desk.exits("s-1")
    assert (sale.quantity, sale.price) == (40, Decimal("0.846"))  # the band below the bid that means it
    await scene.engine.on(scene.venue.trade(sale.client_id, Decimal(40), Decimal("0.89")))
    assert (state(scene), criticals(scene)) == (SnipeState.CLOSED, [])


async def test_what_nobody_bids_for_over_minutes_is_given_up_with_a_critical_alert() -> None:
    scene = await entered(JOKE)
    await stand(scene, JOKE, patience.MEAGRE_NS - SECOND)
    assert state(scene) is SnipeState.EXITING
    await stand(scene, JOKE, 2 * SECOND)
    assert (state(scene), scene.desk.held(ABC)) == (SnipeState.CLOSED, 40)
    (text,) = criticals(scene)
    assert text.startswith("40 ABC bought at 0.9 are given up: for 5 min 00 s nobody bid enough")
    assert scene.engine.doubted == {}


async def test_minutes_without_a_price_are_no_minutes_of_joke_bids() -> None:
    scene = await entered(JOKE)
    await stand(scene, JOKE, 3 * MINUTE)
    await scene.run(3 * MINUTE)  # no price that may be acted on
    await see(scene, JOKE)
    assert state(scene) is SnipeState.EXITING
    await stand(scene, JOKE, patience.MEAGRE_NS + SECOND)
    assert state(scene) is SnipeState.CLOSED


async def test_nothing_is_sold_into_a_torn_book_before_it_has_stood() -> None:
    scene = await entered(TORN)  # its bid is worth the least order, and far below the stop
    assert state(scene) is SnipeState.EXITING
    await stand(scene, TORN, 3 * SECOND)
    assert scene.desk.exits("s-1") == []
    await see(scene, SANE)
    (sale,) = scene.desk.exits("s-1")
    assert sale.price == Decimal("0.846")


async def test_a_torn_book_that_stands_is_the_price_and_is_sold_to() -> None:
    scene = await entered(TORN)
    await stand(scene, TORN, patience.TORN_NS)
    (sale,) = scene.desk.exits("s-1")
    assert (sale.quantity, sale.price) == (40, Decimal("0.19"))


async def test_a_fall_that_the_asks_follow_is_sold_at_once() -> None:
    scene = await entered(("0.2", "0.21"))
    (sale,) = scene.desk.exits("s-1")
    assert (sale.quantity, sale.price) == (40, Decimal("0.19"))


async def test_what_is_dust_at_its_entry_too_closes_at_once_and_nobody_is_alarmed() -> None:
    scene = await entered(("0.2", "0.21"))
    (sale,) = scene.desk.exits("s-1")
    told = scene.venue.trade(sale.client_id, Decimal("39.5"), Decimal("0.2"))
    await scene.engine.on([*told, *scene.venue.end(sale.client_id)])
    await see(scene, ("0.2", "0.21"))
    assert (state(scene), scene.desk.held(ABC), criticals(scene)) == (SnipeState.CLOSED, Decimal("0.5"), [])


@pytest.mark.parametrize(
    ("bid", "ask", "torn"), [("0.4", "0.8", False), ("0.39", "0.8", True), ("0.4", None, False)]
)
def test_a_book_is_torn_when_the_bid_is_below_half_of_the_ask(bid: str, ask: str | None, torn: bool) -> None:
    asks = (Level(Decimal(ask), Decimal(1)),) if ask is not None else ()
    assert patience.is_torn(Book(ABC, (Level(Decimal(bid), Decimal(1)),), asks, OPENS)) is torn
    assert not patience.is_torn(Book(ABC, (), asks, OPENS))
    assert not patience.is_torn(None)
