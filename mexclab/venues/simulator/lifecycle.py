"""What becomes of a symbol over its life: listed, withdrawn, opened, paused, delisted; by script or decree.

The script of the day (``scenario.py``) says when a listing opens. A decree is what somebody who plays the
venue orders on top of it, at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from mexclab.domain.clock import DAY, HOUR, written
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Market, Side, Symbol
from mexclab.errors import DomainError
from mexclab.venues.simulator.decree import FOREVER, Decree
from mexclab.venues.simulator.heard import HeardMatcher
from mexclab.venues.simulator.market import API_LIST_NS, SimulatedMarket
from mexclab.venues.simulator.pairs import Pair, named_id
from mexclab.venues.simulator.scenario import Fate, ListingScript

ONLINE, PAUSED, OFFLINE = "1", "2", "3"


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """What the venue's tables of symbols say of a pair now.

    Attributes:
        status: "1" online, "2" paused, "3" offline.
        api_tradable: orders by API are taken now (MEXC: ``isSpotTradingAllowed``).
        is_api_listed: it is in the list of API symbols (``defaultSymbols``, ``selfSymbols``), which a
            listing enters an hour before its opening; never, when it will not trade by API.
        side_type: 1 all, 2 buy only, 3 sell only, 4 closed.
        first_open_ns: when it opens or opened, as it is published now.
        price_band: how far a limit may reach through the last price, as a fraction; None: no band.
    """

    symbol: Symbol
    market: Market
    full_name: str
    coin_id: str
    symbol_id: str
    status: str
    api_tradable: bool
    side_type: int
    first_open_ns: int
    price_band: Decimal | None
    offline_ns: int | None = None
    contract_address: str = ""
    is_api_listed: bool = True


class Announcement(NamedTuple):
    title: str
    url: str
    at_ns: int


class Lifecycle:
    """The decrees of a world, and the tables that it publishes.

    Args:
        market: the listings and their scripts.
        pairs: the established pairs.
        rules: theirs.
        matcher: the books, and what is decreed of their symbols; this is who writes that.
    """

    def __init__(
        self,
        market: SimulatedMarket,
        pairs: Mapping[Symbol, Pair],
        rules: Mapping[Symbol, Market],
        matcher: HeardMatcher,
    ) -> None:
        self._market, self._pairs, self._rules = market, pairs, rules
        self._books, self._decrees = matcher.books, matcher.decrees
        self._told: list[Announcement] = []
        self._rows: dict[str, SymbolRow] = {}
        self._rows_until = 0

    # -- decrees ---------------------------------------------------------------------------------

    def next_ns(self) -> int:
        """When a decree ends by itself."""
        now_ns = self._market.now_ns
        return min((decree.next_ns(now_ns) for decree in self._decrees.values()), default=FOREVER)

    def check(self, symbol: Symbol) -> None:
        """Raises:
        DomainError: the venue has not told of such a symbol.
        """
        if str(symbol) not in self.rows() and not self._is_announced(symbol):
            raise DomainError(f"{symbol} is not on this venue", symbol=str(symbol))

    def check_coming(self, symbol: Symbol) -> None:
        """Raises:
        DomainError: it is no listing that was announced and has yet to open.
        """
        self.check(symbol)
        script, decree = self._script(symbol), self._decrees.get(symbol)
        waits = decree is not None and decree.waits(self._market.now_ns)
        if script is None or (self._market.now_ns >= script.opens_ns and not waits):
            raise DomainError(f"{symbol} is open, and can only be delisted", symbol=str(symbol))

    def withdrawn(self) -> list[Symbol]:
        """Listings that were announced, and are not any more."""
        return [symbol for symbol, decree in self._decrees.items() if decree.is_withdrawn]

    def postpone(self, symbol: Symbol, to_ns: int) -> None:
        """Move the opening, earlier or later; of a symbol that is open, take the opening back."""
        now_ns = self._market.now_ns
        script = self._script(symbol)
        if script is not None and now_ns < script.opens_ns:
            self._market.postpone(symbol, to_ns)
        else:
            self._decree(symbol).opens_ns = to_ns
        self._tell(symbol, f"{symbol}: the opening is moved to {written(to_ns)}")

    def withdraw(self, symbol: Symbol) -> None:
        self._decree(symbol).is_withdrawn = True
        self._tell(symbol, f"{symbol}: the listing is withdrawn")

    def pause(self, symbol: Symbol) -> None:
        self._decree(symbol).is_paused = True
        self._tell(symbol, f"{symbol}: trading is paused")

    def reopen(self, symbol: Symbol) -> None:
        """End a pause, a delisting, a withdrawal, or the wait for an opening that was taken back."""
        decree = self._decree(symbol)
        decree.is_paused, decree.delisted_ns, decree.is_withdrawn = False, None, False
        if decree.opens_ns is not None:
            decree.opens_ns = min(decree.opens_ns, self._market.now_ns)
        self._tell(symbol, f"{symbol}: trading goes on")

    def limit_sides(self, symbol: Symbol, side: Side | None) -> None:
        self._decree(symbol).side = side

    def delist(self, symbol: Symbol) -> None:
        self._decree(symbol).delisted_ns = self._market.now_ns
        self._tell(symbol, f"{symbol} is delisted")

    def forbid_api(self, symbol: Symbol, until_ns: int | None) -> None:
        self._decree(symbol).no_api_until_ns = FOREVER if until_ns is None else until_ns

    def _decree(self, symbol: Symbol) -> Decree:
        return self._decrees.setdefault(symbol, Decree())

    def _script(self, symbol: Symbol) -> ListingScript | None:
        return self._market.script(symbol)

    def _is_announced(self, symbol: Symbol) -> bool:
        script = self._script(symbol)
        return script is not None and symbol in self._books and self._market.now_ns >= script.announced_ns

    def _tell(self, symbol: Symbol, title: str) -> None:
        now_ns = self._market.now_ns
        self._told.append(Announcement(title, _address(symbol, title), now_ns))

    # -- what is published -----------------------------------------------------------------------

    def changed(self) -> None:
        """Forget the rows that were worked out before."""
        self._rows_until = 0

    def rows(self) -> Mapping[str, SymbolRow]:
        """By the venue's name, exactly; worked out anew only when something has changed."""
        now_ns = self._market.now_ns
        if now_ns >= self._rows_until:
            found = [self._pair_row(pair) for pair in self._pairs.values()]
            found += [self._listing_row(script) for script in self._shown()]
            self._rows = {str(row.symbol): row for row in found}
            self._rows_until = min([FOREVER, self.next_ns(), *self._turns(now_ns)])
        return self._rows

    def entries(self) -> list[CalendarEntry]:
        gone = {symbol.base for symbol, decree in self._decrees.items() if decree.delisted_ns is not None}
        gone |= {symbol.base for symbol in self.withdrawn()}
        here = {symbol.base for symbol in self._books} - gone
        return [entry for entry in self._market.entries() if entry.ticker in here]

    def states(self) -> list[SymbolState]:
        """Listings by their ladder, established pairs as live ones; a paused row has status 2, a closed 3."""
        states = [self._pair_state(pair) for pair in self._pairs.values()] + self._market.states()
        changed = []
        for state in states:
            symbol = Symbol(state.ticker, state.quote)
            if symbol not in self._books:
                continue
            decree = self._decrees.get(symbol)
            if decree is not None and decree.is_withdrawn:
                continue
            if decree is not None and (decree.is_paused or decree.delisted_ns is not None):
                state = replace(state, sts=2 if decree.delisted_ns is None else 3)
            if decree is not None and decree.opens_ns is not None:
                state = replace(state, open_ns=decree.opens_ns)
            changed.append(state)
        return changed

    def announcements(self) -> list[Announcement]:
        """Newest first: every listing that was announced, and what was decreed."""
        now_ns = self._market.now_ns
        told = list(self._told)
        for script in self._market.scripts():
            if script.announced_ns > now_ns or script.symbol not in self._books:
                continue
            name = f"{script.full_name} ({script.symbol.base})"
            title = f"{name} is coming: {script.symbol} opens at {written(script.open_ns)}"
            told.append(Announcement(title, _address(script.symbol, title), script.announced_ns))
        return sorted(told, key=lambda each: each.at_ns, reverse=True)

    def _shown(self) -> list[ListingScript]:
        """Listings in the tables; those that opened before this world began are none of its."""
        now_ns, gone = self._market.now_ns, self.withdrawn()
        scripts = (script for script in self._market.scripts() if script.symbol in self._books)
        return [each for each in scripts if each.state(now_ns) is not None and each.symbol not in gone]

    def _turns(self, now_ns: int) -> list[int]:
        """The coming moments at which a listing's row changes by its script."""
        turns: list[int] = [(now_ns // DAY + 1) * DAY]
        for script in self._market.scripts():
            opening = script.shown_opening(now_ns)
            turns += [script.announced_ns, opening - 6 * HOUR, opening - API_LIST_NS, opening]
            turns += [script.moved_ns or 0, script.opens_ns]
        return [at for at in turns if at > now_ns]

    def _pair_row(self, pair: Pair) -> SymbolRow:
        facts = (pair.symbol, self._rules[pair.symbol], pair.full_name, pair.coin_id, pair.symbol_id)
        return self._decreed(SymbolRow(*facts, ONLINE, True, 1, pair.first_open_ns, pair.price_band))

    def _listing_row(self, script: ListingScript) -> SymbolRow:
        now_ns = self._market.now_ns
        market = self._market.market(script.symbol)
        assert market is not None
        by_api = script.fate is not Fate.NOT_BY_API
        facts = (
            script.symbol,
            market,
            script.full_name,
            script.coin_id,
            named_id(str(script.symbol), "symbol"),
        )
        is_listed = by_api and now_ns >= script.shown_opening(now_ns) - API_LIST_NS
        opening, is_open = script.shown_opening(now_ns), by_api and now_ns >= script.opens_ns
        address = "0x" + named_id(script.symbol.base, "contract") + script.coin_id[:8]
        return self._decreed(
            SymbolRow(*facts, ONLINE, is_open, 1, opening, None, None, address, is_listed)
        )  # fmt: skip

    def _decreed(self, row: SymbolRow) -> SymbolRow:
        decree, now_ns = self._decrees.get(row.symbol), self._market.now_ns
        if decree is None:
            return row
        if decree.opens_ns is not None:
            row = replace(row, first_open_ns=decree.opens_ns)
        if now_ns < decree.no_api_until_ns:
            row = replace(row, api_tradable=False, is_api_listed=False)
        if decree.waits(now_ns):
            row = replace(row, api_tradable=False)
        if decree.side is not None:
            row = replace(row, side_type=2 if decree.side is Side.BUY else 3)
        if decree.is_paused:
            row = replace(row, status=PAUSED)
        if decree.delisted_ns is not None:
            row = replace(
                row, status=OFFLINE, side_type=4, api_tradable=False, offline_ns=decree.delisted_ns,
                is_api_listed=False,
            )  # fmt: skip
        return row

    def _pair_state(self, pair: Pair) -> SymbolState:
        decimals = (max(0, -int(step.normalize().as_tuple().exponent)) for step in (pair.tick, pair.lot))
        symbol = pair.symbol
        return SymbolState(pair.coin_id, symbol.base, symbol.quote, 1, 1, 1, pair.first_open_ns, *decimals)


def _address(symbol: Symbol, title: str) -> str:
    """A page of its own under a name that can never be reached."""
    return f"https://venue.invalid/announcements/{str(symbol).lower()}-{named_id(title)[:12]}"
