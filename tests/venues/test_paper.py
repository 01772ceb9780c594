"""The paper venue: orders travel, and after a crash it comes back with everything that had arrived."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pytest

from mexclab.domain.clock import DAY, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderState, OrderType
from mexclab.domain.reports import (
    Accepted,
    Balances,
    BookSeen,
    Cancelled,
    Happening,
    Refused,
    Traded,
    TradeSeen,
)
from mexclab.errors import VenueUnavailable
from mexclab.runtime.clock import ManualClock
from mexclab.venues.paper import PaperTerms, PaperVenue
from mexclab.venues.simulator.scenario import Fate, listing_day_script

SEED = 7
SCRIPT = next(script for script in listing_day_script(20_600, SEED) if script.fate is Fate.PLAIN)
START = SCRIPT.opens_ns - MINUTE  # a short life before the opening keeps the tests quick
OPEN = SCRIPT.opens_ns
TERMS = PaperTerms(START, SEED, "USDT", Decimal(1000), Decimal(0), Decimal("0.0005"), 120)

Heard: TypeAlias = list[tuple[int, Happening]]  # when it reached us, and what


class Account:
    """A paper venue and the clock that it lives by; ``again`` is a new process on the same memory."""

    def __init__(self, memory: Path | None, terms: PaperTerms = TERMS, now_ns: int = START) -> None:
        self.memory = memory
        self.clock = ManualClock(now_ns)
        self.venue = PaperVenue(self.clock, terms, memory)
        self.after: Account | None = None

    async def live(self, until_ns: int) -> Heard:
        heard: Heard = []
        while self.clock.now_ns() < until_ns:
            news = await self.venue.until(until_ns)
            heard += [(self.clock.now_ns(), happening) for happening in news]
        return heard

    def again(self, away_ns: int = 0, terms: PaperTerms = TERMS) -> Account:
        self.venue.close()
        self.after = Account(self.memory, terms, self.clock.now_ns() + away_ns)
        return self.after

    def close(self) -> None:
        self.venue.close()
        if self.after is not None:
            self.after.close()

    async def holds(self) -> tuple[Balances, object, object]:
        """All that an owner can ask for: balances, open orders, fills."""
        fills = await self.venue.fills(SCRIPT.symbol, 0)
        return await self.venue.balances(), await self.venue.open_orders(), fills


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Callable[..., Account]]:
    made: list[Account] = []

    def make(terms: PaperTerms = TERMS, now_ns: int = START) -> Account:
        made.append(Account(tmp_path / f"venue{len(made)}", terms, now_ns))
        return made[-1]

    yield make
    for each in made:
        each.close()


def order(client_id: str, side: Side, price: Decimal, quantity: Decimal, rests: bool = False) -> Order:
    market = SCRIPT.market(TERMS.maker_fee, TERMS.taker_fee)
    kind = OrderType.LIMIT if rests else OrderType.IMMEDIATE_OR_CANCEL
    return Order(
        client_id,
        SCRIPT.symbol,
        side,
        kind,
        market.whole_lots(quantity),
        market.limit_price(price, side),
    )


def entry(client_id: str = "ace-b-1", quote: int = 50) -> Order:
    """Buys at once, whatever the opening costs."""
    return order(client_id, Side.BUY, SCRIPT.placeholder * 10, Decimal(quote) / (SCRIPT.placeholder * 3))


async def with_a_history(desk: Account) -> None:
    """Bought; a sale that rests far above, another that was cancelled."""
    await desk.live(OPEN + 5 * SECOND)
    desk.venue.submit(entry())
    await desk.live(OPEN + 7 * SECOND)
    half = (await desk.venue.balances())[SCRIPT.symbol.base].free / 2
    stays = order("ace-t-1", Side.SELL, SCRIPT.placeholder * 500, half, rests=True)
    goes = order("ace-t-2", Side.SELL, SCRIPT.placeholder * 400, half, rests=True)
    desk.venue.submit(stays)
    desk.venue.submit(goes)
    await desk.live(OPEN + 9 * SECOND)
    desk.venue.cancel(goes)
    await desk.live(OPEN + 11 * SECOND + 1)  # what the market does at this very second included


def journal(desk: Account) -> Path:
    assert desk.memory is not None
    return desk.memory / "journal.jsonl"


# -- travelling ------------------------------------------------------------------------------------


async def test_an_order_travels_and_is_answered_after_its_delay(account: Callable[..., Account]) -> None:
    desk = account()
    await desk.live(OPEN + 5 * SECOND)
    sent = desk.clock.now_ns()
    desk.venue.submit(entry())
    assert await desk.venue.order("ace-b-1", SCRIPT.symbol) is None, "it is on its way"
    heard = await desk.live(sent + 2 * SECOND)
    reached, accepted = next((at, news) for at, news in heard if isinstance(news, Accepted))
    fills = [(at, news) for at, news in heard if isinstance(news, Traded)]
    assert sent < accepted.at_ns < reached < sent + SECOND
    assert fills
    assert all(news.at_ns == accepted.at_ns for _, news in fills), "it trades when it arrives"
    assert all(at > accepted.at_ns for at, _ in fills)
    known = await desk.venue.order("ace-b-1", SCRIPT.symbol)
    assert known is not None
    assert known.filled == sum(news.fill.quantity for _, news in fills)


async def test_an_order_that_has_not_arrived_moves_no_balance(account: Callable[..., Account]) -> None:
    desk = account()
    await desk.live(OPEN + 5 * SECOND)
    before = await desk.venue.balances()
    desk.venue.submit(entry())
    await desk.live(desk.clock.now_ns() + MILLISECOND)
    assert await desk.venue.balances() == before
    await desk.live(desk.clock.now_ns() + SECOND)
    after = await desk.venue.balances()
    fills = await desk.venue.fills(SCRIPT.symbol, 0)
    assert after["USDT"].total == before["USDT"].total - sum(fill.value + fill.fee for fill in fills)
    assert after[SCRIPT.symbol.base].total == sum(fill.quantity for fill in fills) > 0


async def test_an_order_meets_the_book_of_its_arrival_however_late_we_look(
    account: Callable[..., Account],
) -> None:
    looks, looked_away = account(), account()
    for desk in (looks, looked_away):
        await desk.live(OPEN + 2900 * MILLISECOND)
        desk.venue.submit(entry())
    await looked_away.clock.sleep_until(OPEN + MINUTE)
    for desk in (looks, looked_away):
        await desk.live(OPEN + MINUTE + 1)
    assert await looked_away.holds() == await looks.holds()
    assert (await looks.holds())[2]


async def test_twice_the_latency_is_twice_the_way(account: Callable[..., Account]) -> None:
    ways = []
    for latency_ms in (120, 240):
        desk = account(replace(TERMS, latency_ms=latency_ms))
        desk.venue.submit(entry())
        heard = await desk.live(START + 5 * SECOND)
        answer = next(news for _, news in heard if isinstance(news, Refused))
        ways.append(answer.at_ns - START)
    assert ways[1] == pytest.approx(2 * ways[0], abs=2)


async def test_a_cancelled_order_gives_back_what_it_held(account: Callable[..., Account]) -> None:
    desk = account()
    await with_a_history(desk)
    gone = await desk.venue.order("ace-t-2", SCRIPT.symbol)
    assert gone is not None
    assert gone.state is OrderState.CANCELED
    assert [known.client_id for known in await desk.venue.open_orders()] == ["ace-t-1"]
    locked = (await desk.venue.balances())[SCRIPT.symbol.base].locked
    assert locked == (await desk.venue.open_orders())[0].quantity


async def test_the_books_of_symbols_that_nobody_watches_are_not_told(account: Callable[..., Account]) -> None:
    desk = account()
    quiet = await desk.live(OPEN + 10 * SECOND)
    assert quiet == []
    desk.venue.watch(Symbol("ELSEWHERE"))
    assert await desk.live(OPEN + 12 * SECOND) == []
    desk.venue.watch(SCRIPT.symbol)
    heard = await desk.live(OPEN + 20 * SECOND)
    assert {type(news) for _, news in heard} == {BookSeen, TradeSeen}
    books = [(at, news.book) for at, news in heard if isinstance(news, BookSeen)]
    assert {book.symbol for _, book in books} == {SCRIPT.symbol}
    assert all(at == book.at_ns for at, book in books), "public news is seen at once"


async def test_our_own_news_comes_without_watching(account: Callable[..., Account]) -> None:
    desk = account()
    await desk.live(OPEN + 5 * SECOND)
    desk.venue.submit(entry())
    heard = await desk.live(OPEN + 7 * SECOND)
    assert {type(news) for _, news in heard} <= {Accepted, Traded, Cancelled}
    assert {type(news) for _, news in heard} >= {Accepted, Traded}


async def test_the_same_seed_and_requests_give_the_same_history(account: Callable[..., Account]) -> None:
    histories = []
    for seed in (SEED, SEED, SEED + 1):
        desk = account(replace(TERMS, seed=seed))
        desk.venue.watch(SCRIPT.symbol)
        heard = await desk.live(OPEN + 3 * SECOND)
        desk.venue.submit(entry())
        heard += await desk.live(OPEN + 20 * SECOND)
        histories.append((heard, await desk.holds()))
    assert histories[0] == histories[1]
    assert len(histories[0][0]) > 50
    assert histories[0] != histories[2]


# -- memory ----------------------------------------------------------------------------------------


async def test_the_journal_brings_the_same_account_back_after_a_restart(
    account: Callable[..., Account],
) -> None:
    desk = account()
    await with_a_history(desk)
    before = await desk.holds()
    assert before[1]
    assert before[2]
    back = desk.again()
    assert await back.holds() == before
    assert await back.venue.order("ace-t-2", SCRIPT.symbol) == await desk.venue.order(
        "ace-t-2", SCRIPT.symbol
    )
    book, same = (each.venue.matcher.books[SCRIPT.symbol].levels(20) for each in (desk, back))
    assert book == same
    back.venue.cancel(order("ace-t-1", Side.SELL, Decimal(1), Decimal(1)))
    await back.live(back.clock.now_ns() + 2 * SECOND)
    last = back.again()
    assert await last.venue.open_orders() == []


async def test_while_we_are_away_the_market_goes_on_without_us(account: Callable[..., Account]) -> None:
    desk, stays = account(), account()
    for each in (desk, stays):
        await with_a_history(each)
    await stays.live(stays.clock.now_ns() + MINUTE)
    back = desk.again(away_ns=MINUTE)
    # a moment's own work is done after the moment, so that ours comes first: both are taken past it
    for each in (back, stays):
        await each.live(each.clock.now_ns() + 1)
    assert await back.holds() == await stays.holds()
    for each in (back, stays):
        assert each.venue.market_side.now_ns == stays.clock.now_ns() - 1
    books = [each.venue.matcher.books[SCRIPT.symbol] for each in (back, stays)]
    assert books[0].levels(20) == books[1].levels(20)
    assert books[0].last == books[1].last


async def test_later_starts_take_the_terms_of_the_first(account: Callable[..., Account]) -> None:
    desk = account()
    await with_a_history(desk)
    before = await desk.holds()
    back = desk.again(terms=replace(TERMS, seed=99, quote_balance=Decimal(5), latency_ms=1))
    assert back.venue.terms == TERMS
    assert await back.holds() == before


@pytest.mark.parametrize("cut", ['{"do": "submit", "client_id": "ace-b-9", "ba', "{", '{"do": "cancel", "\n'])
async def test_a_journal_line_cut_short_by_a_crash_is_dropped_and_the_rest_kept(
    account: Callable[..., Account], cut: str
) -> None:
    desk = account()
    await with_a_history(desk)
    before, whole = await desk.holds(), journal(desk).read_text()
    with journal(desk).open("a") as file:
        file.write(cut)
    back = desk.again()
    assert await back.holds() == before
    assert journal(back).read_text() == whole
    back.venue.submit(entry("ace-b-2", quote=20))
    await back.live(back.clock.now_ns() + 2 * SECOND)
    then = await back.holds()
    assert then != before
    last = back.again()
    assert await last.holds() == then, "what came after the cut is kept as well"


async def test_a_request_on_its_way_at_a_crash_never_arrived(account: Callable[..., Account]) -> None:
    desk = account()
    await desk.live(OPEN + 5 * SECOND)
    whole = journal(desk).read_text()
    desk.venue.submit(entry())
    back = desk.again()
    heard = await back.live(back.clock.now_ns() + 5 * SECOND)
    assert heard == []
    assert await back.venue.order("ace-b-1", SCRIPT.symbol) is None
    assert (await back.venue.balances())["USDT"].total == 1000
    assert journal(back).read_text() == whole


async def test_a_request_that_had_arrived_is_kept_though_its_answer_was_not_heard(
    account: Callable[..., Account],
) -> None:
    desk = account()
    await desk.live(OPEN + 5 * SECOND)
    desk.venue.submit(entry())
    while await desk.venue.order("ace-b-1", SCRIPT.symbol) is None:
        heard = await desk.live(desk.clock.now_ns() + MILLISECOND)
        assert not any(isinstance(news, Accepted) for _, news in heard)
    back = desk.again()
    known = await back.venue.order("ace-b-1", SCRIPT.symbol)
    assert known is not None
    assert known.filled > 0


async def test_every_request_is_in_the_journal_with_the_moment_of_its_arrival(
    account: Callable[..., Account],
) -> None:
    desk = account()
    await with_a_history(desk)
    terms, *requests = [json.loads(line) for line in journal(desk).read_text().splitlines()]
    assert terms["seed"] == SEED
    asked = [(request["do"], request["client_id"]) for request in requests]
    assert asked[0] == ("submit", "ace-b-1")
    assert asked[-1] == ("cancel", "ace-t-2")
    arrivals = [request["at_ns"] for request in requests]
    assert arrivals == sorted(arrivals)
    assert len(arrivals) == 4


@pytest.mark.parametrize("first", ["no journal at all\n", '{"start_ns": 1', '{"seed": 7}\n', "\n"])
def test_an_unreadable_journal_is_one_clear_sentence_and_is_left_as_it_is(tmp_path: Path, first: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(first)
    with pytest.raises(VenueUnavailable, match="cannot be read; move it away") as caught:
        PaperVenue(ManualClock(START), TERMS, tmp_path)
    assert str(path) in str(caught.value)
    assert path.read_text() == first


async def test_a_venue_without_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    desk = Account(None)
    desk.venue.submit(entry())
    heard = await desk.live(START + 2 * SECOND)
    assert [news.code for _, news in heard if isinstance(news, Refused)] == [10007]
    assert os.listdir(tmp_path) == []


async def test_in_one_process_there_is_one_clock(account: Callable[..., Account]) -> None:
    desk = account(now_ns=START + DAY // 1000)
    reading = await desk.venue.clock_reading()
    assert (reading.offset_ns, reading.error_ns, reading.measured_ns) == (0, 0, desk.clock.now_ns())


@pytest.mark.parametrize("first", ["[]", '{"colour": 1}', '{"quote_balance": "abc"}'])
def test_terms_that_are_no_terms_are_one_clear_sentence(tmp_path: Path, first: str) -> None:
    (tmp_path / "journal.jsonl").write_text(first + "\n")
    with pytest.raises(VenueUnavailable, match="move it away"):
        PaperVenue(ManualClock(START), TERMS, tmp_path)


@pytest.mark.parametrize("line", ["12", "{}", "garb"])
def test_damage_before_the_last_line_of_a_journal_loses_nothing_silently(tmp_path: Path, line: str) -> None:
    PaperVenue(ManualClock(START), TERMS, tmp_path).close()
    path = tmp_path / "journal.jsonl"
    whole = path.read_text() + line + '\n{"do": "cancel", "client_id": "x", "at_ns": 1}\n'
    path.write_text(whole)
    with pytest.raises(VenueUnavailable, match="move it away"):
        PaperVenue(ManualClock(START), TERMS, tmp_path)
    assert path.read_text() == whole
