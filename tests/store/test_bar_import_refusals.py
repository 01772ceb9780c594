from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mexclab.errors import ImportRefused, ParameterError
from mexclab.store.bar_import import ImportPlan, import_bars
from mexclab.store.lake import Lake
from tests.store.bar_samples import LATER_NS, MAY, MAY_S, PLAN, bars, edited, file_of, only, refusal


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


# rows that are refused one by one


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("close", "abc", "close missing or not a number"),
        ("open", "", "open missing or not a number"),
        ("close", "nan", "close is NaN or infinite"),
        ("volume", "inf", "volume is NaN or infinite"),
        ("low", "0", "low is zero or negative"),
        ("open", "-3", "open is zero or negative"),
        ("volume", "-1", "volume is negative"),
        ("high", "1", "high is below low"),
        ("open", "500", "open is outside [low, high]"),
        ("close", "1", "close is outside [low, high]"),
        ("ts", "yesterday", "time missing or not understood"),
        ("ts", MAY_S + 121, "time not on the 1m grid"),
        ("ts", "1", "time before 2009"),
        ("ts", 60 * 2_000_000, "time before 2009"),
        ("ts", LATER_NS // 1_000_000_000, "the bar has not closed: its time is in the future"),
    ],
)
def test_a_bad_row_stays_outside_with_its_number_reason_and_value_and_the_rest_goes_in(
    tmp_path: Path, lake: Lake, column: str, value: object, reason: str
) -> None:
    result = only(edited(tmp_path / "BTCUSDT.csv", **{column: (3, value)}), lake)
    assert (result.status, result.rows, result.added, result.refused_rows) == ("accepted", 10, 9, 1)
    (refused,) = result.refused
    assert (refused.reason, refused.rows, refused.examples[0].row) == (reason, 1, 3)
    if reason.endswith(("number", "understood")):
        assert refused.examples[0].value == (str(value) or "(empty)")
    assert lake.bars("BTCUSDT").equals(bars().filter(pl.col("ts").dt.minute() != 2))


def test_a_bar_that_is_still_open_is_not_taken(tmp_path: Path, lake: Lake) -> None:
    now = int((MAY + timedelta(minutes=9, seconds=59)).timestamp()) * 1_000_000_000
    result = only(file_of(bars(), tmp_path / "BTCUSDT.csv"), lake, now_ns=now)
    assert (result.added, result.refused[0].examples[0].row) == (9, 10)


def test_a_time_half_a_millisecond_off_the_grid_is_refused(tmp_path: Path, lake: Lake) -> None:
    odd = bars().with_columns(
        ts=pl.col("ts").dt.epoch("us") + pl.when(pl.col("volume") == 4).then(500).otherwise(0)
    )
    odd.write_parquet(tmp_path / "a.parquet")
    assert only(tmp_path / "a.parquet", lake).refused[0].reason == "time not on the 1m grid"


def test_twenty_examples_are_kept_and_every_row_is_counted(tmp_path: Path, lake: Lake) -> None:
    many = bars(count=500).with_columns(volume=pl.when(pl.col("volume") < 300).then(-1.0).otherwise("volume"))
    refused = only(file_of(many, tmp_path / "BTCUSDT.csv"), lake).refused[0]
    assert (refused.rows, len(refused.examples)) == (300, 20)
    assert [example.row for example in refused.examples] == list(range(1, 21))


def test_a_row_without_a_symbol_is_refused(tmp_path: Path, lake: Lake) -> None:
    holed = bars().with_columns(symbol=pl.when(pl.col("volume") == 2).then(None).otherwise("symbol"))
    holed.write_parquet(tmp_path / "a.parquet")
    result = only(tmp_path / "a.parquet", lake)
    assert (result.added, result.refused[0].reason) == (9, "symbol missing")


def test_a_refused_row_cannot_make_the_file_look_unsorted_or_contradictory(
    tmp_path: Path, lake: Lake
) -> None:
    path = edited(tmp_path / "BTCUSDT.csv", ts=(5, MAY_S), close=(5, "-1"))
    assert only(path, lake).added == 9


def test_gaps_are_counted_per_file_and_in_the_lake(tmp_path: Path, lake: Lake) -> None:
    minute = pl.col("ts").dt.minute()
    one = file_of(
        bars(count=30).filter(~minute.is_in([3, 4, 5, 9]) & (minute < 15)), tmp_path / "BTCUSDT-a.csv"
    )
    two = file_of(bars(count=30).filter(minute >= 17), tmp_path / "BTCUSDT-b.csv")
    report = import_bars([one, two], lake, ImportPlan(**PLAN))
    (gap,) = report.files[0].gaps
    assert (gap.symbol, gap.count, gap.largest, gap.missing) == ("BTCUSDT", 2, 3, 4)
    assert report.files[1].gaps == ()
    (whole,) = report.gaps
    assert (whole.count, whole.largest, whole.missing) == (3, 3, 6)


