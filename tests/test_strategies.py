"""Strategies as plug-ins: the protocol, typed parameters, presets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from mexclab.config import SnipeSettings
from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Market, Symbol
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, Plan, parse_ladder
from mexclab.errors import ConfigError, DomainError, ParameterError
from mexclab.strategies.opening_snipe import OpeningParameters, OpeningSnipe
from mexclab.strategies.parameters import Exact, Parameters, faults, read, texts
from mexclab.strategies.presets import (
    SHIPPED,
    export_preset,
    find_preset,
    import_preset,
    preset_files,
    preset_path,
)
from mexclab.strategies.registry import find_plugin, installed, load_strategy, values_of

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guides" / "strategies.md"
SIGNAL = Signal("PEPE-1", Symbol("PEPE"), "calendar", 0, 100 * SECOND, Decimal("0.8"), {})
MARKET = Market(Symbol("PEPE"), Decimal("0.0001"), Decimal("0.01"))
Install = Callable[..., None]


def blocks(kind: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    return [body for found, body in fences if found == kind]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package as an installer leaves it behind: its module, and metadata with an entry point."""
    made = 0

    def put(source: str, entry: str, package: str = "", version: str = "1.2") -> None:
        nonlocal made
        made += 1
        module = package or f"a_plugin_{made}_{tmp_path.name}".replace("-", "_")
        site = tmp_path / f"site{made}"
        meta = site / f"{module}-{version}.dist-info"
        meta.mkdir(parents=True)
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n")
        name, _, attribute = entry.partition(" = ")
        (meta / "entry_points.txt").write_text(f"[mexclab.strategies]\n{name} = {module}:{attribute}\n")
        monkeypatch.syspath_prepend(site)

    return put


# -- the shipped strategy ------------------------------------------------------------------------


def test_the_defaults_of_opening_snipe_are_the_settings() -> None:
    chosen = SnipeSettings(
        budget_quote=Decimal("12.50"), deadline_s=7, exit_preset="aggressive", trailing_stop=Decimal("0.04"),
        break_even_after=Decimal("0.06"), book_slippage=Decimal("0.02"), attempts=3, attempt_spacing_ms=90,
    )  # fmt: skip
    plan = load_strategy("opening_snipe", chosen).plan(SIGNAL, MARKET, Decimal("0.5"))
    assert (plan.snipe_id, plan.symbol, plan.probability) == ("PEPE-1", Symbol("PEPE"), Decimal("0.8"))
    assert (plan.budget_quote, plan.price_cap) == (Decimal("12.50"), Decimal("1.5"))
    assert (plan.not_before_ns, plan.deadline_ns) == (100 * SECOND, 107 * SECOND)
    assert (plan.attempts, plan.spacing_ns) == (3, 90 * MILLISECOND)
    assert plan.book_slippage == Decimal("0.02")
    assert plan.exit.ladder == LADDERS["aggressive"]
    assert (plan.exit.trailing, plan.exit.break_even_after) == (Decimal("0.04"), Decimal("0.06"))
    assert (plan.exit.stop_loss, plan.exit.time_stop_ns) == (Decimal("0.15"), 1800 * SECOND)


def test_every_snipe_setting_that_is_the_strategys_is_a_parameter_with_the_same_range_and_default() -> None:
    settings, own = SnipeSettings.model_fields, OpeningParameters.model_fields
    assert set(settings) - set(own) == {"auto_arm", "strategy"}
    assert set(own) <= set(settings)
    for name in set(settings) & set(own):
        bounds = [
            {str(each) for each in info.metadata if re.match("G[te]|L[te]", str(each))}
            for info in (settings[name], own[name])
        ]
        assert bounds[0] == bounds[1], name
        assert settings[name].default == own[name].default, name


