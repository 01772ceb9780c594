"""Preflight: green only when every question was asked and answered well; each red row names its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.domain.clock import MINUTE, SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.errors import ConfigError
from mexclab.venues.mexc.preflight import PreflightParts, PreflightReport, PreflightTerms, preflight
from mexclab.venues.mexc.preflight_report import Check
from mexclab.venues.simulator.fault_plan import ClockFault, FaultPlan, Rule
from mexclab.venues.simulator.world import PAPER_ACCOUNT
from tests.venues.mexc.venue_parts import PAPER, Asking, Setup, asking, quiet_world

MX, BTC = Symbol("MX"), Symbol("BTC")
TERMS = PreflightTerms(round_trip_ms=60_000)  # tests share their machine
OF_THE_KEY = ["API key", "address", "time stamp", "may trade", "balance"]
OF_THE_PAIR = ["symbol", "orders by API", "sides", "order types", "amounts", "price band", "test order"]
EVERY = ["round trip", "clock", "limits", *OF_THE_KEY]


async def checked(
    found: Asking, symbol: Symbol | None = None, terms: PreflightTerms = TERMS
) -> PreflightReport:
    return await preflight(PreflightParts(found.rest, found.data, terms), symbol)


def row(report: PreflightReport, name: str) -> Check:
    return next(check for check in report.checks if check.check == name)


def states(report: PreflightReport) -> dict[str, str]:
    return {check.check: check.state for check in report.checks}


async def test_all_is_green_where_all_is_well() -> None:
    async with asking() as found:
        report = await checked(found)
        assert states(report) == dict.fromkeys(EVERY, "green"), str(report)
        assert report.is_green
        assert not report.reasons


async def test_with_a_symbol_the_pair_is_checked_as_well() -> None:
    async with asking() as found:
        report = await checked(found, MX)
        assert states(report) == dict.fromkeys(EVERY + OF_THE_PAIR, "green"), str(report)
        assert report.is_green


async def test_nothing_that_is_asked_changes_anything() -> None:
    async with asking() as found:
        await checked(found, MX)
        assert found.venue.server.orders_received == 0
        assert found.venue.world.matcher.balances("paper")["USDT"].free == 1000


async def test_without_a_key_everything_about_the_key_is_unknown() -> None:
    async with asking(Setup(key=None)) as found:
        report = await checked(found, MX)
        for name in [*OF_THE_KEY, "test order"]:
            assert row(report, name).ok is None
        assert "vault" in row(report, "API key").why
        assert row(report, "orders by API").ok is True
        assert not report.is_green


@pytest.mark.parametrize(
    ("key", "name"),
    [(("mx0unknownKey", PAPER[1]), "API key"), ((PAPER[0], "0" * 32), "API key")],
    ids=["an unknown key", "a wrong secret"],
)
async def test_a_key_that_the_venue_refuses_is_red_and_what_hangs_on_it_unknown(
    key: tuple[str, str], name: str
) -> None:
    async with asking(Setup(key=key)) as found:
        report = await checked(found)
        assert row(report, name).ok is False
        for other in OF_THE_KEY:
            assert other == name or row(report, other).ok is None
        assert key[1] not in str(report) + json.dumps(report.to_dict()) + repr(report)


async def test_an_address_that_is_not_on_the_keys_list_is_told_in_the_venues_words() -> None:
    world = quiet_world(replace(PAPER_ACCOUNT, ip_whitelist=("192.0.2.1",)))
    async with asking(Setup(world=world)) as found:
        report = await checked(found)
        address = row(report, "address")
        assert address.ok is False
        assert "700006" in address.found
        assert "127.0.0.1" in address.why
        assert row(report, "API key").ok is None


async def test_an_account_that_may_not_trade_is_red() -> None:
    world = quiet_world(replace(PAPER_ACCOUNT, can_trade=False))
    async with asking(Setup(world=world)) as found:
        assert row(await checked(found), "may trade").ok is False


async def test_a_key_without_the_right_to_trade_is_red_although_the_account_may() -> None:
    refused = Rule(fault="refuse", path="/api/v3/order/test", code=700007, msg="No permission to access.")
    async with asking(Setup(plan=FaultPlan(rules=(refused,)))) as found:
        may_trade = row(await checked(found), "may trade")
        assert may_trade.ok is False
        assert "700007" in may_trade.found


@pytest.mark.parametrize(("budget", "ok"), [("1000", True), ("1000.01", False)])
async def test_the_balance_must_pay_for_one_entry(budget: str, ok: bool) -> None:
    async with asking() as found:
        report = await checked(found, None, replace(TERMS, budget_quote=Decimal(budget)))
        assert row(report, "balance").ok is ok


@pytest.mark.parametrize(("shift_ms", "ok"), [(240.0, True), (260.0, False), (-900.0, False)])
async def test_a_clock_too_far_off_is_red(shift_ms: float, ok: bool) -> None:
    async with asking(Setup(plan=FaultPlan(clock=ClockFault(shift_ms=shift_ms)))) as found:
        assert row(await checked(found), "clock").ok is ok


async def test_a_time_stamp_that_the_venue_does_not_take_is_red() -> None:
    async with asking(Setup(plan=FaultPlan(clock=ClockFault(shift_ms=6000.0)))) as found:
        assert row(await checked(found), "time stamp").ok is False


async def test_a_road_too_long_is_red() -> None:
    slow = Rule(fault="delay", path="/api/v3/ping", delay_ms=60.0)
    async with asking(Setup(plan=FaultPlan(rules=(slow,)))) as found:
        assert row(await checked(found, None, replace(TERMS, round_trip_ms=20)), "round trip").ok is False


async def test_silence_that_the_venue_asked_for_is_red() -> None:
    ban = Rule(fault="status", path="/api/v3/ping", status=418, retry_after_s=120)
    async with asking(Setup(plan=FaultPlan(rules=(ban,)))) as found:
        report = await checked(found)
        assert "banned" in row(report, "limits").found
        assert row(report, "round trip").ok is None
        assert row(report, "API key").ok is None


async def test_a_question_that_is_not_answered_in_time_is_unknown() -> None:
    late = Rule(fault="delay", path="/api/v3/account", delay_ms=500.0)
    async with asking(Setup(plan=FaultPlan(rules=(late,)))) as found:
        report = await checked(found, None, replace(TERMS, check_s=0.2))
        assert "no answer within 0.2 s" in row(report, "balance").why
        assert not report.is_green


@pytest.mark.parametrize("fault", ["drop", "html", "truncated_json", "wrong_types"])
async def test_a_venue_that_answers_nonsense_is_unknown_and_never_green(fault: str) -> None:
    plan = FaultPlan(rules=(Rule(fault=fault, path="/api/v3/*"),))
    async with asking(Setup(plan=plan)) as found:
        report = await checked(found, MX)
        for name in [*OF_THE_KEY, *OF_THE_PAIR]:
            assert row(report, name).ok is None, str(report)
        assert not report.is_green


async def test_a_pair_that_the_venue_does_not_know_is_red_and_its_rules_unknown() -> None:
    async with asking() as found:
        report = await checked(found, Symbol("NOWHERE"))
        assert row(report, "symbol").ok is False
        for name in OF_THE_PAIR[1:]:
            assert row(report, name).ok is None


async def test_a_listing_before_its_opening_is_known_as_far_as_can_be_and_green_after_it() -> None:
    async with asking() as found:
        world = found.venue.world
        listing = None
        while listing is None:
            world.advance(world.now_ns + 10 * MINUTE)
            coming = [one for one in world.rows() if one.first_open_ns > world.now_ns and one.is_api_listed]
            listing = coming[0] if coming else None
        report = await checked(found, listing.symbol)
        assert "opens " in row(report, "symbol").found
        assert row(report, "orders by API").ok is True
        assert row(report, "test order").ok is None
        assert not report.is_green
        world.advance(listing.first_open_ns + 5 * SECOND)
        report = await checked(found, listing.symbol)
        assert row(report, "test order").ok is True, str(report)


async def test_a_pair_that_never_takes_orders_by_api_is_red() -> None:
    async with asking() as found:
        found.venue.world.forbid_api(BTC, None)
        report = await checked(found, BTC)
        assert row(report, "orders by API").ok is False
        test = row(report, "test order")
        assert test.ok is False
        assert "10007" in test.found
        assert row(report, "may trade").ok is True  # tried on another pair


async def test_a_pair_that_cannot_be_sold_again_is_red() -> None:
    async with asking() as found:
        found.venue.world.limit_sides(BTC, Side.BUY)
        sides = row(await checked(found, BTC), "sides")
        assert sides.ok is False
        assert "could not be sold" in sides.why


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        (replace(TERMS, budget_quote=Decimal("0.5")), "amounts"),
        (replace(TERMS, budget_quote=Decimal(10**9)), "amounts"),
        (replace(TERMS, cap_multiple=Decimal(3)), "price band"),
        (replace(TERMS, order_types=("LIMIT", "STOP_LIMIT")), "order types"),
    ],
    ids=["below the least", "above the most", "beyond the band", "a type not taken"],
)
async def test_terms_that_the_pair_cannot_meet_are_red(terms: PreflightTerms, name: str) -> None:
    async with asking() as found:
        assert row(await checked(found, MX, terms), name).ok is False


async def test_a_report_is_a_table_and_json() -> None:
    async with asking() as found:
        report = await checked(found, MX)
        told = json.loads(json.dumps(report.to_dict()))
        assert told["green"] is True
        assert told["symbol"] == "MXUSDT"
        assert told["checks"][0]["check"] == "round trip"
        assert {"check", "ok", "state", "found", "wanted", "why"} == set(told["checks"][0])
        lines = str(report).splitlines()
        assert len(lines) == 2 + len(report.checks)
        assert lines[-1].endswith(": green")


def test_a_report_without_checks_is_not_green() -> None:
    assert not PreflightReport((), None, 0).is_green


def test_unknown_is_not_green() -> None:
    report = PreflightReport((Check("a", True, "", ""), Check("b", None, "", "", "not asked")), None, 0)
    assert not report.is_green
    assert report.reasons == ("b: not asked (unknown)",)


def test_terms_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError):
        PreflightTerms(budget_quote=Decimal(0))
