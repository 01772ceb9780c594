"""The desk's books on the command line: what is shown, how wide, and what is said when there is nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.commands import pages
from mexclab.commands.tables import WIDTH, Column, facts, moment_utc, number, table
from tests.processes import one_line, run

SECOND = 1_000_000_000
OPENS = 1_779_278_400 * SECOND
LONG = "the venue reports what our books cannot hold, and that for a very long while already " * 2


def order_row(**more: Any) -> dict[str, Any]:
    """An order as the API gives it, with numbers as wide as they come."""
    row = {
        "client_id": "CALENDAR-FIRST01-b-12", "venue_id": "C02__123", "snipe_id": "CALENDAR-FIRST01",
        "leg": "b", "symbol": "FIRST01USDT", "side": "BUY", "type": "IMMEDIATE_OR_CANCEL",
        "state": "PARTIALLY_FILLED", "quantity": "123456.10", "price": "0.00012340", "filled": "100000.5",
        "average_price": "0.0001229876543", "decided_ns": OPENS, "sent_ns": OPENS, "left_ns": None,
        "acked_ns": None, "cancel_ns": None, "why": LONG,
    }  # fmt: skip
    return row | more


def page_of(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"orders": list(rows), "more": False, "external": [], "disputed": []} | more


def fits(text: str) -> bool:
    return all(len(line) <= WIDTH for line in text.splitlines())


# -- tables ------------------------------------------------------------------------------------------

CELLS = st.lists(st.tuples(st.text(max_size=30), st.text(max_size=20), st.text(max_size=300)), max_size=8)


@given(CELLS)
def test_a_table_is_aligned_and_never_wider_than_the_page(rows: list[tuple[str, str, str]]) -> None:
    columns = (Column("name"), Column("value", is_number=True), Column("why", may_shrink=True))
    lines = table(columns, rows).split("\n")
    assert len(lines) == len(rows) + 1
    assert all(len(line) <= WIDTH for line in lines)


def test_only_words_are_shortened_never_a_number() -> None:
    text = pages.orders(page_of(order_row()))
    assert fits(text)
    for whole in (
        "100000.5/123456.1",
        "0.0001234",
        "0.000122988",
        "CALENDAR-FIRST01-b-12",
        "2026-05-20 12:00:00",
    ):
        assert whole in text
    narrow = table((Column("n", is_number=True), Column("why", may_shrink=True)), [("1234567", "words")], 8)
    assert narrow.split("\n") == ["      n", "1234567"]
    assert "…" in pages.orders(page_of(order_row(quantity="1", filled="0", average_price=None)))


def test_a_moment_names_its_zone_and_a_number_has_no_exponent() -> None:
    assert moment_utc(OPENS + 4_000_000) == "2026-05-20 12:00:00.004 UTC"
    assert (number("1E-8"), number("1.500"), number("0E-9"), number(None)) == ("0.00000001", "1.5", "0", "")


def test_facts_leave_out_what_is_not_known_and_wrap_what_is_long() -> None:
    text = facts({"order": "a-b-1", "venue's id": "", "why": LONG})
    assert "venue" not in text.splitlines()[1][:10]
    assert fits(text)
    assert " ".join(text.split("why", 1)[1].split()) == LONG.strip()


# -- pages -------------------------------------------------------------------------------------------


def test_an_empty_list_is_said_in_a_sentence() -> None:
    nothing = {"last": None, "unknown": [], "disputed": [], "external": []}
    said = [
        pages.orders(page_of()),
        pages.snipes({"snipes": [], "more": False}),
        pages.positions({"positions": [], "remainders": []}),
        pages.post_mortems({"post_mortems": [], "more": False}),
        pages.reconciliation(nothing),
    ]
    assert all(text.endswith(".") and len(text.splitlines()) == 1 for text in said)


def test_orders_of_others_and_disputes_are_shown_beside_ours() -> None:
    external = {"venue_id": "C02__9", "symbol": "XUSDT", "side": "SELL", "quantity": "3", "price": "2",
                "seen_ns": OPENS}  # fmt: skip
    text = pages.orders(page_of(external=[external], disputed=[{"symbol": "YUSDT", "why": "sold twice"}]))
    assert "never touched" in text
    assert "C02__9" in text
    assert "YUSDT: sold twice" in text
    assert "mexclab reconcile --accept SYMBOL --why TEXT" in text
    assert "until a person resumes" in text


def test_an_order_of_unknown_fate_and_a_difference_are_what_a_comparison_says_first() -> None:
    last = {"at_ns": OPENS, "orders_asked": 2, "fills_found": 1, "unknown_left": 2, "external": 0,
            "differences": ["FIRST: the ledger holds 10, the venue 9"]}  # fmt: skip
    told = {"last": last, "unknown": [order_row(state="UNKNOWN")], "disputed": [], "external": []}
    text = pages.reconciliation(told)
    assert "2 open orders asked for, 1 missing trades found" in text
    assert "DIFFERS   FIRST: the ledger holds 10, the venue 9" in text
    assert "UNKNOWN   CALENDAR-FIRST01-b-12" in text
    assert "agree" not in text


def test_what_is_left_over_says_why_it_cannot_be_sold() -> None:
    rest = {"symbol": "FIRSTUSDT", "snipe_id": "s", "quantity": "0.3", "value": "0.1", "minimum": "1",
            "sellable": False, "why": "worth 0.1 USDT; the least order is 1 USDT"}  # fmt: skip
    text = pages.positions({"positions": [], "remainders": [rest]})
    assert "FIRSTUSDT 0.3: worth 0.1 USDT; the least order is 1 USDT" in text
    assert "mexclab sweep" in text


# -- commands ----------------------------------------------------------------------------------------

ASKING = [
    ["orders"], ["orders", "x-b-1"], ["snipes"], ["snipes", "x"], ["positions"], ["reconcile"],
    ["post-mortems"], ["strategy", "show"], ["strategy", "set", "attempts=3", "--why", "x"],
    ["sweep", "x"], ["abort", "x", "x"], ["exit", "x", "x", "--preset", "balanced"],
]  # fmt: skip


@pytest.mark.parametrize("words", ASKING[:3] + ASKING[-2:], ids=" ".join)
def test_without_a_desk_it_is_one_line_that_says_how_to_start_one(tmp_path: Path, words: list[str]) -> None:
    assert "mexclab trade" in one_line(run(tmp_path, *words), 6)


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("orders", "lab.events()"), ("snipes", "lab.snipes()"),
        ("post-mortems", "lab.post_mortem()"), ("post-mortems", "`mexclab run snipe_post_mortem`"),
    ],
)  # fmt: skip
def test_without_a_desk_what_the_ledger_tells_is_read_elsewhere(
    tmp_path: Path, words: str, instead: str
) -> None:
    _, _, elsewhere = one_line(run(tmp_path, words), 6).partition("Without one the ledger is read by")
    assert instead in elsewhere


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["exit", "s-1", "why"], "give at least one of --preset"),
        (["exit", "s-1", "why", "--stop-loss", "much"], "--stop-loss 'much' is no number"),
        (["exit", "s-1", "why", "--trailing", "NaN"], "--trailing 'NaN' is no number"),
        (["reconcile", "--accept", "ABCUSDT"], "--accept needs --why"),
        (["reconcile", "--why", "sold by hand"], "--why is the reason of --accept"),
        (["strategy", "set", "attempts", "--why", "x"], "'attempts' is not NAME=VALUE"),
        (["strategy", "import", "nowhere", "--why", "x"], "no preset is called 'nowhere'"),
    ],
)  # fmt: skip
def test_what_was_typed_wrong_is_said_before_anybody_is_asked(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    assert sentence in one_line(run(tmp_path, *words), 2)


def test_strategies_and_presets_are_listed_without_a_desk(tmp_path: Path) -> None:
    done = run(tmp_path, "strategy", "list", "--json")
    told = json.loads(done.stdout)
    assert [each["name"] for each in told["strategies"]] == ["opening_snipe"]
    assert {"aggressive", "balanced", "conservative"} <= set(told["presets"])
    assert fits(run(tmp_path, "strategy", "list").stdout)
