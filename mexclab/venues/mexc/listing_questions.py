"""The questions behind the listings, one for each source; each keeps what it read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.errors import VenueRejected, VenueUnavailable
from mexclab.venues.mexc import endpoints as e
from mexclab.venues.mexc.listing_facts import QUOTE, Facts, is_named
from mexclab.venues.mexc.listing_hints import Hint, hints_of
from mexclab.venues.mexc.listing_sources import ListingTerms, Web
from mexclab.venues.mexc.refusals import NO_PAIR
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.wire import left_out
from mexclab.venues.mexc.wire_listings import ActivityRow, OfflineRow, entry_of, states_of
from mexclab.venues.mexc.wire_market import SymbolInfo

MOST_ASKED = 50  # coins in one question about promotions
MOST_NEAR = 10  # pairs in one question about openings at hand
NOT_FOUND = 404


class Questions:
    """Asks each source once; every question returns how many rows came.

    Raises (every question):
        VenueUnavailable: no readable answer; what was known stays.
        VenueRejected: the venue refused.

    Attributes:
        hints, offline, promotions, api_symbols: what was last told beside the facts.
        is_calendar_whole, is_table_whole, is_info_whole: it has answered, and nothing was left out of that.
    """

    def __init__(self, rest: Rest, web: Web, facts: Facts, terms: ListingTerms) -> None:
        self.hints: tuple[Hint, ...] = ()
        self.offline: Mapping[str, OfflineRow] = MappingProxyType({})
        self.promotions: tuple[ActivityRow, ...] = ()
        self.api_symbols: dict[e.Endpoint, frozenset[str]] = {}
        self.is_calendar_whole = self.is_table_whole = self.is_info_whole = False
        self._rest, self._web, self._facts, self._terms = rest, web, facts, terms

    async def calendar(self) -> int:
        stamp = str(self._rest.clock_ns() // MILLISECOND)
        reply = await self._web.ask(e.CALENDAR, [("timestamp", stamp)])
        self._facts.took_entries(map(entry_of, reply.data.new_coins))
        self.is_calendar_whole = not left_out(reply.data.new_coins)
        return len(reply.data.new_coins)

    async def table(self) -> int:
        try:
            groups = (await self._web.ask(e.SYMBOLS_V2)).data.symbols
        except VenueUnavailable as error:
            # its older sibling may be readable where it is not; where we are not wanted, we do not try doors
            if "field" not in error.data and error.data.get("status") != NOT_FOUND:
                raise
            groups = (await self._web.ask(e.WEB_SYMBOLS)).data
        states = states_of(groups)
        self._facts.took_states(states)
        # a group that cannot be read at all is left out without a count
        self.is_table_whole = QUOTE in groups and not any(map(left_out, groups.values()))
        return len(states)

    async def coming_promotions(self) -> int:
        coins = self._facts.coming_tickers(self._rest.clock_ns())[:MOST_ASKED]
        reply = await self._web.ask(e.ACTIVITIES, [("currencies", ",".join(coins))])
        self.promotions = tuple(reply.data)
        return len(reply.data)

    async def info(self) -> int:
        rows = (await self._rest.ask(e.EXCHANGE_INFO)).symbols
        for row in rows:
            if not is_named(row):
                what = "is not base and quote, so the pair cannot be named"
                self._rest.drift.see(e.EXCHANGE_INFO.name, "symbols[].symbol", what, self._rest.clock_ns())
        self._facts.took_info(rows)
        self.is_info_whole = not left_out(rows)
        return len(rows)

    async def near_info(self) -> int:
        now_ns, window_ns = self._rest.clock_ns(), int(self._terms.near_window_s * SECOND)
        names = self._facts.near_pairs(now_ns, window_ns)[:MOST_NEAR]
        rows, are_whole = await self._rows_of(names)
        # what was asked for and is not told any more has been taken off
        kept = [row for name, row in self._facts.info.items() if not (are_whole and name in names)]
        self._facts.took_info([*kept, *rows])
        return len(rows)

    async def _rows_of(self, names: Sequence[str]) -> tuple[list[SymbolInfo], bool]:
        """The rows of these pairs, and whether all that came could be read.

        One unknown pair spoils a question about several: they are then asked for one by one.
        """
        try:
            rows = (await self._rest.ask(e.EXCHANGE_INFO, [("symbols", ",".join(names))])).symbols
        except VenueRejected as refusal:
            if refusal.data.get("code") not in NO_PAIR:
                raise
            if len(names) < 2:
                return [], True
            each = [await self._rows_of([name]) for name in names]
            return [row for rows, _ in each for row in rows], all(whole for _, whole in each)
        return list(rows), not left_out(rows)

    async def announcements(self) -> int:
        pages = (await self._rest.ask(e.ANNOUNCEMENTS, [("language", "en-US"), ("limit", "50")])).data
        self.hints = tuple(hint for page in pages for hint in hints_of(page.details))
        return len(self.hints)

    async def gone(self) -> int:
        rows = (await self._rest.ask(e.OFFLINE_SYMBOLS)).data
        self.offline = MappingProxyType({row.symbol: row for row in rows})
        return len(rows)

    def listed_by(self, endpoint: e.Endpoint) -> Callable[[], Awaitable[int]]:
        async def read() -> int:
            names = (await self._rest.ask(endpoint)).data
            self.api_symbols[endpoint] = frozenset(names)
            return len(names)

        return read