def test_an_own_ladder_takes_the_place_of_the_preset() -> None:
    text = "5:25 12:35 20:25 35:15"
    chosen = find_plugin("opening_snipe").make({"exit_preset": "none", "ladder": text})
    assert chosen.plan(SIGNAL, MARKET, Decimal(1)).exit.ladder == parse_ladder(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ladder": "5:25"}, "one of exit_preset and ladder"),
        ({"exit_preset": None}, "one of exit_preset and ladder"),
        ({"exit_preset": None, "ladder": "5:60 12:60"}, "ladder = 5:60 12:60: "),
        ({"exit_preset": None, "ladder": "nan:5"}, "ladder = nan:5: "),
        ({"exit_preset": "wild"}, "exit_preset = wild: must be one of conservative, balanced, aggressive"),
        ({"stop_loss": "1"}, r"stop_loss = 1: must be a number, above 0 and below 1 \(fall from the entry"),
        ({"stop_loss": "none"}, "stop_loss = none: must be a number"),
        ({"budget_quote": float("nan")}, "budget_quote = nan: must be a number"),
        ({"budget_quote": "1e400"}, "budget_quote"),
        ({"attempts": "2.5"}, "attempts = 2.5: must be a whole number, at least 1 and at most 50"),
        ({"attempts": True}, "attempts = true: must be a whole number"),
        ({"attempst": 3}, "attempst is no parameter; did you mean attempts?"),
        ({"ladder": "5:25 " * 100}, "at most 200 characters"),
        ({"budget_quote": [1]}, "budget_quote = "),
    ],
)
def test_a_parameter_outside_its_rule_is_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        find_plugin("opening_snipe").make(values)


def test_every_broken_rule_is_told_at_once() -> None:
    with pytest.raises(ParameterError) as told:
        read(OpeningParameters, {"stop_loss": "2", "attempts": "0", "nonsense": "1", "deadline_s": "5"})
    assert [name for name, _ in told.value.data["problems"]] == ["nonsense", "attempts", "stop_loss"]


def test_a_number_that_json_read_as_binary_keeps_the_digits_that_were_typed() -> None:
    assert texts(read(OpeningParameters, {"budget_quote": 0.1}))["budget_quote"] == "0.1"


@given(
    st.fixed_dictionaries(
        {
            "budget_quote": st.decimals(min_value=Decimal("1e-30"), max_value=10**9, places=None),
            "stop_loss": st.decimals(min_value=Decimal("0.0001"), max_value=Decimal("0.99999")),
            "trailing_stop": st.none() | st.decimals(min_value=Decimal("0.0001"), max_value=Decimal("0.9")),
            "attempts": st.integers(1, 50),
        }
    )
)
def test_parameters_survive_being_text(values: dict[str, Any]) -> None:
    chosen = read(OpeningParameters, values)
    again = read(OpeningParameters, texts(chosen))
    assert again == chosen
    assert texts(again) == texts(chosen)


# -- plug-ins ------------------------------------------------------------------------------------


def test_the_strategy_of_the_guide_is_found_by_its_entry_point_and_plans(install: Install) -> None:
    source = next(body for body in blocks("python") if "class ByOdds" in body)
    assert source.count("\n") <= 40
    install(source, "by_odds = ByOdds")
    strategy = load_strategy("by_odds", SnipeSettings(budget_quote=Decimal(20), exit_preset="conservative"))
    plan = strategy.plan(SIGNAL, MARKET, Decimal(1))
    assert plan.budget_quote == 16  # eighty per cent of the setting
    assert plan.exit.ladder == LADDERS["conservative"]
    assert plan.price_cap == 3  # cap_multiple is a snipe setting, too
    row = next(each for each in installed() if each.name == "by_odds")
    assert row.origin.endswith(":ByOdds")
    assert " 1.2: " in row.origin
    budget = row.parameters[0]
    assert (budget.name, budget.type, budget.range) == ("budget_quote", "number", "above 0 and at most 10000")
    assert (budget.default, budget.help) == ("50", "money at certainty, in quote")


def test_a_setting_that_a_plug_in_cannot_take_is_told_with_both_names(install: Install) -> None:
    install(next(body for body in blocks("python") if "class ByOdds" in body), "by_odds = ByOdds")
    with pytest.raises(ConfigError, match=r"'by_odds' .* does not go with the snipe settings.*cap_multiple"):
        load_strategy("by_odds", SnipeSettings(cap_multiple=Decimal(50)))


