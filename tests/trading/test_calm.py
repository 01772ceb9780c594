"""What is skipped because nothing can come of it: the same history as when everything is looked at."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from mexclab.config import LimitSettings, ProtectionSettings
from mexclab.domain import events as e
from mexclab.domain.market import Book, Side
from mexclab.domain.order import Order, OrderType
from mexclab.domain.snipe import Snipe
from mexclab.replay_bars import BarDesk
from mexclab.trading import exits, shots
from mexclab.trading.engine import Engine, Rules
from mexclab.trading.guard import Guard
from mexclab.trading.risk import Intent, review
from tests.trading.bars_scene import WITH_LIMITS, Tape, desk_of, run, wander

PLANS = [
    {},
    {"trailing_stop": Decimal("0.003")},
    {"break_even_after": Decimal("0.002")},
    {"ladder": "0.2:30 0.4:30 0.6:40"},
    {"ladder": "0.2:97", "stop_loss": Decimal("0.01"), "trailing_stop": Decimal("0.004")},
]
PAUSES = ProtectionSettings(
    loss_streak=3, loss_streak_pause_s=600, cooldown_s=120, drawdown=Decimal("0.0005"), drawdown_pause_s=300,
    day_loss_quote=Decimal("1"),
)  # fmt: skip


class Restless(Engine):
    """The naive twin: it looks at everything with every book."""

    def _is_calm(self, snipe: Snipe) -> bool:
        return False

    def _is_quiet(self) -> bool:
        return False

    def due_ns(self) -> int:
        self._due = None
        return super().due_ns()


class Anxious(Guard):
    """The naive twin: it looks once a second, whatever it foresees."""

    def _is_as_foreseen(self, now: int) -> bool:
        return False


def restless(desk: BarDesk) -> BarDesk:
    engine = Restless(desk.engine.parts, desk.engine.rules)
    return replace(desk, engine=engine)


def anxious(desk: BarDesk) -> BarDesk:
    desk.engine.guard = Anxious(desk.engine)
    return desk


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("takes_limits", [False, True])
async def test_what_is_not_looked_at_would_have_changed_nothing(
    plan: dict[str, object], takes_limits: bool
) -> None:
    tape = replace(wander(900, 3, every=8), exit=plan)
    if takes_limits:
        tape = replace(tape, market=WITH_LIMITS)
    quick, naive = await run(desk_of(tape)), await run(restless(desk_of(tape)))
    assert quick.ledger.fingerprint() == naive.ledger.fingerprint()
    assert len(quick.engine.desk.results) > 5


async def test_calm_ends_where_there_is_something_to_do() -> None:
    """With every book at which calm holds, the exits themselves find nothing."""
    held = 0

    class Checked(Engine):
        def _is_calm(self, snipe: Snipe) -> bool:
            nonlocal held
            calm = super()._is_calm(snipe)
            if calm:
                held += 1
                market, now = self.known_market(snipe.plan.symbol), self.parts.clock.now_ns()
                book: Book = self.books[snipe.plan.symbol]
                assert market is not None
                assert exits.exit_steps(self.desk.snipes[snipe.snipe_id], self.desk, market, book, now) == []
            return calm

    desk = desk_of(wander(900, 5))
    await run(replace(desk, engine=Checked(desk.engine.parts, desk.engine.rules)))
    assert held > 100


@pytest.mark.parametrize("seed", range(3))
async def test_what_the_guard_foresees_is_what_it_would_have_found(seed: int) -> None:
    limits = LimitSettings(day_loss_quote=Decimal("3"), drawdown=Decimal("0.002"))
    tape = replace(wander(1500, seed), rules=Rules(limits=limits, protections=PAUSES.rules()), cash=1000)
    quick, naive = await run(desk_of(tape)), await run(anxious(desk_of(tape)))
    assert quick.ledger.fingerprint() == naive.ledger.fingerprint()
    kinds = {type(event) for _, event in quick.ledger.read()}
    assert {e.ProtectionRaised, e.EquityMarked} <= kinds


async def test_the_guard_foresees_falls_of_what_is_held() -> None:
    fall = [4000] * 5 + [4000 - 3 * step for step in range(60)]
    limits = LimitSettings(day_loss_quote=Decimal("1"))
    tape = Tape(
        fall, [2], exit={"stop_loss": Decimal("0.9"), "time_stop_s": 36_000}, rules=Rules(limits=limits)
    )
    quick, naive = await run(desk_of(tape)), await run(anxious(desk_of(tape)))
    assert quick.engine.desk.halt is not None
    assert quick.ledger.fingerprint() == naive.ledger.fingerprint()


@pytest.mark.parametrize("signals", [[100], [2990]])
async def test_scenarios_that_are_not_made_would_not_have_changed_the_verdict(signals: list[int]) -> None:
    """With nothing held and with something: whatever an entry is worth, the same limits are broken."""
    tape = replace(wander(3000, 4), signals=signals)
    desk = await run(desk_of(tape))
    engine, market = desk.engine, tape.market
    now, price = engine.parts.clock.now_ns(), Decimal("0.04")
    plan = next(iter(engine.desk.snipes.values())).plan
    left_out = 0
    for worth in range(10, 400, 5):
        size = (Decimal(worth) / price, price)
        order = Order("bars-b-9", market.symbol, Side.BUY, OrderType.IMMEDIATE_OR_CANCEL, *size)
        intent = Intent(order, plan)
        short = shots.facts_of(engine, market, now, intent.value)
        whole = shots.facts_of(engine, market, now)
        left_out += short.tails is None
        assert whole.tails is not None
        broken = [
            {breach.limit for breach in review(intent, engine.desk, engine.rules.limits, facts).breaches}
            for facts in (short, whole)
        ]
        assert broken[0] == broken[1]
    assert 0 < left_out < 78
