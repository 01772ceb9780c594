"""Buy at the opening instant below a cap, leave by a ladder, a stop and a clock."""

from __future__ import annotations

from decimal import Decimal

from mexclab.config import SnipeSettings
from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Market, Side
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import LADDERS, ExitPlan, Plan


class OpeningSnipe:
    """One plan per signal: the budget and the exit of the settings, the cap from the reference price.

    The cap is ``cap_multiple`` times the venue's indicative price before the opening. On listing day
    the first price is a placeholder that nobody can buy at (the median high is 2.9 times it), so the
    multiple says how much of that gap we are ready to pay.
    """

    name = "opening_snipe"

    def __init__(self, settings: SnipeSettings) -> None:
        self._settings = settings
        self._exit = ExitPlan(
            LADDERS[settings.exit_preset], settings.stop_loss, int(settings.time_stop_s * SECOND)
        )

    def plan(self, signal: Signal, market: Market, reference_price: Decimal) -> Plan:
        chosen = self._settings
        return Plan(
            snipe_id=signal.signal_id,
            signal_id=signal.signal_id,
            symbol=signal.symbol,
            budget_quote=chosen.budget_quote,
            price_cap=market.limit_price(reference_price * chosen.cap_multiple, Side.BUY),
            not_before_ns=signal.open_ns,
            deadline_ns=signal.open_ns + int(chosen.deadline_s * SECOND),
            exit=self._exit,
            probability=signal.probability,
            attempts=chosen.attempts,
            spacing_ns=int(chosen.attempt_spacing_ms * MILLISECOND),
        )
