from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.store.bar_import import ImportPlan, import_bars
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import FRAME_SCHEMA, partitions_in
from tests.store.bar_samples import MAY, PLAN, ROOT, bars, edited, file_of, only

SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


# what is taken in


@pytest.mark.parametrize("name", ["BTCUSDT.csv", "BTCUSDT.csv.gz", "BTCUSDT.parquet"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "iso"])
def test_every_format_and_time_unit_is_recognised_and_stated(
    tmp_path: Path, lake: Lake, name: str, unit: str
) -> None:
    result = only(file_of(bars(), tmp_path / name, unit), lake)
    assert (result.status, result.added, result.interval) == ("accepted", 10, "1m")
    assert lake.bars("BTCUSDT").equals(bars())
    assert ("ISO 8601" if unit == "iso" else f"{unit}, by magnitude") in " ".join(result.notes)


@pytest.mark.parametrize(
    "header",
    [
        "Open time,Open,High,Low,Close,Volume",
        "TIMESTAMP,OPEN,HIGH,LOW,CLOSE,VOL",
        "t,o,h,l,c,v",
        " open_time , open , high , low , close , volume ",
        "Date;Open;High;Low;Close;Volume",
        "\ufeffTime\tOpen\tHigh\tLow\tClose\tVolume",
    ],
)
def test_common_column_names_and_separators_are_guessed(tmp_path: Path, lake: Lake, header: str) -> None:
    lines = file_of(bars(), tmp_path / "BTCUSDT.csv").read_text().splitlines()
    separator = next((mark for mark in ";\t" if mark in header), ",")
    body = "\n".join(line.replace(",", separator) for line in lines[1:])
    (tmp_path / "BTCUSDT.csv").write_text(f"{header}\n{body}\n", encoding="utf-8")
    only(tmp_path / "BTCUSDT.csv", lake)
    assert lake.bars("BTCUSDT").equals(bars())


def test_columns_can_be_named_by_the_plan(tmp_path: Path, lake: Lake) -> None:
    bars().drop("symbol").rename({"ts": "when", "volume": "size"}).write_parquet(tmp_path / "BTCUSDT.parquet")
    only(tmp_path / "BTCUSDT.parquet", lake, columns={"ts": "when", "volume": "size"})
    assert lake.bars("BTCUSDT").equals(bars())


def test_a_symbol_column_may_mix_symbols_and_spellings(tmp_path: Path, lake: Lake) -> None:
    mixed = pl.concat([bars(symbol="btc/usdt"), bars(symbol="索拉拉USDT"), bars(symbol="GOLD(PAXG)USDT")])
    mixed.sort("ts").rename({"symbol": "Pair"}).write_parquet(tmp_path / "all.parquet")
    result = only(tmp_path / "all.parquet", lake)
    assert result.symbols == ("BTCUSDT", "GOLD(PAXG)USDT", "索拉拉USDT")
    assert lake.bars("索拉拉USDT").equals(bars(symbol="索拉拉USDT"))
    assert lake.bars("BTCUSDT").equals(bars())


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT.csv", "BTCUSDT"),
        ("btcusdt_1m.csv", "BTCUSDT"),
        ("BTCUSDT-1m-2026-05.csv", "BTCUSDT"),
        ("Binance_BTCUSDT_1h.csv", "BTCUSDT"),
        ("BTC_USDT-1m.csv", "BTCUSDT"),
        ("GOLD(PAXG)USDT_1m.csv", "GOLD(PAXG)USDT"),
        ("索拉拉USDT.csv", "索拉拉USDT"),
        ("symbol=%E7%B4%A2USDT/2026-05.csv", "索USDT"),
    ],
)
def test_the_symbol_is_read_from_the_file_name(tmp_path: Path, lake: Lake, name: str, symbol: str) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    assert only(file_of(bars(), path), lake).symbols == (symbol,)


def test_a_symbol_given_by_the_plan_wins_over_the_file_name(tmp_path: Path, lake: Lake) -> None:
    only(file_of(bars(), tmp_path / "ETHUSDT.csv"), lake, symbol="BTC/USDT")
    assert lake.symbols() == ["BTCUSDT"]


