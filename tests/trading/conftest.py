"""A whole desk in memory: the real engine on the real paper venue, with time moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from mexclab import replay
from mexclab.config import LimitSettings, ListingsSettings, SnipeSettings
from mexclab.domain.clock import DAY, SECOND
from mexclab.patterns.registry import load_patterns
from mexclab.runtime.bus import Bus
from mexclab.runtime.clock import ManualClock
from mexclab.store.memory import MemoryLedger, MemoryRecorder
from mexclab.strategies.registry import load_strategy
from mexclab.trading import recovery
from mexclab.trading.engine import Engine, Parts, Rules
from mexclab.trading.radar import Radar
from mexclab.venues.paper import PaperTerms, PaperVenue
from mexclab.venues.simulator.scenario import Fate, ListingScript

START = 20_600 * DAY
IDENTITY = recovery.Identity("paper", "paper venue", "test")


@dataclass
class Station:
    """One desk and everything it stands on; ``restart`` is a new process on the same ledger and venue."""

    clock: ManualClock
    venue: PaperVenue
    ledger: MemoryLedger
    recorder: MemoryRecorder
    engine: Engine
    rules: Rules
    memory: Path | None
    seed: int
    after: Station | None = None

    async def start(self) -> None:
        await recovery.start(self.engine, IDENTITY)

    async def run(self, until_ns: int) -> None:
        await replay.run(self.engine, until_ns)

    def script(self, fate: Fate) -> ListingScript:
        """The first listing of the day that has this fate."""
        scripts = sorted(self.venue.market_side.scripts(), key=lambda script: script.opens_ns)
        return next(script for script in scripts if script.fate is fate)

    def restart(self, away_s: int = 0) -> Station:
        """Kill the process and start another ``away_s`` venue seconds later; memory is all it has."""
        assert self.memory is not None
        self.venue.close()
        clock = ManualClock(self.clock.now_ns() + away_s * SECOND)
        self.after = build(clock, self.seed, self.rules, self.memory, (self.ledger, self.recorder))
        return self.after

    def close(self) -> None:
        self.venue.close()
        if self.after is not None:
            self.after.close()


def build(
    clock: ManualClock,
    seed: int,
    rules: Rules,
    memory: Path | None,
    kept: tuple[MemoryLedger, MemoryRecorder] | None = None,
) -> Station:
    terms = PaperTerms(START, seed, "USDT", Decimal(1000), Decimal(0), Decimal("0.0005"), 120)
    venue = PaperVenue(clock, terms, memory)
    ledger, recorder = kept or (MemoryLedger(), MemoryRecorder())
    radar = Radar(venue, recorder, load_patterns(ListingsSettings()))
    strategy = load_strategy("opening_snipe", SnipeSettings(cap_multiple=Decimal(3)))
    engine = Engine(Parts(clock, ledger, venue, venue, venue, radar, strategy, Bus()), rules)
    return Station(clock, venue, ledger, recorder, engine, rules, memory, seed)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    """Make a desk: ``station(seed=7, auto_arm=True, limits=LimitSettings(...))``."""
    made: list[Station] = []

    def make(seed: int = 7, auto_arm: bool = True, limits: LimitSettings | None = None) -> Station:
        rules = Rules(limits=limits or LimitSettings(), auto_arm=auto_arm)
        made.append(build(ManualClock(START), seed, rules, tmp_path / f"venue{len(made)}"))
        return made[-1]

    yield make
    for each in made:
        each.close()
