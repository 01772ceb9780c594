"""``lab.portfolio()``: the same pages from a running desk and from a ledger, and what it says of neither."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mexclab import Lab, Settings, jobs
from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, utc
from mexclab.errors import DeskError, ParameterError
from mexclab.notebook.portfolio import Portfolio, answer, sums, title
from mexclab.notebook.portfolio_reading import portfolio
from mexclab.notebook.record import NOTHING
from mexclab.store.ledger import PostgresLedger
from mexclab.store.postgres import connect
from tests.daemon.portfolio_scene import TOKEN, Door, Teller, holding
from tests.notebook.station import served
from tests.processes import run
from tests.recorded_day import MARROW, OPEN_NS, recorded_day

D = Decimal
FILLS = [number for number, event in enumerate(recorded_day(), 1) if isinstance(event, e.OrderFilled)]


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A ledger of a day that is known to the last digit, with marks of its equity; no daemon runs."""
    with TemporaryDirectory(prefix="mexclab-test-") as name:
        settings = Settings(data=Path(name))
        postgres = connect(None, settings.data)
        asyncio.run(_write(PostgresLedger.open(postgres)))
        postgres.close()
        yield settings


async def _write(ledger: PostgresLedger) -> None:
    marks = [e.EquityMarked(OPEN_NS + MINUTE, D("1012"), D("12"), D(54)), e.EquityMarked(
        OPEN_NS + 2 * MINUTE, D("990"), D("-10"), D(32), (MARROW,)
    )]  # fmt: skip
    day = recorded_day()
    at = FILLS[1]  # both are made while everything that was bought is held
    await ledger.append(*day[:at], *marks, *day[at:])
    ledger.close()


@pytest.fixture(scope="module")
def whole(settings: Settings) -> Portfolio:
    return Lab(settings).portfolio()


def test_without_a_desk_the_ledger_is_read_and_the_money_is_exact(whole: Portfolio) -> None:
    page = whole.page
    assert whole.source.startswith("the ledger")
    assert (page["mode"], page["seq"], page["realised"], page["profit"]) == (
        *("paper", len(recorded_day()) + 2, "-3.0405", "-3.0405"),
    )
    assert (page["cash"], page["equity"], page["positions"]) == ("996.9595", "996.9595", ())
    assert whole.fees.rows() == [("USDT", 0.0405, 0.0405)]
    assert whole.by_symbol.select("name", "snipes", "won", "profit").rows() == [("MARROWUSDT", 1, 0, -3.0405)]
    assert whole.by_strategy["name"].to_list() == ["unknown"]


def test_its_curve_has_marks_and_closes_and_says_which_of_them_are_known(whole: Portfolio) -> None:
    rows = whole.points.select("kind", "equity", "known").rows()
    assert rows == [
        ("start", 1000, True),
        ("mark", 1012, True),
        ("mark", 990, False),
        ("close", 996.9595, True),
    ]
    assert whole.points["drawdown"].max() == pytest.approx(22 / 1012)
    assert str(whole.points["at"].dtype.time_zone) == "UTC"
    assert [trace.name for trace in whole.figure().data] == ["equity", "close", "fall from the highest"]


@pytest.mark.parametrize("as_moment", [False, True])
def test_it_goes_back_to_any_entry_by_number_and_by_moment(settings: Settings, as_moment: bool) -> None:
    at = utc(OPEN_NS + 3 * MINUTE) if as_moment else FILLS[2] + 2
    found = Lab(settings).portfolio(at=at)
    [row] = found.page["positions"]
    assert (row["symbol"], row["quantity"], row["price"]) == ("MARROWUSDT", "30", None)
    assert D(row["cost"]) == (42 + D("0.021")) * 30 / 40
    assert found.page["equity"] is None
    assert "MARROWUSDT is held and has no price" in repr(found)
    assert found.positions["why"].to_list() == ["the ledger holds no price of that moment"]


def test_prices_that_are_given_value_what_was_held(settings: Settings) -> None:
    found = Lab(settings).portfolio(at=FILLS[2] + 2, prices={"MARROW/USDT": "1.30"})
    assert found.positions["value"].to_list() == [39.0]
    assert found.missing == ()
    assert found.stress.filter(found.stress["scenario"] == "crash")["loss"].item() == pytest.approx(
        39 - 39 * 0.8 * 0.9995
    )
    assert len(found.stress_figure().data) == 2
    assert found.stress_by_position["name"].unique().sort().to_list() == ["MARROWUSDT", "USDT"]


def test_everything_shows_itself_with_its_mode_its_units_and_its_zone(whole: Portfolio) -> None:
    text, page = repr(whole), whole._repr_html_()
    assert text.startswith("PAPER")
    assert "996.9595 USDT" in text
    assert "UTC" in title(whole)
    for words in (">PAPER<", "profit after fees", "-3.0405 USDT", "0 of 1 (0%)", "nothing is held", "depeg"):
        assert words in page, words
    assert ("fees paid", "0.0405 USDT") in sums(whole)


def test_a_table_for_people_has_units_per_cent_and_four_decimals(whole: Portfolio) -> None:
    page = whole.table("by_strategy")._repr_html_()
    for words in ("By strategy, in USDT", ">-3.0405<", ">0.00 %<", "0.0405 USDT"):
        assert words in page, words
    long = {**whole.shares["by_symbol"][0], "fees": [{"amount": "0.123456789012", "asset": "MX"}]}
    assert "0.1235 MX" in replace(whole, shares={"by_symbol": [long]}).table("by_symbol")._repr_html_()
    with pytest.raises(ParameterError, match="there are positions, by_symbol"):
        whole.table("nope")


