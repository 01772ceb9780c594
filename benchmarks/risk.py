"""What one review costs: ``python -m benchmarks.risk [--quick]``.

The desk holds 50 positions, each with its ladder of four limits resting at the venue, and an entry into a
51st symbol is judged against every limit: the same call as in the order path, on a desk that was folded from
events, with a day of minute prices behind it. Beside it: the scenarios anew, which is once a minute, and a
book taken into the history, which is at every frame.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from mexclab.config import LimitSettings
from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MINUTE, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Book, Level, Side, Symbol
from mexclab.domain.order import Fill, Order, OrderType
from mexclab.domain.reports import ClockReading
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, SnipeState
from mexclab.trading.history import History
from mexclab.trading.risk import Facts, Intent, review

GOAL_US = 100.0
POSITIONS = 50
NOW = 20_600 * DAY
EXIT = ExitPlan(LADDERS["balanced"], Decimal("0.15"), HOUR)
LIMITS = LimitSettings(
    per_order_quote=Decimal(50),
    per_symbol_quote=Decimal(60),
    total_exposure_quote=Decimal(5000),
    cluster_quote=Decimal(5000),
    value_at_risk_quote=Decimal(4000),
    expected_shortfall_quote=Decimal(4000),
    open_snipes=100,
)


def symbol(number: int) -> Symbol:
    return Symbol(f"COIN{number}")


def plan(number: int) -> Plan:
    return Plan(
        f"coin{number}", f"coin{number}", symbol(number), Decimal(50), Decimal("1.5"),
        NOW - SECOND, NOW + MINUTE, EXIT, Decimal("0.9"),
    )  # fmt: skip


def holding(desk: Desk, number: int) -> None:
    """One snipe that has bought, with its ladder resting."""
    mine, at = plan(number), NOW - HOUR + number * SECOND
    steps = (SnipeState.PREFLIGHT, SnipeState.ARMED, SnipeState.FIRING)
    desk.fold(e.SnipePlanned(at, mine))
    for state in steps:
        desk.fold(e.SnipeMoved(at, mine.snipe_id, state))
    kind = OrderType.IMMEDIATE_OR_CANCEL
    quantity, price = Decimal(40 + number), Decimal("1.02")
    entry = Order(f"{mine.snipe_id}-b-1", mine.symbol, Side.BUY, kind, quantity, price, mine.snipe_id, "b")
    desk.fold(e.OrderDecided(at, entry))
    desk.fold(e.OrderSent(at, entry.client_id))
    fill = Fill(
        f"t{number}",
        entry.client_id,
        mine.symbol,
        Side.BUY,
        Decimal(1),
        quantity,
        Decimal("0.02"),
        "USDT",
        at,
    )
    desk.fold(e.OrderFilled(at, fill))
    desk.fold(e.SnipeMoved(at, mine.snipe_id, SnipeState.ENTERED))
    for rung in range(1, 5):
        name, ask = f"{mine.snipe_id}-t{rung}-1", 1 + Decimal(rung) / 20
        exit_order = Order(
            name, mine.symbol, Side.SELL, OrderType.LIMIT, quantity / 4, ask, mine.snipe_id, f"t{rung}"
        )
        desk.fold(e.OrderDecided(at, exit_order))
        desk.fold(e.OrderSent(at, name))
        desk.fold(e.OrderAccepted(at, name, f"v{name}"))


def a_day(history: History, count: int) -> None:
    """A day of minute books: each coin follows the market a little, and goes its own way."""
    chance = random.Random(7)
    prices = [1.0] * count
    for minute in range(24 * 60 + 5):
        common = chance.gauss(0, 0.001)
        for number in range(count):
            prices[number] *= math.exp(0.5 * common + chance.gauss(0, 0.003))
            history.see(book(number, prices[number], NOW - DAY - 5 * MINUTE + minute * MINUTE))


def book(number: int, price: float, at_ns: int) -> Book:
    bid, ask = Decimal(f"{price:.6f}"), Decimal(f"{price * 1.001:.6f}")
    return Book(symbol(number), (Level(bid, Decimal(9)),), (Level(ask, Decimal(9)),), at_ns)


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Microseconds of each call, sorted."""
    found = []
    for _ in range(times):
        began = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - began) / 1e3)
    return sorted(found)


def share(times: list[float], part: float) -> float:
    return times[min(int(len(times) * part), len(times) - 1)]


def measure(times: int) -> dict[str, Any]:
    """The whole run; the JSON object of the last line."""
    desk, history = Desk(), History(NOW - DAY)
    desk.fold(e.DaemonStarted(NOW - HOUR, "paper", "paper", "benchmark", Decimal(10_000)))
    for number in range(POSITIONS):
        holding(desk, number)
    a_day(history, POSITIONS + 1)
    wanted = plan(POSITIONS)
    quantity, price = Decimal(40), Decimal("1.2")
    kind = OrderType.IMMEDIATE_OR_CANCEL
    order = Order("coin50-b-1", wanted.symbol, Side.BUY, kind, quantity, price, wanted.snipe_id, "b")
    # as the order path gathers them: what is held, in the order of the desk
    held = [position.symbol for position in desk.portfolio.held]
    symbols = (*held, wanted.symbol)
    tails = history.tails(symbols, NOW, LIMITS)
    prices = {held_symbol: Decimal("1.01") for held_symbol in held}
    facts = Facts(
        NOW, ClockReading(0, 0, NOW), Decimal(1000), book(POSITIONS, 1.1, NOW), prices, Decimal("0.0005"),
        tails=tails,
    )  # fmt: skip
    intent = Intent(order, wanted)
    verdict = review(intent, desk, LIMITS, facts)
    if not verdict.cleared or len(tails.columns) != POSITIONS + 1:
        raise SystemExit(f"the entry was to be cleared with every history known: {verdict.why}")
    gc.collect()
    gc.freeze()
    reviews = timed(lambda: review(intent, desk, LIMITS, facts), times)
    scenarios = timed(lambda: History.tails(fresh(history), symbols, NOW, LIMITS), max(times // 100, 5))
    same = book(0, 1.0, NOW + SECOND)
    seeing = timed(lambda: history.see(same), times)
    gc.unfreeze()
    return told(reviews, scenarios, seeing)


def fresh(history: History) -> History:
    """The same history, with no scenarios kept."""
    history._kept.clear()
    return history


def told(reviews: list[float], scenarios: list[float], seeing: list[float]) -> dict[str, Any]:
    rows = (
        (f"review, {POSITIONS} positions", reviews), ("scenarios anew", scenarios),
        ("a book into the history", seeing),
    )  # fmt: skip
    for name, times in rows:
        print(
            f"{name:<24} median {share(times, 0.5):>8.1f}  p90 {share(times, 0.9):>8.1f}  "
            f"p99 {share(times, 0.99):>8.1f} us  (n = {len(times)})"
        )
    value = share(reviews, 0.5)
    goal = {"value": round(value, 1), "goal": GOAL_US, "unit": "us", "met": value <= GOAL_US}
    peers = {
        "review-50: p99 us": round(share(reviews, 0.99), 1),
        "scenarios anew us": round(share(scenarios, 0.5), 1),
        "a book into the history us": round(share(seeing, 0.5), 2),
    }
    return {"benchmark": "risk", "goals": {"review-50": goal}, "peers": peers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    options = parser.parse_args()
    print(json.dumps(measure(500 if options.quick else 5_000)))


if __name__ == "__main__":
    main()
