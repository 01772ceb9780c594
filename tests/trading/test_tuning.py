"""Changing the strategy of a running desk: as a whole, written down, and still there after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mexclab.domain import events as e
from mexclab.domain.clock import SECOND
from mexclab.domain.market import Market, Symbol
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import parse_ladder
from mexclab.errors import DomainError, LedgerUnavailable, ParameterError
from mexclab.store.memory import MemoryLedger
from mexclab.strategies.parameters import texts
from mexclab.strategies.presets import find_preset
from mexclab.trading import tuning
from tests.trading.conftest import Station

Make = Callable[..., Station]
SIGNAL = Signal("PEPE-1", Symbol("PEPE"), "calendar", 0, 100 * SECOND, Decimal(1), {})
MARKET = Market(Symbol("PEPE"), Decimal("0.0001"), Decimal("0.01"))

SECOND_STRATEGY = """
from decimal import Decimal
from pydantic import Field
from mexclab.strategies.opening_snipe import OpeningParameters, OpeningSnipe
from mexclab.strategies.parameters import Exact, Parameters

class HalfParameters(Parameters):
    budget_quote: Exact = Field(default=Decimal(9), gt=0, le=100, description="money, in quote")
    share: Exact = Field(default=Decimal("0.5"), gt=0, le=1, description="fraction of the budget")

class Half:
    name = "half"
    Parameters = HalfParameters
    def __init__(self, parameters):
        self.parameters = parameters
        spent = parameters.budget_quote * parameters.share
        self.plan = OpeningSnipe(OpeningParameters(budget_quote=spent)).plan
"""


@pytest.fixture
def half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second strategy, installed as a package; its folder."""
    site, module = tmp_path / "site", f"half_{tmp_path.name}".replace("-", "_")
    meta = site / f"{module}-1.dist-info"
    meta.mkdir(parents=True)
    (site / f"{module}.py").write_text(SECOND_STRATEGY.replace("self.plan =", "self._plan =") + (
        "    def plan(self, *asked):\n        return self._plan(*asked)\n"
    ))  # fmt: skip
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (meta / "entry_points.txt").write_text(f"[mexclab.strategies]\nhalf = {module}:Half\n")
    monkeypatch.syspath_prepend(site)
    return site


def written(station: Station) -> list[e.StrategySet]:
    return [event for _, event in station.ledger.read() if isinstance(event, e.StrategySet)]


def alerts(station: Station) -> list[e.AlertRaised]:
    return [event for _, event in station.ledger.read() if isinstance(event, e.AlertRaised)]


async def restored(station: Station) -> Station:
    """Another process on the same ledger, up to where the tuned strategy is put in force."""
    after = station.restart()
    for seq, event in after.ledger.read():
        after.engine.desk.fold(event)
        after.engine.seq = seq
    async with after.engine.gate:
        await tuning.restore(after.engine)
    return after


async def test_a_change_is_merged_written_down_and_followed_by_the_next_plan(station: Make) -> None:
    desk = station()
    said = await tuning.tune(
        desk.engine, {"budget_quote": "12.50", "attempts": 3, "stop_loss": 0.2}, "ann", "smaller"
    )
    assert said == (
        "opening_snipe: attempts 6 -> 3, budget_quote 50 -> 12.50, stop_loss 0.15 -> 0.2; "
        "plans that are made keep what they have"
    )
    event = written(desk)[0]
    assert (event.name, event.by, event.why) == ("opening_snipe", "ann", "smaller")
    assert event.at_ns == desk.clock.now_ns()
    assert list(event.parameters) == sorted(texts(desk.engine.strategy.parameters).items())
    assert dict(event.parameters)["cap_multiple"] == "3"  # untouched, and written down all the same
    plan = desk.engine.strategy.plan(SIGNAL, MARKET, Decimal(1))
    assert (plan.budget_quote, plan.attempts, plan.price_cap) == (Decimal("12.50"), 3, 3)
    await tuning.tune(desk.engine, {"attempts": "4"}, "bob", "more")
    assert desk.engine.strategy.plan(SIGNAL, MARKET, Decimal(1)).budget_quote == Decimal("12.50")


@pytest.mark.parametrize(
    ("values", "why", "words"),
    [
        ({"attempts": 4, "stop_loss": "1.5", "budget_quote": "0"}, "x", "budget_quote = 0.*stop_loss = 1.5"),
        ({"attempts": 4, "colour": "red"}, "x", "colour is no parameter"),
        ({"attempts": 4, "ladder": "5:25"}, "x", "one of exit_preset and ladder"),
        ({"attempts": 4}, "  ", "a reason is required"),
        ({}, "x", "at least one parameter"),
    ],
)
async def test_a_change_that_breaks_one_rule_changes_nothing(
    station: Make, values: dict[str, object], why: str, words: str
) -> None:
    desk = station()
    before = desk.engine.strategy
    with pytest.raises(ParameterError, match=words):
        await tuning.tune(desk.engine, values, "ann", why)
    assert desk.engine.strategy is before
    assert not written(desk)


