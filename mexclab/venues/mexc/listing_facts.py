"""What the listing sources last told, laid over each other into one calendar."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from mexclab.domain.clock import MINUTE
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.errors import DomainError
from mexclab.venues.mexc.wire_listings import official_entry_of, official_id
from mexclab.venues.mexc.wire_market import SymbolInfo, symbol_of

F = TypeVar("F", CalendarEntry, SymbolState)

QUOTE = "USDT"  # an entry names a coin alone and is taken to open against this
JUST_OPENED_NS = MINUTE  # an opening may still be moved when it is due
OFFLINE = "3"


class Facts:
    """The last word of each source about coins and pairs; pure but for what it remembers.

    A coin that only exchangeInfo knows has no coin id, and gets one made of its name. It keeps that id when
    the web learns of it: the same coin under two ids would be two listings, and be bought twice.
    """

    def __init__(self) -> None:
        self.info: dict[str, SymbolInfo] = {}  # by the venue's spelling
        self._entries: tuple[CalendarEntry, ...] = ()
        self._states: tuple[SymbolState, ...] = ()
        self._made_up: dict[str, str] = {}  # ticker -> id
        self._agreed: dict[str, int] = {}  # official openings by ticker when the calendar last answered

    def recall(self, facts: Iterable[CalendarEntry | SymbolState]) -> None:
        """Remember the ids that were made up before a restart, from what was recorded."""
        for fact in facts:
            if fact.coin_id == official_id(fact.ticker):
                self._made_up[fact.ticker] = fact.coin_id

    def took_entries(self, entries: Iterable[CalendarEntry]) -> None:
        """The calendar answered."""
        self._entries = tuple(entries)
        self._agreed = {name: entry.open_ns for name, entry in self._official().items()}

    def took_states(self, states: Iterable[SymbolState]) -> None:
        """The symbol table answered."""
        self._states = tuple(states)

    def took_info(self, rows: Iterable[SymbolInfo]) -> None:
        """exchangeInfo answered for all pairs."""
        self.info = {row.symbol: row for row in rows}

    def entries(self, now_ns: int, is_calendar_well: bool) -> list[CalendarEntry]:
        """The calendar's rows, and the coming openings that only exchangeInfo knows.

        While the calendar is silent, an opening that exchangeInfo has moved since is moved here too.
        """
        official = self._official()
        found = [self._renamed(entry) for entry in self._entries]
        if not is_calendar_well:
            found = [self._moved(entry, official.get(entry.ticker)) for entry in found]
        listed = {entry.ticker for entry in found}
        coming = (entry for entry in official.values() if entry.open_ns > now_ns)
        return found + [self._named(entry) for entry in coming if entry.ticker not in listed]

    def states(self) -> list[SymbolState]:
        """The symbol table's rows."""
        return [self._renamed(state) for state in self._states]

    def openings(self, now_ns: int, window_ns: int) -> list[int]:
        """Openings that are at most ``window_ns`` away, or just past."""
        known = [entry.open_ns for entry in self._entries]
        known += [state.open_ns for state in self._states]
        known += [row.first_open_ns for row in self.info.values() if row.first_open_ns]
        return [at_ns for at_ns in known if -JUST_OPENED_NS <= at_ns - now_ns <= window_ns]

    def near_pairs(self, now_ns: int, window_ns: int) -> list[str]:
        """Pairs of exchangeInfo whose opening is at hand, the nearest first."""
        coins = {entry.ticker for entry in self._entries if self._is_near(entry.open_ns, now_ns, window_ns)}
        near = [
            (abs((row.first_open_ns or now_ns) - now_ns), row.symbol)
            for row in self.info.values()
            if row.quote_asset == QUOTE
            and (row.base_asset in coins or self._is_near(row.first_open_ns, now_ns, window_ns))
        ]
        return [name for _, name in sorted(near)]

    def coming_tickers(self, now_ns: int) -> list[str]:
        """Coins that have yet to open, the next first."""
        coming = sorted((entry.open_ns, entry.ticker) for entry in self._entries if entry.open_ns > now_ns)
        return [ticker for _, ticker in coming]

    @staticmethod
    def _is_near(open_ns: int | None, now_ns: int, window_ns: int) -> bool:
        return open_ns is not None and -JUST_OPENED_NS <= open_ns - now_ns <= window_ns

    def _official(self) -> dict[str, CalendarEntry]:
        """Openings by ticker as exchangeInfo tells them."""
        found = {}
        for row in self.info.values():
            if row.first_open_time and row.quote_asset == QUOTE and row.status != OFFLINE and is_named(row):
                entry = official_entry_of(row)
                if entry is not None:
                    found[entry.ticker] = entry
        return found

    def _moved(self, entry: CalendarEntry, official: CalendarEntry | None) -> CalendarEntry:
        if official is None or official.open_ns == self._agreed.get(entry.ticker):
            return entry
        return replace(entry, open_ns=official.open_ns)

    def _named(self, entry: CalendarEntry) -> CalendarEntry:
        """An official entry under the id by which the coin goes: the web's where the web knew it first."""
        if entry.ticker not in self._made_up:
            for state in self._states:
                if state.ticker == entry.ticker and state.quote == QUOTE:
                    return replace(entry, coin_id=state.coin_id)
            self._made_up[entry.ticker] = entry.coin_id
        return replace(entry, coin_id=self._made_up[entry.ticker])

    def _renamed(self, fact: F) -> F:
        made_up = self._made_up.get(fact.ticker)
        if made_up is None:
            return fact
        changed: F = replace(fact, coin_id=made_up)
        return changed


def is_named(row: SymbolInfo) -> bool:
    """Whether base and quote spell the pair's name."""
    try:
        symbol_of(row)
    except DomainError:
        return False
    return True
