"""Marks: how far a stepped venue has told everything it had to tell, on every connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc.connection import Connection

GRACE_S = 0.02  # a mark that was sent is seen within this, unless the connection was opened after it
LOOK_S = 0.0002


class Marks:
    """Waits for marks.

    Args:
        connections: those that are open now.
        deadline_s: how long a connection may take.

    A connection that was opened after the mark was sent will never show it: it is asked for a sign of life
    instead, and what it says after the mark was sent comes after all that belongs before it.
    """

    def __init__(self, connections: Callable[[], Sequence[Connection]], deadline_s: float) -> None:
        self._connections = connections
        self._deadline_s = deadline_s
        self.on_mark: Callable[[int], None] = lambda number: None

    async def wait(self, number: int) -> None:
        """Return when every open connection has shown the mark, or was opened after it.

        Raises:
            VenueUnavailable: one has not, within the deadline.
        """
        loop = asyncio.get_running_loop()
        behind = [each for each in self._connections() if each.mark < number]
        grace_s = loop.time() + GRACE_S
        due_s = loop.time() + self._deadline_s
        asked: dict[Connection, int] = {}
        while behind:
            now_s = loop.time()
            if now_s > due_s:
                raise VenueUnavailable(f"a stream has not shown mark {number} within {self._deadline_s:g} s")
            if now_s > grace_s:
                for each in behind:
                    if each not in asked:
                        each.ping()
                        asked[each] = each.pings
            await asyncio.sleep(LOOK_S if asked else 0)
            behind = [
                each
                for each in behind
                if each.is_open and each.mark < number and each.pongs < asked.get(each, each.pings + 1)
            ]
        self.on_mark(number)
