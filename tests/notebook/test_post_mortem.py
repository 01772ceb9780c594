"""What became of each snipe, from the ledger of a day that is known to the last digit."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from mexclab import jobs
from mexclab.config import Settings
from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, MILLISECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Fill
from mexclab.domain.post_mortem import PostMortemRow
from mexclab.domain.snipe import SnipeState
from mexclab.errors import ParameterError
from mexclab.notebook import plots, tables
from mexclab.notebook.display import Table
from mexclab.notebook.lab import Lab
from mexclab.notebook.post_mortem import PostMortem, review, steps
from mexclab.notebook.record import Record, has_ledger, listings_in, read
from mexclab.store.ledger import PostgresLedger
from mexclab.store.memory import MemoryLedger
from mexclab.store.postgres import connect
from mexclab.store.recorder import PostgresRecorder
from tests.recorded_day import FIRST_OPEN_NS, OPEN_NS, REFUSED, SEEN_NS, WON, recorded_day, sightings

ACKED_NS = OPEN_NS + 60 * MILLISECOND


@pytest.fixture
async def record() -> Record:
    """The day in a ledger that lives in memory, read back from it."""
    ledger = MemoryLedger()
    await ledger.append(*recorded_day())
    return Record(tuple(ledger.read()), (), "memory")


@pytest.fixture
def cases(record: Record) -> tuple[PostMortemRow, ...]:
    return review([event for _, event in record.events], listings_in(record))


@pytest.fixture
def won(cases: tuple[PostMortemRow, ...]) -> PostMortemRow:
    return next(case for case in cases if case.snipe_id == WON)


def test_the_steps_of_a_snipe_are_told_in_the_order_in_which_they_came(won: PostMortemRow) -> None:
    assert [phase.name for phase in steps(won)] == [
        *("first seen", "signal", "planned", "retimed", "preflight", "armed", "loaded", "scheduled", "fired"),
        *("acknowledged", "first fill", "exit t1", "leaving", "exit x", "closed"),
    ]
    times = [phase.at_ns for phase in steps(won)]
    assert times == sorted(times)
    assert (times[0], times[7]) == (SEEN_NS, OPEN_NS)


def test_lateness_is_the_machines_and_the_answer_time_is_the_venues(won: PostMortemRow) -> None:
    assert won.lateness_ns == 180_000
    assert won.answer_ns == 60_000_000 - 200_000


def test_the_lead_counts_to_the_opening_as_it_stood_last(won: PostMortemRow) -> None:
    assert won.open_ns == OPEN_NS
    assert won.lead_ns == 8 * HOUR


def test_slippage_is_the_average_entry_against_the_cap_and_the_first_fill(won: PostMortemRow) -> None:
    assert won.average_entry == Decimal("1.05")
    assert won.slippage("cap") == Decimal("1.05") / Decimal("1.20") - 1
    assert won.slippage("first_fill") == Decimal("0.05")
    assert won.slippage("first_close") is None


def test_slippage_against_the_first_book_is_against_its_best_ask(record: Record) -> None:
    events = [event for _, event in record.events]
    seen = e.FirstBookSeen(OPEN_NS + 1, WON, Symbol("ABC"), None, Decimal("1.00"))
    (case,) = review([*events, seen], (), WON)
    assert case.first_ask == 1
    assert case.slippage("first_ask") == Decimal("0.05")


def test_the_first_close_is_asked_for_at_the_opening_that_was_aimed_at(record: Record) -> None:
    asked = []

    def first_close(symbol: object, open_ns: int) -> Decimal:
        asked.append((str(symbol), open_ns))
        return Decimal("2.10")

    (case,) = review([event for _, event in record.events], (), WON, first_close)
    assert asked == [("MARROWUSDT", OPEN_NS)]
    assert case.slippage("first_close") == Decimal("-0.5")


def test_profit_is_sold_minus_bought_minus_fees_to_the_last_digit(won: PostMortemRow) -> None:
    fees = (Decimal(20) + Decimal(22) + Decimal(12) + Decimal(27)) * Decimal("0.0005")
    assert won.fees_quote == fees
    assert won.spent == Decimal(42)
    assert won.profit == Decimal(12) + Decimal(27) - Decimal(42) - fees
    assert won.average_exit == Decimal(39) / Decimal(40)


def test_a_snipe_that_never_fired_has_no_prices_and_says_why(cases: tuple[PostMortemRow, ...]) -> None:
    refused = next(case for case in cases if case.snipe_id == REFUSED)
    assert refused.state is SnipeState.ABORTED
    assert refused.why == "no orders by API"
    assert (refused.average_entry, refused.lateness_ns, refused.slippage("cap")) == (None, None, None)
    assert refused.profit == 0


def test_a_snipe_that_does_not_exist_is_refused_with_the_ids_there_are(record: Record) -> None:
    with pytest.raises(ParameterError, match=WON):
        review([event for _, event in record.events], (), "nobody")


def test_the_table_the_summary_and_the_figure_tell_the_same_day(cases: tuple[PostMortemRow, ...]) -> None:
    told = PostMortem(cases, "memory")
    assert told.table["symbol"].to_list() == ["OTTERUSDT", "MARROWUSDT"]
    assert told.table["late_us"].to_list() == [None, 180.0]
    assert "2 snipes, 1 entered, 0 with a profit; -3.0405 USDT after 0.0405 of fees" in told.summary
    assert told.phases.filter(told.phases["phase"] == "first fill")["since_open_s"].item() == pytest.approx(
        0.06
    )
    names = {trace.name for trace in told.figure().data}
    assert {"first seen", "fired", "acknowledged", "exit", "closed", "aborted"} <= names
    assert repr(told).count("\n") == 2


def witnessed(record: Record) -> list[e.Event]:
    """The day with a first book, a first trade and a shot whose request was timed."""
    order, trade = f"{WON}-b-1", Decimal("1.00")
    return [
        *(event for _, event in record.events),
        e.ShotTimed(OPEN_NS + 200_000, order, OPEN_NS, OPEN_NS + 150_000, OPEN_NS + 200_000, ACKED_NS, 1),
        e.FirstBookSeen(OPEN_NS + 1, WON, Symbol("MARROW"), Decimal("0.90"), Decimal("1.20")),
        e.FirstTradeSeen(OPEN_NS + 2, WON, Symbol("MARROW"), trade, Decimal(3)),
    ]


def test_the_table_has_the_slippage_against_the_first_trade_and_the_mid(record: Record) -> None:
    row = PostMortem(review(witnessed(record), (), WON), "memory").table.row(0, named=True)
    assert row["vs_cap"] == pytest.approx(-0.125)
    assert row["vs_first_trade"] == pytest.approx(0.05)
    assert row["vs_mid"] == pytest.approx(0)
    assert row["exit_slip"] == pytest.approx(1 - 0.90 / 0.8925)


def test_what_an_older_ledger_did_not_write_down_is_shown_as_not_seen(
    cases: tuple[PostMortemRow, ...], record: Record
) -> None:
    old, new = PostMortem(cases, "memory"), PostMortem(review(witnessed(record), (), WON), "memory")
    assert old.table["vs_first_trade"].to_list() == [None, None]
    assert old._repr_html_().count("not seen") == 2  # first trade and mid of the one that was entered
    assert "not seen" not in new._repr_html_()


def test_the_shots_are_told_in_milliseconds_around_the_opening(record: Record) -> None:
    shots = PostMortem(review(witnessed(record), (), WON), "memory").shots
    assert dict(shots.select("phase", "since_open_ms").rows()) == {
        "scheduled": 0.0, "released": 0.15, "written": 0.2, "acknowledged": 60.0, "first fill": 60.0,
    }  # fmt: skip


def test_the_anatomy_of_a_shot_has_every_phase_with_its_units(record: Record) -> None:
    figure = PostMortem(review(witnessed(record), (), WON), "memory").anatomy()
    assert {trace.name for trace in figure.data if trace.name} == {
        *("scheduled", "released", "written", "acknowledged", "first fill"),
    }
    titles = [axis.title.text for axis in figure.select_xaxes()]
    assert all("ms" in title for title in titles)


def test_the_anatomy_of_several_attempts_has_a_line_for_each() -> None:
    rows = [
        ("ABCUSDT", "ABC-1", attempt, phase, 50.0 * attempt + since, late, "")
        for attempt in (1, 2, 3)
        for phase, since, late in (("scheduled", 0.0, 0.0), ("released", 0.0, 0.1), ("refused", 9.0, None))
    ]
    names = ("symbol", "snipe_id", "attempt", "phase", "since_open_ms", "late_ms", "detail")
    figure = plots.anatomy(pl.DataFrame(rows, schema=names, orient="row"))
    refused = [trace for trace in figure.data if trace.name == "refused"]
    assert [list(trace.y) for trace in refused] == [["ABCUSDT #1", "ABCUSDT #2", "ABCUSDT #3"]]
    released = next(trace for trace in figure.data if trace.name == "released")
    assert list(released.x) == pytest.approx([0.1, 0.1, 0.1])  # on the left each counts from its schedule


def test_how_a_shot_left_is_told_on_the_machines_clock_where_the_venues_stands_still(record: Record) -> None:
    order = f"{WON}-b-1"
    stands = e.ShotTimed(OPEN_NS, order, OPEN_NS, OPEN_NS, OPEN_NS, ACKED_NS, 1)
    told = PostMortem(review([*(event for _, event in record.events), stands], (), WON), "memory")
    assert dict(told.shots.select("phase", "late_ms").rows()) == {
        "scheduled": 0.0, "released": 0.18, "written": 0.18, "acknowledged": None, "first fill": None,
    }  # fmt: skip
    left = [trace for trace in told.anatomy().data if trace.name and trace.xaxis == "x"]
    assert {trace.name: list(trace.x) for trace in left} == {
        "scheduled": [0.0], "released": [0.18], "written": [0.18],
    }  # fmt: skip


def test_a_day_whose_lateness_nobody_measured_has_a_sentence_instead_of_a_line_at_zero() -> None:
    rows = [("ABCUSDT", "ABC-1", 1, phase, 0.0, None, "") for phase in ("scheduled", "released", "written")]
    names = {
        "symbol": pl.String, "snipe_id": pl.String, "attempt": pl.Int64, "phase": pl.String,
        "since_open_ms": pl.Float64, "late_ms": pl.Float64, "detail": pl.String,
    }  # fmt: skip
    figure = plots.anatomy(pl.DataFrame(rows, schema=names, orient="row"))
    assert any("Not measured" in each.text for each in figure.layout.annotations)
    assert not [trace for trace in figure.data if trace.name and trace.xaxis == "x"]


def test_profit_and_why_come_before_what_is_too_wide_to_see(cases: tuple[PostMortemRow, ...]) -> None:
    page = PostMortem(cases, "memory")._repr_html_()
    places = [
        page.index(f">{head}</th>") for head in ("symbol", "state", "profit", "why", "opens UTC", "vs_cap")
    ]
    assert places == sorted(places)
    assert "overflow-x:auto" in page
    assert "-12.50 %" in page
    assert "-3.0405" in page


def test_every_step_of_several_snipes_is_shown_and_a_long_table_scrolls() -> None:
    frame = pl.DataFrame({"symbol": [f"C{number}USDT" for number in range(90)]})
    page = Table("Steps", frame, most=500)._repr_html_()
    assert "C89USDT" in page
    assert "max-height" in page
    assert "and 60 more" in Table("Steps", frame)._repr_html_()


def test_profits_are_in_the_quote_asset(cases: tuple[PostMortemRow, ...]) -> None:
    assert plots.profits(PostMortem(cases, "memory").table).layout.yaxis.title.text == "USDT"


def test_the_anatomy_of_a_day_without_shots_says_so(record: Record) -> None:
    none = PostMortem(review([event for _, event in record.events], (), REFUSED), "memory")
    assert "No shot has left" in none.anatomy().layout.annotations[0].text


def test_a_fee_in_a_third_asset_is_named_beside_the_sum(record: Record) -> None:
    fill = Fill("f9", f"{WON}-x-1", Symbol("MARROW"), Side.SELL, *[Decimal(1)] * 2, Decimal("0.02"), "MX", 1)
    cases = review([*(event for _, event in record.events), e.OrderFilled(1, fill)], (), WON)
    assert "0.0405 of fees and 0.02 MX" in PostMortem(cases, "memory").summary


def test_an_empty_post_mortem_explains_itself() -> None:
    empty = PostMortem((), "nothing was recorded here yet")
    assert "nothing was recorded" in repr(empty)
    assert empty.table.height == 0
    assert "nothing was recorded" in empty._repr_html_()


def test_events_alone_tell_of_a_postponed_listing(record: Record) -> None:
    marrow = next(listing for listing in listings_in(record) if str(listing.symbol) == "MARROWUSDT")
    assert (marrow.first_seen_ns, marrow.open_ns) == (SEEN_NS, OPEN_NS)
    (step,) = marrow.postponements
    assert (step.from_ns, step.to_ns) == (FIRST_OPEN_NS, OPEN_NS)


def test_sightings_and_events_agree_and_sightings_know_the_name(record: Record) -> None:
    both = Record(record.events, tuple(sightings()), "memory")
    plain, full = (
        next(listing for listing in listings_in(source) if str(listing.symbol) == "MARROWUSDT")
        for source in (record, both)
    )
    assert full.full_name == "Marrow"
    assert (full.open_ns, full.first_seen_ns, full.postponements) == (
        plain.open_ns,
        plain.first_seen_ns,
        plain.postponements,
    )


def test_the_listing_table_has_leads_states_and_reasons(record: Record) -> None:
    rows = {row["symbol"]: row for row in tables.listings(record).frame.to_dicts()}
    assert rows["MARROWUSDT"]["lead_h"] == 8.0
    assert rows["MARROWUSDT"]["signal_lead_h"] == 8.0
    assert rows["MARROWUSDT"]["postponed"] == 1
    assert (rows["OTTERUSDT"]["state"], rows["OTTERUSDT"]["why"]) == ("ABORTED", "no orders by API")


def test_what_a_venue_says_is_escaped_in_html(record: Record) -> None:
    html = tables.signals(record)._repr_html_()
    assert "<b>prior</b>" not in html
    assert "&lt;b&gt;prior&lt;/b&gt;" in html


def test_snipes_keep_their_money_digit_for_digit(record: Record) -> None:
    rows = {row["snipe_id"]: row for row in tables.snipes(record).frame.to_dicts()}
    assert Decimal(rows[WON]["profit"]) == Decimal("-3.0405")
    assert rows[REFUSED]["profit"] is None


async def test_a_lab_without_a_daemon_reads_the_ledger_itself() -> None:
    with TemporaryDirectory(prefix="mexclab-test-") as name:
        settings = Settings(data=Path(name))
        assert not has_ledger(settings)
        postgres = connect(None, settings.data)
        ledger = PostgresLedger.open(postgres)
        await ledger.append(*recorded_day())
        await PostgresRecorder(postgres).record(sightings())
        ledger.close()
        lab = Lab(settings)
        assert lab.post_mortem(WON).cases[0].profit == Decimal("-3.0405")
        assert lab.listings().frame["full_name"].to_list() == ["", "Marrow"]
        assert [row["kind"] for row in lab.events(snipe=REFUSED).frame.to_dicts()] == [
            *("SignalRaised", "SnipePlanned", "SnipeMoved"),
        ]
        last = lab.events().frame["seq"].max()
        assert lab.events(after=last - 1).frame["kind"].to_list() == ["SnipeMoved"]
        postgres.close()


def test_a_look_at_an_empty_data_folder_creates_no_database(tmp_path: Path) -> None:
    assert read(Settings(data=tmp_path)).events == ()
    assert not (tmp_path / "postgres").exists()


@pytest.mark.slow
async def test_the_notebook_tells_a_recorded_day_with_its_anatomy(record: Record) -> None:
    with TemporaryDirectory(prefix="mexclab-test-") as name:
        settings = Settings(data=Path(name))
        postgres = connect(None, settings.data)
        ledger = PostgresLedger.open(postgres)
        await ledger.append(*witnessed(record))
        ledger.close()
        postgres.close()
        done = await asyncio.to_thread(jobs.run, "snipe_post_mortem", {}, settings)
        page = done.html.read_text(encoding="utf-8")
    assert "-3.0405 USDT after 0.0405 of fees" in page
    for words in ("Anatomy of each shot", "ms since the opening", "vs_first_trade", "vs_mid", "exit_slip"):
        assert words in page
