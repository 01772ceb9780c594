"""Sizing: how much of its budget a plan may spend. Pure; the result says how it came about.

``budget`` takes the plan's budget as it stands. ``risk`` spends so much that a fall to the stop costs
``sizing.risk_quote``. ``kelly`` spends a share of the stake that makes money grow fastest at the odds that
closed snipes have shown (J. L. Kelly, "A new interpretation of information rate", Bell System Technical
Journal 35(4), 1956): for a win of ``b`` and a loss of ``a`` per unit spent, the share ``p/a - q/b`` of the
equity. Odds are not believed as they were seen, but at the lower end of what they may be, and the full stake
is never taken: it is right only for odds that are known (E. O. Thorp, "The Kelly criterion in blackjack,
sports betting, and the stock market", 2006, section 7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from itertools import islice

from mexclab.config import LimitSettings, SizingSettings
from mexclab.domain.desk import Desk
from mexclab.domain.portfolio import ZERO
from mexclab.domain.snipe import Plan
from mexclab.errors import DomainError

RECENT = 500  # closed snipes that odds are made of, the last ones: markets change
DOUBT = 0.10  # the win rate is as low as this share of the posterior says it may be
_PENNY = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Sized:
    """What one snipe may spend, in quote units before fees, and how that came about, in a sentence."""

    budget: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class Odds:
    """What closed snipes earned per unit that they spent.

    Attributes:
        results, wins: how many there are, and how many of them earned something.
        mean_win, mean_loss: of those that won and of those that did not, as positive fractions of what was
            spent, fees included; None: there was none.
        win_rate: the lower bound of the rate of winners: the posterior, from a uniform prior, says that it
            is lower with a probability of 10 %.
    """

    results: int = 0
    wins: int = 0
    mean_win: Decimal | None = None
    mean_loss: Decimal | None = None
    win_rate: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Purse:
    """What a size depends on besides the plan and the rules.

    Attributes:
        equity: everything owned, in quote units; None: a price is missing, so it is not known.
        taker_fee: a fraction, paid when buying and again at the stop.
    """

    equity: Decimal | None
    odds: Odds = Odds()
    taker_fee: Decimal = ZERO


def size(plan: Plan, settings: SizingSettings, limits: LimitSettings, purse: Purse) -> Sized:
    """How much the plan may spend: never more than its own budget, nor (but for ``budget``) than the limits.

    Raises:
        DomainError: by the odds that were measured, nothing should be spent at all.
    """
    if settings.method == "budget":
        return Sized(plan.budget_quote, f"budget: {plan.budget_quote} {plan.symbol.quote} as it stands")
    few = purse.odds.results < settings.kelly_results
    if settings.method == "risk" or few or purse.equity is None:
        sized = _by_risk(plan, settings, purse)
        if settings.method == "kelly":
            known = f"{purse.odds.results} closed snipes of the {settings.kelly_results} that odds take"
            reason = known if few else "the equity is not known: a price is missing"
            sized = replace(sized, why=f"{sized.why}; kelly has to wait: {reason}")
    else:
        sized = _by_odds(plan, settings, purse, purse.equity)
    return _bounded(sized, plan, limits)


def sized(plan: Plan, settings: SizingSettings, limits: LimitSettings, purse: Purse) -> Plan:
    """The plan with its size in it.

    Raises:
        DomainError: as ``size``.
    """
    found = size(plan, settings, limits, purse)
    return replace(plan, budget_quote=found.budget, sizing=found.why)


def loss_at_stop(plan: Plan, taker_fee: Decimal) -> Decimal:
    """What a unit loses that is spent, fees included, when it is sold at the stop: a fraction."""
    stop = plan.exit.stop_loss
    return stop + taker_fee * (2 - stop)


def _by_risk(plan: Plan, settings: SizingSettings, purse: Purse) -> Sized:
    lost = loss_at_stop(plan, purse.taker_fee)
    quote = plan.symbol.quote
    return Sized(
        settings.risk_quote / lost,
        f"risk: {settings.risk_quote} {quote} at the stop, where {lost:.2%} is lost, fees included",
    )


def _by_odds(plan: Plan, settings: SizingSettings, purse: Purse, equity: Decimal) -> Sized:
    odds, quote = purse.odds, plan.symbol.quote
    loss = odds.mean_loss or loss_at_stop(plan, purse.taker_fee)  # without a loss so far: what is planned
    rate, win = odds.win_rate, odds.mean_win
    stake = rate / loss - (1 - rate) / win if win else ZERO
    measured = f"{odds.wins} of {odds.results} closed snipes won, at least {rate:.1%} will"
    if win is not None:
        measured += f"; they earned {win:.2%}, the others lost {loss:.2%}"
    if stake <= 0:
        raise DomainError(f"sizing by kelly: the odds give no reason to spend anything ({measured})")
    share = min(stake * settings.kelly_fraction, settings.kelly_cap)
    capped = ", its cap" if share == settings.kelly_cap else f", {settings.kelly_fraction:.0%} of Kelly's"
    return Sized(share * equity, f"kelly: {share:.2%} of {equity:.2f} {quote}{capped}; {measured}")


def _bounded(sized: Sized, plan: Plan, limits: LimitSettings) -> Sized:
    bounds = (
        (plan.budget_quote, "the plan's budget"),
        (limits.per_order_quote, "limits.per_order_quote"),
        (limits.per_symbol_quote, "limits.per_symbol_quote"),
    )
    least, name = min(bounds, key=lambda bound: bound[0])
    if sized.budget > least:
        return Sized(least, f"{sized.why}; cut to {name}")
    return replace(sized, budget=sized.budget.quantize(_PENNY, ROUND_FLOOR))


# -- odds ----------------------------------------------------------------------------------------


def odds_of(desk: Desk) -> Odds:
    """The odds that the last closed snipes have shown; what bought nothing does not count."""
    earned: list[Decimal] = []
    for result in islice(desk.recent_results(), RECENT):
        spent = sum((order.filled_value for order in desk.entries(result.snipe_id)), ZERO)
        if spent > 0:
            earned.append(result.profit / spent)
    won = [each for each in earned if each > 0]
    lost = [-each for each in earned if each <= 0]
    return Odds(
        len(earned),
        len(won),
        _mean(won),
        _mean(lost) or None,  # nothing lost and nothing won: no loss to reckon with
        Decimal(f"{lower_rate(len(won), len(earned)):.6f}"),
    )


def _mean(values: list[Decimal]) -> Decimal | None:
    return sum(values, ZERO) / len(values) if values else None


def lower_rate(wins: int, results: int, doubt: float = DOUBT) -> float:
    """The rate that the true rate of winners is below with probability ``doubt``, from a uniform prior.

    The posterior is Beta(wins + 1, losses + 1); its quantile is found by bisection.
    """
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if beta_below(middle, wins + 1, results - wins + 1) < doubt:
            low = middle
        else:
            high = middle
    return low


def beta_below(x: float, a: int, b: int) -> float:
    """The probability that a Beta(a, b) variable is below ``x``, for whole a and b above zero.

    It is that of ``a`` or more successes in ``a + b - 1`` trials of probability ``x`` (DLMF 8.17.5).
    """
    if not 0 < x < 1:
        return float(x >= 1)
    trials = a + b - 1
    ways = math.lgamma(trials + 1) - math.lgamma(a + 1) - math.lgamma(b)
    term = math.exp(ways + a * math.log(x) + (b - 1) * math.log1p(-x))
    total = 0.0
    for successes in range(a, trials + 1):
        total += term
        term *= (trials - successes) / (successes + 1) * x / (1 - x)
    return min(total, 1.0)
