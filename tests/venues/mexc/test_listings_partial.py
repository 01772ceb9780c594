"""What is not shown does not exist only where everything could be read; else it is said to be partial."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mexclab.domain.listing import Partial
from tests.payloads.mexc import ANSWERS
from tests.venues.mexc.local_web import Page, html
from tests.venues.mexc.test_listings import CALENDAR, INFO, SIBLING, TABLE, Desk, desk

Change = Callable[[Any], None]


def changed(name: str, change: Change) -> Page:
    told = json.loads(ANSWERS[name])
    change(told)
    return Page(json.dumps(told).encode())


async def are_partial(it: Desk) -> tuple[bool, bool]:
    """Whether entries and states are."""
    entries, states = await it.listings.entries(), await it.listings.states()
    return isinstance(entries, Partial), isinstance(states, Partial)


async def test_what_was_read_in_full_is_not_partial() -> None:
    async with desk() as it:
        assert await are_partial(it) == (False, False)


def _no_name(told: Any) -> None:
    del told["data"]["newCoins"][0]["vcoinName"]


def _no_base(told: Any) -> None:
    told["symbols"].append({"symbol": "XUSDT"})


def _no_state(told: Any) -> None:
    del told["data"]["symbols"]["USDT"][0]["sts"]


def _no_group(told: Any) -> None:
    told["data"]["symbols"]["BTC"] = told["data"]["symbols"]["USDT"]
    told["data"]["symbols"]["USDT"] = "gone"


@pytest.mark.parametrize(
    ("path", "name", "change", "partial"),
    [
        (CALENDAR, "new_coin_calendar", _no_name, (True, False)),
        (INFO, "exchangeInfo", _no_base, (True, False)),
        (TABLE, "symbolsV2", _no_state, (False, True)),
        (TABLE, "symbolsV2", _no_group, (False, True)),
    ],
)
async def test_rows_that_cannot_be_read_make_it_partial_until_they_can(
    path: str, name: str, change: Change, partial: tuple[bool, bool]
) -> None:
    async with desk() as it:
        whole = it.web.pages[path]
        it.web.pages[path] = changed(name, change)
        assert await are_partial(it) == partial
        it.web.pages[path] = whole
        await it.after(400)
        assert await are_partial(it) == (False, False)


async def test_a_source_that_has_never_answered_makes_it_partial_and_one_that_fell_silent_does_not() -> None:
    async with desk() as it:
        whole = {path: it.web.pages[path] for path in (CALENDAR, TABLE)}
        for path in (CALENDAR, TABLE, SIBLING):
            it.web.pages[path] = html(403)
        assert await are_partial(it) == (True, True)
        it.web.pages |= whole
        await it.after(400)
        assert await are_partial(it) == (False, False)
        for path in (CALENDAR, TABLE, SIBLING):
            it.web.pages[path] = html(403)
        await it.after(400)
        assert await are_partial(it) == (False, False), "what it last told is kept"
