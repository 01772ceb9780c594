"""A desk shortly before an opening, whose venue and whose listing sources can be made to say anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.order import Order
from mexclab.domain.snipe import Snipe
from mexclab.trading import planning
from mexclab.venues.simulator.scenario import Fate, ListingScript
from tests.trading.conftest import Station

Make = Callable[..., Station]


class Sources:
    """What the listing sources show of one coin, whatever the venue does: another opening, or nothing."""

    def __init__(self, desk: Station, script: ListingScript) -> None:
        self.open_ns: int | None = None  # None: as the venue has it
        self.is_shown = True
        self._ticker = script.symbol.base
        self._entries, self._states = desk.venue.entries, desk.venue.states
        desk.venue.entries = self.entries  # type: ignore[method-assign]
        desk.venue.states = self.states  # type: ignore[method-assign]

    def _row(self, row: CalendarEntry | SymbolState) -> list:
        if row.ticker != self._ticker:
            return [row]
        return [replace(row, open_ns=self.open_ns or row.open_ns)] if self.is_shown else []

    async def entries(self) -> Sequence[CalendarEntry]:
        return [shown for row in await self._entries() for shown in self._row(row)]

    async def states(self) -> Sequence[SymbolState]:
        return [shown for row in await self._states() for shown in self._row(row)]


class Scene:
    """A desk a quarter of an hour before the first opening of the day; looks come every 5 s."""

    def __init__(self, desk: Station) -> None:
        self.desk = desk
        self.script = desk.script(Fate.PLAIN)
        self.opens_ns = self.script.opens_ns
        self.sources = Sources(desk, self.script)
        desk.engine.rules = replace(desk.engine.rules, poll_ns=5 * SECOND)

    async def start(self, before_ns: int = 15 * MINUTE) -> None:
        await self.desk.clock.sleep_until(self.opens_ns - before_ns)
        await self.desk.start()

    async def run(self, after_ns: int) -> None:
        """Until so long after the opening as first told; negative = before."""
        await self.desk.run(self.opens_ns + after_ns)

    async def look(self) -> None:
        """A look at this very moment, as one that began earlier may end."""
        await planning.look(self.desk.engine, self.desk.clock.now_ns())

    def moves_to(self, after_ns: int) -> int:
        """The venue moves its opening, seen from where it was first told."""
        self.desk.venue.market_side.postpone(self.script.symbol, self.opens_ns + after_ns)
        return self.opens_ns + after_ns

    @property
    def snipe(self) -> Snipe:
        snipes = self.desk.engine.desk.snipes.values()
        return next(snipe for snipe in snipes if snipe.plan.symbol == self.script.symbol)

    @property
    def orders(self) -> list[Order]:
        return self.desk.engine.desk.entries(self.snipe.snipe_id)

    def told(self, kind: type) -> list:
        return [event for _, event in self.desk.ledger.read() if isinstance(event, kind)]

    def alerts(self) -> list[str]:
        return [
            alert.text for alert in self.told(e.AlertRaised) if alert.correlation_id == self.snipe.snipe_id
        ]

    def bought_once(self, not_before_ns: int) -> None:
        filled = [order for order in self.orders if order.fills]
        assert len(filled) == 1
        assert filled[0].left_ns is not None
        assert filled[0].left_ns >= not_before_ns
        assert self.snipe.entered_ns is not None


async def scene(make: Make, before_ns: int = 15 * MINUTE, auto_arm: bool = True) -> Scene:
    made = Scene(make(auto_arm=auto_arm))
    await made.start(before_ns)
    return made
