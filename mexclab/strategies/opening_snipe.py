"""Buy at the opening instant below a cap, leave by a ladder, a stop and a clock."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

from pydantic import field_validator, model_validator

from mexclab.config.snipe import OpeningSettings
from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Market, Side
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan, parse_ladder
from mexclab.errors import DomainError


class OpeningParameters(OpeningSettings):
    """What can be told to an opening snipe. On a desk the defaults are those of the ``snipe`` settings.

    The ladder is one of the presets or one of your own, never both: the other one is None.
    """

    @field_validator("ladder")
    @classmethod
    def _is_a_ladder(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                parse_ladder(text)
            except DomainError as wrong:
                raise ValueError(wrong.message) from None
        return text

    @model_validator(mode="after")
    def _is_one_exit(self) -> Self:
        if (self.exit_preset is None) == (self.ladder is None):
            raise ValueError("one of exit_preset and ladder must be given, and the other be none")
        try:
            self.exit_plan()
        except DomainError as wrong:
            raise ValueError(wrong.message) from None
        return self

    def exit_plan(self) -> ExitPlan:
        """How a position is left."""
        return ExitPlan(
            ladder=LADDERS[self.exit_preset]
            if self.exit_preset is not None
            else parse_ladder(self.ladder or ""),
            stop_loss=self.stop_loss,
            time_stop_ns=self.time_stop_s * SECOND,
            trailing=self.trailing_stop,
            break_even_after=self.break_even_after,
        )


class OpeningSnipe:
    """One plan per signal: the budget and the exit of its parameters, the cap from the reference price.

    The cap is ``cap_multiple`` times the venue's indicative price before the opening. On listing day
    the first price is a placeholder that nobody can buy at (the median high is 2.9 times it), so the
    multiple says how much of that gap we are ready to pay.
    """

    name = "opening_snipe"
    Parameters = OpeningParameters

    def __init__(self, parameters: OpeningParameters) -> None:
        self.parameters = parameters
        self._exit = parameters.exit_plan()

    def plan(self, signal: Signal, market: Market, reference_price: Decimal) -> Plan:
        chosen, cap = self.parameters, reference_price * self.parameters.cap_multiple
        return Plan(
            snipe_id=signal.signal_id,
            signal_id=signal.signal_id,
            symbol=signal.symbol,
            budget_quote=chosen.budget_quote,
            # one below the tick stays as it is, and is refused by its own figure
            price_cap=market.limit_price(cap, Side.BUY) or cap,
            not_before_ns=signal.open_ns,
            deadline_ns=signal.open_ns + chosen.deadline_s * SECOND,
            exit=self._exit,
            probability=signal.probability,
            attempts=chosen.attempts,
            spacing_ns=chosen.attempt_spacing_ms * MILLISECOND,
            book_slippage=chosen.book_slippage,
            strategy=self.name,
        )
