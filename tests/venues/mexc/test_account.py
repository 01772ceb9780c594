"""The account against our own simulator: the whole Exchange port over a real wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest

from mexclab.domain.clock import SECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderState, OrderType
from mexclab.domain.reports import Accepted, Cancelled, Lost, Refused, ShotTimed, Traded
from mexclab.ports import Exchange
from mexclab.venues.mexc.account import AccountTerms, MexcAccount
from mexclab.venues.mexc.burst import Burst
from mexclab.venues.mexc.confirm import ConfirmTerms
from mexclab.venues.mexc.limits import LimitTerms
from mexclab.venues.mexc.rest import Rest
from mexclab.venues.simulator.fault_plan import FaultPlan, Rule
from mexclab.venues.simulator.faults import Faults
from mexclab.venues.simulator.server import ServerTerms, SimulatorServer
from mexclab.venues.simulator.world import Account, World, WorldTerms
from tests.venues.mexc.gate_scene import KEY, SECRET, Told, order, rest_to

BTC = Symbol("BTC")
QUOTE = Decimal(100_000)
LIMITS = LimitTerms(ip_weight_per_10s=10_000, uid_weight_per_10s=10_000, accounts_per_s=50)
PATIENT = ServerTerms(ip_weight_10s=100_000, uid_weight_10s=100_000, account_per_s=100)


@dataclass
class Station:
    account: MexcAccount
    rest: Rest
    world: World
    server: SimulatorServer
    told: Told

    def touch(self, side: Side) -> Decimal:
        """The best price on that side of the book."""
        book = self.world.book(BTC)
        assert book is not None
        price = book.best_bid if side is Side.BUY else book.best_ask
        assert price is not None
        return price

    def taker(self, number: int, side: Side = Side.BUY, **changes: object) -> Order:
        """An order that trades at once: at the far touch, with room."""
        far = self.touch(side.opposite)
        price = (far * (Decimal("1.003") if side is Side.BUY else Decimal("0.997"))).quantize(Decimal("0.01"))
        return order(number, side=side, quantity=Decimal("0.001"), price=price, **changes)

    def rester(self, number: int) -> Order:
        """An order that rests well below the touch."""
        price = (self.touch(Side.BUY) * Decimal("0.997")).quantize(Decimal("0.01"))
        return order(number, type=OrderType.LIMIT, quantity=Decimal("0.001"), price=price)


@asynccontextmanager
async def station(
    *rules: Rule, terms: AccountTerms | None = None, server_terms: ServerTerms = PATIENT
) -> AsyncIterator[Station]:
    owner = Account("me", KEY, SECRET, {"USDT": QUOTE})
    now = time.time_ns()
    world = World(WorldTerms(now, seed=7, accounts=(owner,), pairs=("BTCUSDT",), past_days=0))
    server = SimulatorServer(world, server_terms, Faults(FaultPlan(rules=rules) if rules else None))
    await server.start()
    rest, told = rest_to(server.url, LIMITS, answer_s=1.0), Told()
    account = MexcAccount(rest, told.hear, terms or AccountTerms(confirm_by_query=True))
    try:
        yield Station(account, rest, world, server, told)
    finally:
        await account.close()
        await rest.close()
        await server.stop()
        world.close()


def test_the_account_is_an_exchange() -> None:
    def takes(exchange: Exchange) -> None: ...

    takes(MexcAccount(rest_to("http://localhost:1"), Told().hear, AccountTerms()))


@pytest.mark.parametrize("kind", [OrderType.IMMEDIATE_OR_CANCEL, OrderType.MARKET, OrderType.FILL_OR_KILL])
async def test_what_an_order_that_cannot_rest_has_bought_is_asked_for_and_told_once(kind: OrderType) -> None:
    async with station() as desk:
        sent = desk.taker(1, type=kind)
        desk.account.submit(sent)
        await desk.told.until(lambda: sum(t.fill.quantity for t in desk.told.of(Traded)) == sent.quantity)
        accepted = await desk.told.one(Accepted)
        await asyncio.sleep(0.3)
        assert desk.told.happenings[0] == accepted
        trades = desk.told.of(Traded)
        assert len(desk.told.happenings) == 1 + len(trades)
        fills = await desk.account.fills(BTC, accepted.at_ns - 5 * SECOND)
        assert [t.fill for t in trades] == list(fills)
        for fill in fills:
            assert (fill.client_id, fill.side, fill.symbol) == (sent.client_id, Side.BUY, BTC)
            assert fill.fee > 0
            assert not fill.is_maker


async def test_what_is_left_of_an_order_that_cannot_rest_is_told_to_be_cancelled() -> None:
    async with station() as desk:
        far_below = (desk.touch(Side.BUY) * Decimal("0.997")).quantize(Decimal("0.01"))
        desk.account.submit(order(1, quantity=Decimal("0.001"), price=far_below))
        gone = await desk.told.one(Cancelled)
        assert (gone.client_id, gone.executed) == (order(1).client_id, 0)
        assert [type(each) for each in desk.told.happenings] == [Accepted, Cancelled]


async def test_without_confirmation_by_query_only_the_acknowledgement_is_told() -> None:
    async with station(terms=AccountTerms()) as desk:
        desk.account.submit(desk.taker(1))
        await desk.told.one(Accepted)
        await asyncio.sleep(0.4)
        assert len(desk.told.happenings) == 1


async def test_an_order_that_rests_is_known_open_and_cancelled_on_request() -> None:
    async with station() as desk:
        sent = desk.rester(1)
        desk.account.submit(sent)
        accepted = await desk.told.one(Accepted)
        known = await desk.account.order(sent.client_id, BTC)
        assert known is not None
        assert (known.client_id, known.venue_id, known.state) == (
            sent.client_id, accepted.venue_id, OrderState.ACCEPTED,
        )  # fmt: skip
        assert (known.quantity, known.price, known.filled) == (sent.quantity, sent.price, 0)
        assert await desk.account.open_orders() == [known]
        balances = await desk.account.balances()
        assert sent.quantity * sent.price <= balances["USDT"].locked < QUOTE  # and its fee
        assert balances["USDT"].total == QUOTE
        desk.account.cancel(sent)
        gone = await desk.told.one(Cancelled)
        assert (gone.client_id, gone.executed) == (sent.client_id, 0)
        assert await desk.account.open_orders() == []
        known = await desk.account.order(sent.client_id, BTC)
        assert known is not None
        assert known.state is OrderState.CANCELED


async def test_an_order_that_the_venue_does_not_have_is_none() -> None:
    async with station() as desk:
        assert await desk.account.order("snipe-b-9", BTC) is None
        assert await desk.account.fills(BTC, time.time_ns() - SECOND) == []


async def test_the_venues_refusal_is_told_with_its_code() -> None:
    async with station() as desk:
        desk.account.submit(order(1, side=Side.SELL, price=desk.touch(Side.SELL), quantity=Decimal(1)))
        refused = await desk.told.one(Refused)
        assert refused.code in (30004, 30005, 10101)
        assert await desk.account.order(order(1).client_id, BTC) is None


async def test_an_order_whose_reply_was_swallowed_is_lost_found_by_its_client_id_and_exists_once() -> None:
    rule = Rule(fault="lose_reply", path="/api/v3/order", method="POST", nth=1)
    async with station(rule) as desk:
        sent = desk.rester(1)
        desk.account.submit(sent)
        lost = await desk.told.one(Lost)
        assert lost.client_id == sent.client_id
        found = await desk.account.order(sent.client_id, BTC)
        assert found is not None
        assert found.state is OrderState.ACCEPTED
        assert len(await desk.account.open_orders()) == 1
        assert len(desk.told.happenings) == 1


@pytest.mark.parametrize("fault", ["truncated_json", "wrong_types", "html", "drop"])
async def test_an_order_that_was_answered_badly_is_of_unknown_fate_until_it_is_asked_for(fault: str) -> None:
    async with station(Rule(fault=fault, path="/api/v3/order", method="POST", nth=1)) as desk:
        sent = desk.rester(1)
        desk.account.submit(sent)
        await desk.told.one(Lost)
        assert len(desk.told.happenings) == 1
        found = await desk.account.order(sent.client_id, BTC)
        assert found is None or found.client_id == sent.client_id


async def test_a_venue_that_replies_twice_to_one_order_does_not_confuse_the_next() -> None:
    async with station(Rule(fault="duplicate_reply", path="/api/v3/order", method="POST")) as desk:
        for number in range(1, 6):
            desk.account.submit(desk.rester(number))
            await desk.told.until(lambda n=number: len(desk.told.happenings) == n)  # type: ignore[misc]
        by_client = {each.client_id: each.venue_id for each in desk.told.of(Accepted)}
        truth = {each.client_id: each.venue_id for each in await desk.account.open_orders()}
        assert by_client.items() <= truth.items()
        for lost in desk.told.of(Lost):
            assert lost.client_id in truth


async def test_a_cancellation_whose_reply_was_swallowed_is_made_again_and_its_end_is_asked_for() -> None:
    rule = Rule(fault="lose_reply", path="/api/v3/order", method="DELETE", nth=1)
    async with station(rule, terms=AccountTerms()) as desk:
        sent = desk.rester(1)
        desk.account.submit(sent)
        await desk.told.one(Accepted)
        desk.account.cancel(sent)
        gone = await desk.told.one(Cancelled)
        assert gone.client_id == sent.client_id
        assert await desk.account.open_orders() == []


async def test_catching_up_tells_what_happened_while_nobody_listened_and_nothing_twice() -> None:
    async with station(terms=AccountTerms()) as desk:
        began = time.time_ns() - SECOND
        bought, rests, ended = desk.taker(1), desk.rester(2), desk.rester(3)
        for each in (bought, rests, ended):
            desk.account.submit(each)
        await desk.told.until(lambda: len(desk.told.of(Accepted)) == 3)
        desk.world.cancel("me", ended.client_id)
        await desk.account.catch_up(began)
        assert {t.fill.client_id for t in desk.told.of(Traded)} == {bought.client_id}
        assert [gone.client_id for gone in desk.told.of(Cancelled)] == [ended.client_id]
        told = len(desk.told.happenings)
        await desk.account.catch_up(began)
        assert len(desk.told.happenings) == told


async def test_what_the_stream_has_told_is_not_told_again() -> None:
    async with station(terms=AccountTerms()) as desk:
        sent = desk.taker(1)
        desk.account.submit(sent)
        accepted = await desk.told.one(Accepted)
        for fill in await desk.account.fills(BTC, accepted.at_ns - 5 * SECOND):
            desk.account.saw(Traded(fill, accepted.at_ns))
        await desk.account.catch_up(accepted.at_ns - 5 * SECOND)
        assert desk.told.of(Traded) == []


async def test_an_order_whose_end_the_venue_does_not_show_becomes_of_unknown_fate() -> None:
    rule = Rule(fault="status", status=500, path="/api/v3/order", method="GET")
    confirm = ConfirmTerms(first_s=0.05, longest_s=0.1, give_up_s=0.4)
    async with station(rule, terms=AccountTerms(confirm_by_query=True, confirm=confirm)) as desk:
        desk.account.submit(desk.taker(1))
        lost = await desk.told.one(Lost)
        assert "end is not known" in lost.why
        assert [type(each) for each in desk.told.happenings] == [Accepted, Lost]


async def test_a_prepared_snipe_bursts_through_the_minutes_in_which_the_symbol_is_not_open_yet() -> None:
    terms = AccountTerms(confirm_by_query=True, burst=Burst(attempts=8, spacing_ns=30_000_000))
    rule = Rule(
        fault="refuse", code=10007, msg="symbol not support api", path="/api/v3/order", method="POST",
        nth=(1, 2, 3),
    )  # fmt: skip
    async with station(rule, terms=terms) as desk:
        sent = desk.taker(1)
        desk.account.prepare(sent, time.time_ns() + 50_000_000)
        await asyncio.sleep(0.05)
        desk.account.submit(sent)
        timed = await desk.told.one(ShotTimed)
        assert timed.transmissions == 4
        await desk.told.until(lambda: sum(t.fill.quantity for t in desk.told.of(Traded)) == sent.quantity)
        assert desk.told.of(Refused) == []
        assert len(desk.world.matcher.placed("me")) == 1


async def test_the_venue_says_who_signs_wrongly_and_no_report_repeats_the_secret() -> None:
    async with station() as desk:
        told = Told()
        wrong = rest_to(desk.server.url, LIMITS, key=(KEY, "not-the-secret-at-all"))
        account = MexcAccount(wrong, told.hear, AccountTerms())
        account.submit(desk.rester(1))
        refused = await told.one(Refused)
        assert refused.code == 700002
        assert "not-the-secret-at-all" not in repr(told.happenings) + repr(account)
        await account.close()
        await wrong.close()
