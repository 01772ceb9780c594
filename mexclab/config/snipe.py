"""What an opening snipe can be told, once for the desk's settings and for the strategy's parameters."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, model_validator

from mexclab.config.group import Group
from mexclab.config.numbers import Exact, Money


class OpeningSettings(Group):
    """An entry at the opening below a cap, and an exit by a ladder, a stop and a clock."""

    budget_quote: Money = Field(
        default=Decimal(50), gt=0, description="money for one snipe, in the quote asset"
    )
    cap_multiple: Exact = Field(
        default=Decimal("3.0"), ge=1, le=100, description="highest entry price, times the reference price"
    )
    deadline_s: int = Field(
        default=20, ge=1, le=3600, description="seconds after the opening to give up the entry"
    )
    attempts: int = Field(default=6, ge=1, le=50, description="entry orders sent at most")
    attempt_spacing_ms: int = Field(
        default=250, ge=10, le=60_000, description="milliseconds between two entry attempts"
    )
    exit_preset: Literal["conservative", "balanced", "aggressive"] | None = Field(
        default="balanced", description="ladder by which the position is sold"
    )
    ladder: str | None = Field(
        default=None,
        max_length=200,
        description="a ladder of your own instead: gain %:share % each, such as 5:25 12:35",
    )
    stop_loss: Exact = Field(
        default=Decimal("0.15"),
        gt=0,
        lt=1,
        description="fall from the entry price that sells all, as a fraction",
    )
    time_stop_s: int = Field(
        default=1800, ge=1, le=604_800, description="seconds after the entry that sell all"
    )
    trailing_stop: Exact | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="fall from the highest bid since the entry that sells all, as a fraction",
    )
    break_even_after: Exact | None = Field(
        default=None, gt=0, le=100, description="gain after which the stop moves to break-even, as a fraction"
    )
    book_slippage: Exact | None = Field(
        default=Decimal("0.10"),
        ge=0,
        le=10,
        description="once a book is seen, how far above its best ask an entry may pay, as a fraction; "
        "none: up to the cap",
    )


class SnipeSettings(OpeningSettings):
    """Defaults of an opening snipe."""

    strategy: str = Field(
        default="opening_snipe",
        pattern=r"^[0-9A-Za-z_.-]{1,64}$",
        description="the strategy plug-in that makes plans; `mexclab strategy list` shows them",
    )
    auto_arm: bool = Field(default=False, description="arm a snipe without a person's word")

    @model_validator(mode="before")
    @classmethod
    def _is_one_ladder(cls, told: Any) -> Any:
        """A ladder of one's own takes the preset's place; who names both has to choose."""
        if not isinstance(told, dict) or told.get("ladder") is None:
            return told
        if told.get("exit_preset") is not None:
            raise ValueError("set exit_preset or ladder, not both")
        return {**told, "exit_preset": None}
