"""Live mode at a venue by URL: it starts on a known key and a green preflight, and arms nothing by itself."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mexclab import Lab, Settings
from mexclab.store.postgres import connect
from tests.daemon.live_scene import ACCOUNT, KEY, PHRASE, SECRET, LiveDesk, add_key, opens_in, write_settings
from tests.processes import Simulator, coming_listing, one_line, run, simulator

LISTING_SEED, LISTING = coming_listing(time.time_ns())
SYMBOL = str(LISTING.symbol)
BARRED = ("mx0barredKeyOfThisRun001", "barred5ecretOfThisRun0123456789")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Outside pytest's own: the embedded server's user must be able to pass through to it."""
    folder = Path(tempfile.mkdtemp(prefix="mexclab-live-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def venue(folder: Path) -> Iterator[Simulator]:
    words = ("--quiet", "--pair", "MXUSDT", "--patient", "--seed", str(LISTING_SEED))
    with simulator(folder, *words, "--account", ACCOUNT) as venue:
        barred = {"owner": "barred", "key": BARRED[0], "secret": BARRED[1], "can_trade": False}
        venue.post("accounts", **barred, balances={"USDT": "1000"})
        yield venue


@pytest.fixture(scope="module")
def desk(folder: Path, venue: Simulator) -> Iterator[LiveDesk]:
    """A vault of several keys, and settings; nothing is started."""
    data = folder / "data"
    data.mkdir(mode=0o755)
    write_settings(data, venue, cap_multiple="1.2")  # inside the price band of an established pair
    add_key(data)
    add_key(data, "wrong", KEY, SECRET[::-1])
    add_key(data, "barred", *BARRED)
    desk = LiveDesk(data)
    database = connect(None, data, pool_size=1)  # the server stays up between the starts
    try:
        yield desk
    finally:
        desk.stop()
        database.close()


def refusal(desk: LiveDesk, venue: Simulator, code: int, **more: str) -> str:
    """The one line with which live mode is refused; nothing was sent and nothing is left running."""
    before = venue.orders_received
    done = desk.refused(**more)
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines), done.stdout) == (code, 1, ""), done.stderr
    assert venue.orders_received == before
    assert not (desk.data / "daemon.json").exists()
    assert not any(word in done.stderr for word in (SECRET, SECRET[::-1], BARRED[1], PHRASE))
    return lines[0]


@pytest.mark.parametrize(
    ("name", "check"),
    [("wrong", "API key: "), ("barred", "may trade: ")],
    ids=["wrong secret", "may not trade"],
)
def test_a_key_that_the_venue_does_not_take_is_refused_by_name_of_the_check(
    desk: LiveDesk, venue: Simulator, name: str, check: str
) -> None:
    said = refusal(desk, venue, 2, MEXCLAB_VENUE__CREDENTIAL=name)
    assert said.startswith("mexclab: live trading does not start: ")
    assert check in said


def test_a_clock_that_is_off_is_refused(desk: LiveDesk, venue: Simulator) -> None:
    venue.post("clock", shift_ms=6000)
    try:
        said = refusal(desk, venue, 2)
    finally:
        venue.post("clock", shift_ms=0)
    assert "clock: set this machine's clock" in said
    assert "time stamp: " in said


def test_too_little_money_for_one_entry_is_refused(desk: LiveDesk, venue: Simulator) -> None:
    said = refusal(desk, venue, 2, MEXCLAB_SNIPE__BUDGET_QUOTE="1000.01")
    assert said == "mexclab: live trading does not start: balance: not enough for one entry (red)"


def test_what_is_missing_in_the_vault_is_named(desk: LiveDesk, venue: Simulator) -> None:
    assert "there is no credential 'nobody'" in refusal(desk, venue, 2, MEXCLAB_VENUE__CREDENTIAL="nobody")
    assert "the passphrase does not open" in refusal(desk, venue, 8, stdin="a wrong passphrase\n")
    vault = desk.data / "vault"
    vault.rename(desk.data / "away")
    try:
        assert "there is no vault" in refusal(desk, venue, 2)
    finally:
        (desk.data / "away").rename(vault)


def test_without_a_desk_the_preflight_makes_its_own_road_and_its_exit_code_tells(
    desk: LiveDesk, venue: Simulator
) -> None:
    good = run(desk.data, "preflight", "--json", stdin=f"{PHRASE}\n")
    assert good.returncode == 0, good.stdout + good.stderr
    told = json.loads(good.stdout)
    assert (told["green"], told["mode"], told["by_desk"]) == (True, "live", False)
    assert {check["state"] for check in told["checks"]} == {"green"}
    bad = run(desk.data, "preflight", "NOWHEREUSDT", stdin=f"{PHRASE}\n")
    assert bad.returncode == 5
    assert "the venue does not know the pair" in bad.stdout
    assert bad.stdout.splitlines()[-1] == "LIVE: MEXC, account main; asked by this command"
    assert venue.orders_received == 0


