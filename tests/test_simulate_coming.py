"""`mexclab simulate --coming`: listings that open when they are told to, and what was heard of orders."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from mexclab.domain.clock import HOUR, SECOND
from mexclab.venues.simulator.scenario import COMING_NS, Fate, coming_scripts, listing_day_script
from mexclab.venues.simulator.world import World, WorldTerms
from tests.processes import one_line, run, simulator

START_NS = 1_780_000_000 * SECOND


def test_listings_that_were_ordered_are_announced_at_once_and_open_together_later() -> None:
    world = World(WorldTerms(START_NS, seed=3, pairs=(), past_days=1, coming=12))
    ordered = coming_scripts(START_NS, 3, 12)
    assert len({script.symbol for script in ordered}) == 12
    assert {script.fate for script in ordered} == {Fate.PLAIN}
    shown = {str(row.symbol): row.first_open_ns for row in world.rows()}
    assert {str(script.symbol): START_NS + COMING_NS for script in ordered}.items() <= shown.items()
    symbol = ordered[0].symbol
    world.postpone(symbol, START_NS + 5 * SECOND)
    world.advance(START_NS + 6 * SECOND)
    row = world.row(str(symbol))
    assert row is not None
    assert row.api_tradable
    assert sum(row.api_tradable for row in world.rows()) == 1
    world.advance(START_NS + COMING_NS + SECOND)
    assert all(row.api_tradable for row in world.rows() if row.symbol in {each.symbol for each in ordered})


def test_the_days_own_listings_are_the_same_beside_those_that_were_ordered() -> None:
    worlds = [World(WorldTerms(START_NS, 3, pairs=(), past_days=1, coming=count)) for count in (0, 5)]
    day = {script.symbol for script in listing_day_script(START_NS // (24 * HOUR), 3)}
    alone, beside = ({row.symbol for row in world.rows()} & day for world in worlds)
    assert alone == beside


def test_listings_that_were_ordered_and_a_memory_do_not_go_together(tmp_path: Path) -> None:
    done = run(tmp_path, "simulate", "--port", "0", "--coming", "2", "--memory", str(tmp_path / "memory"))
    assert "--coming and --memory do not go together" in one_line(done, 2)


def test_orders_are_shown_as_they_came_in_even_where_they_were_refused_or_lost(tmp_path: Path) -> None:
    order = {"symbol": "MXUSDT", "side": "BUY", "type": "LIMIT", "newClientOrderId": "mine-1"}
    with simulator(tmp_path, "--quiet") as venue:
        before_ns = time.time_ns()
        assert httpx.post(f"{venue.url}/api/v3/order", params=order).status_code == 400
        venue.post("faults", rule=[{"path": "/api/v3/order", "fault": "drop"}])
        with pytest.raises(httpx.TransportError):
            httpx.delete(
                f"{venue.url}/api/v3/order", params={"symbol": "MXUSDT", "origClientOrderId": "mine-2"}
            )
        httpx.get(f"{venue.url}/api/v3/time")
        heard = httpx.get(f"{venue.url}/simulator/orders").json()["orders"]
    facts = [(each["method"], each["symbol"], each["side"], each["client_id"]) for each in heard]
    assert facts == [("POST", "MXUSDT", "BUY", "mine-1"), ("DELETE", "MXUSDT", "", "mine-2")]
    moments = [each["machine_ns"] for each in heard]
    assert before_ns <= moments[0] <= moments[1] <= time.time_ns()
    assert all(abs(each["venue_ns"] - each["machine_ns"]) < 60 * SECOND for each in heard)
