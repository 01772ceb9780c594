"""The portfolio through the API: now and at any earlier entry, exact, and honest about what is not known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from mexclab.daemon import risk_rows
from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE, SECOND, utc
from mexclab.domain.desk import Desk
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import OrderState, client_order_id
from mexclab.domain.reports import Balance, Balances
from mexclab.trading import shots
from tests.daemon.portfolio_scene import Door, Teller, holding

D = Decimal
MXP = Symbol("MX")


@dataclass
class Pricer:
    """A venue that only knows prices, and remembers what it was asked for."""

    known: dict[Symbol, Decimal] = field(default_factory=dict)
    asked: list[Symbol] = field(default_factory=list)

    async def reference_price(self, symbol: Symbol) -> Decimal | None:
        self.asked.append(symbol)
        return self.known.get(symbol)


@dataclass(frozen=True)
class Slow(Teller):
    """A venue that knows balances, and takes its time to tell them."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def balances(self) -> Balances:
        self.asked.set()
        await self.answers.wait()
        return await super().balances()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    made = await holding(tmp_path)
    yield made
    made.station.close()


async def test_the_portfolio_of_now_is_the_desks_own_at_the_best_bids(door: Door) -> None:
    page = await door.get("/portfolio")
    portfolio = door.desk.portfolio
    [row], [position] = page["positions"], portfolio.held
    bid = door.station.engine.books[position.symbol].bid
    assert bid is not None
    assert (page["mode"], page["quote"], page["seq"], page["past"]) == ("paper", "USDT", door.seq, False)
    assert D(row["quantity"]) == position.quantity
    assert (D(row["cost"]), D(row["price"]), row["strategy"]) == (position.cost, bid, "opening_snipe")
    assert D(page["cash"]) == portfolio.cash
    assert D(page["profit"]) == position.quantity * bid - position.cost + portfolio.realised
    assert D(page["equity"]) == D(page["opening_balance"]) + D(page["profit"])
    assert (page["missing"], page["fees"][0]["asset"], row["share"]) == ([], "USDT", 1.0)
    assert D(row["stop"]) < D(row["average_cost"])
    assert page["diversification"]["hhi"] == pytest.approx(1.0)


async def test_the_portfolio_at_an_earlier_entry_is_the_fold_up_to_it(door: Door) -> None:
    fills = [seq for seq, event in door.station.ledger.read() if isinstance(event, e.OrderFilled)]
    before = await door.get("/portfolio", at=str(fills[0] - 1))
    assert (before["positions"], before["realised"], before["past"]) == ([], "0", True)
    assert before["cash"] == before["equity"] == before["opening_balance"]
    for seq in (fills[0], fills[-1]):
        page = await door.get("/portfolio", at=str(seq))
        folded = Desk.of(event for number, event in door.station.ledger.read() if number <= seq).portfolio
        assert (page["seq"], D(page["cash"])) == (seq, folded.cash)
        assert [D(row["quantity"]) for row in page["positions"]] == [each.quantity for each in folded.held]


async def test_of_an_earlier_moment_no_price_is_known_and_that_is_said(door: Door) -> None:
    page = await door.get("/portfolio", at=str(door.seq))
    assert (page["equity"], page["profit"], page["unrealised"], page["positions"][0]["price"]) == (None,) * 4
    assert "is held and has no price" in page["missing"][0]
    assert page["positions"][0]["why"] == "the ledger holds no price of that moment"
    stress = await door.get("/portfolio/stress", at=str(door.seq))
    symbol = page["positions"][0]["symbol"]
    assert [total["unpriced"] for total in stress["totals"]] == [[symbol]] * 5
    assert all(row["loss"] is None for row in stress["rows"] if row["name"] == symbol)


async def test_a_moment_counts_what_was_written_before_the_ledgers_clock_passed_it(door: Door) -> None:
    entries = list(door.station.ledger.read())
    at_ns = entries[0][1].at_ns + 2 * MINUTE
    later = next(seq for seq, event in entries if event.at_ns > at_ns)
    page = await door.get("/portfolio", at=utc(at_ns).isoformat())
    assert page["seq"] == later - 1
    assert (await door.get("/portfolio", at="2001-01-01"))["seq"] == 0
    assert (await door.get("/portfolio", at="2201-01-01T00:00Z"))["seq"] == door.seq


@pytest.mark.parametrize("path", ["", "/attribution", "/curve", "/stress"])
async def test_a_place_that_is_none_is_one_clear_refusal(door: Door, path: str) -> None:
    for at, words in (
        ("yesterday", "is no place in the ledger"),
        ("-3", "is no place"),
        ("9e9", "is no place"),
    ):
        assert words in await door.refused(f"/portfolio{path}", at=at)
    last = door.seq
    assert await door.refused(f"/portfolio{path}", at=str(last + 1)) == (
        f"the ledger has {last} entries; there is no entry {last + 1} yet"
    )
    assert "at most 40" in await door.refused(f"/portfolio{path}", at="1" * 41)