def test_the_answer_names_the_worst_hour_and_over_nothing_only_that_there_is_nothing(
    whole: Portfolio, tmp_path: Path
) -> None:
    assert "The worst hour of the five (" in answer(whole)
    nothing = Lab(Settings(data=tmp_path)).portfolio()
    assert answer(nothing) == f"**{title(nothing)}.**"
    assert "nothing that can be priced is at stake" in repr(nothing.table("stress"))


def test_live_money_is_told_apart_at_a_glance(whole: Portfolio) -> None:
    live = replace(whole, page={**whole.page, "mode": "live"})
    assert "LIVE: REAL MONEY" in live._repr_html_()
    assert "LIVE: REAL MONEY" in repr(live)


def test_text_from_a_venue_is_escaped(whole: Portfolio) -> None:
    evil = replace(whole, page={**whole.page, "missing": ["<script>alert(1)</script>"]})
    assert "<script>" not in evil._repr_html_()


def test_nothing_recorded_says_how_to_get_something_and_makes_nothing(tmp_path: Path) -> None:
    lab = Lab(Settings(data=tmp_path))
    found = lab.portfolio()
    assert found.is_empty
    assert NOTHING in repr(found)
    assert "NO DESK" in found._repr_html_()
    assert "mexclab demo" in found._repr_html_()
    assert not (tmp_path / "postgres").exists()
    assert "Nothing has been traded yet" in found.shares_figure().layout.annotations[0].text
    assert "No equity was ever marked" in found.figure().layout.annotations[0].text
    assert "no scenario costs anything" in found.stress_figure().layout.annotations[0].text


def test_a_place_that_is_none_says_what_can_be_given(settings: Settings) -> None:
    with pytest.raises(ParameterError, match="there is no entry 999 yet"):
        Lab(settings).portfolio(at=999)
    with pytest.raises(ParameterError, match="give an entry's number, or a moment"):
        Lab(settings).portfolio(at="soon")
    with pytest.raises(ParameterError, match="has not come yet"):
        Lab(settings).portfolio(at="2226-01-01")


def test_the_command_line_reads_the_ledger_where_no_desk_runs(settings: Settings) -> None:
    done = run(settings.data, "portfolio", "--json")
    assert json.loads(done.stdout)["portfolio"]["realised"] == "-3.0405", done.stderr
    assert "no desk runs; read from the ledger" in done.stderr
    assert "-3.0405 USDT" in run(settings.data, "portfolio", "--at", "34").stdout


def test_before_the_first_entry_there_is_nothing_and_that_is_said(settings: Settings) -> None:
    found = Lab(settings).portfolio(at="2001-01-01")
    assert found.is_empty
    assert "the ledger begins later" in repr(found)


# -- from a running desk -------------------------------------------------------------------------------


@contextmanager
def running(data: Path, door: Door) -> Iterator[Settings]:
    """The desk on loopback, with its address where a notebook looks for it."""
    with served(door.app) as url:
        (data / "daemon.json").write_text(json.dumps({"url": url, "pid": os.getpid(), "mode": "paper"}))
        (data / "daemon.token").write_text(TOKEN)
        yield Settings(data=data)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Door]]:
    data = tmp_path_factory.mktemp("data")
    door = asyncio.run(holding(tmp_path_factory.mktemp("venue")))
    with running(data, door) as settings:
        yield settings, door
    door.station.close()


def test_a_running_desk_is_asked_and_knows_prices_and_balances(desk: tuple[Settings, Door]) -> None:
    settings, door = desk
    found = Lab(settings).portfolio()
    [row] = found.positions.to_dicts()
    held = door.desk.portfolio.held[0]
    assert (found.source, row["symbol"], row["strategy"]) == ("the daemon", str(held.symbol), "opening_snipe")
    assert row["value"] == pytest.approx(float(found.page["exposure"]))
    assert set(found.balances["difference"]) == {"0"}
    assert "1 positions" in title(found)
    assert found.stress.filter(found.stress["scenario"] == "crash")["saved"].item() > 0
    assert "Every balance agrees" in found._repr_html_()


def test_a_desk_goes_back_too_and_says_that_balances_are_of_now_only(desk: tuple[Settings, Door]) -> None:
    settings, door = desk
    found = portfolio(settings, at=door.seq - 1)
    assert (found.page["past"], found.page["seq"]) == (True, door.seq - 1)
    assert "only those of now" in found.balance["words"]
    with pytest.raises(DeskError, match="there is no entry"):
        portfolio(settings, at=door.seq + 5)


def test_a_venue_that_is_silent_leaves_the_rest_of_the_page_standing(desk: tuple[Settings, Door]) -> None:
    settings, door = desk
    exchange = door.station.engine.parts.exchange
    door.deal_with(exchange=Teller(None))
    found = portfolio(settings)
    door.deal_with(exchange=exchange)
    assert found.balance["words"] == "not known: the venue does not answer"
    assert found.positions.height == 1


@pytest.mark.slow
async def test_the_notebook_answers_from_a_recorded_day(settings: Settings) -> None:
    done = await asyncio.to_thread(
        jobs.run, Path("notebooks/30_portfolio_and_stress.ipynb"), {"at": str(FILLS[2] + 2)}, settings
    )
    page = done.html.read_text(encoding="utf-8")
    for words in (
        "MARROWUSDT is held and has no price",
        "Bad hours, everything together",
        "The worst hour of the five",
    ):
        assert words in page, words
