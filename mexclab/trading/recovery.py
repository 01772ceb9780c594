"""Starting is recovering: fold the ledger, ask the venue, reconcile, only then run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING, TypeVar

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, SECOND
from mexclab.domain.desk import Desk
from mexclab.domain.market import Symbol
from mexclab.domain.order import Fill, Order, OrderState
from mexclab.domain.reports import VenueOrder
from mexclab.errors import VenueUnavailable
from mexclab.trading import safety, sagas, shots, truth, tuning

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

SNAPSHOT_EVENTS = 20_000  # a start that folded more than this keeps what they add up to
PAUSES_S = (0.5, 1.0, 2.0)  # between the questions of a start or a comparison that get no answer
LONGEST_PAUSE_S = 30.0
T = TypeVar("T")
LOOKS = 3  # how often balances are read again while trades keep coming in
RECENT = 1_000  # orders whose symbols are compared even when nothing of them is held


@dataclass(frozen=True, slots=True)
class Identity:
    """Who starts: written at the head of each run."""

    mode: str
    venue: str
    version: str


async def start(engine: Engine, identity: Identity) -> e.Reconciled:
    """Bring a fresh engine to where the ledger and the venue say it is.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
        VenueUnavailable: the venue does not answer; nothing may run on guesses.
    """
    ledger, exchange = engine.parts.ledger, engine.parts.exchange
    engine.seq = engine.kept_seq = ledger.recall(engine.desk)
    for seq, event in ledger.read(engine.seq):
        engine.desk.fold(event)
        engine.seq = seq
    keep_snapshot(engine, SNAPSHOT_EVENTS)
    engine.halting = engine.halting or engine.desk.halt is not None
    engine.parts.radar.recover()
    exchange.recall(_recent(engine)[::-1])
    engine.clock_reading = await _insist(engine, engine.parts.venue.clock_reading)
    balances = await _insist(engine, partial(shots.read_balances, engine))
    for position in engine.desk.portfolio.held:
        engine.watch(position.symbol)  # what is held has a worth, whether a snipe looks after it or not
    for snipe in engine.desk.live_snipes():
        engine.watch(snipe.plan.symbol)
        await _insist(engine, partial(engine.market, snipe.plan.symbol))
    async with engine.gate:
        now = engine.parts.clock.now_ns()
        quote = balances.get(engine.rules.quote_asset)
        opening = quote.total if quote else Decimal(0)
        await engine.record(e.DaemonStarted(now, identity.mode, identity.venue, identity.version, opening))
        await engine.record(*sagas.adopted(engine.desk, now))
        if engine.early_halt is not None:
            await engine.record(e.Halted(now, *engine.early_halt))
        await tuning.restore(engine)
    report = await _compare(engine, settled_ns=now)
    if engine.early_halt is not None:
        async with engine.gate:
            await safety.cancel_entries(engine)
    engine.questions.reconcile_ns = now + engine.rules.orders.reconcile_s * SECOND
    return report


async def _insist(engine: Engine, ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asked for a few times: a desk that holds something should not stay away for one bad reply.

    Raises:
        VenueUnavailable: it does not come, or the venue wants silence for longer than a start should wait.
    """
    for pause_s in PAUSES_S:
        try:
            return await ask()
        except VenueUnavailable as error:
            wait_s = max(pause_s, float(error.data.get("retry_after_s") or 0))
            if wait_s > LONGEST_PAUSE_S:
                raise
            clock = engine.parts.clock
            await clock.sleep_until(clock.now_ns() + int(wait_s * SECOND))
    return await ask()


def keep_snapshot(engine: Engine, after: int) -> None:
    """Keep what the ledger adds up to if more than ``after`` events came since it was last kept.

    It blocks for as long as the desk is large: for a start and an end, never beside a shot.
    """
    if engine.seq - engine.kept_seq > after:
        engine.parts.ledger.remember(engine.desk, engine.seq)
        engine.kept_seq = engine.seq


async def reconcile(engine: Engine) -> e.Reconciled:
    """Compare the ledger with the venue, on request or by schedule; the gate is free while it is asked.

    Raises:
        VenueUnavailable: the venue does not answer, so nothing was compared.
    """
    in_flight_ns = engine.rules.orders.in_flight_s * SECOND
    return await _compare(engine, settled_ns=engine.parts.clock.now_ns() - in_flight_ns)


async def _compare(engine: Engine, settled_ns: int) -> e.Reconciled:
    """``settled_ns``: an order sent before it should have been answered by now."""
    desk, exchange = engine.desk, engine.parts.exchange
    before = desk.trade_count
    async with engine.gate:
        await _give_up_unsent(engine, settled_ns)
    asked = [order for order in desk.open_orders() if _may_be_asked(engine, order, settled_ns)]
    fills = await _trades(engine)
    answers = []
    for order in asked:
        answer = await truth.ask(engine, order)
        if answer is None:
            raise VenueUnavailable("the venue does not answer, so open orders cannot be reconciled")
        answers.append((order.client_id, answer))
    ended = {order.client_id for order in _recent(engine) if not order.is_live}
    resting = await _insist(engine, exchange.open_orders)
    strangers = [order for order in resting if order.client_id not in desk.orders]
    revenants = [desk.orders[order.client_id] for order in resting if order.client_id in ended]
    async with engine.gate:
        touched = await _book(engine, fills)
        for client_id, answer in answers:
            touched |= await engine.book(truth.told(engine, client_id, answer))
        await engine.act(touched)
        await _show(engine, strangers)
        await _take_back(engine, revenants)
    differences = await mismatches(engine)
    async with engine.gate:
        await _dispute(engine, differences)
        now = engine.parts.clock.now_ns()
        unknown = len(desk.unknown_orders()) + len(desk.disputed) + len(differences) + len(revenants)
        found, sentences = desk.trade_count - before, tuple(each.sentence for each in differences)
        report = e.Reconciled(now, len(asked), found, unknown, len(strangers), sentences)
        await engine.record(report)
    return report