async def test_a_change_to_what_is_in_force_is_not_written_down(station: Make) -> None:
    desk = station()
    assert await tuning.tune(desk.engine, {"attempts": "6"}, "ann", "x") == "opening_snipe: nothing changed"
    assert not written(desk)


class TornLedger(MemoryLedger):
    """Takes nothing more: what a lost database looks like."""

    async def append(self, *events: e.Event) -> int:
        raise LedgerUnavailable("the ledger does not answer")


async def test_a_change_that_could_not_be_written_down_is_not_in_force(station: Make) -> None:
    desk = station()
    engine, before = desk.engine, desk.engine.strategy
    engine.parts = replace(engine.parts, ledger=TornLedger())
    with pytest.raises(LedgerUnavailable):
        await tuning.tune(engine, {"attempts": 3}, "ann", "x")
    assert engine.strategy is before
    assert engine.desk.strategy is None
    assert not engine.gate.locked()


async def test_changes_wait_for_the_gate_and_build_on_each_other(station: Make) -> None:
    engine = station().engine
    async with engine.gate:
        first = asyncio.create_task(tuning.tune(engine, {"attempts": 3}, "ann", "x"))
        second = asyncio.create_task(tuning.tune(engine, {"deadline_s": 9}, "bob", "y"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert engine.desk.strategy is None
    await asyncio.gather(first, second)
    assert {"attempts": "3", "deadline_s": "9"}.items() <= texts(engine.strategy.parameters).items()


async def test_plans_that_are_made_keep_theirs_and_the_next_ones_follow_the_change(station: Make) -> None:
    desk = station(auto_arm=False)
    await desk.start()
    while not desk.engine.desk.snipes:
        await desk.run(desk.clock.now_ns() + 600 * SECOND)
    old = {snipe_id: snipe.plan for snipe_id, snipe in desk.engine.desk.snipes.items()}
    await tuning.tune(desk.engine, {"budget_quote": "7", "book_slippage": "none"}, "ann", "smaller")
    while len(desk.engine.desk.snipes) == len(old):
        await desk.run(desk.clock.now_ns() + 600 * SECOND)
    for snipe_id, snipe in desk.engine.desk.snipes.items():
        expected = old[snipe_id].budget_quote if snipe_id in old else Decimal(7)
        assert snipe.plan.budget_quote == expected
    new = next(snipe.plan for snipe_id, snipe in desk.engine.desk.snipes.items() if snipe_id not in old)
    assert (new.book_slippage, next(iter(old.values())).book_slippage) == (None, Decimal("0.10"))


async def test_a_preset_is_put_in_force_as_it_is(station: Make, tmp_path: Path) -> None:
    engine = station().engine
    await tuning.tune(engine, {"exit_preset": "none", "ladder": "4:50 9:50"}, "ann", "own ladder")
    assert engine.strategy.plan(SIGNAL, MARKET, Decimal(1)).exit.ladder == parse_ladder("4:50 9:50")
    preset = find_preset(tmp_path, "conservative")
    await tuning.tune(engine, preset.parameters, "ann", "calm", strategy=preset.strategy)
    assert preset.parameters.items() <= texts(engine.strategy.parameters).items()


async def test_a_restart_puts_the_last_change_in_force_again(station: Make) -> None:
    desk = station()
    await tuning.tune(desk.engine, {"attempts": 3}, "ann", "x")
    await tuning.tune(desk.engine, {"trailing_stop": "0.050"}, "ann", "x")
    after = await restored(desk)
    assert after.engine.strategy.parameters == desk.engine.strategy.parameters
    assert texts(after.engine.strategy.parameters)["trailing_stop"] == "0.050"
    assert not alerts(after)
    shown = tuning.in_force(after.engine)
    assert (shown["by"], shown["why"], shown["since_ns"]) == ("ann", "x", written(desk)[-1].at_ns)


async def test_giving_it_back_to_the_settings_outlives_a_restart_too(station: Make) -> None:
    desk = station()
    await tuning.tune(desk.engine, {"attempts": 3}, "ann", "x")
    with pytest.raises(ParameterError, match="a reason is required"):
        await tuning.reset(desk.engine, "ann", "")
    assert "goes by the settings again" in await tuning.reset(desk.engine, "ann", "done")
    assert "nothing changed" in await tuning.reset(desk.engine, "ann", "done")
    assert len(written(desk)) == 2
    after = await restored(desk)
    for engine in (desk.engine, after.engine):
        assert engine.strategy is engine.parts.strategy
        assert tuning.in_force(engine)["by"] == "settings"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("opening_snipe", {"stop_loss": "3"}, "stop_loss = 3"),
        ("opening_snipe", {"of_another_version": "1"}, "of_another_version is no parameter"),
        ("a_package_that_is_gone", {}, "no strategy is called"),
    ],
)
async def test_a_desk_that_cannot_read_what_was_set_plans_nothing_until_it_is_set_anew(
    station: Make, name: str, changes: dict[str, str], words: str
) -> None:
    desk = station()
    kept = texts(desk.engine.strategy.parameters) | {"attempts": "3"} | changes
    event = e.StrategySet(desk.clock.now_ns(), name, tuple(sorted(kept.items())), "ann", "x")
    await desk.engine.record(event)
    after = await restored(desk)
    engine = after.engine
    assert [(alert.level, words in alert.text) for alert in alerts(after)] == [("critical", True)]
    with pytest.raises(DomainError, match=words):
        engine.strategy.plan(SIGNAL, MARKET, Decimal(1))
    shown = tuning.in_force(engine)
    assert words in shown["fault"]
    assert (shown["name"], shown["parameters"]) == (name, kept)
    if name == "opening_snipe":
        assert [row["name"] for row in shown["ranges"]]
        said = await tuning.tune(engine, {"stop_loss": "0.3"}, "bob", "mended")
        assert ("of_another_version" in said) == ("of_another_version" in changes)
    else:
        with pytest.raises(ParameterError, match=words):
            await tuning.tune(engine, {"stop_loss": "0.3"}, "bob", "mended")
        await tuning.tune(engine, {"attempts": 3, "stop_loss": "0.3"}, "bob", "x", strategy="opening_snipe")
    plan = engine.strategy.plan(SIGNAL, MARKET, Decimal(1))
    assert (plan.attempts, plan.exit.stop_loss) == (3, Decimal("0.3"))
    assert tuning.in_force(engine)["fault"] == ""


