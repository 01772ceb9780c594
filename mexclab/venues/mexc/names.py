"""Which pair a name on the wire is: MEXC writes ``WLFIUSD1``, and not where the base ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from mexclab.domain.market import Symbol
from mexclab.errors import DomainError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import EXCHANGE_INFO
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.mexc.wire_market import SymbolInfo, symbol_of

MOST_ASKED = 5  # names in one go: an account full of strange orders must not use up the limits
USUAL = 4  # letters that most quote assets have

Rows = Callable[[], Mapping[str, SymbolInfo]]


class Names:
    """Names taken apart: by our own orders, by exchangeInfo, by the usual quote assets; else a guess.

    A guess spells exactly what the venue spells, so it can be shown and asked about; only where its base ends
    is made up. Nothing is bought by it: what is bought has a row of rules.

    Args:
        rows: exchangeInfo's rows that are at hand, by the venue's spelling.
    """

    def __init__(self, rest: Rest, rows: Rows = lambda: MappingProxyType({})) -> None:
        self._rest = rest
        self._rows = rows
        self._known: dict[str, Symbol] = {}

    def note(self, symbol: Symbol) -> None:
        """Remember a pair that we have to do with."""
        self._known[str(symbol)] = symbol

    def of(self, name: str) -> Symbol:
        """The pair of a name on the wire."""
        return self._told(name) or _guess(name)

    async def learn(self, names: Iterable[str]) -> None:
        """Ask exchangeInfo for those that nothing at hand takes apart; without its word they are guessed."""
        strange = [name for name in dict.fromkeys(names) if self._told(name) is None]
        for name in strange[:MOST_ASKED]:
            try:
                rows = (await self._rest.ask(EXCHANGE_INFO, [("symbol", name)])).symbols
            except VenueRejected:
                rows = []  # it has no such pair any more
            except VenueUnavailable:
                return
            found = next((_paired(row) for row in rows if row.symbol == name), None)
            self._known[name] = found or _guess(name)

    def _told(self, name: str) -> Symbol | None:
        row = self._rows().get(name)
        found = self._known.get(name) or (_paired(row) if row is not None else None)
        if found is not None:
            return found
        try:
            return Symbol.parse(name)
        except DomainError:
            return None


def _paired(row: SymbolInfo) -> Symbol | None:
    try:
        return symbol_of(row)
    except DomainError:
        return None


def _guess(name: str) -> Symbol:
    if len(name) == 1:
        return Symbol(name, "?")
    end = USUAL if len(name) > USUAL else 1
    return Symbol(name[:-end], name[-end:])