def test_a_good_key_starts_a_desk_that_says_live_and_arms_nothing_by_itself(
    desk: LiveDesk, venue: Simulator
) -> None:
    desk.start()
    shown = desk.ask("/snapshot")
    assert (shown["mode"], shown["venue"]) == ("live", "MEXC, account main")
    assert [run_["mode"] for run_ in desk.told("DaemonStarted")] == ["live"]  # no refused start left a trace
    assert "LIVE" in run(desk.data, "status").stdout.upper()

    opens_in(venue, SYMBOL, 600)
    snipe = desk.snipe()
    assert snipe["symbol"] == SYMBOL
    assert snipe["state"] in ("PLANNED", "PREFLIGHT")
    assert not [move for move in desk.told("SnipeMoved") if move["to"] == "ARMED"]
    assert venue.orders_received == 0

    nothing_is_armed_before_a_person_has_confirmed_the_limits(desk, snipe["snipe_id"])
    armed = run(desk.data, "arm", snipe["snipe_id"])
    assert armed.returncode == 0, armed.stderr
    assert "LIVE: REAL MONEY" in armed.stdout.splitlines()[0]
    [move] = [move for move in desk.told("SnipeMoved") if move["to"] == "ARMED"]
    assert (move["snipe_id"], bool(move["by"])) == (snipe["snipe_id"], True)

    the_running_desk_answers_preflights(desk, venue)
    a_preflight_that_is_red_takes_the_permit_away(desk, snipe["snipe_id"])

    halted = run(desk.data, "halt", "a drill")
    assert halted.returncode == 0, halted.stderr
    assert desk.ask("/snapshot")["halt"]["why"] == "a drill"
    opening = opens_in(venue, SYMBOL, 4)
    desk.until(lambda: venue.state()["now_ns"] > opening + 3_000_000_000)
    assert venue.orders_received == 0
    assert desk.told("Fired") == []


def nothing_is_armed_before_a_person_has_confirmed_the_limits(desk: LiveDesk, snipe_id: str) -> None:
    risk = desk.ask("/risk")
    assert [row["limit"] for row in risk["missing"]] == ["live_limits"]  # the start's preflight was green
    assert (risk["checked"]["green"], risk["checked"]["account"], risk["confirmed"]) == (True, "main", None)
    told = desk.act("/risk/check", snipe_id=snipe_id).json()
    assert "live_limits" in [row["limit"] for row in told["breaches"]]
    said = one_line(run(desk.data, "arm", snipe_id), 6)
    assert "nobody has confirmed the limits of the account main" in said
    assert "nothing was confirmed" in run(desk.data, "risk", "confirm", stdin="another\n").stderr
    assert [row["limit"] for row in desk.ask("/snapshot")["risk"]["missing"]] == ["live_limits"]
    assert [move for move in desk.told("SnipeMoved") if move["to"] == "ARMED"] == []
    confirmed = run(desk.data, "risk", "confirm", stdin="main\n")
    assert confirmed.returncode == 0, confirmed.stderr
    assert "LIVE: REAL MONEY" in confirmed.stdout.splitlines()[0]
    [event] = desk.told("LimitsConfirmed")
    assert (event["account"], event["digest"]) == ("main", risk["digest"])
    assert desk.ask("/risk")["missing"] == []


def a_preflight_that_is_red_takes_the_permit_away(desk: LiveDesk, snipe_id: str) -> None:
    assert desk.told("AccountChecked")[-1]["green"] is False
    [missing] = desk.ask("/risk")["missing"]
    assert missing["limit"] == "live_preflight"
    assert run(desk.data, "disarm", snipe_id).returncode == 0
    assert "the preflight of the account is not green" in one_line(run(desk.data, "arm", snipe_id), 6)
    assert run(desk.data, "preflight").returncode == 0
    assert desk.ask("/risk")["missing"] == []
    assert run(desk.data, "arm", snipe_id).returncode == 0


def the_running_desk_answers_preflights(desk: LiveDesk, venue: Simulator) -> None:
    pair = desk.ask("/preflight", symbol="MXUSDT")
    assert (pair["green"], pair["symbol"]) == (True, "MXUSDT"), pair["checks"]
    assert {"may trade", "orders by API", "test order"} <= {check["check"] for check in pair["checks"]}

    command = run(
        desk.data, "preflight", "MXUSDT", "--json"
    )  # the desk holds the key: no passphrase is asked
    told = json.loads(command.stdout)
    assert (command.returncode, told["green"], told["mode"], told["by_desk"]) == (0, True, "live", True)

    report = Lab(Settings(data=desk.data), source="sample").preflight("NOWHEREUSDT")
    assert not report.is_green
    assert any("the venue does not know the pair" in reason for reason in report.reasons)

    venue.post("faults", rule=[{"fault": "status", "path": "/api/v3/account", "status": 503}])
    try:
        red = run(desk.data, "preflight")
    finally:
        venue.post("faults")
    assert red.returncode == 5
    assert "unknown" in red.stdout
    assert red.stdout.splitlines()[-1] == "LIVE: MEXC, account main; asked by the running desk"
