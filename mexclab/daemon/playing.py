"""The desk lives: the loop that trades, for as long as the venue of its own that it trades on lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from mexclab import replay
from mexclab.bootstrap import Assembly
from mexclab.domain.reports import Happening
from mexclab.errors import VenueUnavailable

LOOK_S = 0.25  # of real time, between two looks at the simulator's process


async def play(
    assembly: Assembly, until_ns: int | None, watch: Callable[[Iterable[Happening]], None]
) -> None:
    """Run the engine until the venue's clock reaches ``until_ns``, or it was told to stop.

    Raises:
        VenueUnavailable: the simulator that was started for this desk has ended, or the venue is away in
            stepped time.
    """
    playing = asyncio.create_task(replay.run(assembly.engine, until_ns, watch, stepped=assembly.is_stepped))
    try:
        while not (await asyncio.wait((playing,), timeout=LOOK_S))[0]:
            _require_simulator(assembly)
        await playing
    except VenueUnavailable as error:  # a step that failed is told by its cause
        await asyncio.sleep(LOOK_S)  # a process that is dying answers no more a moment before it is dead
        _require_simulator(assembly, error)
        raise
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


def _require_simulator(assembly: Assembly, cause: VenueUnavailable | None = None) -> None:
    """Raise if the simulator of this desk's own is dead.

    Raises:
        VenueUnavailable: says how it ended and what to do.
    """
    death = assembly.simulator.death() if assembly.simulator is not None else ""
    if not death:
        return
    again = "mexclab demo" if assembly.identity.mode == "demo" else "mexclab trade"
    raise VenueUnavailable(
        f"{death}; there is no venue any more, so the desk stops. The ledger and the account are kept: "
        f"`{again}` starts both again and goes on where they were",
        simulator=death,
    ) from cause
