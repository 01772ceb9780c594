"""Random lives of a world, for the tests that hold whatever happens in them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.errors import DomainError
from mexclab.venues.orders import NewOrder
from mexclab.venues.simulator.world import Account, World, WorldTerms

START = 20_600 * DAY + 10 * HOUR
ALICE = Account("alice", "mx0alice", "5ec4e7a11ce0", {"USDT": Decimal(5_000), "BTC": Decimal("0.02")})
BOB = Account("bob", "mx0bob", "5ec4e7b0b000", {"USDT": Decimal(800), "MX": Decimal(300)})
BTC, MX = Symbol("BTC"), Symbol("MX")
TERMS = WorldTerms(START, 7, (ALICE, BOB), pairs=("BTCUSDT", "MXUSDT"), past_days=1)

Act = Callable[[World], None]


def order(owner: str, side: Side, kind: OrderType, size: tuple[Decimal, Decimal | None]) -> NewOrder:
    """``size`` is quantity and price."""
    return NewOrder("", owner, side, kind, *size)


def near(world: World, symbol: Symbol, away: int) -> Decimal:
    """A price ``away`` hundredths of a percent above the last."""
    book = world.matcher.books[symbol]
    assert book.last is not None
    return book.market.limit_price(book.last * (1 + Decimal(away) / 10_000), Side.BUY)


def _place(owner: str, symbol: Symbol, side: Side, kind: OrderType, numbers: tuple[int, int]) -> Act:
    away, quote = numbers

    def act(world: World) -> None:
        price = near(world, symbol, away)
        quantity = world.matcher.books[symbol].market.whole_lots(Decimal(quote) / price)
        limit = None if kind is OrderType.MARKET else price
        world.place(owner, symbol, order(owner, side, kind, (quantity, limit)))

    return act


def _cancel(owner: str, place: int) -> Act:
    def act(world: World) -> None:
        known = world.matcher.placed(owner)
        if known:
            world.cancel(owner, known[place % len(known)].venue_id)

    return act


def _said(name: str, *values: Any) -> Act:
    return lambda world: getattr(world, name)(*values)


def _moved(name: str, symbol: Symbol, after_s: int) -> Act:
    return lambda world: getattr(world, name)(symbol, world.now_ns + after_s * SECOND)


def _paid(owner: str, amount: int) -> Act:
    def act(world: World) -> None:
        try:
            world.deposit(owner, "USDT", Decimal(amount))
        except DomainError:
            assert amount < 0

    return act


def _lives(span_ms: int) -> Act:
    return lambda world: world.advance(world.now_ns + span_ms * MILLISECOND)


_owners, _symbols = st.sampled_from(["alice", "bob"]), st.sampled_from([BTC, MX])
_numbers = st.tuples(st.integers(-40, 40), st.integers(1, 400))
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(_lives, st.integers(1, 4_000)),
    st.builds(_place, _owners, _symbols, st.sampled_from(Side), st.sampled_from(OrderType), _numbers),
    st.builds(_place, _owners, _symbols, st.sampled_from(Side), st.just(OrderType.LIMIT), _numbers),
    st.builds(_cancel, _owners, st.integers(0, 30)),
    st.builds(_said, st.just("cancel_all"), _owners, st.none() | _symbols),
    st.builds(_said, st.sampled_from(["pause", "reopen", "reopen", "delist"]), _symbols),
    st.builds(_said, st.just("limit_sides"), _symbols, st.none() | st.sampled_from(Side)),
    st.builds(_moved, st.sampled_from(["forbid_api", "postpone"]), _symbols, st.integers(1, 4)),
    st.builds(_paid, _owners, st.integers(-300, 300)),
)


def seen(world: World) -> dict[str, Any]:
    """All that anybody can ask a world for."""
    owners = {account.owner for account in world.accounts.values()}
    symbols = [row.symbol for row in world.rows()]
    return {
        "now": world.now_ns,
        "next": world.next_ns(),
        "rows": world.rows(),
        "states": world.states(),
        "told": world.announcements(),
        "balances": {owner: world.matcher.balances(owner) for owner in owners},
        "orders": {owner: [placed.told() for placed in world.matcher.placed(owner)] for owner in owners},
        "open": {owner: world.matcher.open_orders(owner) for owner in owners},
        "trades": {owner: world.matcher.own_trades(owner, 0) for owner in owners},
        "books": {symbol: world.matcher.books[symbol].levels(100) for symbol in symbols},
        "versions": {symbol: world.matcher.books[symbol].version for symbol in symbols},
        "public": {symbol: world.history.trades(symbol, 50) for symbol in symbols},
        "candles": {symbol: world.history.candles(symbol, "1m", limit=5) for symbol in symbols},
        "days": {symbol: world.history.day(symbol) for symbol in symbols},
    }


def journal(memory: Path) -> list[str]:
    return (memory / "journal.jsonl").read_text().splitlines()
