"""How many orders a CPU second the matching core takes.

``python -m benchmarks.matching [--quick]``: mixed flow (60 % LIMIT, 30 % cancel, 10 % IOC) on a book that
starts with 2,000 orders, from orders in Decimal to outcomes in Decimal; the making of the ``NewOrder`` is
counted. Beside it: the same flow far deeper, quotes of a market maker, and the flow of accounts with
balances, fees and reports. CPU time of this process, median of the runs.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from statistics import median
from typing import Any

from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.matcher import Matcher
from mexclab.venues.matching import HOUSE, NewOrder, OrderBook

GOAL = 200_000
MARKET = Market(Symbol("BTC"), Decimal("0.01"), Decimal("0.0001"))
MIDDLE = 5_000_000  # ticks
SEED = 20260

Command = tuple[str, tuple[Any, ...] | None]  # an order id, and the fields of the NewOrder or None to cancel


def limit_fields(rng: random.Random, name: str, buys: bool, away: int) -> tuple[Any, ...]:
    """The fields of a LIMIT order ``away`` ticks on its own side of the middle."""
    ticks = MIDDLE - away if buys else MIDDLE + away
    quantity = rng.randint(100, 20_000) * MARKET.lot
    return name, HOUSE, Side.BUY if buys else Side.SELL, OrderType.LIMIT, quantity, ticks * MARKET.tick


def seeds(count: int, spread: float) -> list[tuple[Any, ...]]:
    """Resting orders on both sides, most of them near the middle."""
    rng = random.Random(SEED)
    return [
        limit_fields(rng, f"seed{n}", n % 2 == 0, 1 + int(rng.expovariate(1 / spread))) for n in range(count)
    ]


def mixed_flow(count: int, resting: list[str], spread: float) -> list[Command]:
    """60 % LIMIT (one in twelve through the middle), 30 % cancels of orders that were sent, 10 % IOC."""
    rng = random.Random(SEED + 1)
    known = list(resting)
    flow: list[Command] = []
    for n in range(count):
        dice = rng.random()
        if dice < 0.3:
            place = rng.randrange(len(known))
            known[place], known[-1] = known[-1], known[place]
            flow.append((known.pop(), None))
            continue
        takes = dice >= 0.9
        crosses = takes or rng.random() < 1 / 12
        away = -int(rng.expovariate(1 / 10)) if crosses else 1 + int(rng.expovariate(1 / spread))
        name, owner, side, kind, *size = limit_fields(rng, f"o{n}", rng.random() < 0.5, away)
        kind = OrderType.IMMEDIATE_OR_CANCEL if takes else kind
        flow.append((name, (name, owner, side, kind, *size)))
        if not takes:
            known.append(name)
    return flow


@contextmanager
def what_is_ours_to_collect() -> Iterator[None]:
    """Leave what was made beforehand, the flow itself, out of the garbage collector's rounds."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def book_rate(resting: int, spread: float, count: int) -> float:
    """Orders per CPU second of one book."""
    book = OrderBook(MARKET)
    start = seeds(resting, spread)
    for fields in start:
        book.submit(NewOrder(*fields), 0)
    flow = mixed_flow(count, [fields[0] for fields in start], spread)
    with what_is_ours_to_collect():
        began = time.process_time()
        for n, (name, fields) in enumerate(flow):
            if fields is None:
                book.cancel(name)
            else:
                book.submit(NewOrder(*fields), n)
        return count / (time.process_time() - began)


def quote_rate(count: int) -> float:
    """Quotes per CPU second: a maker moves 20 levels a side by one tick, again and again."""
    book = OrderBook(MARKET)
    rng = random.Random(SEED)
    began = time.process_time()
    for n in range(count // 40):
        middle = MIDDLE + n % 7
        lots = rng.randint(1_000, 2_000)
        bids = {middle - away: lots + away for away in range(1, 21)}
        asks = {middle + away: lots + away for away in range(1, 21)}
        book.requote("maker", bids, asks, n)
    return count // 40 * 40 / (time.process_time() - began)


def account_rate(count: int) -> float:
    """Orders per CPU second when each is an account's: ids, balances, fees, records, reports."""
    owners = [f"owner{n}" for n in range(10)]
    funds = {"BTC": Decimal(10**9), "USDT": Decimal(10**14)}
    matcher = Matcher(dict.fromkeys(owners, funds), max_open_orders=10**9)
    matcher.add(MARKET)
    start = seeds(2_000, 300.0)
    flow: list[Command] = [(fields[0], fields) for fields in start]
    flow += mixed_flow(count, [fields[0] for fields in start], 300.0)
    senders: dict[str, str] = {}
    with what_is_ours_to_collect():
        began = time.process_time()
        for n, (name, fields) in enumerate(flow):
            if fields is None:
                matcher.cancel(senders[name], name, n)
            else:
                senders[name] = owner = owners[n % 10]
                matcher.place(MARKET.symbol, NewOrder("", owner, *fields[2:], None, name), n)
        return len(flow) / (time.process_time() - began)


def rate(measure: Callable[..., float], *args: float, runs: int) -> float:
    return median(measure(*args) for _ in range(runs))


def main() -> None:
    count, runs = (20_000, 3) if "--quick" in sys.argv[1:] else (200_000, 7)
    mixed = rate(book_rate, 2_000, 300.0, count, runs=runs)
    print(f"mixed flow, 2,000 resting:   {mixed:>9,.0f} orders/s")
    print(f"mixed flow, 100,000 resting: {rate(book_rate, 100_000, 20_000.0, count, runs=3):>9,.0f} orders/s")
    print(f"a maker's quotes, 20 a side: {rate(quote_rate, count, runs=3):>9,.0f} quotes/s")
    print(f"mixed flow of accounts:      {rate(account_rate, count // 4, runs=3):>9,.0f} orders/s")
    goal = {"value": round(mixed), "goal": GOAL, "unit": "orders/s", "met": mixed >= GOAL}
    print(json.dumps({"benchmark": "matching", "goals": {"orders_per_cpu_s": goal}, "peers": {}}))


if __name__ == "__main__":
    main()
