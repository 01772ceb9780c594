"""A book that begins before anybody quotes: what every listing's book is before its opening."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mexclab.venues.mexc.book import DepthSnapshot, Step
from tests.venues.mexc.depth_process import depth_frame
from tests.venues.mexc.test_book import fresh

ASK, BID = [("11", "2")], [("10", "3")]


@pytest.mark.parametrize(
    ("first", "second"), [((ASK, BID), ([], [])), ((ASK, []), ([], BID)), (([], BID), (ASK, []))]
)
def test_a_book_that_begins_with_an_empty_snapshot_shows_what_comes(
    first: tuple[list[tuple[str, str]], ...], second: tuple[list[tuple[str, str]], ...]
) -> None:
    book = fresh()
    assert book.anchor(DepthSnapshot(0, [], []))
    assert book.take(depth_frame((1, 2), *first)) is Step.APPLIED
    assert book.take(depth_frame((3, 4), *second)) is Step.APPLIED
    seen = book.book(5, 0)
    assert seen is not None
    assert [(level.price, level.quantity) for level in seen.asks] == [(Decimal(11), Decimal(2))]
    assert [(level.price, level.quantity) for level in seen.bids] == [(Decimal(10), Decimal(3))]
