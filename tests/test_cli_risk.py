"""`mexclab risk`: what is shown, what a plan would use, what it takes to confirm limits or end a pause."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mexclab.commands import risk_pages
from mexclab.commands.tables import WIDTH
from mexclab.domain import events as e
from mexclab.notebook.mode import banner, before
from mexclab.trading import permits
from tests.daemon.risk_scene import Door, found_in, paused, planned
from tests.processes import one_line, run

PAUSE = "loss_streak:abc-1"
WIDEST = WIDTH + 40  # a sentence below a table is not cut


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Door]]:
    """A desk that says live, with a pause in force; nobody has confirmed anything yet."""
    folder = tmp_path_factory.mktemp("live")
    door = asyncio.run(planned(folder, mode="live"))
    asyncio.run(paused(door, PAUSE))
    with found_in(folder / "data", door):
        yield folder / "data", door
    door.station.close()


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Door]]:
    folder = tmp_path_factory.mktemp("paper")
    door = asyncio.run(planned(folder))
    with found_in(folder / "data", door):
        yield folder / "data", door
    door.station.close()


# -- what is shown -------------------------------------------------------------------------------------


def test_the_mode_stands_before_everything_and_real_money_is_loud(
    live: tuple[Path, Door], paper: tuple[Path, Door]
) -> None:
    for words in (["risk", "show"], ["risk", "limits"]):
        assert run(live[0], *words).stdout.splitlines()[0] == banner("live")
        assert run(paper[0], *words).stdout.startswith("PAPER: ")
    assert "LIVE: REAL MONEY" in banner("live")
    assert before("paper", "halted") == "PAPER: halted"
    assert before("live", "halted").splitlines() == [banner("live"), "halted"]


def test_an_act_says_in_which_mode_it_was_done(paper: tuple[Path, Door]) -> None:
    data, door = paper
    assert run(data, "arm", door.snipe_id).stdout.startswith("PAPER: ")


def test_limits_pauses_and_missing_permits_are_shown(live: tuple[Path, Door]) -> None:
    text = run(live[0], "risk", "show").stdout
    assert "value at risk" in text
    assert PAUSE in text
    assert "MISSING live_preflight" in text
    assert "MISSING live_limits" in text
    assert all(len(line) <= WIDEST for line in text.splitlines())
    told = json.loads(run(live[0], "risk", "show", "--json").stdout)
    assert risk_pages.page(told).splitlines()[0] == banner("live")
    assert [row["protection_id"] for row in told["protections"]] == [PAUSE]


# -- what if -------------------------------------------------------------------------------------------


def test_a_plan_that_would_be_let_through_ends_with_0_and_one_that_would_not_with_5(
    paper: tuple[Path, Door],
) -> None:
    data, door = paper
    good = run(data, "risk", "check", door.snipe_id)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "cleared" in good.stdout
    bad = run(data, "risk", "check", door.snipe_id, "--budget", "900", "--json")
    assert bad.returncode == 5
    assert "per_order_quote" in [row["limit"] for row in json.loads(bad.stdout)["breaches"]]


def test_a_plan_is_a_pair_or_a_file_too(paper: tuple[Path, Door]) -> None:
    data, door = paper
    (data / "plan.toml").write_text(f'symbol = "{door.symbol}"\nbudget = 20\nprice_cap = 0.1\n')
    for words in (
        ["plan.toml"],
        [door.symbol, "--budget", "20"],
        ["--symbol", door.symbol, "--budget", "20"],
    ):
        told = json.loads(run(data, "risk", "check", *words, "--json").stdout)
        assert (told["plan"]["symbol"], told["plan"]["budget"]) == (door.symbol, "20"), words


BAD_PLANS = [
    ([], "give a snipe's id"),
    (["x", "--symbol", "ABCUSDT"], "two answers"),
    (["nowhere.toml"], "no plan that can be read"),
    (["odd.toml"], "a plan has no leverage"),
    (["empty.toml"], "a symbol or a snipe_id"),
    (["--symbol", "ABCUSDT", "--budget", "lots"], "budget = 'lots' is no number"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD_PLANS, ids=[" ".join(words) for words, _ in BAD_PLANS])
def test_a_plan_that_is_none_is_one_clear_line(
    paper: tuple[Path, Door], words: list[str], sentence: str
) -> None:
    data, door = paper
    (data / "odd.toml").write_text('symbol = "ABCUSDT"\nleverage = 5\n')
    (data / "empty.toml").write_text("budget = 5\n")
    seq = door.station.engine.seq
    assert sentence in one_line(run(data, "risk", "check", *words), 2)
    assert door.station.engine.seq == seq


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MEXCLAB_LIMITS__PER_ORDER_QUOTE", "-1", "limits.per_order_quote"),
        ("MEXCLAB_LIMITS__PER_ORDER_QUOTE", "500", "per_symbol_quote"),
    ],
    ids=["negative", "contradicting"],
)
def test_a_limit_that_cannot_be_is_one_clear_line_before_anything_starts(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    assert words in one_line(run(tmp_path, "risk", "limits", **{name: value}), 2)


# -- limits that a person takes on ---------------------------------------------------------------------


def test_limits_are_confirmed_by_typing_the_name_of_the_account_and_by_nothing_else(
    live: tuple[Path, Door],
) -> None:
    data, door = live
    engine = door.station.engine
    seq = engine.seq
    for stdin, words in (("other\n", ()), ("", ()), ("", ("--yes", "other"))):
        refused = run(data, "risk", "confirm", *words, stdin=stdin)
        assert refused.returncode == 2, refused.stdout + refused.stderr
        assert "nothing was confirmed" in refused.stderr.splitlines()[-1]
    assert (engine.seq, engine.desk.confirmed) == (seq, None)

    done = run(data, "risk", "confirm", stdin="main\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == banner("live")
    for name, text in permits.written(door.station.rules):
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{name} "))
        assert text.split()[0] in line
    assert engine.desk.confirmed is not None
    assert engine.desk.confirmed.digest == permits.digest(door.station.rules)
    assert engine.desk.confirmed.by
    again = run(data, "risk", "confirm", "--yes", "main", "--why", "a script")
    assert "confirmed already" in again.stdout


def test_an_arm_names_the_permit_that_is_still_missing(live: tuple[Path, Door]) -> None:
    data, door = live
    said = one_line(run(data, "arm", door.snipe_id), 6)
    assert "no preflight of the account main" in said


# -- pauses --------------------------------------------------------------------------------------------


def test_a_pause_is_released_with_a_reason_and_once(live: tuple[Path, Door]) -> None:
    data, door = live
    engine = door.station.engine
    seq = engine.seq
    assert "with a reason" in one_line(run(data, "risk", "release", PAUSE, "  "), 2)
    assert "'nothing'" in one_line(run(data, "risk", "release", "nothing", "looked at"), 6)
    assert engine.seq == seq
    done = run(data, "risk", "release", PAUSE, "looked at")
    assert done.stdout.startswith(banner("live")), done.stderr
    assert engine.desk.protections_of(None, door.station.clock.now_ns()) == []
    [event] = [event for _, event in door.station.ledger.read() if isinstance(event, e.ProtectionReleased)]
    assert (event.why, bool(event.by)) == ("looked at", True)
    one_line(run(data, "risk", "release", PAUSE, "again"), 6)


def test_a_token_that_is_not_the_desks_is_one_clear_line_and_moves_nothing(paper: tuple[Path, Door]) -> None:
    data, door = paper
    token, seq = (data / "daemon.token").read_text(), door.station.engine.seq
    (data / "daemon.token").write_text("an-expired-token")
    try:
        for words in (["risk", "show"], ["risk", "confirm", "--yes", "paper"], ["risk", "release", "x", "y"]):
            assert "does not take this token" in one_line(run(data, *words), 6)
    finally:
        (data / "daemon.token").write_text(token)
    assert door.station.engine.seq == seq


def test_without_a_desk_it_is_one_line_that_says_how_to_start_one(tmp_path: Path) -> None:
    assert "mexclab trade" in one_line(run(tmp_path, "risk", "show"), 6)
