"""Asking the running desk to act: halt, resume, flatten, sweep, and what is done to one snipe."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer

from mexclab.commands.common import ConfigFile, Why, any_desk_of, desk_of, said
from mexclab.errors import ParameterError

SnipeId = Annotated[str, typer.Argument(help="The snipe; `mexclab snipes` shows their ids.")]


class Preset(StrEnum):
    """Exit ladders by name."""

    CONSERVATIVE = "conservative"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"


def register(app: typer.Typer) -> None:
    """Put these commands at the top level."""
    for command in (status, halt, resume, flatten, sweep, arm, disarm, abort):
        app.command()(command)
    app.command("exit")(exit_)


def status(config: ConfigFile = None) -> None:
    """What the running desk is doing."""
    from mexclab.notebook.status import sentences

    typer.echo("\n".join(sentences(desk_of(config).snapshot())))


def halt(
    why: Annotated[list[str] | None, typer.Argument(help="The reason, if there is time; journalled.")] = None,
    config: ConfigFile = None,
) -> None:
    """Stop every new entry at once and cancel open ones; exits go on. Where no desk answers: by file."""
    typer.echo(said(any_desk_of(config).halt(" ".join(why or ()))))


def resume(why: Why, config: ConfigFile = None) -> None:
    """Allow entries again, after checks."""
    typer.echo(said(desk_of(config).resume(why)))


def flatten(
    why: Why,
    snipe: Annotated[str, typer.Option(help="Only what this snipe holds.")] = "",
    config: ConfigFile = None,
) -> None:
    """Sell everything that is held, in bounded orders."""
    desk = desk_of(config)
    typer.echo(said(desk.flatten_snipe(snipe, why) if snipe else desk.flatten(why)))


def sweep(why: Why, config: ConfigFile = None) -> None:
    """Sell what was left over, where it has become large enough for the venue."""
    typer.echo(said(desk_of(config).sweep(why)))


def arm(snipe_id: SnipeId, config: ConfigFile = None) -> None:
    """Let a planned snipe fire at its opening."""
    typer.echo(said(desk_of(config).arm(snipe_id)))


def disarm(snipe_id: SnipeId, config: ConfigFile = None) -> None:
    """Take an armed snipe back."""
    typer.echo(said(desk_of(config).disarm(snipe_id)))


def abort(snipe_id: SnipeId, why: Why, config: ConfigFile = None) -> None:
    """Give a snipe up before it has bought anything."""
    typer.echo(said(desk_of(config).abort(snipe_id, why)))


def exit_(
    snipe_id: SnipeId,
    why: Why,
    preset: Annotated[Preset | None, typer.Option(help="A ladder by name.")] = None,
    ladder: Annotated[
        str | None, typer.Option(help="One's own ladder, GAIN:SHARE in percent: '5:25 12:35 20:40'.")
    ] = None,
    stop_loss: Annotated[
        str | None, typer.Option(help="Fall from the entry price that sells all, a fraction.")
    ] = None,
    trailing: Annotated[
        str | None, typer.Option(help="Fall from the highest bid that sells all, a fraction; 0: none.")
    ] = None,
    break_even: Annotated[
        str | None, typer.Option(help="Gain that moves the stop to break-even, a fraction; 0: none.")
    ] = None,
    time_stop: Annotated[
        int | None, typer.Option(min=1, max=604_800, help="Seconds after the entry that sell all.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Replace the exit plan of one snipe; what is not given stays."""
    wish: dict[str, Any] = {
        "preset": preset.value if preset else None,
        "ladder": ladder,
        "stop_loss": _fraction("--stop-loss", stop_loss),
        "trailing": _fraction("--trailing", trailing),
        "break_even_after": _fraction("--break-even", break_even),
        "time_stop_s": time_stop,
    }
    given = {name: value for name, value in wish.items() if value is not None}
    if not given:
        options = "--preset, --ladder, --stop-loss, --trailing, --break-even, --time-stop"
        raise ParameterError(f"give at least one of {options}: nothing would change")
    typer.echo(said(desk_of(config).replace_exit(snipe_id, why, **given)))


def _fraction(option: str, text: str | None) -> str | None:
    """The number as it was typed: a float would change its digits."""
    if text is None:
        return None
    try:
        known = Decimal(text).is_finite()
    except ArithmeticError:
        known = False
    if not known:
        raise ParameterError(f"{option} {text!r} is no number such as 0.15")
    return text.strip()
