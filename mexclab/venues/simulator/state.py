"""All of a world that is worth keeping, and how it is at the very start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mexclab.domain.clock import MILLISECOND
from mexclab.errors import DomainError
from mexclab.venues.matcher import FIRST_TRADE, TRADES_PER_BOOK
from mexclab.venues.orders import Phase
from mexclab.venues.simulator.agents import Agents
from mexclab.venues.simulator.bars import BarReplay, BarsReference
from mexclab.venues.simulator.heard import Hear, HeardMatcher
from mexclab.venues.simulator.history import History
from mexclab.venues.simulator.lifecycle import Lifecycle
from mexclab.venues.simulator.market import SimulatedMarket
from mexclab.venues.simulator.pairs import (
    ESTABLISHED,
    Pair,
    Past,
    Reference,
    SeededReference,
    past_of,
    plausible_past,
)
from mexclab.venues.simulator.scenario import coming_scripts
from mexclab.venues.simulator.terms import WorldTerms


@dataclass(slots=True)
class State:
    """What a checkpoint keeps. ``agents`` is a heap of (next beat, place, agents).

    ``lived_ns``: the world may have lived until then after this was kept.
    """

    now_ns: int
    lived_ns: int
    matcher: HeardMatcher
    history: History
    market: SimulatedMarket
    lifecycle: Lifecycle
    agents: list[tuple[int, int, Agents]]


def begin(terms: WorldTerms, hear: Hear, now: Callable[[], int]) -> State:
    """A world at its start, with the past of its established pairs.

    Raises:
        DomainError: the terms name a pair that does not exist.
    """
    fees = (terms.maker_fee, terms.taker_fee)
    matcher, history = HeardMatcher(hear), History(now)
    matcher.now_ns = terms.start_ns
    replays = {replay.pair.symbol: replay for replay in terms.replays}
    pairs = {pair.symbol: pair for pair in map(_established, terms.pairs)}
    pairs |= {symbol: replay.pair for symbol, replay in replays.items()}
    rules = {symbol: pair.market(fees) for symbol, pair in pairs.items()}
    agents: list[tuple[int, int, Agents]] = []
    life = (terms.seed, terms.levels, terms.stride_ms * MILLISECOND)
    for place, (symbol, pair) in enumerate(pairs.items()):
        replay = replays.get(symbol)
        matcher.add(rules[symbol], Phase.OPEN, pair.price_band, pair.price)
        history.add(rules[symbol])
        minutes, days, trades = _past(pair, replay, terms)
        first = FIRST_TRADE + place * TRADES_PER_BOOK
        numbered = [trade._replace(number=first + trade.number) for trade in trades]
        history.recall(symbol, minutes, days, numbered)
        follows: Reference
        if replay is None:
            follows = SeededReference(pair, terms.seed, (terms.start_ns, float(pair.price)))
        else:
            follows = BarsReference(replay, terms.start_ns)
        agents.append((terms.start_ns, place, Agents(matcher, pair, rules[symbol], follows, life)))
    market = SimulatedMarket(matcher, terms.seed, terms.start_ns, fees)
    market.announce(coming_scripts(terms.start_ns, terms.seed, terms.coming))
    lifecycle = Lifecycle(market, pairs, rules, matcher)
    return State(terms.start_ns, terms.start_ns, matcher, history, market, lifecycle, agents)


def _past(pair: Pair, replay: BarReplay | None, terms: WorldTerms) -> Past:
    minutes = None if replay is None else replay.minutes(terms.start_ns)
    if minutes is None:
        return plausible_past(pair, terms.seed, terms.start_ns, terms.past_days)
    return past_of(pair, np.random.default_rng([terms.seed, 0x55]), minutes)


def _established(name: str) -> Pair:
    pair = ESTABLISHED.get(name)
    if pair is None:
        raise DomainError(f"{name!r} is no established pair of {', '.join(ESTABLISHED)}", name=name)
    return pair
