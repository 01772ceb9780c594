"""Listings as MEXC tells of them: ``ports.Calendar`` over its web pages and their official substitutes.

Four pages of www.mexc.com (the calendar of new coins, symbolsV2, web/symbols in its stead, promotions) and
five questions of the API (exchangeInfo.firstOpenTime, announcements, symbol/offline, defaultSymbols,
selfSymbols). Each has its own cadence and health; what one last told is kept while it is silent, and its
silence is told. Only what a source can know becomes a fact: the API has no (sts, st, tt), so while the web is
silent there are no new symbol states, and the title of an announcement is a hint and no entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.listing import CalendarEntry, Partial, SymbolState
from mexclab.domain.market import Symbol
from mexclab.domain.reports import FeedNews
from mexclab.errors import VenueUnavailable
from mexclab.ports import Clock
from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc.listing_facts import Facts
from mexclab.venues.mexc.listing_hints import Hint
from mexclab.venues.mexc.listing_questions import Questions
from mexclab.venues.mexc.listing_sources import ListingTerms, Source, SourceState, Web
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.wire_listings import ActivityRow, OfflineRow
from mexclab.venues.mexc.wire_market import SymbolInfo

POLITE = ListingTerms()
SHORTEST_NAP_NS = 50 * MILLISECOND

__all__ = ["ListingTerms", "Listings"]


class Listings:
    """What comes, and in which state it is. For one event loop.

    While ``run`` runs, it alone asks, and ``entries`` and ``states`` answer at once with what is known.
    Otherwise they ask the sources that are due, and wait for the answers.

    Args:
        rest: the API; its clock, limits and drift serve the web as well.
        web_url: ``https://www.mexc.com``, or a simulator's address.
        tell: told when a source falls silent (degraded), and when it speaks again.
    """

    def __init__(
        self,
        rest: Rest,
        web_url: str,
        tell: Callable[[FeedNews], None],
        terms: ListingTerms = POLITE,
    ) -> None:
        self._rest, self._web, self._terms = rest, Web(rest, web_url, terms), terms
        self._turn = asyncio.Lock()
        self._asked_once = asyncio.Event()
        self._is_running = False
        self._facts = Facts()
        self._questions = ask = Questions(rest, self._web, self._facts, terms)

        def source(name: str, is_official: bool, read: Callable[[], Awaitable[int]]) -> Source:
            return Source(name, is_official, read, tell, terms)

        self._calendar = source("the calendar of new coins", False, ask.calendar)
        self._table = source("the web's symbol table", False, ask.table)
        self._promotions = source("promotions", False, ask.coming_promotions)
        self._info = source("exchangeInfo", True, ask.info)
        self._near_info = source("exchangeInfo of openings at hand", True, ask.near_info)
        self._news = (
            source("announcements", True, ask.announcements),
            source("symbol/offline", True, ask.gone),
        )
        api = [e.DEFAULT_SYMBOLS] if rest.signer is None else [e.DEFAULT_SYMBOLS, e.SELF_SYMBOLS]
        self._lists = tuple(source(each.name, True, ask.listed_by(each)) for each in api)

    async def entries(self) -> Sequence[CalendarEntry]:
        """Coins that come or came lately, by every source that knows openings.

        ``Partial`` while a source has yet to answer, or rows of its last answer could not be read.

        Raises:
            VenueUnavailable: none of these sources answers, so nothing is known.
        """
        now_ns = await self._known()
        self._need(self._calendar, self._info)
        found = self._facts.entries(now_ns, self._calendar.is_well)
        is_whole = self._questions.is_calendar_whole and self._questions.is_info_whole
        return found if is_whole else Partial(found)

    async def states(self) -> Sequence[SymbolState]:
        """Rows of the web's symbol table as they were last told; see ``sources`` for how long ago.

        ``Partial`` until it has answered, or while rows of its last answer could not be read.

        Raises:
            VenueUnavailable: neither the table nor the API answers, so nothing is known.
        """
        await self._known()
        self._need(self._table, self._info)
        found = self._facts.states()
        return found if self._questions.is_table_whole else Partial(found)

    def sources(self) -> Sequence[SourceState]:
        """Every source for display: whether it answers, since when not, and when it is asked again."""
        web = (self._calendar, self._table, self._promotions)
        return tuple(each.state for each in (*web, self._info, self._near_info, *self._news, *self._lists))

    @property
    def pairs(self) -> Mapping[str, SymbolInfo]:
        """exchangeInfo's rows as last told, by the venue's spelling; empty until it has answered."""
        return self._facts.info

    @property
    def hints(self) -> Sequence[Hint]:
        """What the latest announcements hint at, the newest first."""
        return self._questions.hints

    @property
    def offline(self) -> Mapping[str, OfflineRow]:
        """Pairs that are suspended or gone, by the venue's spelling."""
        return self._questions.offline

    @property
    def promotions(self) -> Sequence[ActivityRow]:
        """Promotions of coming coins."""
        return self._questions.promotions

    def is_api_listed(self, symbol: Symbol) -> bool | None:
        """Whether the pair stands in selfSymbols (or, without a key, in defaultSymbols); None: not known."""
        for endpoint in (e.SELF_SYMBOLS, e.DEFAULT_SYMBOLS):
            if endpoint in self._questions.api_symbols:
                return str(symbol) in self._questions.api_symbols[endpoint]
        return None

    def recall(self, facts: Iterable[CalendarEntry | SymbolState]) -> None:
        """Remember from recorded facts under which ids coins went before a restart."""
        self._facts.recall(facts)

    async def run(self, clock: Clock) -> None:
        """Ask every source in its own time, until cancelled.

        Args:
            clock: the same time as the API's, to sleep by.
        """
        self._is_running = True
        try:
            while True:
                now_ns = await self._refresh()
                await clock.sleep_until(max(self.next_ns(), now_ns + SHORTEST_NAP_NS))
        finally:
            self._is_running = False

    async def close(self) -> None:
        """Close the connections to the web; the API's are not ours."""
        await self._web.close()

    def next_ns(self) -> int:
        """When the next source is due, on the venue's clock; 0: at once."""
        now_ns = self._rest.clock_ns()
        due_ns = min(each.due_ns(interval_s) for each, interval_s in self._cadence(now_ns))
        return max(due_ns, self._still_until(now_ns) or 0)

    # -- asking ----------------------------------------------------------------------------------

    async def _known(self) -> int:
        """Make sure that the sources have been asked as they should; the time."""
        if not self._is_running:
            return await self._refresh()
        await self._asked_once.wait()
        return self._rest.clock_ns()

    async def _refresh(self) -> int:
        """Ask every source that is due, and wait for the answers; the time."""
        async with self._turn:
            now_ns = self._rest.clock_ns()
            if self._still_until(now_ns) is None:
                async with asyncio.TaskGroup() as group:
                    for each, interval_s in self._cadence(now_ns):
                        if now_ns >= each.due_ns(interval_s):
                            group.create_task(each.ask(now_ns, interval_s))
            self._asked_once.set()
            return now_ns

    def _still_until(self, now_ns: int) -> int | None:
        """Until when nothing may be asked, because an opening is so near that it would disturb a shot."""
        still_ns = int(self._terms.still_s * SECOND)
        near = [at_ns for at_ns in self._facts.openings(now_ns, still_ns) if at_ns > now_ns - still_ns]
        return max(near) + still_ns if near else None

    def _cadence(self, now_ns: int) -> list[tuple[Source, float]]:
        """The sources that have something to ask for, and how long each waits between two questions."""
        terms = self._terms
        window_ns = int(terms.near_window_s * SECOND)
        is_near = bool(self._facts.openings(now_ns, window_ns))
        is_degraded = bool(self._calendar.problem or self._table.problem)
        slow_s, quick_s = terms.calendar_s, terms.symbols_s
        found = [
            (self._calendar, terms.near_s if is_near else slow_s),
            (self._table, terms.near_s if is_near else quick_s),
            (self._info, quick_s if is_near or is_degraded else slow_s),
            *((each, slow_s) for each in self._news),
            *((each, quick_s if is_near else slow_s) for each in self._lists),
        ]
        if self._facts.near_pairs(now_ns, window_ns):
            found.append((self._near_info, terms.near_s))
        if self._facts.coming_tickers(now_ns):
            found.append((self._promotions, slow_s))
        return found

    @staticmethod
    def _need(*sources: Source) -> None:
        if not any(source.is_well for source in sources):
            problems = "; ".join(f"{each.name}: {each.problem or 'not asked yet'}" for each in sources)
            raise VenueUnavailable(f"nobody tells of listings now, so none can be shown ({problems})")