BODY = """
from mexclab.strategies.parameters import Parameters
class Broken:
    name = "broken"
    class Parameters(Parameters): pass
    def __init__(self, parameters): {init}
    def plan(self, signal, market, reference_price): {plan}
"""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import a_package_that_is_not_there", "ModuleNotFoundError: No module named 'a_package"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def Broken(", "SyntaxError"),
        ("", "has no attribute 'Broken'"),
        ("Broken = 5", "must name a class"),
        ("class Broken: name = 'broken'", "needs Parameters"),
        (BODY.format(init="1 / 0", plan="pass"), "ZeroDivisionError"),
        (
            BODY.replace('"broken"', '"other"').format(init="pass", plan="pass"),
            "name must be that of the entry",
        ),
        (BODY.replace("plan", "scheme").format(init="pass", scheme="pass"), "it has no plan"),
    ],
)
def test_a_broken_plug_in_is_one_sentence_and_a_row_in_the_list(
    source: str, words: str, install: Install
) -> None:
    install(source, "broken = Broken")
    with pytest.raises(ConfigError, match=words) as told:
        load_strategy("broken", SnipeSettings())
    assert "\n" not in told.value.message
    rows = {row.name: row for row in installed()}
    assert rows["broken"].fault == told.value.message
    assert not rows["opening_snipe"].fault


def test_a_strategy_that_nobody_installed_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no strategy is called 'nope'; installed are: .*opening_snipe"):
        load_strategy("nope", SnipeSettings())


def test_two_packages_with_one_name_are_refused(install: Install) -> None:
    for package in ("one_package", "another_package"):
        install(BODY.format(init="pass", plan="pass"), "broken = Broken", package)
    with pytest.raises(ConfigError, match="two packages bring a strategy 'broken'"):
        find_plugin("broken")
    assert "two packages" in next(row for row in installed() if row.name == "broken").fault


def test_what_breaks_while_it_plans_declines_the_signal_and_nothing_else(install: Install) -> None:
    install(BODY.format(init="pass", plan="return {}['key']"), "broken = Broken")
    with pytest.raises(DomainError, match="the strategy 'broken' broke: KeyError: 'key'"):
        load_strategy("broken", SnipeSettings()).plan(SIGNAL, MARKET, Decimal(1))


def test_a_strategy_that_gives_no_plan_declines_the_signal(install: Install) -> None:
    install(BODY.format(init="pass", plan="return None"), "broken = Broken")
    with pytest.raises(DomainError, match="gave a NoneType in place of a plan"):
        load_strategy("broken", SnipeSettings()).plan(SIGNAL, MARKET, Decimal(1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"snipe_id": "other"}, "its ids"),
        ({"symbol": Symbol("DOGE")}, "its symbol"),
        ({"not_before_ns": 101 * SECOND}, "its first instant"),
    ],
)
def test_a_plan_for_something_else_than_the_signal_is_declined(changes: dict[str, Any], words: str) -> None:
    class Strays(OpeningSnipe):
        def plan(self, signal: Signal, market: Market, reference_price: Decimal) -> Plan:
            return replace(super().plan(signal, market, reference_price), **changes)

    plugin = replace(find_plugin("opening_snipe"), build=Strays)
    with pytest.raises(DomainError, match=words):
        plugin.make({}).plan(SIGNAL, MARKET, Decimal(1))


def test_parameters_without_help_bounds_or_a_known_type_are_the_authors_fault() -> None:
    class Careless(Parameters):
        silent: int = Field(default=1, ge=0, le=9)
        endless: Exact = Field(default=Decimal(1), ge=0, description="in quote")
        odd: list[int] = Field(default=[], description="numbers")
        within: Exact | None = Field(default=None, gt=0, lt=1, description="fraction")

    assert faults(Careless) == [
        "silent has no description",
        "endless needs a lower and an upper bound",
        "odd must be Exact, int, bool, str or a Literal of texts, with or without None",
    ]


# -- presets -------------------------------------------------------------------------------------


def test_a_preset_comes_back_as_it_was_written(tmp_path: Path) -> None:
    chosen = read(
        OpeningParameters,
        {"budget_quote": "12.340", "exit_preset": None, "ladder": "5:25 12:35", "trailing_stop": "1E-7"},
    )
    path = export_preset(tmp_path / "strategies" / "mine.toml", "opening_snipe", values_of(chosen))
    preset = import_preset(path)
    assert (preset.name, preset.strategy, preset.origin) == ("mine", "opening_snipe", str(path))
    assert dict(preset.parameters) == texts(chosen)
    assert 'budget_quote = "12.340"' in path.read_text()
    assert [each.name for each in path.parent.iterdir()] == ["mine.toml"]