# files that are refused whole


def test_missing_columns_are_named_beside_those_that_are_there(tmp_path: Path, lake: Lake) -> None:
    bars().select("ts", "open", "close").write_csv(tmp_path / "BTCUSDT.csv")
    said = refusal(tmp_path / "BTCUSDT.csv", lake)
    assert "missing columns: high, low, volume; present: ts, open, close" in said
    assert "missing columns: when" in refusal(
        file_of(bars(), tmp_path / "XUSDT.csv"), lake, columns={"ts": "when"}
    )


def test_a_file_without_a_header_is_told_so(tmp_path: Path, lake: Lake) -> None:
    lines = file_of(bars(), tmp_path / "BTCUSDT.csv").read_text().splitlines()
    (tmp_path / "BTCUSDT.csv").write_text("\n".join(lines[1:]))
    assert "add a header line" in refusal(tmp_path / "BTCUSDT.csv", lake)


def test_times_that_run_backwards_refuse_the_file_unless_sorting_is_asked_for(
    tmp_path: Path, lake: Lake
) -> None:
    path = file_of(bars().reverse(), tmp_path / "BTCUSDT.csv")
    assert "run backwards at row 2" in refusal(path, lake)
    assert only(path, lake, fix="sort").added == 10
    assert lake.bars("BTCUSDT").equals(bars())


def test_symbols_whose_rows_alternate_are_not_unsorted(tmp_path: Path, lake: Lake) -> None:
    both = pl.concat([bars(symbol="BUSDT"), bars(symbol="AUSDT")]).sort("ts", maintain_order=True)
    both.write_parquet(tmp_path / "a.parquet")
    assert only(tmp_path / "a.parquet", lake).added == 20


def test_exact_repeats_refuse_the_file_unless_dropping_them_is_asked_for(tmp_path: Path, lake: Lake) -> None:
    path = file_of(pl.concat([bars()[:5], bars()[4:]]), tmp_path / "BTCUSDT.csv")
    said = refusal(path, lake)
    assert "repeats the bar of 2026-05-01 00:04 UTC in row 6" in said
    assert "1 exact repeats" in said
    result = only(path, lake, fix={"dedupe"})
    assert (result.added, result.repeats) == (10, 1)


def test_two_different_bars_of_one_time_refuse_the_file_whatever_fix_says(tmp_path: Path, lake: Lake) -> None:
    other = bars()[4:5].with_columns(volume=pl.lit(99.0))
    path = file_of(pl.concat([bars()[:5], other, bars()[5:]]), tmp_path / "BTCUSDT.csv")
    for fix in ("", "sort,dedupe"):
        assert "two different bars at 2026-05-01 00:04 UTC, the second in row 6" in refusal(
            path, lake, fix=fix
        )


def test_a_step_that_is_no_interval_or_a_single_bar_asks_for_the_interval(tmp_path: Path, lake: Lake) -> None:
    sparse = file_of(bars(count=20).filter(pl.col("ts").dt.minute() % 2 == 0), tmp_path / "BTCUSDT.csv")
    assert "median step between bars is 120 s" in refusal(sparse, lake)
    lone = file_of(bars(count=1), tmp_path / "ETHUSDT.csv")
    assert "too few bars" in refusal(lone, lake)
    assert only(sparse, lake, interval="1m").added == 10


