"""The guard: once a second it looks whether something should pause or halt the desk, and writes that down.

It decides nothing itself: ``protections``, ``monitors`` and ``triggers`` do, purely. It looks with the first
news of each second, whenever a trade of ours or a result has come, and, while something is at stake (a
position, a shot, an opening that is near), every five seconds even if there is no news at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.desk import Result
from mexclab.domain.market import Symbol
from mexclab.domain.marks import mark_of
from mexclab.domain.monitor import MonitorState
from mexclab.domain.portfolio import ZERO, Position
from mexclab.trading import protections, safety
from mexclab.trading.monitors import Finding, Stake
from mexclab.trading.risk import clock_breaches
from mexclab.trading.triggers import Trigger, Vitals, fired

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

LOOK_NS = SECOND
SILENT_NS = 5 * SECOND  # without news only time changes anything: the age of a price, or of the clock
NEAR_NS = 2 * MINUTE  # before its opening, a market is watched from here on
STILL_NS = 100 * MILLISECOND  # before a shot: nothing is looked at that could make it late
MARK_NS = MINUTE  # between two marks of the equity
FORESEEN = Decimal("0.9")  # how far down prices are looked ahead, as a fraction of the bid
RECORDED_MARK_NS = HOUR  # in a recording: peaks are kept by the hour anyway
TELL_NS = 5 * SECOND  # between two entries of one monitor of one market, unless it trips
CALM_NS = 15 * SECOND  # what has calmed down for so long is written down as calm
LAG_NS = 2 * SECOND  # an append that takes longer within the last minute: the ledger lags
_LIVE_RULES = ("day_loss", "drawdown")  # what prices and single trades can raise; the rest needs a result
_RANK = {MonitorState.UNKNOWN: 0, MonitorState.QUIET: 0, MonitorState.WARNING: 1, MonitorState.TRIPPED: 2}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A look finds nothing new before ``until_ns`` while no bid of what is held is below its one of ``bids``.

    Attributes:
        seq: up to where what was written has been seen to change nothing of that.
    """

    seq: int
    until_ns: int
    bids: Mapping[Symbol, Decimal]