def test_folders_are_searched_to_any_depth_and_each_file_is_read_once(tmp_path: Path, lake: Lake) -> None:
    deep = tmp_path / "in" / "a" / "b"
    deep.mkdir(parents=True)
    one, two = file_of(bars(), deep / "BTCUSDT.csv"), file_of(bars(), tmp_path / "in" / "ETHUSDT.parquet")
    (tmp_path / "in" / "readme.md").write_text("not bars")
    (deep / ".hidden.csv").write_text("not bars")
    seen: list[tuple[int, int]] = []
    report = import_bars([tmp_path / "in", one], lake, ImportPlan(**PLAN), lambda *at: seen.append(at))
    assert {file.path for file in report.files} == {one, two}
    assert seen == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("before_s", [0, 0.001, 1])
def test_close_times_become_open_times(tmp_path: Path, lake: Lake, before_s: float) -> None:
    closes = bars().with_columns(ts=pl.col("ts") + pl.duration(milliseconds=60_000 - int(before_s * 1000)))
    frame = closes.rename({"ts": "Close time"}).with_columns(ts=pl.lit("not used"))
    frame.write_parquet(tmp_path / "BTCUSDT.parquet")
    only(tmp_path / "BTCUSDT.parquet", lake, time_is="close")
    assert lake.bars("BTCUSDT").equals(bars())


def test_quote_volume_is_divided_by_the_close(tmp_path: Path, lake: Lake) -> None:
    quoted = bars().with_columns(quote_volume=pl.col("volume") * pl.col("close"))
    only(file_of(quoted, tmp_path / "BTCUSDT.csv"), lake, volume_unit="quote")
    assert lake.bars("BTCUSDT")["volume"].to_list() == pytest.approx(bars()["volume"].to_list())


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T00:00:00Z",
        "2026-05-01 00:00:00",
        "2026-05-01 00:00",
        "2026-05-01",
        "2026/05/01 00:00:00.000",
        "2026-05-01T08:00:00+08:00",
        "2026-04-30T18:30:00.000000-0530",
        "2026-05-01 00:00:00 UTC",
    ],
)
def test_iso_times_of_any_shape_are_read_and_naive_ones_are_utc(
    tmp_path: Path, lake: Lake, text: str
) -> None:
    only(edited(tmp_path / "BTCUSDT.csv", ts=(1, text)), lake, time_unit="iso", interval="1m")
    assert lake.bars("BTCUSDT")["ts"].to_list() == [MAY]


def test_a_datetime_column_in_another_zone_is_the_same_instant(tmp_path: Path, lake: Lake) -> None:
    local = bars().with_columns(ts=pl.col("ts").dt.convert_time_zone("Asia/Shanghai"))
    local.write_parquet(tmp_path / "a.parquet")
    only(tmp_path / "a.parquet", lake)
    assert lake.bars("BTCUSDT").equals(bars())


# the report


def test_the_report_reads_as_a_table_and_as_json(tmp_path: Path, lake: Lake) -> None:
    path = edited(tmp_path / "BTCUSDT.csv", close=(3, "abc"), low=(7, "-2"))
    report = import_bars([path], lake, ImportPlan(**PLAN))
    text = str(report)
    for words in (
        "BTCUSDT.csv  accepted  1m        BTCUSDT    10      8",
        "1 rows refused, close missing or not a number",
        "row 3: abc",
        "s, by magnitude",
        "BTCUSDT 1m: 2 gaps, the longest 1 bars, 2 bars missing",
    ):
        assert words in text
    told = json.loads(json.dumps(report.to_dict()))
    assert told["totals"]["refused_rows"] == 2
    assert told["files"][0]["refused"][0]["examples"][0]["row"] in (3, 7)


# repeating, dying, real data


def test_importing_again_changes_nothing_and_says_so(tmp_path: Path, lake: Lake) -> None:
    path = edited(tmp_path / "BTCUSDT.csv", close=(3, "abc"))
    only(path, lake)
    before = {p: p.stat().st_mtime_ns for p in lake.root.rglob("*.parquet")}
    result = only(path, lake)
    assert (result.status, result.added, result.unchanged, result.refused_rows) == ("unchanged", 0, 9, 1)
    assert {p: p.stat().st_mtime_ns for p in lake.root.rglob("*.parquet")} == before