def test_a_file_whose_every_row_is_bad_is_refused_with_the_commonest_reason(
    tmp_path: Path, lake: Lake
) -> None:
    path = file_of(bars().with_columns(volume=pl.lit(-1.0)), tmp_path / "BTCUSDT.csv")
    assert "no usable row; 10 rows: volume is negative" in refusal(path, lake)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("BTCUSDT.csv", b"", "cut short or is no CSV"),
        ("BTCUSDT.csv", b"ts,open,high,low,close,volume\n", "holds no rows"),
        ("BTCUSDT.csv", b"ts,open,high,low,close,volume\n1,2,3,4,5,6,7,8\n", "cut short or is no CSV"),
        ("BTCUSDT.csv", b"ts,open,high,low,close,volume\n1,2,3,4,5,\xe9\n", "cut short or is no CSV"),
        ("BTCUSDT.csv", b"\x00\xff\xfe\x00", "is no CSV"),
        ("BTCUSDT.parquet", b"", "cut short or is no Parquet"),
        ("BTCUSDT.parquet", b"PAR1 and then nothing", "cut short or is no Parquet"),
        ("BTCUSDT.csv.gz", b"\x1f\x8b\x08\x00broken", "cut short or is no CSV"),
        ("BTCUSDT.xlsx", b"PK", "neither CSV nor Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(
    tmp_path: Path, lake: Lake, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in refusal(tmp_path / name, lake)


@pytest.mark.parametrize("name", ["BTCUSDT.csv.gz", "BTCUSDT.parquet"])
@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_a_download_that_was_cut_short_is_refused_whole(
    tmp_path: Path, lake: Lake, name: str, share: float
) -> None:
    path = file_of(bars(count=5_000), tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "cut short" in refusal(path, lake)


def test_columns_of_a_type_that_cannot_be_a_time_or_number_are_refused(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT.parquet"
    bars().with_columns(ts=pl.lit(True)).write_parquet(path)
    assert "which is no time" in refusal(path, lake)
    bars().with_columns(close=pl.lit(MAY)).write_parquet(path)
    assert "which is no number" in refusal(path, lake)


def test_a_file_name_that_tells_no_symbol_asks_for_one(tmp_path: Path, lake: Lake) -> None:
    assert "--symbol (symbol=)" in refusal(file_of(bars(), tmp_path / "prices.csv"), lake)


@pytest.mark.parametrize("symbol", ["??", "../../x", "..", "a b", "*", "-", "BTC\nUSDT"])
def test_a_name_that_is_no_symbol_is_refused_and_nothing_is_written(
    tmp_path: Path, lake: Lake, symbol: str
) -> None:
    assert "is no symbol" in refusal(file_of(bars(), tmp_path / "prices.csv"), lake, symbol=symbol)
    assert lake.symbols() == []


@pytest.mark.parametrize("symbol", ["1000SATSUSDT", "ODD.N", "EUR_X", "币安人生USDT", "A-B"])
def test_a_name_in_any_script_is_a_symbol(tmp_path: Path, lake: Lake, symbol: str) -> None:
    import_bars([file_of(bars(), tmp_path / "prices.csv")], lake, ImportPlan(symbol=symbol, now_ns=LATER_NS))
    assert lake.symbols() == [symbol]


def test_one_symbol_given_for_a_file_of_several_is_refused(tmp_path: Path, lake: Lake) -> None:
    pl.concat([bars(symbol="AUSDT"), bars(symbol="BUSDT")]).write_parquet(tmp_path / "a.parquet")
    assert "holds 2 symbols" in refusal(tmp_path / "a.parquet", lake, symbol="AUSDT")


def test_a_path_that_is_missing_or_holds_no_bar_file_is_refused(tmp_path: Path, lake: Lake) -> None:
    with pytest.raises(ImportRefused, match="does not exist"):
        import_bars([tmp_path / "nowhere"], lake)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportRefused, match="no bar files in"):
        import_bars([tmp_path / "empty"], lake)


def test_a_bar_that_contradicts_the_lake_refuses_the_file_unless_replacing_is_asked_for(
    tmp_path: Path, lake: Lake
) -> None:
    only(file_of(bars(), tmp_path / "BTCUSDT.csv"), lake)
    other = pl.concat([bars(), bars(symbol="AUSDT")]).with_columns(volume=pl.col("volume") + 1)
    other.write_parquet(tmp_path / "new.parquet")
    with pytest.raises(ImportRefused, match="10 bars contradict the lake"):
        only(tmp_path / "new.parquet", lake)
    assert lake.symbols() == ["BTCUSDT"]
    assert lake.bars("BTCUSDT").equals(bars())
    result = only(tmp_path / "new.parquet", lake, replace=True)
    assert (result.added, result.replaced) == (10, 10)


def test_a_refused_file_does_not_keep_the_others_out(tmp_path: Path, lake: Lake) -> None:
    good = file_of(bars(), tmp_path / "BTCUSDT.csv")
    bad = tmp_path / "ETHUSDT.csv"
    bad.write_text("nothing,here\n1,2\n")
    report = import_bars([bad, good], lake, ImportPlan(**PLAN))
    assert [file.status for file in report.files] == ["refused", "accepted"]
    assert lake.symbols() == ["BTCUSDT"]


def test_when_every_file_is_refused_the_error_carries_the_report(tmp_path: Path, lake: Lake) -> None:
    for name in ("AUSDT.csv", "BUSDT.csv"):
        (tmp_path / name).write_text("nothing,here\n1,2\n")
    with pytest.raises(
        ImportRefused, match=r"AUSDT.csv: missing columns: ts.*1 more files refused"
    ) as caught:
        import_bars([tmp_path], lake)
    assert len(caught.value.data["report"].having("refused")) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_unit": "min"},
        {"interval": "2m"},
        {"volume_unit": "lots"},
        {"time_is": "middle"},
        {"fix": "sort,guess"},
        {"columns": {"price": "p"}},
    ],
)
def test_a_plan_with_an_impossible_value_is_refused_before_any_file_is_read(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="choose from"):
        ImportPlan(**wrong)
