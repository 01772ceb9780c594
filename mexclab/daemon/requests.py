"""What the API takes and gives: the bodies of calls, their bounds, and the form of an answer."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mexclab.domain.clock import SECOND
from mexclab.domain.snipe import LADDERS, ExitPlan, parse_ladder
from mexclab.errors import DomainError, ParameterError
from mexclab.trading.permits import UNNAMED

Preset = Literal["conservative", "balanced", "aggressive"]


def _writable(text: str) -> str:
    """Refuse what cannot be written down: half a character (a lone surrogate), and the zero byte."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half a character, which cannot be written down") from None
    if "\0" in text:
        raise ValueError("the text holds a zero byte, which cannot be written down")
    return text


Words = Annotated[str, AfterValidator(_writable)]
SnipeId = Annotated[str, Path(pattern="^[0-9A-Za-z_-]{1,20}$", description="the snipe")]
ClientId = Annotated[str, Path(pattern="^[0-9A-Za-z_-]{1,32}$", description="the client order id")]
ProtectionId = Annotated[str, Path(min_length=1, max_length=120, description="the protection")]
Fraction = Annotated[Decimal, Field(ge=0, lt=1, max_digits=20)]
Positive = Annotated[Decimal, Field(gt=0, le=10**9, max_digits=30)]


class Asker(BaseModel):
    """Who asks; it is journalled."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    by: Words = Field(
        default=UNNAMED,
        max_length=60,
        description="who asks; unnamed, nothing is armed in live mode and no limits are confirmed",
    )


class Reason(Asker):
    """Why a person asks for it; it is journalled."""

    why: Words = Field(min_length=1, max_length=2000, description="the reason, in a sentence")


class Acceptance(Reason):
    """What of a symbol the ledger holds and the venue lacks is accepted to be gone."""

    symbol: Words = Field(min_length=1, max_length=40, description="the pair, such as ABCUSDT")


class ExitWish(Reason):
    """Another exit plan for one snipe. What is not given stays as it is."""

    preset: Preset | None = Field(default=None, description="a ladder by name")
    ladder: str | None = Field(
        default=None,
        max_length=200,
        pattern="^[0-9.,:% ]*$",
        description="a ladder of one's own, GAIN:SHARE in percent: 5:25 12:35 20:40",
    )
    stop_loss: Fraction | None = Field(default=None, description="fall from the entry price, a fraction")
    trailing: Fraction | None = Field(
        default=None, description="fall from the highest bid, a fraction; 0 takes the trailing stop off"
    )
    break_even_after: Annotated[Decimal, Field(ge=0, le=100, max_digits=20)] | None = Field(
        default=None, description="gain that moves the stop to break-even, a fraction; 0 takes it off"
    )
    time_stop_s: Annotated[int, Field(ge=1, le=604_800)] | None = Field(
        default=None, description="seconds after the entry that sell all"
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> ExitWish:
        if self.preset is not None and self.ladder is not None:
            raise ValueError("a preset and a ladder are two answers to one question; give one of them")
        if not self.model_fields_set - {"by", "why"}:
            raise ValueError("give a preset, a ladder, a stop or a time: nothing would change")
        return self

    def applied_to(self, plan: ExitPlan) -> ExitPlan:
        """The plan with what is wished for.

        Raises:
            ParameterError: the two make no exit plan; the sentence says why.
        """
        changes: dict[str, Any] = {}
        try:
            if self.preset is not None:
                changes["ladder"] = LADDERS[self.preset]
            if self.ladder is not None:
                changes["ladder"] = parse_ladder(self.ladder)
            if self.stop_loss is not None:
                changes["stop_loss"] = self.stop_loss
            if self.trailing is not None:
                changes["trailing"] = self.trailing or None
            if self.break_even_after is not None:
                changes["break_even_after"] = self.break_even_after or None
            if self.time_stop_s is not None:
                changes["time_stop_ns"] = self.time_stop_s * SECOND
            return replace(plan, **changes)
        except DomainError as error:
            raise ParameterError(error.message, **error.data) from error


class Confirmation(Reason):
    """A person takes the limits on that they were shown."""

    account: Words = Field(min_length=1, max_length=60, description="the account that they are for")
    digest: str = Field(pattern="^[0-9a-f]{64}$", description="of the limits that were shown")


class CheckWish(BaseModel):
    """An entry that is only asked about: of a snipe that is there, or of a pair."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    snipe_id: str | None = Field(default=None, pattern="^[0-9A-Za-z_-]{1,20}$", description="a snipe")
    symbol: Words | None = Field(default=None, min_length=2, max_length=60, description="a pair, BTCUSDT")
    budget: Positive | None = Field(default=None, description="money to spend; none: as the strategy would")
    price_cap: Positive | None = Field(default=None, description="highest price; none: as the strategy would")
    stop_loss: Fraction | None = Field(default=None, description="fall from the entry price, a fraction")
    probability: Annotated[Decimal, Field(ge=0, le=1, max_digits=20)] | None = Field(
        default=None, description="odds of the signal; none: certain"
    )

    @model_validator(mode="after")
    def _asks_for_one(self) -> CheckWish:
        if (self.snipe_id is None) == (self.symbol is None):
            raise ValueError("give a snipe_id or a symbol, and not both")
        return self


class Tuning(Reason):
    """Other parameters of the strategy, or another strategy; plans made from now on follow them."""

    strategy: Words = Field(
        default="", max_length=60, description="an installed strategy to change to; empty: the one in force"
    )

    parameters: dict[Annotated[str, Field(min_length=1, max_length=60)], str | int | float | bool | None] = (
        Field(default_factory=dict, max_length=60, description="name and value; what is not named stays")
    )

    @model_validator(mode="after")
    def _can_be_written(self) -> Tuning:
        for name, value in self.parameters.items():
            _writable(name)
            if isinstance(value, str):
                _writable(value)
                if len(value) > 2000:
                    raise ValueError(f"{name}: at most 2000 characters")
        return self


class Answer(BaseModel):
    """What an act led to."""

    seq: int = Field(description="the last entry of the ledger")
    halted: bool
    message: str


class Problem(BaseModel):
    """Why a call was not served, and what to do."""

    error: str = Field(description="the kind of error")
    message: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "the body is no JSON"},
    401: {"model": Problem, "description": "the token is missing or wrong"},
    409: {"model": Problem, "description": "the desk's state or its limits forbid it"},
    422: {"model": Problem, "description": "a parameter that cannot be used"},
    503: {"model": Problem, "description": "the ledger or the venue cannot be reached"},
}
UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "there is nothing of that name"}
}


def unknown(what: str, name: str) -> HTTPException:
    """The answer to a question about something that does not exist."""
    return HTTPException(404, f"there is no {what} {name!r}")