def test_a_preset_holds_only_what_was_named(tmp_path: Path) -> None:
    path = export_preset(tmp_path / "two.toml", "opening_snipe", {"attempts": 3, "stop_loss": "0.2"})
    assert dict(import_preset(path).parameters) == {"attempts": "3", "stop_loss": "0.2"}


def test_a_preset_takes_no_other_files_place_unasked(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    export_preset(path, "opening_snipe", {"attempts": 3})
    before = path.read_text()
    with pytest.raises(ConfigError, match="is there already"):
        export_preset(path, "opening_snipe", {"attempts": 4})
    assert path.read_text() == before
    export_preset(path, "opening_snipe", {"attempts": 4}, replace=True)
    assert import_preset(path).parameters["attempts"] == "4"
    assert list(tmp_path.iterdir()) == [path]


def test_a_preset_that_would_be_refused_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="attempts = 99"):
        export_preset(tmp_path / "mine.toml", "opening_snipe", {"attempts": 99})
    assert not list(tmp_path.iterdir())


def test_a_preset_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="could not be written"):
        export_preset(tmp_path / "file" / "mine.toml", "opening_snipe", {"attempts": 3})
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_every_problem_of_a_preset_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'colour = "red"\nstrategy = "opening_snipe"\n\n[parameters]\nattempts = 99\nstop_loss = 0.2\n'
        'stop_los = "0.1"\ncap_multiple = nan\nladder = "5:25"\n'
    )
    with pytest.raises(ConfigError) as told:
        import_preset(path)
    problems = told.value.data["problems"]
    assert [problem.split(":")[0] for problem in problems] == ["line 1", "line 7", "line 8", "line 5"]
    assert "colour is unknown" in problems[0]
    assert "did you mean stop_loss?" in problems[1]
    assert "at most 50 (entry orders sent at most)" in problems[3]
    assert all(problem.split(": ", 1)[1][:40] in told.value.message for problem in problems)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("strategy = ", "is not TOML"),
        ("", "strategy must be given.*parameters. must be given"),
        ('strategy = "nope"\n[parameters]\na = 1', "line 1: no strategy is called 'nope'"),
        ('strategy = 5\nparameters = "x"', "strategy must be given.*parameters. must be given"),
        ('strategy = "opening_snipe"\n[parameters]\n', "at least one parameter"),
        ('strategy = "opening_snipe"\nparameters = {exit_preset = "none"}', "one of exit_preset and ladder"),
    ],
)
def test_a_file_that_is_no_preset_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        import_preset(path)


def test_a_preset_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        import_preset(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        import_preset(tmp_path / "bytes.toml")


def test_the_shipped_presets_are_valid_and_leave_the_budget_alone(tmp_path: Path) -> None:
    assert list(preset_files(tmp_path)) == ["aggressive", "balanced", "conservative"]
    caps = []
    for name in ("conservative", "balanced", "aggressive"):
        preset = find_preset(tmp_path, name)
        assert preset.strategy == "opening_snipe"
        assert "budget_quote" not in preset.parameters
        assert preset.parameters["exit_preset"] == name
        caps.append(Decimal(preset.parameters["cap_multiple"]))
    assert caps == sorted(set(caps))


def test_the_presets_of_a_person_stand_beside_the_shipped_ones(tmp_path: Path) -> None:
    export_preset(preset_path(tmp_path, "mine"), "opening_snipe", {"attempts": 2})
    (tmp_path / "strategies" / "balanced.toml").write_text("strategy = 'opening_snipe'")
    assert preset_files(tmp_path)["balanced"].parent == SHIPPED
    assert find_preset(tmp_path, "mine").parameters == {"attempts": "2"}
    with pytest.raises(ConfigError, match=r"no preset is called 'yours'; there are: .*mine"):
        find_preset(tmp_path, "yours")


@pytest.mark.parametrize("name", ["", "../up", "Big", "balanced", "a" * 41, "a b", "-a"])
def test_a_preset_needs_a_name_of_its_own(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        preset_path(tmp_path, name)


def test_the_presets_of_the_guide_work(tmp_path: Path) -> None:
    path = tmp_path / "guide.toml"
    path.write_text(next(body for body in blocks("toml") if body.startswith("strategy")))
    assert import_preset(path).parameters["cap_multiple"] == "2.5"
    exec(next(body for body in blocks("python") if "export_preset" in body), {"data": tmp_path})
    assert find_preset(tmp_path, "careful").parameters["attempts"] == "3"
