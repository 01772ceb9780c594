"""A day of listings, written by a seed: who is announced when, opens when, and what goes wrong.

Each day holds eight listings. Five behave; one is postponed, one can never be traded by API, one
opens with a gap that no sensible cap pays. One of the five is announced too late for the lead that
the radar is asked for, so that lead times are seen to be measured and not assumed.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

import numpy as np

from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Market, Symbol

FIRST_OPENING_NS = 6 * HOUR
LAST_OPENING_NS = 22 * HOUR
FIRST_DAY = 20_600  # 2026-05-27, the day that the demo plays
QUIET_NS = 70 * MINUTE  # two openings are at least this far apart
LATE_LEAD_NS = 100 * MINUTE
COMING_NS = 5 * HOUR  # from the announcement of a listing that somebody ordered to its opening
COMING_DAYS = 100
COMMON_GAP = math.log(
    2.7
)  # the largest opening gap of a listing that behaves; the fitted median is 2.3 times
WILD_GAP = (math.log(4.0), math.log(8.0))


class Fate(StrEnum):
    """What a listing of the script turns out to be."""

    PLAIN = "plain"
    LATE = "announced late"
    POSTPONED = "postponed"
    NOT_BY_API = "not tradable by API"
    GAP = "opens above any sensible cap"


FATES = (Fate.PLAIN, Fate.GAP, Fate.PLAIN, Fate.POSTPONED, Fate.PLAIN, Fate.NOT_BY_API, Fate.LATE, Fate.PLAIN)

NAMES = (
    ("Lumen Forge", "LUMF"), ("Orchid Relay", "ORCR"), ("Basalt", "BSLT"), ("Tidewater", "TIDW"),
    ("Kestrel Net", "KSTL"), ("Amberline", "AMBL"), ("Northwind", "NWND"), ("Quill Protocol", "QUIL"),
    ("Sable Index", "SABL"), ("Fernlight", "FERN"), ("Copperfield", "CPRF"), ("Glasshouse", "GLSH"),
    ("Marrow", "MARW"), ("Petrichor", "PTRC"), ("Hollowtree", "HLTR"), ("Riverbend", "RVRB"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListingScript:
    """Everything that will happen to one listing; nobody sees more of it than its time has told."""

    symbol: Symbol
    full_name: str
    coin_id: str
    fate: Fate
    announced_ns: int
    open_ns: int  # as first announced
    moved_ns: int | None  # when the new opening is published
    moved_to_ns: int | None
    tick: Decimal
    lot: Decimal
    placeholder: Decimal  # the indicative price before the opening
    gap: float | None  # ln(first tradable / placeholder); None draws a common one
    seed: int

    @property
    def opens_ns(self) -> int:
        """When it really opens."""
        return self.moved_to_ns if self.moved_to_ns is not None else self.open_ns

    def shown_opening(self, now_ns: int) -> int:
        moved = self.moved_ns is not None and self.moved_to_ns is not None and now_ns >= self.moved_ns
        return self.moved_to_ns if moved and self.moved_to_ns is not None else self.open_ns

    def calendar(self, now_ns: int) -> CalendarEntry | None:
        """Its row of the calendar, from the announcement until a day after the opening."""
        if not self.announced_ns <= now_ns < self.opens_ns + DAY:
            return None
        return CalendarEntry(
            self.coin_id, self.symbol.base, self.full_name, "NEW", self.shown_opening(now_ns)
        )

    def state(self, now_ns: int) -> SymbolState | None:
        """Its row of the symbol table: the believed ladder (1,1,1), (2,1,1), (2,2,2), (2,2,4), (1,1,1)."""
        opening = self.shown_opening(now_ns)
        listed = max(self.announced_ns, opening - 6 * HOUR)
        if now_ns < listed:
            return None
        left = opening - now_ns
        if left <= 0:
            triple = (1, 1, 1)
        elif left <= 12 * MINUTE:
            triple = (2, 2, 4)
        elif left <= 30 * MINUTE:
            triple = (2, 2, 2)
        elif left <= 2 * HOUR:
            triple = (2, 1, 1)
        else:
            triple = (1, 1, 1)
        decimals = -int(self.tick.as_tuple().exponent), -int(self.lot.as_tuple().exponent)
        return SymbolState(
            self.coin_id,
            self.symbol.base,
            self.symbol.quote,
            *triple,
            opening,
            max(0, decimals[0]),
            max(0, decimals[1]),
        )

    def market(self, maker_fee: Decimal, taker_fee: Decimal) -> Market:
        return Market(self.symbol, self.tick, self.lot, Decimal(1), maker_fee, taker_fee)


def listing_day_script(day: int, seed: int, quote: str = "USDT") -> tuple[ListingScript, ...]:
    """The listings that open on one UTC day (``day`` days after the epoch), by opening time.

    The same day and seed always give the same script.
    """
    rng = np.random.default_rng([seed, day, 0x11])
    start = day * DAY
    slack = (LAST_OPENING_NS - FIRST_OPENING_NS - (len(FATES) - 1) * QUIET_NS) // MINUTE
    offsets = np.sort(rng.integers(0, slack, len(FATES)))
    names = rng.permutation(len(NAMES))[: len(FATES)]
    scripts = []
    for place, fate in enumerate(FATES):
        opening = start + FIRST_OPENING_NS + place * QUIET_NS + int(offsets[place]) // 5 * 5 * MINUTE
        name, ticker = NAMES[int(names[place])]
        if day != FIRST_DAY:  # a name lists once: on other days it carries the day
            name, ticker = f"{name} {day % 1000}", f"{ticker}{day % 1000}"
        scripts.append(_script(fate, opening, (name, ticker, quote), rng))
    return tuple(scripts)


def coming_scripts(now_ns: int, seed: int, count: int) -> tuple[ListingScript, ...]:
    """So many well-behaved listings that were announced now and open together in ``COMING_NS``.

    They are those of days long after, so that no day of its own brings one of their names again soon.
    """
    found: list[ListingScript] = []
    day = now_ns // DAY + COMING_DAYS
    while len(found) < count:
        found += [each for each in listing_day_script(day, seed) if each.fate is Fate.PLAIN]
        day += 1
    return tuple(replace(each, announced_ns=now_ns, open_ns=now_ns + COMING_NS) for each in found[:count])


def _script(fate: Fate, opening: int, named: tuple[str, str, str], rng: np.random.Generator) -> ListingScript:
    name, ticker, quote = named
    lead_ns = LATE_LEAD_NS if fate is Fate.LATE else int(rng.integers(4 * 60, 9 * 60)) * MINUTE
    # small prices dominate listings; five significant digits, like the venue shows
    exponent = int(rng.integers(-4, 1))
    placeholder = Decimal(int(rng.integers(1_000, 9_999))).scaleb(exponent - 3)
    tick = Decimal(1).scaleb(exponent - 4)
    lot = Decimal(1).scaleb(min(0, -exponent - 2))
    script = ListingScript(
        symbol=Symbol(ticker, quote),
        full_name=name,
        coin_id=hashlib.md5(f"{ticker}|{opening}".encode(), usedforsecurity=False).hexdigest(),
        fate=fate,
        announced_ns=opening - lead_ns + int(rng.integers(1, 50)) * SECOND,
        open_ns=opening,
        moved_ns=None,
        moved_to_ns=None,
        tick=tick,
        lot=lot,
        placeholder=placeholder,
        gap=float(rng.uniform(*WILD_GAP)) if fate is Fate.GAP else None,
        seed=int(rng.integers(1 << 31)),
    )
    if fate is Fate.POSTPONED:
        # published while a careful desk is already in its preflights; the quiet hour keeps openings apart
        return replace(script, moved_ns=opening - 25 * MINUTE, moved_to_ns=opening + 30 * MINUTE)
    return script
