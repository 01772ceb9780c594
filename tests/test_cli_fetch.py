"""``mexclab fetch`` and ``mexclab lake`` before a simulated venue, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from mexclab.cli import app
from mexclab.errors import MexclabError
from mexclab.fetching.origin import origin_of, settle
from mexclab.store.bar_import import ImportPlan, import_bars
from mexclab.store.lake import Lake
from mexclab.venues.simulator.server import SimulatorServer
from tests.fetching.scene import venue_beside

Type = Callable[..., str]


@pytest.fixture(scope="module")
def venue() -> Iterator[SimulatorServer]:
    with venue_beside() as server:
        yield server


@pytest.fixture
def typed(venue: SimulatorServer, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Runs a command; what asks an exchange asks the simulated one."""
    monkeypatch.setenv("MEXCLAB_VENUE__REST_URL", venue.url)

    def type_(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, [*words])
        if isinstance(done.exception, MexclabError):
            raise done.exception
        assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
        return str(done.stdout)

    return type_


def read(text: str) -> Any:
    return json.loads(text.splitlines()[-1])


def test_bars_are_fetched_shown_and_fetched_no_second_time(typed: Type, data_folder: Path) -> None:
    told = typed("fetch", "bars", "BTCUSDT", "MXUSDT", "--since", "3h")
    assert "bars added and 0 replaced for 2 pairs" in told
    again = read(typed("fetch", "bars", "BTCUSDT", "MXUSDT", "--since", "3h", "--json"))
    assert sum(pair["added"] for pair in again["pairs"]) <= 2  # a bar or two may have closed meanwhile
    shown = typed("lake", "show")
    assert "2 symbols" in shown
    rows = json.loads(typed("lake", "show", "--json"))
    assert [row["symbol"] for row in rows] == ["BTCUSDT", "MXUSDT"]
    assert Lake(data_folder / "lake").bars("BTCUSDT").height >= 179


def test_without_a_name_every_pair_of_the_quote_is_fetched(typed: Type) -> None:
    told = read(typed("fetch", "bars", "--since", "30m", "--json"))
    assert {"BTCUSDT", "MXUSDT"} < {pair["name"] for pair in told["pairs"]}
    with pytest.raises(MexclabError, match="no spot pair in 'EUR'"):
        typed("fetch", "bars", "--since", "30m", "--quote", "EUR")


def test_following_for_a_moment_fills_the_lake_and_ends(typed: Type, data_folder: Path) -> None:
    lines = typed("fetch", "follow", "BTCUSDT", "--since", "1h", "--seconds", "1", "--json").splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds[:2] == ["fetched", "follows"]
    assert "round" in kinds
    assert Lake(data_folder / "lake").bars("BTCUSDT").height >= 59
    words = typed("fetch", "follow", "BTCUSDT", "--since", "1h", "--seconds", "0.5")
    assert "following 1 pairs, 1 of them on the stream" in words


def test_a_hole_is_shown_with_its_reason_and_repaired(typed: Type, data_folder: Path) -> None:
    typed("fetch", "bars", "BTCUSDT", "--since", "3h")
    bars = Lake(data_folder / "lake").bars("BTCUSDT")
    for path in (data_folder / "lake").rglob("*.parquet"):
        path.unlink()
    Lake(data_folder / "lake").write(bars[:60].vstack(bars[90:]))
    shown = typed("lake", "gaps")
    assert "30  missing" in shown
    assert "lake repair" in shown
    assert read(typed("lake", "repair", "--dry-run", "--json")) == {"missing": 30, "symbols": 1}
    assert "30 bars added" in typed("lake", "repair")
    assert "no gaps" in typed("lake", "gaps")
    assert "nothing is missing" in typed("lake", "repair")


def test_an_exchange_that_cannot_be_asked_does_not_stop_the_repair(typed: Type, data_folder: Path) -> None:
    typed("fetch", "bars", "BTCUSDT", "--since", "3h")
    bars = Lake(data_folder / "lake").bars("BTCUSDT")
    for path in (data_folder / "lake").rglob("*.parquet"):
        path.unlink()
    holed = bars[:60].vstack(bars[90:])
    strange = holed.with_columns(symbol=pl.lit("AAA:BTCUSDT"))  # its exchange comes first, and is none
    Lake(data_folder / "lake").write(holed.vstack(strange))
    assert "30 bars added" in typed("lake", "repair", code=5)
    assert Lake(data_folder / "lake").gaps("BTCUSDT").is_empty()


def test_listings_are_learned_once_and_explain_gaps(typed: Type, data_folder: Path) -> None:
    assert "no facts yet" in typed("lake", "facts")
    typed("fetch", "bars", "BTCUSDT", "--since", "1h")
    assert "1 of them new to us" in typed("lake", "facts", "--learn", "mexc")
    assert "0 of them new to us" in typed("lake", "facts", "--learn", "mexc")
    (fact,) = json.loads(typed("lake", "facts", "--json"))
    assert (fact["kind"], fact["symbol"]) == ("listing", "BTCUSDT")
    before = json.loads(typed("lake", "gaps", "--since", "2015-01-01", "--json"))
    assert before[0]["reason"] == "before listing"