async def _give_up_unsent(engine: Engine, settled_ns: int) -> None:
    """Orders that were written and never left are over; those that left and were not answered are unknown."""
    now = engine.parts.clock.now_ns()
    for order in list(engine.desk.open_orders()):
        if order.state is OrderState.DECIDED or (order.state is OrderState.SENT and not _left(order, now)):
            if not engine.holds_shot(order.client_id):
                why = "the process stopped before it left"
                await engine.record(e.OrderCanceled(now, order.client_id, why))
        elif order.state is OrderState.SENT and order.gone_ns <= settled_ns:
            why = "the process stopped before an answer came"
            await engine.book([e.OrderLost(now, order.client_id, why)])


def _left(order: Order, now: int) -> bool:
    return order.sent_ns is not None and order.gone_ns <= now


def _may_be_asked(engine: Engine, order: Order, settled_ns: int) -> bool:
    if engine.holds_shot(order.client_id):
        return False
    return not (order.state is OrderState.SENT and order.gone_ns > settled_ns)  # its answer is on the way


def _recent(engine: Engine) -> list[Order]:
    """Orders of the look-back, the newest first."""
    since = engine.parts.clock.now_ns() - engine.rules.orders.look_back_h * HOUR
    return list(takewhile(lambda order: order.decided_ns > since, engine.desk.recent_orders()))


async def _trades(engine: Engine) -> list[Fill]:
    """Trades of ours that the venue shows and no report brought, whatever their orders had come to.

    Raises:
        VenueUnavailable: the venue does not answer.
    """
    desk, since = engine.desk, dict[Symbol, int]()
    for order in _recent(engine):
        since[order.symbol] = min(order.decided_ns, since.get(order.symbol, order.decided_ns))
    found: list[Fill] = []
    for symbol, since_ns in sorted(since.items(), key=lambda item: item[1]):
        found += await _insist(engine, partial(engine.parts.exchange.fills, symbol, since_ns))
    return [fill for fill in found if fill.client_id in desk.orders and not desk.knows_trade(fill.trade_id)]


async def _book(engine: Engine, fills: Sequence[Fill]) -> set[str]:
    now, touched = engine.parts.clock.now_ns(), set[str]()
    for fill in fills:
        if not engine.desk.knows_trade(fill.trade_id):  # a report may have brought it meanwhile
            touched |= await engine.book([e.OrderFilled(now, fill)])
    return touched


async def _show(engine: Engine, strangers: Sequence[VenueOrder]) -> None:
    """Orders on the account that the ledger does not know: shown, never touched."""
    now = engine.parts.clock.now_ns()
    for order in strangers:
        if order.venue_id not in engine.desk.external:
            facts = (order.venue_id, order.symbol, order.side, order.quantity, order.price)
            await engine.record(e.ExternalOrderSeen(now, *facts))


async def _take_back(engine: Engine, revenants: Sequence[Order]) -> None:
    """Orders of ours that rest at the venue although it had said that they were over are cancelled."""
    for order in revenants:
        now = engine.parts.clock.now_ns()
        text = f"{order.client_id} is {order.state} by the venue's own word, and rests there; it is cancelled"
        await engine.record(e.AlertRaised(now, "critical", text, order.snipe_id))
        await engine.cancel(order, "it rests although it was over")


@dataclass(frozen=True, slots=True)
class Difference:
    """What the ledger and the venue do not agree on."""

    symbol: Symbol
    ledger: Decimal  # base units
    venue: Decimal

    @property
    def sentence(self) -> str:
        return f"{self.symbol.base}: the ledger holds {self.ledger}, the venue {self.venue}"


async def _dispute(engine: Engine, differences: Sequence[Difference]) -> None:
    """Less at the venue than our books say, seen twice in a row: no entry there until a person has looked.

    More than that is not ours: it is shown, and nobody sells it.
    """
    last, now = engine.desk.reconciled, engine.parts.clock.now_ns()
    for each in differences:
        again = last is not None and each.sentence in last.differences
        if again and each.venue < each.ledger and each.symbol not in engine.desk.disputed:
            text = f"{each.sentence}; entries in {each.symbol} stop until a person resumes"
            await engine.record(
                e.ReportDisputed(now, "", each.symbol, each.sentence), e.AlertRaised(now, "critical", text)
            )


async def mismatches(engine: Engine) -> list[Difference]:
    """Where the venue's balances differ from our positions, and no trade came between that explains it.

    Raises:
        VenueUnavailable: the venue does not answer.
    """
    for _ in range(LOOKS):
        balances = await shots.read_balances(engine)
        totals = {asset: balance.total for asset, balance in balances.items()}
        found = balance_mismatches(engine.desk, totals)
        if not found:
            return []
        missed = [fill for fill in await _trades(engine) if fill.trade_id not in engine.desk.disputed_trades]
        if not missed:
            return found
        async with engine.gate:
            await engine.act(await _book(engine, missed))
    return found


def balance_mismatches(desk: Desk, totals: dict[str, Decimal]) -> list[Difference]:
    """Pure comparison of positions with the account's totals, to the last digit."""
    symbols = [position.symbol for position in desk.portfolio.held]
    symbols += [order.symbol for order in islice(desk.recent_orders(), RECENT)]
    each = (Difference(s, desk.held(s), totals.get(s.base, Decimal(0))) for s in dict.fromkeys(symbols))
    return [difference for difference in each if difference.ledger != difference.venue]