@given(
    st.lists(st.integers(0, 60_000), min_size=2, max_size=40, unique=True),
    st.sampled_from(["s", "ms", "us", "ns", "iso"]),
    st.sampled_from(["BTCUSDT.csv", "BTCUSDT.csv.gz", "BTCUSDT.parquet"]),
    st.data(),
)
@settings(max_examples=30, deadline=None)
def test_any_bars_survive_any_format_bit_for_bit_and_once(
    minutes: list[int], unit: str, name: str, data: st.DataObject
) -> None:
    number = st.floats(min_value=1e-11, max_value=1e11)
    rows = []
    for minute in sorted(minutes):
        low, a, b, high = sorted(data.draw(st.tuples(number, number, number, number)))
        rows.append(("BTCUSDT", MAY + timedelta(minutes=minute), b, high, low, a, data.draw(number)))
    frame = pl.DataFrame(rows, schema=FRAME_SCHEMA, orient="row")
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        path = file_of(frame, Path(folder) / name, unit)
        assert only(path, lake, interval="1m").added == len(rows)
        assert lake.bars("BTCUSDT").equals(frame)
        assert only(path, lake, interval="1m").status == "unchanged"


IMPORT = """
import os, signal, sys
from pathlib import Path
from mexclab.store.bar_import import import_bars
from mexclab.store.lake import Lake

left = int(sys.argv[3])

def kill_at_the_last(event, args):  # the hook runs before the file gets its name
    global left
    if event == "os.rename" and str(args[1]).endswith(".parquet"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at_the_last)
import_bars([Path(sys.argv[1])], Lake(Path(sys.argv[2])))
"""


def _large(path: Path) -> pl.DataFrame:
    """Forty symbols over four months of hours: 160 partitions."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = pl.DataFrame({"hour": range(24 * 118)})
    names = pl.DataFrame({"symbol": [f"C{i:02}USDT" for i in range(40)]}).with_row_index("i")
    price = 1.0 + pl.col("i") + (pl.col("hour") % 97) / 7
    frame = names.join(hours, how="cross").select(
        "symbol",
        ts=(pl.lit(start) + pl.duration(hours="hour")).cast(FRAME_SCHEMA["ts"]),
        open=price,
        high=price * 1.1,
        low=price * 0.9,
        close=price,
        volume=pl.col("hour").cast(pl.Float64),
    )
    frame.write_parquet(path)
    return frame


def _killed_once(source: Path, root: Path, partition: int) -> int:
    """Import in a process of its own that is killed as it puts ``partition`` in place; what is there then."""
    child = subprocess.run(
        [sys.executable, "-c", IMPORT, str(source), str(root), str(partition)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    return len(list(root.rglob("*.parquet")))


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal")
def test_an_import_killed_at_any_moment_leaves_whole_partitions_and_a_second_run_completes_it(
    tmp_path: Path,
) -> None:
    source = tmp_path / "all.parquet"
    whole = _large(source)
    month = pl.col("ts").dt.strftime("%Y-%m")
    for at in (1, 25, 120, 160):
        root = tmp_path / f"lake-{at}"
        assert _killed_once(source, root, at) == at - 1
        lake = Lake(root)
        assert not list(root.rglob("*.tmp"))
        for folder in sorted(root.glob("bars/interval=1h/*")):
            for part in partitions_in(folder, "1h"):
                wanted = whole.filter(pl.col("symbol") == part.symbol, month == part.month)
                stored = lake.bars(part.symbol, interval="1h").filter(month == part.month)
                assert stored.equals(wanted)
        result = only(source, lake)
        assert result.status == "accepted"
        assert lake.scan(interval="1h").collect().equals(whole)
        assert only(source, lake).status == "unchanged"


@pytest.mark.skipif(not (SHARED / "mexc_spot_1m").is_dir(), reason="the recorded MEXC minutes are not here")
def test_the_recorded_minutes_of_68_symbols_go_in_whole(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    (source,) = (SHARED / "mexc_spot_1m").glob("*.parquet")
    report = import_bars([source], lake)
    assert (report.total("added"), report.total("refused_rows"), report.gaps) == (2_184_004, 0, ())
    assert len(lake.symbols()) == 68
    raw = pl.read_parquet(source).with_columns(ts=(pl.col("ts") * 1000).cast(FRAME_SCHEMA["ts"]))
    assert lake.scan().collect().equals(raw.select(FRAME_SCHEMA.names()).sort("symbol", "ts"))
    assert import_bars([source], lake).files[0].status == "unchanged"
