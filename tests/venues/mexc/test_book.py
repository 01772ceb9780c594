"""The live book: MEXC's sync rule, against a naive twin and against the true book."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.market import Book, Symbol
from mexclab.domain.reports import DriftSeen
from mexclab.errors import VenueUnavailable
from mexclab.venues.mexc import book as book_module
from mexclab.venues.mexc import depth_levels
from mexclab.venues.mexc.book import DepthSnapshot, LiveBook, Step
from mexclab.venues.mexc.drift import Drift
from mexclab.venues.mexc.frames import Decoder, DepthDiff
from tests.naive.book_naive import NaiveBook
from tests.venues.mexc.depth_process import START_MS, DepthProcess, Terms, depth_frame

BTC = Symbol("BTC")
Pairs = list[tuple[str, str]]


def read(frame: bytes) -> DepthDiff:
    heard = Decoder(Drift(lambda seen: None), Symbol.parse).decode(frame, 0)
    if not isinstance(heard, DepthDiff):
        raise VenueUnavailable("another body")
    return heard


def fresh() -> LiveBook:
    return LiveBook(BTC, read)


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


def test_a_diff_with_empty_parts_waits_like_any_other() -> None:
    book = fresh()
    assert book.take(diff(5, 5).replace(b"@10ms", b"\x00\x00\x00\x00\x00")) is Step.KEPT
    assert book.anchor(snapshot(4))
    assert book.version == 5


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
    book.take(diff(5, 5, asks=[("11.0", "2")]))
    book.take(diff(6, 6, asks=[("11.000", "3")]))
    assert shown(book, 5) == {"asks": [(11, 3)], "bids": [(10, 1)]}
    book.take(diff(7, 7, asks=[("011", "0")]))
    assert shown(book, 5) == {"asks": [], "bids": [(10, 1)]}


def test_prices_keep_their_order_when_a_finer_one_comes() -> None:
    book = live(4)
    book.take(diff(5, 5, asks=[("10.9", "1"), ("10.905", "2")], bids=[("10.00000001", "3")]))
    assert shown(book) == {
        "asks": [(Decimal("10.9"), 1), (Decimal("10.905"), 2), (11, 1)],
        "bids": [(Decimal("10.00000001"), 3), (10, 1)],
    }


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-1", "1.2.3", ".", "9" * 40, "", "1_0", "1e-400", "٣"]
)
@pytest.mark.parametrize("side", ["asks", "bids"])
@pytest.mark.parametrize("is_price", [True, False])
@pytest.mark.parametrize("is_sampled", [True, False])
def test_a_number_that_is_none_loses_the_book_and_is_never_shown(
    number: str, side: str, is_price: bool, is_sampled: bool
) -> None:
    """A price that is none is refused at once, a quantity when it is looked at or the schema is asked."""
    book = live(4)
    if not is_sampled:
        book.take(diff(5, 5))
    level = (number, "1") if is_price else ("10.5", number)
    frame = diff(5 if is_sampled else 6, 6, **{side: [("10.6", "1"), level]})
    if is_price or is_sampled:
        with pytest.raises(VenueUnavailable):
            book.take(frame)
        assert book.version is None
    else:
        book.take(frame)
    assert book.book(10, 0) is None
    assert (book.resyncs, bool(book.why)) == (1, True)


def test_a_price_of_zero_is_refused() -> None:
    book = live(4)
    with pytest.raises(VenueUnavailable):
        book.take(diff(5, 5, asks=[("0.00", "1")]))
    assert book.version is None


def test_what_is_no_protobuf_loses_the_book_and_is_told() -> None:
    told: list[DriftSeen] = []
    decoder = Decoder(Drift(told.append), Symbol.parse)

    def read_and_tell(frame: bytes) -> DepthDiff:
        heard = decoder.decode(frame, 7)
        assert isinstance(heard, DepthDiff)
        return heard

    book = LiveBook(BTC, read_and_tell)
    assert book.anchor(snapshot(4))
    with pytest.raises(VenueUnavailable):
        book.take(diff(5, 5, asks=[("12", "1")])[:-2])
    assert (book.version, book.resyncs, decoder.malformed) == (None, 1, 1)
    assert [(seen.endpoint, seen.what) for seen in told] == [("public.aggre.depth", "is no protobuf")]


def test_a_frame_that_looks_like_the_next_one_and_is_not_loses_the_book() -> None:
    """The next version stands in it, but not where versions stand."""
    book = live(4)
    hidden = diff(7, 8).replace(b"100ms", b'"\x015*s').replace(b"10ms", b'"\x015*')
    assert b'"\x015*' in hidden
    with pytest.raises(VenueUnavailable):
        book.take(hidden)
    assert book.version is None


def test_a_snapshot_with_a_price_below_zero_is_refused() -> None:
    book = fresh()
    with pytest.raises(VenueUnavailable):
        book.anchor(snapshot(3, bids=[("-1", "1")]))
    assert book.version is None


def with_new_fields(frame: bytes) -> bytes:
    """The frame with a field more in the wrapper, in its body and in each of its levels."""
    level = b"\n\x0210\x12\x017"
    assert level in frame
    size = frame.index(b"\xca\x13") + 2
    wide = frame.replace(b"\x12\x07" + level, b"\x12\x0a" + level + b"\x1a\x01x") + b"\x3a\x03new"
    return b"\xfa\x01\x03new" + wide[:size] + bytes((wide[size] + 8,)) + wide[size + 1 :]


def test_new_fields_anywhere_are_told_once_and_no_level_is_left_out() -> None:
    told: list[DriftSeen] = []
    decoder = Decoder(Drift(told.append), Symbol.parse)

    def read_and_tell(frame: bytes) -> DepthDiff:
        heard = decoder.decode(frame, 7)
        assert isinstance(heard, DepthDiff)
        return heard

    book = LiveBook(BTC, read_and_tell)
    assert book.anchor(snapshot(4))
    for version in range(5, 9):
        assert book.take(diff(version, version, bids=[("10", "9")])) is Step.APPLIED
    for version in range(9, 12):
        assert book.take(with_new_fields(diff(version, version, bids=[("10", "7")]))) is Step.APPLIED
        assert shown(book) == {"asks": [(11, 1)], "bids": [(10, 7)]}
    assert sorted(seen.field for seen in told) == ["31", "publicAggreDepths.7", "publicAggreDepths.levels.3"]


def test_the_book_says_when_its_last_diff_was_sent() -> None:
    book = live(4)
    assert book.sent_ns is None
    book.take(diff(5, 5))
    assert book.sent_ns == START_MS * 1_000_000


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
    for version in range(5, 9_005):
        book.take(diff(version, version, asks=[(f"{20 + version}.5", "1"), (f"{19 + version}.5", "0")]))
    assert shown(book) == {"asks": [(11, 1), (Decimal("9024.5"), 1)], "bids": [(10, 1)]}
    assert len(book) < depth_levels.FEW_PLACES + book_module.RENEWED_EVERY + 10


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
    clever = live(3)
    clever.take(diff(4, 4))  # the first is held against the full schema, those after it are not
    try:
        step = clever.take(bytes(frame))
    except VenueUnavailable:
        assert clever.version is None
        return
    found = shown(clever)
    try:
        told = read(bytes(frame))
    except VenueUnavailable:
        assert found is None or step is not Step.APPLIED
        return
    if step is Step.APPLIED:
        sides = {"asks": {11: Decimal(1)}, "bids": {10: Decimal(1)}}
        for name, levels in (("asks", told.asks), ("bids", told.bids)):
            for price, quantity in levels:
                sides[name][price] = quantity
        assert found == {
            name: sorted(((p, q) for p, q in side.items() if q), reverse=name == "bids")
            for name, side in sides.items()
        }
