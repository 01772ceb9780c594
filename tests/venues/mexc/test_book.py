"""The live book: MEXC's sync rule, against a naive twin and against the true book."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.market import Book, Symbol
from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc import book as book_module
from mexclab.venues.mexc.book import DepthSnapshot, LiveBook, Step
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.frames import Decoder, DepthDiff
from tests.naive.book_naive import NaiveBook
from tests.venues.mexc.depth_process import CHANNEL, DepthProcess, Terms, depth_frame

BTC = Symbol("BTC")
Pairs = list[tuple[str, str]]


def read(frame: bytes) -> DepthDiff:
    heard = Decoder(Drift(lambda seen: None), Symbol.parse).decode(frame, 0)
    if not isinstance(heard, DepthDiff):
        raise VenueUnavailable("another body")
    return heard


def fresh() -> LiveBook:
    return LiveBook(BTC, CHANNEL, read)


def snapshot(version: int, bids: Pairs | None = None, asks: Pairs | None = None) -> DepthSnapshot:
    def side(levels: Pairs | None) -> list[tuple[Decimal, Decimal]]:
        return [(Decimal(price), Decimal(quantity)) for price, quantity in levels or ()]

    return DepthSnapshot(version, side(bids or [("10", "1")]), side(asks or [("11", "1")]))


def diff(first: int, last: int, asks: Pairs | None = None, bids: Pairs | None = None) -> bytes:
    return depth_frame((first, last), asks or [], bids or [])


def live(version: int = 4) -> LiveBook:
    book = fresh()
    assert book.anchor(snapshot(version))
    return book


def shown(book: LiveBook, depth: int = 1000) -> dict[str, list[tuple[Decimal, Decimal]]] | None:
    seen = book.book(depth, 0)
    if seen is None:
        return None
    return {
        "asks": [(level.price, level.quantity) for level in seen.asks],
        "bids": [(level.price, level.quantity) for level in seen.bids],
    }


# -- the sync rule ------------------------------------------------------------------------------------


def test_diffs_wait_for_the_snapshot_and_what_it_holds_already_is_dropped() -> None:
    book = fresh()
    assert book.take(diff(1, 3, asks=[("11", "9")])) is Step.KEPT
    assert book.take(diff(4, 6, asks=[("11", "7")])) is Step.KEPT
    assert book.book(5, 0) is None
    assert book.anchor(snapshot(3))
    assert (book.version, book.applied, book.resyncs) == (6, 1, 0)
    assert shown(book) == {"asks": [(11, 7)], "bids": [(10, 1)]}


def test_a_snapshot_that_is_older_than_the_first_diff_is_not_taken() -> None:
    book = fresh()
    book.take(diff(8, 9))
    assert not book.anchor(snapshot(6))
    assert book.version is None
    assert book.anchor(snapshot(7))
    assert book.version == 9


def test_the_first_diff_may_straddle_the_snapshot() -> None:
    book = fresh()
    book.take(diff(1, 6, asks=[("11", "7")]))
    assert book.anchor(snapshot(4))
    assert (book.version, shown(book)) == (6, {"asks": [(11, 7)], "bids": [(10, 1)]})


def test_a_snapshot_without_diffs_is_shown_at_once_and_held_to_the_next_one() -> None:
    book = live(4)
    assert book.take(diff(3, 5, bids=[("10", "2")])) is Step.APPLIED
    assert shown(book) == {"asks": [(11, 1)], "bids": [(10, 2)]}


def test_a_missing_version_loses_the_book_and_is_counted() -> None:
    book = live(4)
    assert book.take(diff(6, 7, asks=[("11", "5")])) is Step.GAP
    assert (book.version, book.resyncs, book.why) == (None, 1, "versions 5 to 5 are missing")
    assert book.book(5, 0) is None
    assert book.anchor(snapshot(6)), "the diff that showed the gap was kept"
    assert (book.version, shown(book)) == (7, {"asks": [(11, 5)], "bids": [(10, 1)]})


def test_a_gap_among_the_kept_diffs_asks_for_another_snapshot() -> None:
    book = fresh()
    for first in (5, 6, 9, 10):
        book.take(diff(first, first))
    assert not book.anchor(snapshot(4))
    assert book.resyncs == 1
    assert book.anchor(snapshot(8))
    assert book.version == 10


def test_what_is_told_twice_counts_once() -> None:
    book = live(4)
    frame = diff(5, 6, asks=[("11", "0"), ("12", "1")])
    assert [book.take(frame), book.take(frame)] == [Step.APPLIED, Step.OLD]
    assert (book.applied, book.dropped, book.version) == (1, 1, 6)


def test_a_book_that_only_hears_old_news_is_begun_anew() -> None:
    book = live(1_000)
    steps = [book.take(diff(5, 6)) for _ in range(book_module.MOST_OLD)]
    assert steps[-1] is Step.GAP
    assert set(steps[:-1]) == {Step.OLD}
    assert book.version is None


def test_a_quantity_of_zero_removes_a_level_and_removing_none_is_nothing() -> None:
    book = live(4)
    book.take(diff(5, 5, asks=[("11.00", "0.000"), ("13", "0")], bids=[("9", "2")]))
    assert shown(book) == {"asks": [], "bids": [(10, 1), (9, 2)]}


# -- levels -------------------------------------------------------------------------------------------


def test_a_price_is_one_level_however_it_is_written() -> None:
    book = live(4)
    book.take(diff(5, 5, asks=[("11.0", "2"), ("11.000", "3")]))
    assert shown(book, 5) == {"asks": [(11, 3)], "bids": [(10, 1)]}
    book.take(diff(6, 6, asks=[("011", "0")]))
    assert shown(book, 5) == {"asks": [], "bids": [(10, 1)]}


def test_prices_keep_their_order_when_a_finer_one_comes() -> None:
    book = live(4)
    book.take(diff(5, 5, asks=[("10.9", "1"), ("10.905", "2")], bids=[("10.00000001", "3")]))
    assert shown(book) == {
        "asks": [(Decimal("10.9"), 1), (Decimal("10.905"), 2), (11, 1)],
        "bids": [(Decimal("10.00000001"), 3), (10, 1)],
    }


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1", "1.2.3", ".", "9" * 40, "", "1_0", "1e-400"])
@pytest.mark.parametrize("is_price", [True, False])
def test_a_frame_with_a_number_that_is_none_is_refused_and_the_book_is_lost(
    number: str, is_price: bool
) -> None:
    book = live(4)
    level = (number, "1") if is_price else ("12", number)
    try:
        book.take(diff(5, 5, asks=[("11.5", "1"), level]))
    except VenueUnavailable:
        assert book.version is None
    assert book.book(10, 0) is None, "two points in one number are found when it is read"
    assert book.resyncs == 1


def test_a_price_of_zero_is_refused() -> None:
    book = live(4)
    with pytest.raises(VenueUnavailable):
        book.take(diff(5, 5, asks=[("0.00", "1")]))
    assert book.version is None


def test_a_snapshot_with_a_price_below_zero_is_refused() -> None:
    book = fresh()
    with pytest.raises(VenueUnavailable):
        book.anchor(snapshot(3, bids=[("-1", "1")]))
    assert book.version is None


def test_a_layout_that_is_not_the_usual_one_is_read_by_the_schema() -> None:
    """Levels with a new field, longer numbers, bids before asks: slower, and just as right."""
    book = live(4)
    frame = diff(5, 6, asks=[("11", "0.1234567890123456789012")], bids=[("10", "3")])
    assert book.take(frame) is Step.APPLIED
    with_field = frame.replace(b"\n\x07\n\x0210\x12\x013", b"")
    assert with_field == frame
    wide = diff(7, 8, bids=[("10", "4")]).replace(
        b"\x12\x07\n\x0210\x12\x014", b"\x12\x0a\n\x0210\x12\x014\x1a\x01x"
    )
    size = wide.index(b"\xca\x13") + 2
    wide = wide[:size] + bytes((wide[size] + 3,)) + wide[size + 1 :]
    assert book.take(wide) is Step.APPLIED
    assert shown(book) == {"asks": [(11, Decimal("0.1234567890123456789012"))], "bids": [(10, 4)]}


def test_a_book_is_made_once_for_as_long_as_nothing_changes() -> None:
    book = live(4)
    one, other = book.book(5, 1), book.book(5, 2)
    assert isinstance(one, Book)
    assert isinstance(other, Book)
    assert one.bids is other.bids
    assert (one.at_ns, other.at_ns, one.version) == (1, 2, 4)


def test_levels_that_did_not_change_are_not_made_again() -> None:
    book = live(4)
    before = book.book(5, 0)
    book.take(diff(5, 5, bids=[("9", "1")]))
    after = book.book(5, 0)
    assert before is not None
    assert after is not None
    assert after.bids[0] is before.bids[0]


def test_places_of_levels_that_are_gone_do_not_pile_up() -> None:
    book = live(4)
    for version in range(5, 4_005):
        book.take(diff(version, version, asks=[(f"{20 + version}.5", "1"), (f"{19 + version}.5", "0")]))
    assert shown(book) == {"asks": [(11, 1), (Decimal("4024.5"), 1)], "bids": [(10, 1)]}
    assert len(book) < 2 * book_module.EMPTY_PLACES + 10


# -- the naive twin -----------------------------------------------------------------------------------


def follow(process: DepthProcess, count: int) -> tuple[LiveBook, NaiveBook]:
    """Both books hear the same; each is given a snapshot whenever it needs one."""
    clever, naive = fresh(), NaiveBook()
    for frame, within in process.told(count):
        clever.take(frame)
        naive.take(frame)
        if naive.version is None:
            found = within[0] if within else process.snapshot()
            assert clever.anchor(found) == naive.anchor(found)
        assert clever.version == naive.version
        assert clever.resyncs == naive.resyncs
    return clever, naive


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    decimals=st.integers(0, 8),
    lost=st.sampled_from([0.0, 0.02, 0.2]),
    doubled=st.sampled_from([0.0, 0.1]),
)
def test_the_book_equals_its_naive_twin_after_any_history(
    seed: int, decimals: int, lost: float, doubled: float
) -> None:
    process = DepthProcess(Terms(seed=seed, decimals=decimals, spread=20, lost=lost, doubled=doubled))
    clever, naive = follow(process, 300)
    assert shown(clever, 10**6) == {"asks": naive.levels("asks"), "bids": naive.levels("bids")}
    best = {"asks": naive.levels("asks")[:7], "bids": naive.levels("bids")[:7]}
    assert shown(clever, 7) == best


def test_reading_after_every_diff_shows_what_reading_at_the_end_shows() -> None:
    process = DepthProcess(Terms(seed=3, spread=8, removals=0.5))
    clever, naive = fresh(), NaiveBook()
    begin = process.snapshot()
    assert clever.anchor(begin)
    assert naive.anchor(begin)
    for frame, _ in process.told(1_500):
        clever.take(frame)
        naive.take(frame)
        assert shown(clever, 5) == {"asks": naive.levels("asks")[:5], "bids": naive.levels("bids")[:5]}


def test_the_book_equals_the_true_one_whenever_it_is_whole() -> None:
    process = DepthProcess(Terms(seed=11, lost=0.05, doubled=0.05))
    clever, _ = follow(process, 500)
    while clever.take(process.frame()) is not Step.APPLIED:
        clever.anchor(process.snapshot())
    truth = process.snapshot()
    assert shown(clever, 10**6) == {"asks": truth.asks, "bids": truth.bids}


@settings(max_examples=300)
@given(data=st.data())
def test_a_frame_with_wrong_bytes_shows_what_the_schema_reads_or_nothing(data: Any) -> None:
    frame = bytearray(diff(5, 9, asks=[("117145.49", "0"), ("117146", "1.868")], bids=[("117053.4", "0.25")]))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    clever = live(4)
    try:
        step = clever.take(bytes(frame))
    except VenueUnavailable:
        with pytest.raises(VenueUnavailable):
            read(bytes(frame))
        assert clever.version is None
        return
    found = shown(clever)
    try:
        told = read(bytes(frame))
    except VenueUnavailable:
        assert found is None
        return
    if step is Step.APPLIED:
        expected = live(4)
        expected.take_diff(told)
        assert found == shown(expected)