def test_a_fact_is_recorded_by_hand_once_and_for_good(typed: Type, data_folder: Path) -> None:
    words = ("lake", "record", "rename", "OLDUSDT", "--becomes", "NEWUSDT", "--at", "2026-06-01")
    assert "rename of OLDUSDT, now NEWUSDT, at 2026-06-01 00:00:00 UTC: recorded" in typed(
        *words, "--source", "a page"
    )
    assert "known already" in typed(*words, "--source", "a page")
    (fact,) = json.loads(typed("lake", "facts", "NEWUSDT", "--json"))
    assert (fact["symbol"], fact["becomes"], fact["source"]) == ("OLDUSDT", "NEWUSDT", "a page")
    with pytest.raises(MexclabError, match="'merger' is no fact; choose one of listing"):
        typed("lake", "record", "merger", "AUSDT", "--at", "2026-06-01", "--source", "x")
    with pytest.raises(MexclabError, match="names what the symbol becomes"):
        typed("lake", "record", "rename", "AUSDT", "--at", "2026-06-01", "--source", "x")


def test_live_bars_are_folded_into_their_months(typed: Type, data_folder: Path) -> None:
    assert "nothing was fresh" in typed("lake", "compact")
    typed("fetch", "bars", "BTCUSDT", "--since", "1h")
    lake = Lake(data_folder / "lake")
    last = lake.bars("BTCUSDT")[-5:]
    later = last.with_columns(ts=last["ts"].dt.offset_by("5m"))
    lake.append(later)
    told = read(typed("lake", "compact", "--json"))
    assert (told["files"], told["bars"]) == (1, 5)
    assert not list((data_folder / "lake" / "fresh").rglob("*.parquet"))


def test_an_empty_lake_says_how_to_fill_it(typed: Type) -> None:
    for words in (("show",), ("gaps",), ("repair",)):
        assert "mexclab fetch bars BTCUSDT" in typed("lake", *words)
    with pytest.raises(MexclabError, match="mexclab import"):
        typed("lake", "gaps", "BTCUSDT")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("BTCUDST",), "did you mean BTCUSDT"),
        (("BTCUSDT", "--exchange", "mexcc"), "did you mean mexc"),
        (("BTCUSDT", "--interval", "2m"), "not an interval of the lake"),
        (("BTCUSDT", "--interval", "8h"), "mexc has no 8h bars"),
        (("BTCUSDT", "--since", "soon"), "no moment"),
        (("BTCUSDT", "--since", "1h", "--until", "2h"), "no closed 1m bar"),
    ],
)
def test_what_was_typed_wrong_is_said_in_one_sentence(words: tuple[str, ...], says: str, typed: Type) -> None:
    with pytest.raises(MexclabError, match=says) as told:
        typed("fetch", "bars", *words)
    assert "\n" not in str(told.value)


def test_simulated_bars_never_go_into_a_lake_of_real_ones(typed: Type, data_folder: Path) -> None:
    minute = pl.Series("ts", [1_780_272_000_000]).cast(pl.Datetime("ms", "UTC"))
    numbers = {name: [1.0] for name in ("open", "high", "low", "close", "volume")}
    lake = Lake(data_folder / "lake")
    lake.write(pl.DataFrame({"symbol": ["BTCUSDT"], "ts": minute, **numbers}))  # as an import does
    for words in (("fetch", "bars"), ("fetch", "follow")):
        with pytest.raises(MexclabError, match=r"holds real bars.*are simulated"):
            typed(*words, "BTCUSDT", "--since", "1h")
    assert lake.bars("BTCUSDT").height == 1


def test_bars_imported_after_a_download_that_brought_none_are_real(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    settle(lake, "http://127.0.0.1:8790")
    file = tmp_path / "BTCUSDT_1m.csv"
    file.write_text(
        "symbol,ts,open,high,low,close,volume\nBTCUSDT,1780272000000,1,1,1,1,1\n", encoding="utf-8"
    )
    import_bars([file], lake, ImportPlan(interval="1m"))
    assert origin_of(lake) == "real"
    settle(lake, None)
    with pytest.raises(MexclabError, match="holds real bars"):
        settle(lake, "http://127.0.0.1:8790")


def test_a_lake_that_began_simulated_stays_so(typed: Type, data_folder: Path) -> None:
    with pytest.raises(MexclabError, match="did you mean"):
        typed("fetch", "bars", "BTCUDST")
    settle(Lake(data_folder / "lake"), None)  # nothing came, so nothing is settled
    typed("fetch", "bars", "BTCUSDT", "--since", "10m")
    assert origin_of(Lake(data_folder / "lake")) == "simulated"
    with pytest.raises(MexclabError, match="holds simulated bars"):
        settle(Lake(data_folder / "lake"), None)
    with pytest.raises(MexclabError, match="holds simulated bars"):
        settle(Lake(data_folder / "lake"), "https://api.mexc.com")
