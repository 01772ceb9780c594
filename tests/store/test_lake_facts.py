from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mexclab.errors import DataError
from mexclab.store.lake import Lake
from mexclab.store.lake_facts import Fact, FactKind, Facts
from tests.store.bar_samples import MAY, bars, ns

MINUTE_NS = 60_000_000_000
MAY_NS = ns(MAY)


def listing(symbol: str, at: int, known: int = 0, source: str = "venue") -> Fact:
    return Fact(FactKind.LISTING, symbol, at, known, source)


def delisting(symbol: str, at: int, known: int = 0) -> Fact:
    return Fact(FactKind.DELISTING, symbol, at, known, "venue")


def rename(symbol: str, at: int, becomes: str, known: int = 0) -> Fact:
    return Fact(FactKind.RENAME, symbol, at, known, "venue", becomes)


def spans(facts: Facts, symbol: str) -> list[tuple[str, int | None, int | None]]:
    return [(span.symbol, span.start_ns, span.end_ns) for span in facts.names(symbol)]


def test_facts_are_kept_in_the_order_of_recording_and_the_same_fact_only_once(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    assert facts.all() == []
    assert facts.frame().is_empty()
    first = [delisting("AUSDT", 9), listing("AUSDT", 1)]
    assert facts.record(first) == 2
    assert facts.record([listing("AUSDT", 1, known=5), listing("索拉拉USDT", 3)]) == 1
    assert Facts(tmp_path).all() == [*first, listing("索拉拉USDT", 3)]
    assert facts.frame()["symbol"].to_list() == ["AUSDT", "AUSDT", "索拉拉USDT"]
    assert [fact.at_ns for fact in facts.of("AUSDT")] == [1, 9]


def test_recording_adds_lines_and_never_changes_those_that_are_there(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    facts.record([listing("AUSDT", 1)])
    before = (tmp_path / "facts.jsonl").read_bytes()
    facts.record([listing("AUSDT", 2)])
    assert (tmp_path / "facts.jsonl").read_bytes().startswith(before)


@pytest.mark.parametrize("at", [2**63, -(2**63) - 1, 253_370_764_800 * 10**9])
def test_a_time_that_no_table_can_hold_is_no_time_of_a_fact(at: int) -> None:
    with pytest.raises(DataError, match="between the years 1678 and 2262"):
        listing("AUSDT", at)
    with pytest.raises(DataError, match="between the years 1678 and 2262"):
        listing("AUSDT", 1, known=at)


def test_a_study_as_of_a_time_sees_what_was_known_by_then(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    facts.record([listing("AUSDT", 100, known=10), listing("AUSDT", 150, known=20)])
    assert [span.start_ns for span in facts.life("AUSDT", as_of_ns=9)] == [None]
    assert [span.start_ns for span in facts.life("AUSDT", as_of_ns=10)] == [100]
    assert [span.start_ns for span in facts.life("AUSDT")] == [150]


def test_a_later_known_fact_corrects_an_earlier_one_whichever_took_effect_first(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    facts.record([listing("AUSDT", 150, known=1), listing("AUSDT", 100, known=2)])
    facts.record([delisting("AUSDT", 900, known=4), delisting("AUSDT", 800, known=3)])
    assert [(span.start_ns, span.end_ns) for span in facts.life("AUSDT")] == [(100, 900)]


def test_a_coin_that_came_back_has_two_stretches_of_life_and_one_name(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    facts.record([listing("AUSDT", 1), delisting("AUSDT", 5), listing("AUSDT", 8)])
    assert [(span.start_ns, span.end_ns) for span in facts.life("AUSDT")] == [(1, 5), (8, None)]
    assert spans(facts, "AUSDT") == [("AUSDT", None, None)]


def test_names_follow_renames_back_and_stop_where_a_name_was_another_coins(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    facts.record([rename("AUSDT", 10, "BUSDT"), rename("BUSDT", 20, "CUSDT"), listing("AUSDT", 15)])
    assert spans(facts, "CUSDT") == [("AUSDT", None, 10), ("BUSDT", 10, 20), ("CUSDT", 20, None)]
    assert spans(facts, "AUSDT") == [("AUSDT", 15, None)]
    assert spans(facts, "BUSDT") == [("AUSDT", None, 10), ("BUSDT", 10, 20)]
    assert spans(facts, "XUSDT") == [("XUSDT", None, None)]


def test_renames_in_a_circle_end(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    facts.record([rename("AUSDT", 10, "BUSDT"), rename("BUSDT", 10, "AUSDT"), rename("AUSDT", 30, "BUSDT")])
    assert spans(facts, "BUSDT")[-1] == ("BUSDT", 30, None)


def test_a_renamed_symbols_history_is_read_under_its_new_name(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars("OLDUSDT", count=10))
    lake.write(bars("NEWUSDT", MAY + timedelta(minutes=8), count=10))
    lake.facts.record([rename("OLDUSDT", MAY_NS + 9 * MINUTE_NS, "NEWUSDT")])
    found = lake.history("NEWUSDT")
    assert found["symbol"].unique().to_list() == ["NEWUSDT"]
    assert found["ts"].to_list() == [MAY + timedelta(minutes=n) for n in range(18)]
    assert found[:9].drop("symbol").equals(lake.bars("OLDUSDT")[:9].drop("symbol"))
    assert found[9:].equals(lake.bars("NEWUSDT")[1:])
    part = lake.history("NEWUSDT", MAY_NS + 7 * MINUTE_NS, MAY_NS + 11 * MINUTE_NS)
    assert part.equals(found[7:11])
    assert lake.history("NEWUSDT", MAY_NS, MAY_NS + 3 * MINUTE_NS).equals(found[:3])
    assert lake.history("OLDUSDT").equals(lake.bars("OLDUSDT")[:9])


def test_a_former_name_without_bars_is_passed_over_and_an_unknown_symbol_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(bars("NEWUSDT"))
    lake.facts.record([rename("OLDUSDT", MAY_NS, "NEWUSDT")])
    assert lake.history("NEWUSDT").equals(bars("NEWUSDT"))
    assert lake.history("NEWUSDT", MAY_NS - MINUTE_NS, MAY_NS).schema == bars().schema
    with pytest.raises(DataError, match="did you mean NEWUSDT"):
        lake.history("NWUSDT")


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        ({"kind": "listing", "becomes": "BUSDT"}, "a rename, and nothing else"),
        ({"kind": "rename"}, "a rename, and nothing else"),
        ({"kind": "rename", "becomes": "AUSDT"}, "another name"),
        ({"kind": "listing", "source": " "}, "needs a symbol and a source"),
        ({"kind": "listing", "symbol": "A\nB"}, "cannot name a symbol"),
        ({"kind": "merger"}, "merger"),
    ],
)
def test_a_fact_that_says_too_little_or_too_much_does_not_exist(fact: dict[str, str], words: str) -> None:
    told = {"symbol": "AUSDT", "at_ns": 1, "known_ns": 1, "source": "venue"} | fact
    with pytest.raises(DataError, match=words):
        Fact(**told)


def test_a_damaged_line_is_named_and_nothing_is_recorded_beside_it(tmp_path: Path) -> None:
    facts = Facts(tmp_path)
    facts.record([listing("AUSDT", 1)])
    path = tmp_path / "facts.jsonl"
    path.write_text(path.read_text() + '{"kind": "listing", "sym')
    for ask in (facts.all, lambda: facts.record([listing("BUSDT", 1)])):
        with pytest.raises(DataError, match=r"line 2 of .*facts\.jsonl is no fact"):
            ask()
    assert pl.read_csv(path, has_header=False, separator="\x01").height == 2
