"""A listing that is taken back before it opens: gone from every table, kept over a restart, shown again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mexclab.domain.clock import HOUR, MINUTE, SECOND
from mexclab.domain.market import Side
from mexclab.domain.order import OrderType
from mexclab.errors import DomainError
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.scenario import Fate, ListingScript, listing_day_script
from mexclab.venues.simulator.world import World
from tests.venues.served import START_NS, listings_only, served
from tests.venues.served import planned as plan
from tests.venues.world_acts import TERMS, journal, seen


def script_of(fate: Fate = Fate.PLAIN) -> ListingScript:
    return next(script for script in listing_day_script(20_600, TERMS.seed) if script.fate is fate)


def world_before(script: ListingScript, memory: Path | None = None) -> World:
    return World(replace(TERMS, start_ns=script.open_ns - HOUR, pairs=()), memory)


def shown(world: World, script: ListingScript) -> tuple[bool, bool, bool]:
    """Whether calendar, symbol table and the API's table name it."""
    base = script.symbol.base
    in_calendar = base in {entry.ticker for entry in world.entries()}
    in_states = base in {state.ticker for state in world.states()}
    return in_calendar, in_states, world.row(str(script.symbol)) is not None


def refusal(world: World, script: ListingScript) -> int | None:
    market = world.market.market(script.symbol)
    assert market is not None
    price = market.limit_price(script.placeholder, Side.BUY)
    size = (market.whole_lots(20 / price), price)
    told = world.place("alice", script.symbol, NewOrder("", "alice", Side.BUY, OrderType.LIMIT, *size))
    return None if told.refusal is None else told.refusal.code


def test_a_withdrawn_listing_leaves_every_table_and_never_opens() -> None:
    script = script_of()
    world = world_before(script)
    assert shown(world, script) == (True, True, True)
    world.withdraw(script.symbol)
    assert shown(world, script) == (False, False, False)
    assert "withdrawn" in world.announcements()[0].title
    world.advance(script.open_ns + MINUTE)
    assert shown(world, script) == (False, False, False)
    assert refusal(world, script) == -1121
    assert world.book(script.symbol) is None
    assert world.history.trades(script.symbol) == []


@pytest.mark.parametrize("after_s", [-60, 60])
def test_one_that_is_shown_again_opens_at_its_time_or_is_open(after_s: int) -> None:
    script = script_of()
    world = world_before(script)
    world.withdraw(script.symbol)
    world.advance(script.open_ns + after_s * SECOND)
    world.reopen(script.symbol)
    assert shown(world, script) == (True, True, True)
    assert refusal(world, script) == (10007 if after_s < 0 else None)
    world.advance(script.open_ns + 61 * SECOND)
    assert refusal(world, script) is None


def test_one_that_is_shown_again_may_have_another_opening() -> None:
    script = script_of()
    world = world_before(script)
    world.withdraw(script.symbol)
    world.postpone(script.symbol, script.open_ns + HOUR)
    assert shown(world, script) == (False, False, False)
    world.reopen(script.symbol)
    assert {entry.open_ns for entry in world.entries() if entry.ticker == script.symbol.base} == {
        script.open_ns + HOUR
    }
    world.advance(script.open_ns + MINUTE)
    assert refusal(world, script) == 10007


def test_what_is_open_cannot_be_withdrawn_and_nothing_is_written(tmp_path: Path) -> None:
    script = script_of()
    world = world_before(script, tmp_path)
    world.advance(script.open_ns)
    before, lines = world.rows(), len(journal(tmp_path))
    with pytest.raises(DomainError, match="is open"):
        world.withdraw(script.symbol)
    assert (world.rows(), len(journal(tmp_path))) == (before, lines)
    world.close()


def test_an_opening_that_was_taken_back_can_still_be_withdrawn() -> None:
    script = script_of()
    world = world_before(script)
    world.advance(script.open_ns + MINUTE)
    world.postpone(script.symbol, world.now_ns + HOUR)
    world.withdraw(script.symbol)
    assert shown(world, script) == (False, False, False)


@pytest.mark.parametrize("how", ["closed", "crashed", "without its checkpoint"])
def test_a_withdrawal_is_kept_over_a_restart_and_ends_after_it(tmp_path: Path, how: str) -> None:
    script = script_of()
    folder = tmp_path / "a"
    world = world_before(script, folder)
    world.withdraw(script.symbol)
    world.advance(world.now_ns + MINUTE)
    before = seen(world)
    if how == "crashed":
        folder = Path(shutil.copytree(folder, tmp_path / "b"))
    world.close()
    if how == "without its checkpoint":
        (folder / "checkpoint").unlink()
    back = World(replace(TERMS, start_ns=script.open_ns - HOUR, pairs=()), folder)
    back.advance(world.now_ns)
    assert seen(back) == before
    assert shown(back, script) == (False, False, False)
    back.reopen(script.symbol)
    assert shown(back, script) == (True, True, True)
    back.close()


async def test_the_control_endpoint_withdraws_and_shows_again() -> None:
    script = script_of()
    world = world_before(script)
    name = str(script.symbol)
    async with served(world=world) as venue:
        before = await venue.client.get("/api/operation/new_coin_calendar")
        assert script.symbol.base in before.text
        assert (await venue.control("listing", act="withdraw", symbol=name)).json()["symbol"] is None
        calendar = await venue.client.get("/api/operation/new_coin_calendar")
        assert script.symbol.base not in calendar.text
        told = await venue.ask("/api/v3/exchangeInfo")
        assert name not in {row["symbol"] for row in told["symbols"]}
        reply = await venue.control("listing", act="reopen", symbol=name)
        assert reply.json()["symbol"]["first_open_ns"] == script.open_ns
        world.advance(script.open_ns)
        reply = await venue.control("listing", act="withdraw", symbol=name)
        assert reply.status_code == 400
        assert "is open" in reply.json()["msg"]


async def test_a_fault_plan_withdraws_at_a_moment_and_for_a_while() -> None:
    async with served(world=listings_only(START_NS)) as venue:
        world = venue.world
        coming = next(row for row in world.rows() if row.first_open_ns > world.now_ns + HOUR)
        name = str(coming.symbol)
        act = {"act": "withdraw", "symbol": name, "open_s": -1800, "for_s": 600}
        venue.server.faults.replace(plan(act=[act]))
        told = []
        for minutes in (-31, -30, -21, -20):
            world.advance(coming.first_open_ns + minutes * MINUTE)
            told.append(world.row(name) is not None)
    assert told == [True, False, False, True]