async def test_attribution_adds_up_and_follows_what_is_written_next(door: Door) -> None:
    page = await door.get("/portfolio/attribution")
    [share], [by] = page["by_symbol"], page["by_strategy"]
    assert (by["name"], by["snipes"], by["closed"], by["win_rate"]) == ("opening_snipe", 1, 0, None)
    assert (share["realised"], share["profit"], share["fees"]) == (by["realised"], by["profit"], by["fees"])
    whole = await door.get("/portfolio")
    assert D(by["profit"]) == D(whole["profit"])
    await door.station.run(door.station.clock.now_ns() + 40 * MINUTE)
    after = await door.get("/portfolio/attribution")
    mine = next(row for row in after["by_symbol"] if row["name"] == share["name"])
    assert (mine["closed"], after["seq"]) == (1, door.seq)
    total = sum(D(row["realised"]) for row in after["by_symbol"])
    assert total == door.desk.portfolio.realised == sum(D(row["realised"]) for row in after["by_strategy"])
    again = await door.get("/portfolio/attribution", at=str(page["seq"]))
    assert [row["snipes"] for row in again["by_symbol"]] == [1]


async def test_the_curve_holds_marks_and_closes_and_can_be_thinned(door: Door) -> None:
    await door.station.run(door.station.clock.now_ns() + 40 * MINUTE)
    engine, now = door.station.engine, door.station.clock.now_ns()
    for step in range(60):
        worth = D(1000) + step % 7
        await engine.record(e.EquityMarked(now + step, worth, worth - 1000, D(0)))
    page = await door.get("/portfolio/curve")
    kinds = [point["kind"] for point in page["points"]]
    assert (kinds[0], kinds[-1], page["left_out"]) == ("start", "now", 0)
    assert {"mark", "close"} <= set(kinds)
    few = await door.get("/portfolio/curve", points=20)
    assert len(few["points"]) + few["left_out"] == len(kinds)
    assert len(few["points"]) <= 20
    assert few["max_drawdown"] == page["max_drawdown"]
    assert "greater than or equal to 4" in await door.refused("/portfolio/curve", points=3)


async def test_stress_walks_the_desks_own_bids_and_takes_a_scenario_of_ones_own(door: Door) -> None:
    page = await door.get("/portfolio/stress")
    assert [each["name"] for each in page["scenarios"]] == [
        *("crash", "flash", "listing_dump", "no_selling", "depeg"),
    ]
    totals = {row["scenario"]: row for row in page["totals"]}
    assert D(totals["crash"]["loss"]) > D(totals["crash"]["loss_with_stop"]) > 0
    assert D(totals["no_selling"]["saved"]) == D(totals["listing_dump"]["saved"]) == 0
    assert D(totals["listing_dump"]["loss"]) > D(totals["crash"]["loss"])
    assert {row["name"] for row in page["rows"] if row["scenario"] == "depeg"} > {"USDT"}
    own = await door.get("/portfolio/stress", price="-0.5", gap="true")
    [row] = own["rows"]
    assert (own["scenarios"][0]["name"], own["scenarios"][0]["gap"]) == ("own", True)
    assert "gaps through the stop" in row["words"]
    for wrong in ({"price": "-1.1"}, {"price": "0.5"}, {"liquidity": "much"}, {"selling": "maybe"}):
        await door.refused("/portfolio/stress", **wrong)


async def test_balances_are_held_against_the_venues_in_numbers_and_words(door: Door) -> None:
    page = await door.get("/portfolio/balances")
    rows = {row["asset"]: row for row in page["rows"]}
    base = door.desk.portfolio.held[0].symbol.base
    assert (page["agrees"], page["words"]) == (True, "Every balance agrees.")
    assert (rows["USDT"]["difference"], rows[base]["difference"]) == ("0", "0")

    truth = await door.station.venue.balances()
    more = {"USDT": Balance(truth["USDT"].free + 5, truth["USDT"].locked), "ETH": Balance(D(1), D(0))}
    door.deal_with(exchange=Teller({**truth, **more, base: Balance(D(0), D(0))}))
    page = await door.get("/portfolio/balances")
    rows = {row["asset"]: row for row in page["rows"]}
    assert page["words"].startswith("2 of 2 balances differ")
    assert (rows["USDT"]["difference"], rows["USDT"]["agrees"]) == ("5", False)
    assert "somebody paid in or took out" in rows["USDT"]["words"]
    assert "less than this ledger" in rows[base]["words"]
    assert (rows["ETH"]["ledger"], rows["ETH"]["agrees"]) == (None, None)


