"""Risk on the command line: limits and their use, what-if, pauses, and the limits a person takes on."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from mexclab.commands import risk_pages
from mexclab.commands.common import AsJson, ConfigFile, Why, as_json, desk_of
from mexclab.errors import ParameterError
from mexclab.notebook.mode import banner, before

app = typer.Typer(help="Limits, what an entry would use of them, pauses, permits.", no_args_is_help=True)

KEYS = {"symbol", "snipe_id", "budget", "price_cap", "stop_loss", "probability"}
Amount = Annotated[str | None, typer.Option(help="Money to spend; none: as the strategy would.")]


@app.command()
def show(json: AsJson = False, config: ConfigFile = None) -> None:
    """Every limit and what is used of it; pauses, monitors, triggers, and what live trading lacks."""
    told = desk_of(config).risk.page()
    typer.echo(as_json(told) if json else risk_pages.page(told))


@app.command()
def check(
    plan: Annotated[
        str, typer.Argument(help="A snipe's id, a pair such as BTCUSDT, or a file of a plan (TOML).")
    ] = "",
    symbol: Annotated[str | None, typer.Option(help="The pair to enter now.")] = None,
    budget: Amount = None,
    cap: Annotated[str | None, typer.Option(help="The highest price; none: as the strategy would.")] = None,
    stop_loss: Annotated[
        str | None, typer.Option(help="Fall from the entry price that sells all, a fraction.")
    ] = None,
    probability: Annotated[str | None, typer.Option(help="Odds of the signal, 0 to 1.")] = None,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """What the limits say of an entry; nothing is written and nothing moves. Exit code 5: refused.

    A file names symbol or snipe_id, and any of budget, price_cap, stop_loss and probability.
    """
    options = {
        "symbol": symbol, "budget": budget, "price_cap": cap, "stop_loss": stop_loss,
        "probability": probability,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    desk = desk_of(config)
    wish = _wish(plan, given)
    if "plan" in wish:  # a word: the desk knows its snipes, and what it does not know is a pair
        word = wish.pop("plan")
        known = {row["snipe_id"] for row in desk.snipes(limit=1000)["snipes"]}
        wish["snipe_id" if word in known else "symbol"] = word
    told = desk.risk.check(**_numbers(wish))
    typer.echo(as_json(told) if json else risk_pages.review(told))
    if not told["cleared"]:
        sys.exit(5)


@app.command()
def limits(json: AsJson = False, config: ConfigFile = None) -> None:
    """The limits in force in full, and who has confirmed which."""
    told = desk_of(config).risk.limits()
    typer.echo(as_json(told) if json else risk_pages.limits(told))


@app.command()
def confirm(
    yes: Annotated[
        str | None, typer.Option("--yes", help="The account's name, for scripts: nothing is asked.")
    ] = None,
    why: Annotated[str, typer.Option("--why", help="The reason; it is journalled.")] = "",
    config: ConfigFile = None,
) -> None:
    """Take the limits in force on for the account that trades: they are shown, and its name is typed."""
    desk = desk_of(config)
    told = desk.risk.limits()
    typer.echo(f"{banner(told['mode'])}\n{risk_pages.limits(told)}")
    typed, how = (yes, "by --yes") if yes is not None else (_typed(told), "by typing the account's name")
    if typed != told["account"]:
        name = told["account"]
        raise ParameterError(f"{typed!r} is not the account {name!r} of this desk; nothing was confirmed")
    answer = desk.risk.confirm(typed, told["digest"], why or f"shown in full, confirmed {how}")
    typer.echo(answer.message)


@app.command()
def release(
    protection_id: Annotated[str, typer.Argument(help="The pause; `mexclab risk show` shows their ids.")],
    why: Why,
    config: ConfigFile = None,
) -> None:
    """End a pause of entries before its time."""
    if not why.strip():
        raise ParameterError("a pause is released with a reason: say why, in a sentence")
    answer = desk_of(config).risk.release(protection_id, why)
    typer.echo(before(answer.mode, answer.message))


def _typed(told: Mapping[str, Any]) -> str:
    try:
        asks = f"These limits bound the account {told['account']!r}. Type its name to take them on"
        text: str = typer.prompt(asks, default="", show_default=False)
    except typer.Abort:
        raise ParameterError("no account was typed; nothing was confirmed") from None
    return text.strip()


def _wish(plan: str, given: dict[str, str]) -> dict[str, Any]:
    if not plan:
        if "symbol" not in given:
            raise ParameterError("give a snipe's id, a pair, a file of a plan, or --symbol")
        return dict(given)
    if "symbol" in given:
        raise ParameterError("a plan and --symbol are two answers to one question; give one of them")
    if plan.endswith(".toml") or "/" in plan:
        return {**_file(Path(plan)), **given}
    return {"plan": plan, **given}


def _file(path: Path) -> dict[str, Any]:
    """A plan as a file tells it.

    Raises:
        ParameterError: it cannot be read, or holds something that no plan has.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as wrong:
        words = getattr(wrong, "strerror", None) or str(wrong)
        raise ParameterError(f"{path} is no plan that can be read: {words}") from None
    strange = sorted(told.keys() - KEYS)
    if strange:
        known = ", ".join(sorted(KEYS))
        raise ParameterError(f"{path}: a plan has no {', '.join(strange)}; it may have {known}")
    if ("symbol" in told) == ("snipe_id" in told):
        raise ParameterError(f"{path}: a plan names a symbol or a snipe_id, one of them")
    return told


def _numbers(wish: Mapping[str, Any]) -> dict[str, str]:
    """Everything as text; what must be a number is one."""
    found: dict[str, str] = {}
    for name, value in wish.items():
        text = str(value).strip()
        if name not in ("symbol", "snipe_id") and not _is_number(text):
            raise ParameterError(f"{name} = {text!r} is no number such as 0.15")
        found[name] = text
    return found


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except ArithmeticError:
        return False
