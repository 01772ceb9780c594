"""The notebook's entrance: what it takes, what it gives, and how it says no."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import mexclab
from mexclab import Lab, Settings, Symbol
from mexclab.errors import DaemonUnreachable, DataError, ParameterError
from mexclab.notebook.bars import moment_ns
from mexclab.notebook.display import Table, fields_html, register, said
from mexclab.notebook.lab import SIMULATED
from mexclab.sample import DAYS, LISTED, START_NS, WALKERS, sample_bars
from mexclab.store.lake import Lake

MOMENT = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
MOMENT_NS = int(MOMENT.timestamp()) * 1_000_000_000


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def lab(settings: Settings) -> Lab:
    """A lab on an empty data folder: it falls back to the sample."""
    return Lab(settings)


def test_an_empty_lake_falls_back_to_the_sample_and_everything_says_so(lab: Lab) -> None:
    assert lab.simulated
    assert all(name.startswith("SIM") for name in lab.symbols())
    for shown in (repr(lab), repr(lab.header()), repr(lab.coverage()), lab.bars["SIM01USDT"].title):
        assert SIMULATED in shown


def test_bars_of_ones_own_take_the_place_of_the_sample(tmp_path: Path) -> None:
    lab = Lab(Settings(data=tmp_path))
    mine = sample_bars().filter(pl.col("symbol") == "SIM01USDT").with_columns(symbol=pl.lit("MINEUSDT"))
    Lake(tmp_path / "lake").write(mine)
    assert lab.simulated
    lab.refresh()
    assert (lab.simulated, lab.symbols()) == (False, ["MINEUSDT"])
    assert "SIMULATED" not in repr(lab)
    assert Lab(Settings(data=tmp_path), source="sample").simulated


def test_the_sample_is_the_same_every_time_and_has_twelve_symbols_of_five_days() -> None:
    bars = sample_bars()
    assert bars.equals(sample_bars())
    assert not bars.equals(sample_bars(seed=1))
    assert bars["symbol"].unique().sort().to_list() == sorted([*WALKERS, *LISTED])
    ends = bars.group_by("symbol").agg(pl.col("ts").max().dt.epoch("ns"))["ts"].unique().to_list()
    assert ends == [START_NS + (DAYS * 1440 - 1) * 60_000_000_000]


def test_the_walkers_of_the_sample_move_together_and_not_as_one() -> None:
    wide = sample_bars().filter(pl.col("symbol").is_in(WALKERS)).pivot("symbol", index="ts", values="close")
    moves = np.diff(np.log(wide.drop("ts").to_numpy()), axis=0)
    correlations = np.corrcoef(moves.T)[np.triu_indices(len(WALKERS), 1)]
    assert correlations.min() > 0.02
    assert correlations.max() < 0.9


@pytest.mark.parametrize("symbol", ["SIM01USDT", "SIM01/USDT", "sim01_usdt", Symbol("SIM01")])
def test_a_symbol_may_be_written_as_people_write_it(lab: Lab, symbol: str | Symbol) -> None:
    assert len(lab.bars(symbol)) == DAYS * 1440


@pytest.mark.parametrize(
    "moment",
    [
        *(MOMENT_NS, np.int64(MOMENT_NS), MOMENT, "2026-06-01T12:30", "2026-06-01 12:30:00Z"),
        *("2026-06-01T14:30+02:00", MOMENT.astimezone(timezone(timedelta(hours=-5)))),
    ],
)
def test_every_way_to_say_when_is_the_same_moment(moment: object) -> None:
    assert moment_ns(moment) == MOMENT_NS


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01", datetime(2026, 6, 1)])  # noqa: DTZ001
def test_a_moment_that_cannot_be_read_says_what_can(moment: object) -> None:
    with pytest.raises(ParameterError, match="ISO text"):
        moment_ns(moment)


def test_a_range_of_bars_is_half_open(lab: Lab) -> None:
    times = lab.bars("SIM01USDT", "2026-06-02", "2026-06-02 00:03").collect()["ts"]
    assert times.dt.strftime("%H:%M").to_list() == ["00:00", "00:01", "00:02"]


def test_bars_go_to_pandas_and_keep_their_zone(lab: Lab) -> None:
    frame = lab.bars(["SIM01USDT", "SIM02USDT"], "2026-06-02", "2026-06-02 00:03").to_pandas()
    assert list(frame["symbol"].unique()) == ["SIM01USDT", "SIM02USDT"]
    assert str(frame["ts"].dt.tz) == "UTC"


def test_an_unknown_symbol_is_refused_with_the_nearest_ones(lab: Lab) -> None:
    with pytest.raises(DataError, match="did you mean SIM"):
        lab.bars["SIM0USDT"]


def test_the_key_completes_to_the_symbols_there_are(lab: Lab, shell: InteractiveShell) -> None:
    shell.user_ns["lab"] = lab
    with provisionalcompleter():
        found = {each.text.strip('"]') for each in shell.Completer.completions('lab.bars["SIM0', 14)}
    assert {"SIM01USDT", "SIM09USDT"} <= found


def test_the_most_active_symbol_has_the_highest_turnover_of_the_last_day(lab: Lab) -> None:
    bars = sample_bars()
    newest = bars.filter(pl.col("ts") > bars["ts"].max() - timedelta(hours=24))
    turnover: dict[str, float] = {}
    for symbol, close, volume in newest.select("symbol", "close", "volume").iter_rows():
        turnover[symbol] = turnover.get(symbol, 0.0) + close * volume
    assert lab.most_active() == max(turnover, key=lambda symbol: turnover[symbol])


def test_the_most_active_symbol_is_found_without_opening_older_months(tmp_path: Path) -> None:
    day = sample_bars().filter(pl.col("symbol").is_in(WALKERS[:3]))
    lake = Lake(tmp_path / "lake")
    lake.write(pl.concat([day, day.with_columns(pl.col("ts").dt.offset_by("-60d"))]))
    lab = Lab(Settings(data=tmp_path))
    found = lab.most_active()
    oldest = [path for path in (tmp_path / "lake").rglob("*.parquet") if "2026-04" in str(path)]
    assert len(oldest) == 3
    for path in oldest:
        whole = path.read_bytes()
        path.write_bytes(whole[:4] + b"\xff" * 2000 + whole[2004:])
    assert Lab(Settings(data=tmp_path)).most_active() == found
    with pytest.raises(pl.exceptions.ComputeError):
        Lab(Settings(data=tmp_path)).most_active(hours=24 * 90)


def test_a_search_ends_before_the_window_and_so_do_the_outcomes(lab: Lab) -> None:
    matches = lab.similar("SIM01USDT", "2026-06-04 12:00", length=60, k=5, horizon=120, per_symbol=2)
    begun = MOMENT.replace(day=4, hour=11, minute=0)
    assert matches.query.length == 60
    assert matches.table["end"].max() <= begun - timedelta(minutes=120)
    assert matches.table["symbol"].value_counts()["count"].max() <= 2
    found = lab.outcomes(matches, (30, 120))
    assert found.horizons == (30, 120)
    assert found.verdict


def test_a_window_ends_at_the_last_whole_bar_before_the_moment(lab: Lab) -> None:
    assert lab.window("SIM01USDT", "2026-06-04 12:00:42").end_ns == moment_ns("2026-06-04 12:00")


def test_an_unknown_source_is_refused(settings: Settings) -> None:
    with pytest.raises(ParameterError, match="sample"):
        Lab(settings, source="exchange")


def test_where_nothing_was_recorded_every_table_says_how_to_begin(lab: Lab) -> None:
    for shown in (lab.listings(), lab.signals(), lab.snipes(), lab.events(), lab.post_mortem()):
        assert "mexclab demo" in repr(shown)
        assert "mexclab demo" in shown._repr_html_()


def test_without_a_daemon_the_desk_says_how_to_start_one(lab: Lab) -> None:
    assert lab.mode == "offline"
    with lab.desk as desk, pytest.raises(DaemonUnreachable, match="mexclab trade"):
        desk.snapshot()


def test_the_header_names_version_data_and_parameters(lab: Lab) -> None:
    rows = dict(lab.header(symbol="SIM01USDT", end="").rows)
    assert rows["mexclab"] == mexclab.__version__
    assert "75,090 bars" in rows["data"]
    assert (rows["symbol"], rows["end"]) == ("SIM01USDT", "(empty)")
    assert rows["made"].endswith("UTC")


def test_domain_values_show_themselves_as_html_and_keep_their_text(shell: InteractiveShell) -> None:
    assert register(shell)
    formatted, _ = shell.display_formatter.format(Symbol("BTC"))
    assert formatted["text/html"] == "<code>BTCUSDT</code>"
    assert formatted["text/plain"] == repr(Symbol("BTC"))


def test_html_escapes_what_the_data_say() -> None:
    table = Table("<script>", pl.DataFrame({"a": ["<img onerror=x>"]}))
    assert "<script>" not in table._repr_html_()
    assert "<img" not in table._repr_html_()
    assert "<img" not in fields_html(Symbol("<img>"))


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (None, "", "–"),
        (MOMENT_NS, "open_ns", "2026-06-01 12:30:00 UTC"),
        (1_500_000, "late_ns", "1.5 ms"),
        (0.25, "", "0.25"),
    ],
)
def test_values_are_said_as_people_read_them(value: object, name: str, text: str) -> None:
    assert said(value, name) == text


@pytest.fixture
def loaded(shell: InteractiveShell, lab: Lab) -> InteractiveShell:
    """A kernel after ``%load_ext mexclab``, on the sample."""
    shell.user_ns["lab"] = lab
    mexclab.load_ipython_extension(shell)
    return shell


def test_load_ext_gives_the_name_lab(shell: InteractiveShell, data_folder: Path) -> None:
    mexclab.load_ipython_extension(shell)
    assert shell.user_ns["lab"].settings.data == data_folder


def test_load_ext_keeps_a_lab_that_is_there(loaded: InteractiveShell, lab: Lab) -> None:
    assert loaded.user_ns["lab"] is lab


def test_the_similar_magic_searches_and_leaves_the_name_matches(loaded: InteractiveShell) -> None:
    found = loaded.run_line_magic("similar", "SIM01USDT --end 2026-06-04T12:00 -k 3 --horizon 60")
    assert len(found) == 3
    assert loaded.user_ns["matches"] is found


def test_the_status_magic_works_without_a_daemon(loaded: InteractiveShell) -> None:
    assert "No trading daemon" in repr(loaded.run_line_magic("mexclab", ""))
    assert "SIMULATED" in repr(loaded.run_line_magic("mexclab", "header"))


@pytest.mark.parametrize(
    ("magic", "line", "said"),
    [
        ("halt", "", "No trading daemon"),
        ("resume", "", "wants to know why"),
        ("halt", "testing", "No trading daemon"),
        ("arm", "", "the snipe's id"),
        ("similar", "NOSUCHUSDT", "NOSUCHUSDT"),
        ("mexclab", "everything", "status and header"),
    ],
)
def test_a_magic_refuses_in_one_sentence(loaded: InteractiveShell, magic: str, line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        loaded.run_line_magic(magic, line)