async def test_entries_go_by_the_balance_that_the_page_was_told_and_its_age_is_shown(door: Door) -> None:
    engine, base = door.station.engine, door.desk.portfolio.held[0].symbol.base
    held = {base: Balance(door.desk.portfolio.held[0].quantity, D(0))}
    door.deal_with(exchange=Teller({"USDT": Balance(D("812.5"), D(0))} | held))
    await door.get("/portfolio/balances")
    assert engine.balances_ns == engine.parts.clock.now_ns()
    (row,) = [row for row in risk_rows.gauges(engine) if row.limit == "insufficient_balance"]
    assert (row.name, row.used, row.bound, row.asked_ns) == (
        "free balance", "0.00", "812.50", engine.balances_ns,
    )  # fmt: skip
    assert all(row.asked_ns is None for row in risk_rows.gauges(engine) if row.name != "free balance")


async def test_a_look_at_the_page_does_not_stop_an_entry_while_a_purchase_locks_money(door: Door) -> None:
    engine = door.station.engine
    known = engine.balances, engine.balances_ns
    bought = next(order for order in door.desk.orders.values() if order.side is Side.BUY)
    again = client_order_id(bought.snipe_id, "b", 2)
    another = replace(bought, client_id=again, venue_id=None, state=OrderState.DECIDED, fills=())
    await engine.record(e.OrderDecided(door.station.clock.now_ns(), another))
    door.deal_with(exchange=Teller({"USDT": Balance(D(1), D(999))}))
    await door.get("/portfolio/balances")
    assert (engine.balances, engine.balances_ns) == known


async def test_an_answer_that_a_later_one_has_overtaken_clears_no_entry(door: Door) -> None:
    engine, slow = door.station.engine, Slow({"USDT": Balance(D(1000), D(0))})
    door.deal_with(exchange=slow)
    early = asyncio.create_task(door.get("/portfolio/balances"))
    await slow.asked.wait()
    door.station.clock.move_to(door.station.clock.now_ns() + SECOND)
    fresh = {"USDT": Balance(D(3), D(0))}
    door.deal_with(exchange=Teller(fresh))
    await shots.read_balances(engine)
    slow.answers.set()
    await early
    assert engine.balances == fresh


async def test_a_venue_that_is_silent_is_a_refusal_and_never_agreement(door: Door) -> None:
    door.deal_with(exchange=Teller(None))
    told = await door.get("/portfolio/balances", 503)
    assert told["message"] == "the venue does not answer"


async def test_a_fee_in_a_third_asset_is_priced_by_the_venue_or_said_to_be_unknown(door: Door) -> None:
    desk, pricer = door.desk, Pricer()
    desk.portfolio = replace(desk.portfolio, fees={"MX": D(2)}, other_fees={MXP: D(2)})
    door.deal_with(venue=pricer)
    page = await door.get("/portfolio")
    assert (page["profit"], page["other_fees"], page["fees"][0]["worth"]) == (None, None, None)
    assert page["missing"] == ["2 MX of fees have no price in USDT; they are in no sum"]
    pricer.known[MXP] = D("2.5")
    page = await door.get("/portfolio")
    assert (page["other_fees"], page["fees"][0]["worth"], page["missing"]) == ("5", "5", [])
    assert D(page["profit"]) == D(page["realised"]) + D(page["unrealised"]) - 5
    count = len(pricer.asked)
    await door.get("/portfolio")
    assert len(pricer.asked) == count


async def test_a_look_back_leaves_the_loop_free_and_keeps_still_around_a_shot(door: Door) -> None:
    engine = door.station.engine
    station, gaps, running = door.portfolio, [0.0], True
    await engine.record(*(e.AlertRaised(1, "info", f"line {n}") for n in range(4_000)))

    async def beat() -> None:
        while running:
            before = time.thread_time()  # what the loop's own thread computes, not what it is kept from
            await asyncio.sleep(0.001)
            gaps.append(time.thread_time() - before)

    beating = asyncio.create_task(beat())
    await door.get("/portfolio", at="4000")
    assert max(gaps) < 0.5
    engine.shots["x-b-1"] = door.station.clock.now_ns() + SECOND
    asking = asyncio.create_task(door.get("/portfolio", at="3999"))
    await asyncio.sleep(0.4)
    assert not asking.done()
    engine.shots.clear()
    assert (await asking)["seq"] == 3999
    running = False
    await beating
    assert station is door.portfolio
