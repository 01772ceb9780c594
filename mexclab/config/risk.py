"""Settings of risk and safety: limits, sizing, protections, monitors, triggers, live trading, alerts."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from mexclab.config.group import Folder, Group
from mexclab.config.numbers import Exact, Fraction, Money
from mexclab.domain.clock import HOUR, SECOND
from mexclab.domain.protection import ProtectionRule


class LimitSettings(Group):
    """What no order may break. Money is in the quote asset."""

    per_order_quote: Money = Field(default=Decimal(50), gt=0, description="money in one order at most")
    per_symbol_quote: Money = Field(default=Decimal(50), gt=0, description="money in one symbol at most")
    total_exposure_quote: Money = Field(
        default=Decimal(200), gt=0, description="money in all symbols at most"
    )
    open_snipes: int = Field(default=3, ge=1, le=1000, description="snipes at work at once at most")
    day_loss_quote: Money = Field(
        default=Decimal(100), gt=0, description="loss since 00:00 UTC that stops entries"
    )
    drawdown: Exact = Field(
        default=Decimal("0.10"),
        gt=0,
        le=1,
        description="fall of equity from its highest realised value that stops entries, fraction",
    )
    orders_per_s: int = Field(
        default=5, ge=1, le=12, description="orders a second at most; the venue's own limit is 12"
    )
    stale_price_s: int = Field(
        default=2, ge=1, le=3600, description="seconds after which a price is too old to enter on"
    )
    clock_offset_ms: int = Field(
        default=250, ge=1, le=10_000, description="milliseconds off the venue's clock that block entries"
    )
    clock_age_s: int = Field(
        default=60, ge=1, le=86_400, description="seconds after which the measured clock offset is too old"
    )
    minimum_probability: Exact = Field(
        default=Decimal("0.5"), ge=0, le=1, description="probability that a signal must have to be entered on"
    )
    concentration: Fraction = Field(
        default=Decimal("0.10"),
        description="sum of the squared shares of equity that each symbol may hold at most (Herfindahl)",
    )
    cluster_quote: Money = Field(
        default=Decimal(150), gt=0, description="money at most in symbols that move together"
    )
    cluster_correlation: Fraction = Field(
        default=Decimal("0.8"), description="correlation of minute returns from which two symbols are one bet"
    )
    value_at_risk_quote: Money = Field(
        default=Decimal(160), gt=0, description="value at risk of everything held at most; see limits.tail"
    )
    expected_shortfall_quote: Money = Field(
        default=Decimal(180), gt=0, description="mean loss beyond the value at risk at most"
    )
    tail: Exact = Field(
        default=Decimal("0.05"), gt=0, lt=Decimal("0.5"), description="share of the worst cases, a fraction"
    )
    tail_horizon_min: int = Field(
        default=60, ge=1, le=10_080, description="minutes ahead that value at risk looks"
    )
    unknown_loss: Fraction = Field(
        default=Decimal("0.70"),
        description="loss assumed of a symbol that has too short a history to say, as a fraction",
    )

    @model_validator(mode="after")
    def _do_not_contradict(self) -> LimitSettings:
        """A smaller bound inside a larger one: the other way round one of them would never be reached."""
        pairs = (
            ("per_order_quote", "per_symbol_quote"),
            ("per_symbol_quote", "total_exposure_quote"),
            ("per_symbol_quote", "cluster_quote"),
            ("value_at_risk_quote", "expected_shortfall_quote"),
        )
        for inner, outer in pairs:
            small, large = getattr(self, inner), getattr(self, outer)
            if small > large:
                raise ValueError(f"{inner} {small} is above {outer} {large}: lower it, or raise {outer}")
        return self


class SizingSettings(Group):
    """How much one snipe may spend; never more than snipe.budget_quote."""

    method: Literal["budget", "risk", "kelly"] = Field(
        default="budget",
        description="budget: as it stands; risk: by the loss at the stop; kelly: by measured odds",
    )
    risk_quote: Money = Field(
        default=Decimal("7.5"), gt=0, description="money that a snipe may lose at its stop, for risk"
    )
    kelly_fraction: Fraction = Field(
        default=Decimal("0.25"), description="share of the Kelly stake that is taken, for kelly"
    )
    kelly_cap: Fraction = Field(
        default=Decimal("0.05"), description="share of equity that a Kelly stake may reach at most"
    )
    kelly_results: int = Field(
        default=20, ge=5, le=100_000, description="closed snipes before odds count; until then risk is used"
    )


class ProtectionSettings(Group):
    """Pauses that results earn. A threshold of 0 (for day_loss_quote, low_win_rate, drawdown) is off."""

    loss_streak: int = Field(
        default=3, ge=0, le=1000, description="losses in a row that pause entries; 0: off"
    )
    loss_streak_look_back_h: int = Field(default=24, ge=1, le=8760, description="hours back that they count")
    loss_streak_pause_s: int = Field(
        default=3600, ge=1, le=604_800, description="seconds that such a pause lasts"
    )
    day_loss_quote: Money = Field(
        default=Decimal(50), ge=0, description="loss since 00:00 UTC that pauses entries to the next 00:00"
    )
    low_win_rate: Exact = Field(
        default=Decimal("0.25"), ge=0, le=1, description="share of winners below which entries pause"
    )
    low_win_rate_results: int = Field(
        default=8, ge=2, le=100_000, description="closed snipes that it takes to say so"
    )
    low_win_rate_look_back_h: int = Field(
        default=168, ge=1, le=8760, description="hours back that they count"
    )
    low_win_rate_pause_s: int = Field(
        default=21_600, ge=1, le=604_800, description="seconds that such a pause lasts"
    )
    cooldown_s: int = Field(
        default=3600, ge=0, le=604_800, description="seconds between two entries in one symbol; 0: off"
    )
    drawdown: Exact = Field(
        default=Decimal("0.05"),
        ge=0,
        le=1,
        description="fall from the peak of the look-back that pauses entries",
    )
    drawdown_look_back_h: int = Field(default=168, ge=1, le=8760, description="hours back that a peak counts")
    drawdown_pause_s: int = Field(
        default=14_400, ge=0, le=604_800, description="seconds of such a pause; 0: until a person releases it"
    )

    def rules(self) -> tuple[ProtectionRule, ...]:
        """What is watched, in the order in which it is judged."""
        day = 24 * HOUR
        found = (
            ProtectionRule(
                "loss_streak",
                Decimal(self.loss_streak),
                self.loss_streak_look_back_h * HOUR,
                self.loss_streak_pause_s * SECOND,
                least=max(self.loss_streak, 1),
            ),
            ProtectionRule("day_loss", self.day_loss_quote, day, None),
            ProtectionRule(
                "low_win_rate",
                self.low_win_rate,
                self.low_win_rate_look_back_h * HOUR,
                self.low_win_rate_pause_s * SECOND,
                least=self.low_win_rate_results,
            ),
            ProtectionRule(
                "cooldown",
                Decimal(self.cooldown_s),
                self.cooldown_s * SECOND,
                self.cooldown_s * SECOND,
                per_symbol=True,
            ),
            ProtectionRule(
                "drawdown", self.drawdown, self.drawdown_look_back_h * HOUR, self.drawdown_pause_s * SECOND
            ),
        )
        return tuple(rule for rule in found if rule.threshold > 0)


class MonitorSettings(Group):
    """When a market is not safe to enter. What trips refuses entries in its symbol; exits go on."""

    window_s: int = Field(
        default=60, ge=5, le=3600, description="seconds of prices and trades that are judged"
    )
    flash_crash: Fraction = Field(
        default=Decimal("0.30"), description="fall of the price from its highest in the window"
    )
    spread: Fraction = Field(default=Decimal("0.10"), description="spread, as a fraction of the mid price")
    depth_multiple: Exact = Field(
        default=Decimal("0.5"),
        ge=0,
        le=1000,
        description="bids within reach of the stop, times the order's size",
    )
    wash_share: Fraction = Field(
        default=Decimal("0.6"), description="share of the volume in trades that mirror one another"
    )
    one_sided: Fraction = Field(
        default=Decimal("0.97"), description="share of the volume that sellers may take"
    )
    least_trades: int = Field(
        default=30, ge=5, le=100_000, description="trades in the window before volume is judged"
    )
    stream_silence_s: int = Field(
        default=20,
        ge=1,
        le=3600,
        description="seconds without any sign of life on the stream of a quiet market; pings go every 15 s",
    )
    venue_errors: int = Field(
        default=5, ge=1, le=10_000, description="answers that failed or were lost in a minute"
    )


class HaltSettings(Group):
    """What halts the desk by itself, and the file that does."""

    day_loss: bool = Field(default=True, description="halt when limits.day_loss_quote is reached")
    drawdown: bool = Field(default=True, description="halt when limits.drawdown is reached")
    mismatch: bool = Field(
        default=True, description="halt when the venue holds less than the ledger, twice in a row"
    )
    clock_s: int = Field(
        default=120, ge=0, le=86_400, description="seconds of a clock that cannot be trusted; 0: off"
    )
    errors: int = Field(
        default=20, ge=0, le=100_000, description="answers that failed or were lost in a minute; 0: off"
    )
    ledger_lag_s: int = Field(
        default=5, ge=0, le=3600, description="seconds that writing to the ledger may take; 0: off"
    )
    file: str = Field(
        default="HALT",
        pattern=r"^[0-9A-Za-z_.-]{1,64}$",
        description="a file of this name in the data folder halts the desk while it is there",
    )


class LiveSettings(Group):
    """What real money takes besides mode = "live"."""

    preflight_age_s: int = Field(
        default=900, ge=10, le=86_400, description="seconds that a green preflight of the account stays good"
    )


class AlertSettings(Group):
    """Where alerts go. Each is delivered at least once, again and again until it is taken."""

    console: bool = Field(default=True, description="print alerts on standard error")
    file: Folder | None = Field(default=None, description="append alerts to this file, a line of JSON each")
    webhook: SecretStr | None = Field(default=None, description="POST alerts as JSON to this http(s) address")
    level: Literal["info", "warning", "critical"] = Field(
        default="warning", description="least severity that is delivered"
    )
    first_retry_s: int = Field(default=2, ge=1, le=3600, description="seconds before the first new try")
    last_retry_s: int = Field(default=300, ge=1, le=86_400, description="seconds between tries at most")
    timeout_s: int = Field(default=5, ge=1, le=60, description="seconds that a webhook may take")

    @field_validator("webhook")
    @classmethod
    def _is_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url

    @model_validator(mode="after")
    def _grows_more_patient(self) -> AlertSettings:
        if self.first_retry_s > self.last_retry_s:
            raise ValueError(f"first_retry_s {self.first_retry_s} is above last_retry_s {self.last_retry_s}")
        return self


class WatchSettings(Group):
    """The dead man's switch (`mexclab watch`)."""

    silence_s: int = Field(
        default=10, ge=1, le=3600, description="seconds without a sign of life that count as silence"
    )
    poll_s: int = Field(default=1, ge=1, le=60, description="seconds between two looks")
    halt: bool = Field(default=True, description="on silence, leave the halt file for a desk that comes back")
    cancel_entries: bool = Field(default=False, description="on silence, cancel open entries at the venue")
    again_s: int = Field(
        default=900, ge=10, le=86_400, description="seconds between two alerts of one silence"
    )

    @model_validator(mode="after")
    def _looks_in_time(self) -> WatchSettings:
        if self.poll_s > self.silence_s:
            raise ValueError(f"poll_s {self.poll_s} is above silence_s {self.silence_s}: it looks too seldom")
        return self
