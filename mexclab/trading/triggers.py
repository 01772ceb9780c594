"""Triggers: what halts the desk by itself. Pure: ``guard`` feeds it, and a resume asks it again.

============  =======================================================================================
day_loss      today's realised loss, and what is lost on paper, reach ``limits.day_loss_quote``
drawdown      equity, paper losses included, is ``limits.drawdown`` below what was ever realised
mismatch      the venue holds less than the ledger, seen twice in a row, and more than dust is missing
clock         the venue's clock could not be trusted for ``halt.clock_s``
errors        ``halt.errors`` answers failed or were lost within a minute
ledger_lag    an append to the ledger took ``halt.ledger_lag_s`` within the last minute
============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mexclab.config import HaltSettings, LimitSettings
from mexclab.domain.clock import SECOND, span
from mexclab.domain.events import EquityMarked
from mexclab.domain.portfolio import ZERO, Portfolio


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why the desk halts: a short name, and a sentence."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the desk is at one moment.

    Attributes:
        mark: what everything is worth now; what has no price stands at what it cost.
        missing: where the venue holds less than the ledger, in sentences.
        clock_wrong_ns: for how long the venue's clock could not be trusted; 0: it can be.
        clock_why: why not.
        failures: answers that failed or were lost within a minute.
        lag_ns: the slowest append to the ledger of the last minute.
    """

    mark: EquityMarked
    missing: tuple[str, ...] = ()
    clock_wrong_ns: int = 0
    clock_why: str = ""
    failures: int = 0
    lag_ns: int = 0


def fired(portfolio: Portfolio, limits: LimitSettings, halt: HaltSettings, vitals: Vitals) -> list[Trigger]:
    """Every trigger whose condition holds; those that are switched off never do."""
    return [*_losses(portfolio, limits, halt, vitals.mark), *_machine(halt, vitals)]


def _losses(
    portfolio: Portfolio, limits: LimitSettings, halt: HaltSettings, mark: EquityMarked
) -> Iterator[Trigger]:
    today = portfolio.realised_on(mark.at_ns) + min(mark.unrealised, ZERO)
    if halt.day_loss and -today >= limits.day_loss_quote:
        why = f"today's loss is {-today:.2f}, paper losses included; the limit is {limits.day_loss_quote}"
        yield Trigger("day_loss", why)
    # of what was realised, not of what was once worth more on paper: a spike that comes back costs nothing
    peak = portfolio.opening_balance if portfolio.peak_equity is None else portfolio.peak_equity
    fall = peak - mark.equity
    if halt.drawdown and peak > 0 and fall >= limits.drawdown * peak:
        why = (
            f"equity {mark.equity:.2f} is {fall / peak:.1%} below its highest realised value {peak:.2f}; "
            f"the limit is {limits.drawdown:.1%}"
        )
        yield Trigger("drawdown", why)


def _machine(halt: HaltSettings, vitals: Vitals) -> Iterator[Trigger]:
    if halt.mismatch and vitals.missing:
        yield Trigger("mismatch", f"{'; '.join(vitals.missing)}, twice in a row")
    if halt.clock_s and vitals.clock_wrong_ns >= halt.clock_s * SECOND:
        bad = span(vitals.clock_wrong_ns)
        yield Trigger("clock", f"the clock could not be trusted for {bad}: {vitals.clock_why}")
    if halt.errors and vitals.failures >= halt.errors:
        why = f"{vitals.failures} answers failed or were lost within a minute; the limit is {halt.errors}"
        yield Trigger("errors", why)
    if halt.ledger_lag_s and vitals.lag_ns >= halt.ledger_lag_s * SECOND:
        why = f"an append to the ledger took {span(vitals.lag_ns)}; the limit is {halt.ledger_lag_s} s"
        yield Trigger("ledger_lag", why)