class Guard:
    """Watches one engine. Everything here is called by whoever holds the engine's gate."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next_ns = self._silent_ns = self._seq = self._judged_ns = 0
        self._result: Result | None = None
        self._portfolio = engine.desk.portfolio
        self._stakes: dict[Symbol, Stake] = {}
        self._clock_wrong_ns: int | None = None  # since when the clock cannot be trusted
        self._calmer_ns: dict[tuple[str, str], int] = {}  # since when a monitor is calmer than was written
        self._foreseen: Foreseen | None = None

    # -- when ------------------------------------------------------------------------------------

    def due_ns(self) -> int | None:
        """When the clock alone makes a look worthwhile; None: nothing is at stake, or a shot is near."""
        engine = self._engine
        if not self._stakes or not engine.rules.polls:
            return None  # in a recording all that changes is news
        if engine.shots:  # what holds then must be seen before the shot leaves, and not just before
            at = max(self._next_ns, engine.parts.clock.now_ns())
            return at if at <= min(engine.shots.values()) - STILL_NS else None
        return self._silent_ns

    def hasten(self) -> None:
        """Look at once: something has happened that may halt."""
        self._next_ns = self._silent_ns = min(self._next_ns, self._engine.parts.clock.now_ns())

    def is_due(self) -> bool:
        """Whether it is time to look: a second has passed, or a result or a trade of ours has come."""
        engine = self._engine
        now = engine.parts.clock.now_ns()
        if now < self._next_ns:
            if engine.seq == self._seq:
                return False
            self._seq = engine.seq
            if not self._has_news():
                return False
        elif self._next_ns and not engine.rules.polls and self._is_as_foreseen(now):
            return False
        return not engine.shots or min(engine.shots.values()) - now > STILL_NS

    def _has_news(self) -> bool:
        desk = self._engine.desk
        return desk.portfolio is not self._portfolio or self._last_result() is not self._result

    def _last_result(self) -> Result | None:
        return next(self._engine.desk.recent_results(), None)

    # -- the look --------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look once: halt if a trigger fires, raise what is earned, write down what has changed."""
        engine = self._engine
        desk, now = engine.desk, engine.parts.clock.now_ns()
        result, is_loaded = self._last_result(), bool(engine.shots)
        is_closed = result is not self._result
        self._next_ns, self._silent_ns = now + LOOK_NS, now + SILENT_NS
        self._seq, self._result = engine.seq, result
        self._portfolio = desk.portfolio
        self._follow(now)
        vitals = self._vitals(now)
        if desk.halt is None:
            await self._halt(fired(desk.portfolio, engine.rules.limits, engine.rules.halt, vitals))
        happened: list[e.Event] = [] if is_loaded else list(self._changes(now))
        if not is_loaded and self._is_to_mark(vitals.mark, is_closed):
            happened.append(vitals.mark)
        is_whole = is_closed or now - self._judged_ns >= MINUTE
        rules = [rule for rule in engine.rules.protections if is_whole or rule.kind in _LIVE_RULES]
        if is_whole:
            self._judged_ns = now
        earned = protections.due(desk, rules, now, vitals.mark.equity)
        await engine.record(*happened, *(e.ProtectionRaised(now, each) for each in earned))
        self._foreseen = None

    def _is_as_foreseen(self, now: int) -> bool:
        """In a recording: whether another look can find nothing that the last one did not.

        Until a trade or a result of ours, only falling prices, a new day and the next mark of the equity lead
        to anything; and a pause is found in time if the look comes with the signal that it bars.
        """
        engine, known = self._engine, self._foreseen
        if known is None or known.seq != engine.seq:
            if self._has_news() or any(snipe.state.is_waiting for snipe in engine.desk.live_snipes()):
                return False
            known = self._foresee(now) if known is None else replace(known, seq=engine.seq)
            self._foreseen = known
        if known is None or now >= known.until_ns:
            return False
        return not known.bids or all((self._price(each) or ZERO) >= bid for each, bid in known.bids.items())

    def _foresee(self, now: int) -> Foreseen | None:
        """Look ahead to prices that are far lower; None: something would be found there."""
        engine, desk = self._engine, self._engine.desk
        portfolio, until_ns = desk.portfolio, (now // DAY + 1) * DAY
        if self._stakes:
            until_ns = min(until_ns, (desk.marked.at_ns if desk.marked else now) + RECORDED_MARK_NS)
        far = {p.symbol: bid * FORESEEN for p in portfolio.held if (bid := self._price(p.symbol))}
        if len(far) < len(portfolio.held):
            return None
        if far:
            mark = mark_of(portfolio, portfolio.valued(far), now)
            live = [rule for rule in engine.rules.protections if rule.kind in _LIVE_RULES]
            found = fired(portfolio, engine.rules.limits, engine.rules.halt, Vitals(mark))
            if found or protections.due(desk, live, now, mark.equity):
                return None
        return Foreseen(engine.seq, until_ns, far)

    def triggers(self) -> list[Trigger]:
        """The triggers whose condition holds at this moment."""
        engine = self._engine
        vitals = self._vitals(engine.parts.clock.now_ns())
        return fired(engine.desk.portfolio, engine.rules.limits, engine.rules.halt, vitals)

    def objections(self) -> list[str]:
        """What speaks against allowing entries again, in sentences: triggers, the clock, the ledger."""
        engine = self._engine
        now, holding = engine.parts.clock.now_ns(), self.triggers()
        found = [f"the trigger {each.name} still holds: {each.why}" for each in holding]
        found += [breach.why for breach in clock_breaches(engine.clock_reading, engine.rules.limits, now)]
        lag_ns = self._lag_ns(now)
        if lag_ns >= LAG_NS and all(each.name != "ledger_lag" for each in holding):
            found.append(f"the ledger lags: an append took {lag_ns / SECOND:.1f} s within the last minute")
        return found

    async def _halt(self, found: list[Trigger]) -> None:
        if found:
            why = "; ".join(each.why for each in found)
            await safety.halt_inside(self._engine, f"trigger {found[0].name}", why)

    # -- what is at stake ------------------------------------------------------------------------

    def _follow(self, now: int) -> None:
        engine = self._engine
        stakes: dict[Symbol, Stake] = {}
        for snipe in engine.desk.live_snipes():
            plan = snipe.plan
            if not snipe.state.is_waiting or plan.not_before_ns - now <= NEAR_NS:
                stakes[plan.symbol] = Stake(plan.not_before_ns, plan.exit.stop_loss, plan.budget_quote)
        for position in engine.desk.portfolio.held:
            if position.symbol not in stakes and not self._is_dust(position):
                stakes[position.symbol] = Stake()
        if stakes != self._stakes:
            fresh = [symbol for symbol in stakes if symbol not in self._stakes]
            self._stakes = stakes
            engine.monitors.follow(stakes)
            for symbol in fresh:
                if symbol in engine.books:
                    engine.monitors.see(engine.books[symbol])

    def _is_dust(self, position: Position) -> bool:
        market, price = self._engine.known_market(position.symbol), self._price(position.symbol)
        return market is not None and price is not None and market.is_dust(position.quantity, price)

    def _price(self, symbol: Symbol) -> Decimal | None:
        """The best bid; nothing when nobody bids; None when no book is known."""
        book = self._engine.books.get(symbol)
        return None if book is None else book.bid or ZERO

    def _vitals(self, now: int) -> Vitals:
        engine = self._engine
        portfolio, polls = engine.desk.portfolio, engine.rules.polls
        prices = {p.symbol: price for p in portfolio.held if (price := self._price(p.symbol)) is not None}
        # a recording has no clock that could be wrong
        wrong = list(clock_breaches(engine.clock_reading, engine.rules.limits, now)) if polls else []
        if not wrong:
            self._clock_wrong_ns = None
        elif self._clock_wrong_ns is None:
            self._clock_wrong_ns = now
        return Vitals(
            mark=mark_of(portfolio, portfolio.valued(prices), now),
            missing=tuple(self._missing()),
            clock_wrong_ns=now - self._clock_wrong_ns if self._clock_wrong_ns is not None else 0,
            clock_why="; ".join(breach.why for breach in wrong),
            failures=engine.monitors.failures(now),
            lag_ns=self._lag_ns(now),
        )

    def _lag_ns(self, now: int) -> int:
        slowest = self._engine.lag.at(now)
        return slowest[0] if slowest is not None else 0

    def _missing(self) -> Iterator[str]:
        """What the venue lacks of our books by the last comparison, if more than dust is missing."""
        engine = self._engine
        desk, balances = engine.desk, engine.balances or {}
        told = desk.reconciled.differences if desk.reconciled is not None else ()
        for symbol, why in desk.disputed.items():
            if why not in told:
                continue  # settled, or a report that could not be booked
            there, market, price = balances.get(symbol.base), engine.known_market(symbol), self._price(symbol)
            short = desk.held(symbol) - (there.total if there is not None else ZERO)
            if market is None or not price or not market.is_dust(short, price):
                yield why

    # -- what is written down --------------------------------------------------------------------

    def _is_to_mark(self, mark: e.EquityMarked, is_closed: bool) -> bool:
        engine, result = self._engine, self._result
        marked, pause_ns = engine.desk.marked, MARK_NS if engine.rules.polls else RECORDED_MARK_NS
        if is_closed and result is not None and (marked is None or result.closed_ns >= marked.at_ns):
            return True
        live = {snipe.plan.symbol for snipe in engine.desk.live_snipes()}
        if not self._stakes or not live.isdisjoint(mark.unpriced):
            return False  # after a start its price comes soon; until then it would stand at what it cost
        return marked is None or mark.at_ns - marked.at_ns >= pause_ns

    def _changes(self, now: int) -> Iterator[e.MonitorChanged]:
        """Monitors whose state is another than was written, once it is worth an entry."""
        engine = self._engine
        if not engine.rules.polls:
            return
        yield from self._told("", None, engine.monitors.common_findings(now), now)
        for symbol in self._stakes:
            yield from self._told(str(symbol), symbol, engine.monitors.findings(symbol, now), now)
        for last in list(engine.desk.monitors.values()):
            if last.symbol is not None and last.symbol not in self._stakes:
                state, why = str(MonitorState.UNKNOWN), f"{last.symbol} is not watched any more"
                yield e.MonitorChanged(now, last.monitor, last.symbol, state, "", last.bound, why)

    def _told(
        self, where: str, symbol: Symbol | None, findings: Iterable[tuple[str, Finding]], now: int
    ) -> Iterator[e.MonitorChanged]:
        known = self._engine.desk.monitors
        for name, (state, words) in findings:
            key, rank = (name, where), _RANK[state]
            last = known.get(key)
            if last is None and not rank:
                continue
            was = _RANK[MonitorState(last.state)] if last is not None else 0
            if rank >= was:
                self._calmer_ns.pop(key, None)
                waited = last is None or now - last.at_ns >= TELL_NS
                is_told = rank > was and (waited or state is MonitorState.TRIPPED)
            else:
                is_told = now - self._calmer_ns.setdefault(key, now) >= CALM_NS
            if is_told:
                self._calmer_ns.pop(key, None)
                yield e.MonitorChanged(now, name, symbol, str(state), *words())
