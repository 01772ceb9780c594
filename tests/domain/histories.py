"""Long random histories for tests: several listings at once, with everything that a desk can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random

from benchmarks.ledger_history import DAY, FIRST_NS, Story
from mexclab.domain import events as e
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.protection import Protection
from mexclab.domain.snipe import Plan, SnipeState


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
        if isinstance(event, e.OrderFilled) and random.random() < 0.3:
            event = replace(event, fill=replace(event.fill, fee_asset="MX"))
        mixed.append(event)
        mixed.extend(_more_of(event, random))
        if random.random() < 0.2:
            number += 1
            mixed.extend(_interruption(number, event.at_ns, random))
        if random.random() < 0.2:
            number += 1
            mixed.extend(_guarding(number, event.at_ns, random))
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
            if random.random() < 0.3:
                yield from _gone(at_ns + 2, plan, random)
        case _:
            return


def _gone(at_ns: int, plan: Plan, random: Random) -> Iterator[e.Event]:
    """Another snipe by the same strategy, of whose purchase a part, or all, is written off."""
    snipe_id, symbol = f"{plan.snipe_id}w", Symbol("GONE")
    client_id, size = f"{snipe_id}-b-1", (Decimal(random.randrange(1, 9)), Decimal("0.30"))
    order = Order(client_id, symbol, Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, *size, snipe_id, "b")
    quantity, price = size
    bought = Fill(f"T{client_id}", client_id, symbol, Side.BUY, price, quantity, price, "USDT", at_ns)
    yield e.SnipePlanned(at_ns, replace(plan, snipe_id=snipe_id, symbol=symbol))
    yield from (e.OrderDecided(at_ns, order), e.OrderSent(at_ns, client_id), e.OrderFilled(at_ns, bought))
    for part in (Decimal("0.50"), quantity - Decimal("0.50"))[: random.randrange(1, 3)]:
        yield e.WrittenOff(at_ns + DAY, snipe_id, symbol, part, "ann", "sold by hand")


def _interruption(number: int, at_ns: int, random: Random) -> Iterator[e.Event]:
    """Something that happens beside the snipes."""
    symbol = Symbol(f"ODD{number}")
    kinds: tuple[e.Event, ...] = (
        e.Halted(at_ns, "ann", f"halt {number}"),
        e.Resumed(at_ns, "ann", "again"),
        e.ReportDisputed(at_ns, f"odd{number}-entry-1", symbol, "more was sold than is held"),
        e.ReportDisputed(at_ns, f"odd{number}-entry-1", symbol, "more was sold than is held", f"T{number}"),
        e.ExternalOrderSeen(at_ns, f"x{number}", symbol, Side.SELL, Decimal("1.50"), Decimal("2.0")),
        e.PlanDeclined(at_ns, f"odd{number}", symbol, "no_strategy", "nobody wants it"),
        e.StrategySet(at_ns, "ladder", (("budget", "60"), ("cap", "2.0")), "ann", f"change {number}"),
        e.Reconciled(at_ns, 4, 1, 0, 0, (f"difference {number}",)),
        e.AlertRaised(at_ns, "info", "nothing of the desk"),
    )
    weights = (1, 1, 2, 2, 3, 3, 3, 3, 1)
    yield random.choices(kinds, weights)[0]


def _guarding(number: int, at_ns: int, random: Random) -> Iterator[e.Event]:
    """Something that risk and safety do beside the snipes."""
    symbol = Symbol(f"ODD{number}") if random.random() < 0.5 else None
    until = None if random.random() < 0.5 else at_ns + random.randrange(1, 2 * DAY)
    paused = Protection(f"p{number}", "loss_streak", symbol, at_ns, until, "3", "3", DAY, "three losses")
    equity, gain = Decimal(5000) + random.randrange(-90, 90), Decimal(random.randrange(-50, 50)) / 100
    begun = e.SagaBegun(at_ns, f"saga{number}", "two_venues", ("buy here", "sell there"))
    done = e.SagaStepped(at_ns + 1, begun.saga_id, "buy here", "done")
    back = e.SagaStepped(at_ns + 3, begun.saga_id, "buy here", "compensated", "sold again")
    undone = (e.SagaStepped(at_ns + 2, begun.saga_id, "sell there", "failed", "no bid"), back)
    kinds: tuple[tuple[e.Event, ...], ...] = (
        (e.ProtectionRaised(at_ns, paused),),
        (
            e.ProtectionRaised(at_ns, paused),
            e.ProtectionReleased(at_ns, f"p{number}", "ann", "a known cause"),
        ),
        (e.MonitorChanged(at_ns, "spread", symbol, "tripped", "0.3", "0.10", f"reading {number}"),),
        (e.LimitsConfirmed(at_ns, "main", f"d{number}", (("limits.drawdown", "0.10"),), "ann", "read"),),
        (e.AccountChecked(at_ns, "main", number % 2 == 0, () if number % 2 == 0 else ("no key",)),),
        (e.EquityMarked(at_ns, equity, gain, Decimal("40.50"), () if symbol is None else (symbol,)),),
        (e.Rehearsed(at_ns, True, 40_000_000, 900_000_000, 70_000_000, f"rehearsal-{number}.json", "ann"),),
        (begun, done),
        (begun, done, *undone, e.SagaEnded(at_ns + 4, begun.saga_id, "compensated", "no bid")),
    )
    yield from random.choices(kinds, (2, 1, 3, 1, 1, 3, 1, 1, 1))[0]
