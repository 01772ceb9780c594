"""The desk's own engine on recorded bars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from mexclab import replay
from mexclab.config import LimitSettings, ProtectionSettings
from mexclab.domain import events as e
from mexclab.domain.clock import MINUTE
from mexclab.domain.market import Market, Symbol
from mexclab.domain.reports import BookSeen, Happening
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import SnipeState
from mexclab.errors import DataError, DomainError
from mexclab.replay_bars import IDENTITY, BarDesk, bars_of
from mexclab.runtime.clock import ManualClock
from mexclab.trading import recovery
from mexclab.trading.engine import Rules
from mexclab.venues.bars import Bars, BarTerms, BarVenue
from tests.trading.bars_scene import (
    BARS_ONLY,
    FIRST,
    HOLD,
    TICK,
    WIDE,
    WITH_LIMITS,
    Tape,
    desk_of,
    naive_trades,
    run,
    trades_of,
    wander,
)


def written(desk: BarDesk, kind: type[e.Event]) -> list[e.Event]:
    return [event for _, event in desk.ledger.read() if isinstance(event, kind)]


@pytest.mark.parametrize("seed", range(4))
async def test_the_engine_trades_bars_as_the_plainest_loop_does(seed: int) -> None:
    tape = wander(1500, seed)
    desk = await run(desk_of(tape))
    trades = trades_of(desk.engine.desk)
    assert trades == naive_trades(tape)
    assert len(trades) > 20
    profit = sum(result.profit for result in desk.engine.desk.results)
    assert desk.engine.desk.portfolio.realised == profit
    free = (await desk.venue.balances())["USDT"].free
    assert free == 10_000 + profit


async def test_every_trade_goes_the_way_of_every_other_snipe() -> None:
    desk = await run(desk_of(Tape([4000] * 5 + [4100] * 30, [2])))
    (snipe,) = desk.engine.desk.snipes.values()
    assert (snipe.state, snipe.reason, snipe.armed_by) == (SnipeState.CLOSED, "ladder", "automatic")
    kinds = [type(event).__name__ for _, event in desk.ledger.read()]
    for kind in ("SignalRaised", "SnipePlanned", "PreflightDone", "VerdictGiven", "Fired", "OrderFilled"):
        assert kind in kinds
    assert kinds.index("VerdictGiven") < kinds.index("OrderSent") < kinds.index("OrderFilled")
    assert desk.ledger.verify().events == desk.engine.seq


async def test_the_same_bars_give_the_same_history() -> None:
    first, second = [await run(desk_of(wander(800, 7))) for _ in range(2)]
    assert first.ledger.fingerprint() == second.ledger.fingerprint()


@pytest.mark.parametrize("market", [BARS_ONLY, WITH_LIMITS])
@pytest.mark.parametrize("every", [12, 150])
async def test_bars_in_bundles_give_the_history_that_they_give_one_by_one(market: Market, every: int) -> None:
    rules = Rules(limits=WIDE, protections=ProtectionSettings().rules())
    tape = replace(wander(4000, 11, every), market=market, rules=rules)
    bundled, single = [await run(desk_of(tape, bundle)) for bundle in (60, 1)]
    assert bundled.ledger.fingerprint() == single.ledger.fingerprint()
    assert bundled.engine.desk.results
    assert written(bundled, e.ProtectionRaised)


async def test_while_something_is_at_stake_every_bar_comes_alone() -> None:
    desk = desk_of(Tape([4000] * 200, [70]))
    sizes: dict[int, int] = {}

    def count(news: Iterable[Happening]) -> None:
        books = [each.book for each in news if isinstance(each, BookSeen)]
        sizes.update({books[-1].version: len(books)} if books else {})

    await recovery.start(desk.engine, IDENTITY)
    await replay.run(desk.engine, desk.end_ns, count)
    held = dict.fromkeys(range(72, 92), 1)
    assert sizes == {60: 60, 71: 11, **held, 151: 60, 200: 49}


async def test_a_signal_that_comes_while_a_snipe_is_at_work_is_declined_and_said_why() -> None:
    desk = await run(desk_of(Tape([4000] * 40, [2, 5])))
    (declined,) = written(desk, e.PlanDeclined)
    assert (declined.signal_id, declined.reason) == ("bar5", "a snipe is at work in BARSUSDT")
    assert len(trades_of(desk.engine.desk)) == 1


async def test_a_take_profit_that_rests_is_sold_at_its_price_with_the_first_close_beyond_it() -> None:
    tape = Tape([4000] * 5 + [4010, 4020, 4060, 4000] + [4000] * 20, [2], market=WITH_LIMITS)
    desk = await run(desk_of(tape))
    (trade,) = trades_of(desk.engine.desk)
    assert (trade.entry_bar, trade.exit_bar, trade.exit_ticks) == (2, 7, 4024)
    (sold,) = desk.engine.desk.exits("bar2")
    assert sold.fills[0].is_maker


async def test_a_trailing_stop_follows_the_closes() -> None:
    plan = {"ladder": "50:100", "trailing_stop": Decimal("0.02"), "stop_loss": Decimal("0.1")}
    desk = await run(desk_of(Tape([4000] * 5 + [4080, 4160, 4150, 4070] + [4000] * 20, [2], exit=plan)))
    (trade,) = trades_of(desk.engine.desk)
    assert (trade.exit_bar, trade.exit_ticks) == (8, 4070)
    assert written(desk, e.StopRaised)


async def test_what_cannot_be_bought_for_the_money_there_is_is_refused_by_the_limits() -> None:
    desk = await run(desk_of(replace(wander(300, 1), cash=40)))
    assert not written(desk, e.OrderFilled)
    assert {snipe.reason for snipe in desk.engine.desk.snipes.values()} == {"insufficient_balance"}


async def test_a_loss_streak_bars_the_next_signals_of_a_recording_too() -> None:
    fall = [4000 - 5 * bar for bar in range(400)]
    rules = Rules(
        limits=WIDE, protections=ProtectionSettings(loss_streak=2, cooldown_s=0, drawdown=Decimal(0)).rules()
    )
    desk = await run(desk_of(Tape(fall, [10, 50, 90, 110], rules=rules)))
    assert [event.protection.kind for event in written(desk, e.ProtectionRaised)] == ["loss_streak"]
    states = [(snipe.state, snipe.reason) for snipe in desk.engine.desk.snipes.values()]
    assert states[:2] == [(SnipeState.CLOSED, "stop")] * 2
    assert states[2:] == [(SnipeState.ABORTED, "protection_loss_streak")] * 2


async def test_a_fall_halts_the_desk_at_the_very_bar_that_reaches_the_limit() -> None:
    ticks = [4000] * 5 + [3990, 3980, 3970, 3960, 3700, 3600] + [3600] * 20
    limits = LimitSettings(day_loss_quote=Decimal("0.5"))  # 1250 units fall by 40 ticks
    tape = Tape(ticks, [2], exit={"stop_loss": Decimal("0.5")}, rules=Rules(limits=limits))
    desk = await run(desk_of(tape))
    (halted,) = written(desk, e.Halted)
    assert (halted.by, halted.at_ns) == ("trigger day_loss", FIRST + 9 * MINUTE)
    assert written(desk, e.OrderFilled)[-1].fill.side == "SELL"  # exits go on


async def test_nothing_is_asked_by_the_clock_alone() -> None:
    quiet = await run(desk_of(Tape([4000] * 3000, [])))
    assert [type(event) for _, event in quiet.ledger.read()] == [e.DaemonStarted, e.Reconciled]


async def test_a_position_that_is_open_at_the_end_stays_open() -> None:
    desk = await run(desk_of(Tape([4000] * HOLD, [HOLD - 3])))
    (snipe,) = desk.engine.desk.snipes.values()
    assert snipe.state is SnipeState.ENTERED
    assert desk.engine.parts.clock.now_ns() == desk.end_ns


def test_a_signal_that_is_not_of_a_close_is_refused() -> None:
    bars = Bars(BARS_ONLY, [FIRST, FIRST + MINUTE], [4000, 4001])
    terms = BarTerms({"USDT": Decimal(100)}, depth=Decimal(1000))
    for symbol, at_ns in ((Symbol("BARS"), FIRST + 1), (Symbol("OTHER"), FIRST)):
        signal = Signal("s", symbol, "given", at_ns, at_ns, Decimal(1), {})
        with pytest.raises(DomainError, match="was not raised at a close of BARSUSDT"):
            BarVenue(ManualClock(FIRST), bars, [signal], terms)


@pytest.mark.parametrize(
    ("close_ns", "ticks", "words"),
    [
        ([], [], "there is no bar"),
        ([1, 2], [5], "each bar needs one time and one price"),
        ([1, 1], [5, 5], "time must ascend"),
        ([1, 2], [5, 0], "a close is at least one tick"),
    ],
)
def test_bars_that_are_none_are_refused(close_ns: list[int], ticks: list[int], words: str) -> None:
    with pytest.raises(DomainError, match=words):
        Bars(BARS_ONLY, close_ns, ticks)


def test_closes_are_read_as_ticks_or_refused() -> None:
    open_ns = np.arange(3, dtype=np.int64) * MINUTE
    bars = bars_of(BARS_ONLY, open_ns, np.array([0.04, 0.04001, 0.1 + 0.2]), MINUTE)
    assert (bars.ticks, bars.close_ns) == ([4000, 4001, 30000], [MINUTE, 2 * MINUTE, 3 * MINUTE])
    for wrong in (0.040004, float("nan"), float("inf")):
        with pytest.raises(DataError, match=f"not multiples of its tick {TICK}"):
            bars_of(BARS_ONLY, open_ns, np.array([0.04, wrong, 0.04]), MINUTE)
