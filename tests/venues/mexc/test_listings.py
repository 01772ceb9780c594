"""Listings: politely asked, merged, and never shown as none when nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from mexclab.domain.clock import HOUR, MINUTE, SECOND
from mexclab.domain.listing import CalendarEntry
from mexclab.domain.market import Symbol
from mexclab.domain.reports import DriftSeen, FeedNews
from mexclab.errors import ConfigError, VenueUnavailable
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.listing_hints import hint_of
from mexclab.venues.mexc.listings import Listings, ListingTerms
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.signing import Signer
from mexclab.venues.mexc.wire_listings import AnnouncementRow
from tests.payloads.mexc import ANSWERS
from tests.venues.mexc.local_web import LocalWeb, Page, healthy_pages, html

OPEN = 1_893_459_600 * SECOND  # of NOVA in the samples
LONG_BEFORE = OPEN - 5 * HOUR
NOVA_ID = "11112222333344445555666677778888"
CALENDAR = "/api/operation/new_coin_calendar"
TABLE = "/api/platform/spot/market-v2/web/symbolsV2"
SIBLING = "/api/platform/spot/market-v2/web/symbols"
INFO = "/api/v3/exchangeInfo"
WEB_PAGES = (CALENDAR, TABLE, SIBLING, "/api/operateactivity/activity/list/by/currencies")
EVERYTHING = ["announcements", "defaultSymbols", "exchangeInfo", "new_coin_calendar", "offline", "symbolsV2"]
TERMS = ListingTerms(patience_s=2.0, still_s=2.0, user_agent="mexclab tests")


class Desk:
    """Listings over a local server, at a time that the test sets."""

    def __init__(self, web: LocalWeb, signer: Signer | None = None, terms: ListingTerms = TERMS) -> None:
        self.web = web
        self.now_ns = LONG_BEFORE
        self.news: list[FeedNews] = []
        self.alarms: list[DriftSeen] = []
        pools = LimitTerms(web_per_s=1000, announcements_per_2s=1000, ip_weight_per_10s=100_000)
        self.rest = Rest(web.url, lambda: self.now_ns, Limiter(pools), Drift(self.alarms.append), signer)
        self.listings = Listings(self.rest, web.url, self.news.append, terms)

    async def after(self, seconds: float) -> list[str]:
        """Which pages are asked when the calendar is needed that much later."""
        self.now_ns += int(seconds * SECOND)
        await self.listings.entries()
        return self.web.paths()

    @property
    def said(self) -> list[tuple[str, bool]]:
        return [(news.source.removeprefix("listings: "), news.degraded) for news in self.news]


@asynccontextmanager
async def desk(signer: Signer | None = None, terms: ListingTerms = TERMS) -> AsyncIterator[Desk]:
    async with LocalWeb(healthy_pages()) as web:
        found = Desk(web, signer, terms)
        try:
            yield found
        finally:
            await found.listings.close()
            await found.rest.close()


def calendar_page(*coins: tuple[str, str, int]) -> Page:
    rows = [
        {"vcoinId": coin_id, "vcoinName": name, "firstOpenTime": open_ns // 1_000_000}
        for coin_id, name, open_ns in coins
    ]
    return Page(json.dumps({"data": {"newCoins": rows}}, ensure_ascii=False).encode())


def info_page(**openings: int) -> Page:
    """exchangeInfo with one USDT pair for each coin."""
    row = json.loads(ANSWERS["exchangeInfo"], parse_float=Decimal)["symbols"][0]
    rows = [
        row | {"symbol": f"{coin}USDT", "baseAsset": coin, "firstOpenTime": open_ns // 1_000_000}
        for coin, open_ns in openings.items()
    ]
    return Page(json.dumps({"symbols": rows}).encode())


async def test_the_calendar_and_the_table_are_read_and_join_by_coin_id() -> None:
    async with desk() as it:
        entries, states = await it.listings.entries(), await it.listings.states()
        assert [entry.ticker for entry in entries] == ["NOVA", "新星"]
        assert entries[0] == CalendarEntry(NOVA_ID, "NOVA", "Nova Chain", "NEW", OPEN)
        assert {state.coin_id: state.triple for state in states}[NOVA_ID] == (2, 1, 1)
        assert it.news == []
        assert it.alarms == []


async def test_sources_are_asked_in_their_own_time_and_quicker_near_an_opening() -> None:
    async with desk() as it:
        assert await it.after(0) == EVERYTHING
        assert await it.after(1) == ["currencies"]  # now there are coins to ask about
        assert await it.after(20) == []
        assert await it.after(10) == ["symbolsV2"]
        assert await it.after(270) == sorted([*EVERYTHING, "currencies"])
        it.now_ns = OPEN - HOUR + SECOND
        await it.after(0)
        quick = ["exchangeInfo", "new_coin_calendar", "symbolsV2"]
        assert await it.after(3) == []
        assert await it.after(2) == quick
        assert await it.after(5) == quick


async def test_near_an_opening_the_api_is_asked_for_that_pair_alone() -> None:
    async with desk() as it:
        await it.after(0)
        it.now_ns = OPEN - 30 * MINUTE
        await it.listings.entries()
        it.web.asked.clear()
        it.now_ns += 5 * SECOND
        await it.listings.entries()
        asked = [each.params for each in it.web.asked if each.path == INFO]
        assert asked == [{"symbols": "NOVAUSDT"}]


async def test_nothing_is_asked_in_the_moment_of_an_opening() -> None:
    async with desk() as it:
        await it.after(0)
        for offset_s in (-2, -1, 0, 1.5):
            it.now_ns = OPEN + int(offset_s * SECOND)
            assert await it.after(0) == []
            assert it.listings.next_ns() == OPEN + 2 * SECOND
        assert await it.after(1) != []


async def test_we_say_who_we_are_and_keep_no_cookies() -> None:
    async with desk() as it:
        it.web.pages[CALENDAR] = Page(ANSWERS["new_coin_calendar"], 200, (("Set-Cookie", "who=you"),))
        await it.listings.entries()
        (asked,) = [each for each in it.web.asked if each.path == CALENDAR]
        assert asked.headers["user-agent"] == "mexclab tests"
        assert int(asked.params["timestamp"]) == LONG_BEFORE // 1_000_000
        it.web.asked.clear()
        await it.after(301)
        assert all("cookie" not in each.headers for each in it.web.asked)


@pytest.mark.parametrize("refusing", [html(403), html(200), html(503), Page(b"", 302, (("Location", "/"),))])
async def test_where_the_web_does_not_want_us_the_official_sources_carry_on(refusing: Page) -> None:
    async with desk() as it:
        for path in WEB_PAGES:
            it.web.pages[path] = refusing
        entries = await it.listings.entries()
        assert [(entry.coin_id, entry.ticker, entry.open_ns) for entry in entries] == [
            ("official:NOVA", "NOVA", OPEN)
        ]
        assert await it.listings.states() == []
        assert sorted(it.said) == [("the calendar of new coins", True), ("the web's symbol table", True)]
        assert all("official sources carry on" in news.what for news in it.news)
        assert SIBLING not in [each.path for each in it.web.asked]  # no other door is tried
        for _ in range(5):
            await it.after(31)
        assert len(it.news) == 2  # told once
        states = {state.name: state for state in it.listings.sources()}
        assert states["the calendar of new coins"].problem
        assert states["the calendar of new coins"].read_ns is None
        assert states["exchangeInfo"].problem == ""
        assert states["exchangeInfo"].rows == 3


async def test_a_refusing_web_is_left_alone_longer_each_time_and_the_api_is_asked_more_often() -> None:
    async with desk() as it:
        for path in WEB_PAGES:
            it.web.pages[path] = html(403)
        gaps, asked_at, api = [], 0.0, 0
        for second in range(0, 7200, 10):
            paths = await it.after(10 if second else 0)
            api += paths.count("exchangeInfo")
            if "new_coin_calendar" in paths:
                gaps.append(second - asked_at)
                asked_at = second
        assert gaps[:4] == [0, 300, 600, 1200]
        assert set(gaps[4:]) == {1800}
        assert api == 240  # every 30 s


async def test_when_the_web_answers_again_it_is_told_and_the_coin_keeps_its_id() -> None:
    async with desk() as it:
        pages = dict(it.web.pages)
        for path in WEB_PAGES:
            it.web.pages[path] = html(403)
        assert (await it.listings.entries())[0].coin_id == "official:NOVA"
        it.web.pages.update(pages)
        await it.after(301)
        assert sorted(it.said[2:]) == [
            ("the calendar of new coins", False),
            ("the web's symbol table", False),
        ]
        entries, states = await it.listings.entries(), await it.listings.states()
        ids = [entry.coin_id for entry in entries if entry.ticker == "NOVA"]
        assert ids == ["official:NOVA"]
        assert {state.coin_id for state in states if state.ticker == "NOVA"} == {"official:NOVA"}


async def test_an_id_that_was_made_up_before_a_restart_is_kept_after_it() -> None:
    async with desk() as it:
        it.listings.recall([CalendarEntry("official:NOVA", "NOVA", "Nova Chain", "", OPEN)])
        assert (await it.listings.entries())[0].coin_id == "official:NOVA"


async def test_when_nobody_answers_listings_are_unavailable_and_not_none() -> None:
    async with desk() as it:
        it.web.pages.clear()
        with pytest.raises(VenueUnavailable, match="nobody tells of listings"):
            await it.listings.entries()
        with pytest.raises(VenueUnavailable):
            await it.listings.states()


async def test_when_everybody_falls_silent_old_facts_are_not_shown_as_new() -> None:
    async with desk() as it:
        assert await it.listings.entries()
        it.web.pages.clear()
        it.now_ns += 301 * SECOND
        with pytest.raises(VenueUnavailable):
            await it.listings.entries()


@pytest.mark.parametrize(
    "broken", [Page(b'{"data":null}'), Page(b'{"data":{"newCoins":[{"x":1}]}}'), Page(b"")]
)
async def test_an_unreadable_calendar_keeps_what_it_last_told(broken: Page) -> None:
    async with desk() as it:
        before = await it.listings.entries()
        it.web.pages[CALENDAR] = broken
        await it.after(301)
        assert await it.listings.entries() == before
        assert it.said == [("the calendar of new coins", True)]
        assert it.alarms


async def test_the_older_table_stands_in_where_the_newer_one_changed_its_shape() -> None:
    async with desk() as it:
        for page in (Page(b'{"data":{"symbols":[]}}'), Page(b"gone", 404)):
            it.web.pages[TABLE] = page
            await it.after(31)
            (state,) = await it.listings.states()
            assert (state.ticker, state.triple) == ("NOVA", (2, 1, 1))
        assert it.news == []


async def test_a_web_that_never_answers_is_waited_for_no_longer_than_our_patience() -> None:
    async with desk(terms=ListingTerms(patience_s=0.2)) as it:
        for path in WEB_PAGES:
            it.web.pages[path] = Page(b"{}", delay_s=1.0)
        async with asyncio.timeout(0.9):
            assert [entry.ticker for entry in await it.listings.entries()] == ["NOVA"]
        assert "no answer in 0.2 s" in it.news[0].what


async def test_a_limit_of_the_web_is_obeyed() -> None:
    async with desk() as it:
        it.web.pages[CALENDAR] = Page(b"", 429, (("Retry-After", "4000"),))
        await it.after(0)
        assert "new_coin_calendar" not in await it.after(3999)
        assert "new_coin_calendar" in await it.after(1)


async def test_a_coin_that_only_the_api_knows_is_an_entry_and_the_table_gives_its_id() -> None:
    async with desk() as it:
        it.web.pages[CALENDAR] = calendar_page()
        it.web.pages[INFO] = info_page(NOVA=OPEN, DUSK=OPEN + HOUR, OLD=LONG_BEFORE - HOUR)
        entries = await it.listings.entries()
        assert [(entry.ticker, entry.coin_id) for entry in entries] == [
            ("NOVA", NOVA_ID),
            ("DUSK", "official:DUSK"),
        ]


async def test_an_opening_that_the_api_moves_while_the_calendar_is_silent_is_moved() -> None:
    async with desk() as it:
        await it.after(0)
        it.web.pages[CALENDAR] = html()
        await it.after(301)
        it.web.pages[INFO] = info_page(NOVA=OPEN + 2 * HOUR)
        await it.after(301)
        entries = {entry.ticker: entry.open_ns for entry in await it.listings.entries()}
        assert entries["NOVA"] == OPEN + 2 * HOUR


async def test_sources_that_disagree_from_the_start_do_not_postpone_each_other() -> None:
    async with desk() as it:
        it.web.pages[INFO] = info_page(NOVA=OPEN + HOUR)
        await it.after(0)
        it.web.pages[CALENDAR] = html()
        await it.after(301)
        assert {entry.ticker: entry.open_ns for entry in await it.listings.entries()}["NOVA"] == OPEN


async def test_lists_of_the_api_say_what_may_be_traded_and_what_is_gone() -> None:
    async with desk() as it:
        assert it.listings.is_api_listed(Symbol("NOVA")) is None
        await it.after(0)
        assert it.listings.is_api_listed(Symbol("NOVA")) is True
        assert it.listings.is_api_listed(Symbol("DUSK")) is False
        assert it.listings.is_api_listed(Symbol("新星")) is True
        assert it.listings.offline["DUSKYUSDT"].state == 3
        await it.after(1)
        assert [row.currency for row in it.listings.promotions] == ["NOVA"]
        (hint,) = it.listings.hints
        assert hint.at_ns == OPEN
    async with desk(Signer("mx0key", "0" * 32)) as it:
        assert "selfSymbols" in await it.after(0)
        assert it.listings.is_api_listed(Symbol("新星")) is False  # this account may trade NOVA alone


class FastClock:
    """A clock whose sleeper sets the time that the desk sees."""

    def __init__(self, it: Desk, until_ns: int) -> None:
        self._it, self._until_ns = it, until_ns
        self.done = asyncio.Event()

    def now_ns(self) -> int:
        return self._it.now_ns

    async def sleep_until(self, at_ns: int) -> None:
        if at_ns > self._until_ns:
            self.done.set()
            await asyncio.Event().wait()
        self._it.now_ns = max(at_ns, self._it.now_ns)

    def lateness_ns(self, at_ns: int) -> int:
        return self._it.now_ns - at_ns

    def was_set(self) -> bool:
        return False


async def test_running_by_itself_it_keeps_its_cadence_and_answers_at_once() -> None:
    async with desk() as it:
        clock = FastClock(it, LONG_BEFORE + 10 * MINUTE)
        running = asyncio.create_task(it.listings.run(clock))
        assert len(await it.listings.entries()) == 2
        await clock.done.wait()
        asked = it.web.paths()
        assert asked.count("new_coin_calendar") == 3  # at 0, 5 and 10 minutes
        assert asked.count("symbolsV2") == 21
        it.now_ns += HOUR // 2
        await it.listings.entries()
        assert it.web.paths() == []
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await it.listings.entries()
        assert "new_coin_calendar" in it.web.paths()


@pytest.mark.parametrize(
    ("title", "ticker", "at_ns"),
    [
        ("MEXC Will List Nova Chain (NOVA) in Innovation Zone", "NOVA", None),
        ("NOVAUSDT opens at 2030-01-01 01:00:00 UTC", "NOVA", OPEN),
        ("Nova (NOVA): trading opens 2030-01-01 01:00 (UTC)", "NOVA", OPEN),
        ("Nova (NOVA): trading opens 2030-01-01 01:00 (UTC+8)", "NOVA", None),
        ("2030-13-41 25:00 UTC", None, None),
        ("Maintenance notice (UTC)", None, None),
        ("新星 上线", None, None),
        ("", None, None),
    ],
)
def test_a_title_is_read_for_a_plain_ticker_and_a_plain_moment_only(
    title: str, ticker: str | None, at_ns: int | None
) -> None:
    hint = hint_of(AnnouncementRow(title=title, post_time=1))
    assert (hint.ticker, hint.at_ns, hint.posted_ns) == (ticker, at_ns, 1_000_000)


@pytest.mark.parametrize(
    "wrong", [{"near_s": 0}, {"still_s": -1}, {"calendar_s": float("inf")}, {"user_agent": "a\nb"}]
)
def test_terms_that_cannot_be_kept_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ListingTerms(**wrong)
