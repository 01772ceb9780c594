"""How many orders a CPU second the matching core takes.

``python -m benchmarks.matching [--quick]``: mixed flow (60 % LIMIT, 30 % cancel, 10 % IOC) on a book that
starts with 2,000 orders, from orders in Decimal to outcomes in Decimal; the making of the ``NewOrder`` is
counted. Beside it: the same flow far deeper, quotes of a market maker, and the flow of accounts with
balances, fees and reports. CPU time of this process, median of the runs.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from statistics import median

from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.venues.accounts import Accounts, MatchingEngine
from mexclab.venues.matching import HOUSE, NewOrder, OrderBook

GOAL = 200_000
MARKET = Market(Symbol("BTC"), Decimal("0.01"), Decimal("0.0001"))
MIDDLE = 5_000_000  # ticks
SEED = 20260

Command = tuple  # ("cancel", order id) or the fields of a NewOrder


def seeds(count: int, spread: float) -> list[NewOrder]:
    """Resting orders on both sides, most of them near the middle."""
    rng = random.Random(SEED)
    return [limit_order(rng, f"seed{n}", n % 2 == 0, 1 + int(rng.expovariate(1 / spread))) for n in range(count)]


def limit_order(rng: random.Random, order_id: str, buys: bool, away: int) -> NewOrder:
    ticks = MIDDLE - away if buys else MIDDLE + away
    quantity = rng.randint(100, 20_000) * MARKET.lot
    return NewOrder(order_id, HOUSE, Side.BUY if buys else Side.SELL, OrderType.LIMIT, quantity, ticks * MARKET.tick)


def mixed_flow(count: int, resting: list[str], spread: float) -> list[Command]:
    """60 % LIMIT (one in twelve through the middle), 30 % cancels of known orders, 10 % IOC."""
    rng = random.Random(SEED + 1)
    known, flow = list(resting), []
    for n in range(count):
        dice = rng.random()
        if dice < 0.3 and known:
            place = rng.randrange(len(known))
            known[place], known[-1] = known[-1], known[place]
            flow.append(("cancel", known.pop()))
        else:
            crossing = dice >= 0.9 or rng.random() < 1 / 12
            away = -int(rng.expovariate(1 / 10)) if crossing else 1 + int(rng.expovariate(1 / spread))
            order = limit_order(rng, f"o{n}", rng.random() < 0.5, away)
            kind = OrderType.IMMEDIATE_OR_CANCEL if dice >= 0.9 else OrderType.LIMIT
            flow.append(tuple((order._replace(type=kind) if isinstance(order, tuple) else (order.order_id,order.owner,order.side,kind,order.quantity,order.price))))
            if kind is OrderType.LIMIT:
                known.append(order.order_id)
    return flow


def book_rate(resting: int, spread: float, count: int) -> float:
    """Orders per CPU second of one book."""
    book = OrderBook(MARKET)
    start = seeds(resting, spread)
    for order in start:
        book.submit(order, 0)
    flow = mixed_flow(count, [order.order_id for order in start], spread)
    began = time.process_time()
    for n, command in enumerate(flow):
        if command[0] == "cancel":
            book.cancel(command[1])
        else:
            book.submit(NewOrder(*command), n)
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
    """Orders per CPU second through the engine, every order an account's, with balances and reports."""
    accounts = Accounts()
    engine = MatchingEngine(accounts, max_open_orders=10**9)
    engine.list_market(MARKET)
    owners = [f"owner{n}" for n in range(10)]
    for owner in owners:
        accounts.deposit(owner, "BTC", Decimal(10**9))
        accounts.deposit(owner, "USDT", Decimal(10**14))
    start = seeds(2_000, 300.0)
    flow = mixed_flow(count, [order.order_id for order in start], 300.0)
    placed = {}
    for n, order in enumerate(start):
        news = engine.submit(MARKET.symbol, order._replace(order_id="", owner=owners[n % 10]), n)
        placed[order.order_id] = news.order
    began = time.process_time()
    for n, command in enumerate(flow):
        if command[0] == "cancel":
            engine.cancel(placed[command[1]], n)
        else:
            order_id, _, *rest = command
            placed[order_id] = engine.submit(MARKET.symbol, NewOrder("", owners[n % 10], *rest), n).order
    return count / (time.process_time() - began)


def rate(measure: Callable[[], float], runs: int) -> float:
    return median(measure() for _ in range(runs))


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    count, runs = (20_000, 3) if quick else (200_000, 5)
    mixed = rate(lambda: book_rate(2_000, 300.0, count), runs)
    print(f"mixed flow, 2,000 resting:        {mixed:>10,.0f} orders/s")
    print(f"mixed flow, 100,000 resting:      {rate(lambda: book_rate(100_000, 20_000.0, count), runs):>10,.0f} orders/s")
    print(f"a maker's quotes, 20 a side:      {rate(lambda: quote_rate(count), runs):>10,.0f} quotes/s")
    print(f"mixed flow of accounts:           {rate(lambda: account_rate(count // 4), runs):>10,.0f} orders/s")
    goal = {"value": round(mixed), "goal": GOAL, "unit": "orders/s", "met": mixed >= GOAL}
    print(json.dumps({"benchmark": "matching", "goals": {"orders_per_cpu_s": goal}, "peers": {}}))


if __name__ == "__main__":
    main()
