"""Protections: which pauses the results so far have earned. Pure: the same live, after a crash, in replay.

What raises a protection is its cause: the last result that counts, or how deep the equity is below which
peak. The cause is its id, so one cause raises one protection: not a second one while that is in force, nor
again when it has ended or a person has released it. Another loss, or a deeper fall, is a new cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.clock import DAY, MILLISECOND, span, utc, written
from mexclab.domain.desk import Desk, Result
from mexclab.domain.market import Symbol
from mexclab.domain.marks import peak_since
from mexclab.domain.portfolio import ZERO
from mexclab.domain.protection import Protection, ProtectionRule
from mexclab.errors import DomainError, RiskRefused

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine

_BY_STEPS = ("day_loss", "drawdown")  # each further time that the threshold is lost is a cause of its own


def due(
    desk: Desk, rules: Sequence[ProtectionRule], now_ns: int, equity: Decimal | None = None
) -> list[Protection]:
    """The protections that are to be raised now: earned, and not raised for the same cause before.

    Args:
        desk: results, marks of the equity, and the protections so far.
        rules: in the order in which they are judged.
        equity: what everything is worth at this moment; None: as it was marked last.
    """
    earned = (each for rule in rules for each in _earned(desk, rule, now_ns, equity))
    return [each for each in earned if each.is_active(now_ns) and not _was_raised(desk, each)]


def _was_raised(desk: Desk, found: Protection) -> bool:
    """Whether its cause has raised one before; what has fallen deep has fallen less deep before, too."""
    known = (*desk.protections, *desk.spent)
    if found.kind not in _BY_STEPS:
        return found.protection_id in known
    cause, _, step = found.protection_id.rpartition(":")
    return any(
        other == cause and int(deep) >= int(step)
        for other, _, deep in (protection_id.rpartition(":") for protection_id in known)
    )


async def release(engine: Engine, protection_id: str, by: str, why: str) -> str:
    """End a protection before its time, in a person's name; what that allows, in a sentence.

    Raises:
        DomainError: there is none of this id, or it has ended by itself.
        RiskRefused: no reason was given. Nothing was changed in either case.
    """
    async with engine.gate:
        now = engine.parts.clock.now_ns()
        known = engine.desk.protections.get(protection_id)
        if known is None or not known.is_active(now):
            active = engine.desk.protections_of(None, now)
            there = ", ".join(each.protection_id for each in active) or "none"
            raise DomainError(
                f"no protection {protection_id!r} is in force; those in force: {there}",
                protection_id=protection_id,
            )
        if not why.strip():
            raise RiskRefused(f"cannot release {protection_id}: a reason is required")
        await engine.record(e.ProtectionReleased(now, protection_id, by, why))
    return f"{protection_id} is released: {_scope(known.symbol)} may be entered again, limits permitting"


def _earned(desk: Desk, rule: ProtectionRule, now_ns: int, equity: Decimal | None) -> Iterator[Protection]:
    """What the rule says now, whether it was raised before or not."""
    if rule.kind == "drawdown":
        yield from _drawdown(desk, rule, now_ns, equity)
        return
    if rule.kind == "day_loss" and not rule.per_symbol:
        yield from _day_loss(rule, None, desk.portfolio.realised_on(now_ns), now_ns)
        return
    for symbol, results in _groups(_recent(desk, rule, now_ns), rule.per_symbol):
        match rule.kind:
            case "loss_streak":
                yield from _loss_streak(rule, symbol, results, now_ns)
            case "low_win_rate":
                yield from _low_win_rate(rule, symbol, results, now_ns)
            case "cooldown":
                yield from _cooldown(rule, symbol, results, now_ns)
            case "day_loss":
                today = [each.profit for each in results if each.closed_ns // DAY == now_ns // DAY]
                yield from _day_loss(rule, symbol, sum(today, ZERO), now_ns)
            case _:
                raise DomainError(f"there is no kind of protection {rule.kind!r}", kind=rule.kind)


def _recent(desk: Desk, rule: ProtectionRule, now_ns: int) -> list[Result]:
    """The results of the look-back, the oldest first; of one moment, by the snipe's id.

    Results that close at the same moment come in an order that means nothing: it must not matter.
    """
    since_ns = now_ns - rule.look_back_ns
    recent = takewhile(lambda result: result.closed_ns > since_ns, desk.recent_results())
    return sorted(recent, key=lambda result: (result.closed_ns, result.snipe_id))


def _groups(results: Iterable[Result], per_symbol: bool) -> Iterator[tuple[Symbol | None, list[Result]]]:
    groups: dict[Symbol | None, list[Result]] = {}
    for result in results:
        groups.setdefault(result.symbol if per_symbol else None, []).append(result)
    yield from sorted(groups.items(), key=lambda group: str(group[0]))


@dataclass(frozen=True, slots=True)
class _Cause:
    """What raises a protection: its name, and the moment from which the pause counts."""

    symbol: Symbol | None
    name: str
    at_ns: int

    @classmethod
    def of(cls, symbol: Symbol | None, result: Result) -> _Cause:
        """A result; closed anew after a late fill it is another one."""
        name = f"{result.snipe_id}:{result.closed_ns // MILLISECOND}"
        return cls(symbol, name, result.closed_ns)


def _raised(rule: ProtectionRule, cause: _Cause, now_ns: int, found: tuple[str, str, str]) -> Protection:
    """``found``: the value, the bound, and why in a sentence."""
    value, bound, why = found
    if rule.pause_ns is None:
        until_ns: int | None = (now_ns // DAY + 1) * DAY
    else:
        until_ns = cause.at_ns + rule.pause_ns if rule.pause_ns else None
    return Protection(
        protection_id=f"{rule.kind}:{cause.symbol or 'all'}:{cause.name}",
        kind=rule.kind,
        symbol=cause.symbol,
        raised_ns=now_ns,
        until_ns=until_ns,
        value=value,
        bound=bound,
        look_back_ns=rule.look_back_ns,
        why=why,
    )


def _loss_streak(
    rule: ProtectionRule, symbol: Symbol | None, results: Sequence[Result], now_ns: int
) -> Iterator[Protection]:
    wanted = max(int(rule.threshold), rule.least)
    streak = list(takewhile(lambda result: result.profit < 0, reversed(results)))
    if len(streak) >= wanted:
        lost = -sum((result.profit for result in streak), ZERO)
        why = f"the last {len(streak)} snipes{_of(symbol)} lost, {_money(lost)} in all"
        yield _raised(rule, _Cause.of(symbol, streak[0]), now_ns, (str(len(streak)), str(wanted), why))


def _low_win_rate(
    rule: ProtectionRule, symbol: Symbol | None, results: Sequence[Result], now_ns: int
) -> Iterator[Protection]:
    won = sum(1 for result in results if result.profit > 0)
    last = next((result for result in reversed(results) if result.profit <= 0), None)
    if last is not None and len(results) >= rule.least and Decimal(won) / len(results) < rule.threshold:
        why = f"{won} of the {len(results)} snipes{_of(symbol)} of the last {span(rule.look_back_ns)} won"
        found = (f"{won / len(results):.2f}", str(rule.threshold), why)
        yield _raised(rule, _Cause.of(symbol, last), now_ns, found)


def _cooldown(
    rule: ProtectionRule, symbol: Symbol | None, results: Sequence[Result], now_ns: int
) -> Iterator[Protection]:
    last = results[-1]
    why = f"the last snipe of {last.symbol} was closed at {written(last.closed_ns)}"
    pause = span(rule.look_back_ns if rule.pause_ns is None else rule.pause_ns)
    yield _raised(rule, _Cause.of(symbol, last), now_ns, (span(now_ns - last.closed_ns), pause, why))


def _day_loss(
    rule: ProtectionRule, symbol: Symbol | None, earned: Decimal, now_ns: int
) -> Iterator[Protection]:
    steps = _steps(-earned, rule.threshold)
    if steps >= 1:
        day = utc(now_ns).strftime("%Y-%m-%d")
        why = f"{_money(-earned)} were lost{_of(symbol, ' in ')} on {day} (UTC)"
        found = (_money(-earned), str(rule.threshold), why)
        yield _raised(rule, _Cause(symbol, f"{day}:{steps}", now_ns), now_ns, found)


def _drawdown(desk: Desk, rule: ProtectionRule, now_ns: int, equity: Decimal | None) -> Iterator[Protection]:
    peak = peak_since(desk.peaks, now_ns - rule.look_back_ns)
    if equity is None and desk.marked is not None:
        equity = desk.marked.equity
    if peak is None or equity is None or peak.equity <= 0:
        return
    fall = (peak.equity - equity) / peak.equity
    steps = _steps(fall, rule.threshold)
    if steps >= 1:
        top = f"{_money(peak.equity)}, its peak of {written(peak.at_ns)}"
        why = f"equity {_money(equity)} is {fall:.1%} below {top}"
        cause = _Cause(None, f"{peak.at_ns // MILLISECOND}:{steps}", now_ns)
        yield _raised(rule, cause, now_ns, (f"{fall:.4f}", str(rule.threshold), why))


def _steps(loss: Decimal, threshold: Decimal) -> int:
    """How often the loss holds the threshold."""
    return int(loss / threshold) if threshold > 0 and loss > 0 else 0


def _of(symbol: Symbol | None, word: str = " of ") -> str:
    return "" if symbol is None else f"{word}{symbol}"


def _money(value: Decimal) -> str:
    return f"{value:.2f}"


def _scope(symbol: Symbol | None) -> str:
    return "everything" if symbol is None else str(symbol)
