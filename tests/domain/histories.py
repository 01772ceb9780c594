"""Long random histories for tests: several listings at once, with everything that a desk can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random

from benchmarks.ledger_history import DAY, FIRST_NS, Story
from mexclab.domain import events as e
from mexclab.domain.market import Side, Symbol
from mexclab.domain.snipe import SnipeState


def random_history(seed: int, stories: int = 12) -> list[e.Event]:
    """Stories told at once, each in its own order, with interruptions; the same for the same seed."""
    random = Random(seed)
    told = [list(Story(random.randrange(10_000) * 40 + number).events()) for number in range(stories)]
    mixed: list[e.Event] = [e.DaemonStarted(FIRST_NS - DAY, "paper", "paper venue", "1", Decimal("5000.00"))]
    waiting = [iter(story) for story in told]
    number = 0
    while waiting:
        story = random.choice(waiting)
        event = next(story, None)
        if event is None:
            waiting.remove(story)
            continue
        mixed.append(event)
        mixed.extend(_more_of(event, random))
        if random.random() < 0.2:
            number += 1
            mixed.extend(_interruption(number, event.at_ns, random))
    return mixed


def _more_of(event: e.Event, random: Random) -> Iterator[e.Event]:
    """What else may come of an event: another exit, a higher stop, trades told twice or never confirmed."""
    match event:
        case e.SnipeMoved(at_ns=at_ns, snipe_id=snipe_id, to=SnipeState.ENTERED):
            if random.random() < 0.5:
                yield e.StopRaised(at_ns + 1, snipe_id, Decimal("0.0120"), Decimal("0.01500"), "it rose")
        case e.OrderFilled():
            if random.random() < 0.2:
                yield event
        case e.OrderSent(at_ns=at_ns, client_id=client_id):
            if random.random() < 0.2:
                yield e.OrderLost(at_ns + 1, client_id, "no answer came")
        case e.SnipePlanned(at_ns=at_ns, plan=plan):
            if random.random() < 0.5:
                calm = replace(plan.exit, trailing=Decimal("0.10"), version=1)
                yield e.ExitReplaced(at_ns + 1, plan.snipe_id, calm, "ann", "calmer")
        case _:
            return


def _interruption(number: int, at_ns: int, random: Random) -> Iterator[e.Event]:
    """Something that happens beside the snipes."""
    symbol = Symbol(f"ODD{number}")
    kinds: tuple[e.Event, ...] = (
        e.Halted(at_ns, "ann", f"halt {number}"),
        e.Resumed(at_ns, "ann", "again"),
        e.ReportDisputed(at_ns, f"odd{number}-entry-1", symbol, "more was sold than is held"),
        e.ExternalOrderSeen(at_ns, f"x{number}", symbol, Side.SELL, Decimal("1.50"), Decimal("2.0")),
        e.PlanDeclined(at_ns, f"odd{number}", symbol, "no_strategy", "nobody wants it"),
        e.StrategySet(at_ns, "ladder", (("budget", "60"), ("cap", "2.0")), "ann", f"change {number}"),
        e.Reconciled(at_ns, 4, 1, 0, 0, (f"difference {number}",)),
        e.AlertRaised(at_ns, "info", "nothing of the desk"),
    )
    weights = (1, 1, 4, 3, 3, 3, 3, 1)
    yield random.choices(kinds, weights)[0]