async def test_a_desk_that_cannot_read_what_was_set_declines_each_signal_once(station: Make) -> None:
    desk = station()
    await desk.engine.record(e.StrategySet(desk.clock.now_ns(), "gone", (("a", "1"),), "ann", "x"))
    after = desk.restart()
    await after.start()
    async with after.engine.gate:
        await tuning.restore(after.engine)
    while not any("cannot be read" in why for why in after.engine.desk.declined.values()):
        await after.run(after.clock.now_ns() + 600 * SECOND)
    await after.run(after.clock.now_ns() + 600 * SECOND)
    declined = [event for _, event in after.ledger.read() if isinstance(event, e.PlanDeclined)]
    unreadable = [event.signal_id for event in declined if "cannot be read" in event.why]
    assert unreadable
    assert len(unreadable) == len(set(unreadable))
    assert not after.engine.desk.snipes
    await tuning.reset(after.engine, "ann", "the settings will do")
    while not after.engine.desk.snipes:
        await after.run(after.clock.now_ns() + 600 * SECOND)


async def test_a_parameter_that_is_younger_than_the_change_follows_the_settings_and_is_told(
    station: Make,
) -> None:
    desk = station()
    kept = texts(desk.engine.strategy.parameters) | {"attempts": "3"}
    del kept["book_slippage"]
    await desk.engine.record(e.StrategySet(0, "opening_snipe", tuple(kept.items()), "ann", "x"))
    after = await restored(desk)
    assert after.engine.strategy.plan(SIGNAL, MARKET, Decimal(1)).attempts == 3
    assert [alert.level for alert in alerts(after)] == ["warning"]
    assert "book_slippage = 0.10" in alerts(after)[0].text


async def test_a_desk_changes_to_another_strategy_and_back(station: Make, half: Path) -> None:
    desk = station()
    said = await tuning.tune(desk.engine, {"share": "0.25"}, "ann", "try it", strategy="half")
    assert said.startswith("half is in force: budget_quote = 50, share = 0.25;")
    assert desk.engine.strategy.plan(SIGNAL, MARKET, Decimal(1)).budget_quote == Decimal("12.5")
    after = await restored(desk)
    assert after.engine.strategy.plan(SIGNAL, MARKET, Decimal(1)).budget_quote == Decimal("12.5")
    shown = tuning.in_force(after.engine)
    assert (shown["name"], [row["default"] for row in shown["ranges"]]) == ("half", ["50", "0.5"])
    assert shown["origin"].endswith(":Half")
    with pytest.raises(ParameterError, match=r"share = 2: must be a number, above 0 and at most 1"):
        await tuning.tune(after.engine, {"share": 2}, "ann", "x")
    await tuning.tune(after.engine, {"attempts": 2}, "ann", "back", strategy="opening_snipe")
    assert after.engine.strategy.plan(SIGNAL, MARKET, Decimal(1)).budget_quote == 50


async def test_an_unknown_strategy_is_refused_before_anything_changes(station: Make) -> None:
    desk = station()
    with pytest.raises(ParameterError, match="no strategy is called 'nope'"):
        await tuning.tune(desk.engine, {"a": 1}, "ann", "x", strategy="nope")
    assert not written(desk)
    assert not desk.engine.gate.locked()


async def test_what_is_in_force_is_told_before_anyone_changed_it(station: Make) -> None:
    shown = tuning.in_force(station().engine)
    assert (shown["name"], shown["since_ns"], shown["by"], shown["fault"]) == (
        "opening_snipe", None, "settings", "",
    )  # fmt: skip
    assert shown["parameters"]["cap_multiple"] == "3"
    assert {
        "name": "stop_loss",
        "type": "number",
        "range": "above 0 and below 1",
        "default": "0.15",
        "help": "fall from the entry price that sells all, as a fraction",
    } in shown["ranges"]
