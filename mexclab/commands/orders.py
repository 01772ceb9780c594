"""Looking at the running desk's books: orders, snipes, positions, reconciliation, post-mortems."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from mexclab.commands import pages
from mexclab.commands.common import AsJson, ConfigFile, WhyOption, as_json, books_of, desk_of, said
from mexclab.errors import ParameterError

Count = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]


class HowFar(StrEnum):
    """How far snipes have come."""

    LIVE = "live"
    OVER = "over"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Put these commands at the top level."""
    for command in (orders, snipes, positions, reconcile):
        app.command()(command)
    app.command("post-mortems")(post_mortems)


def orders(
    client_id: Annotated[str, typer.Argument(help="One order, with its history; none: a list.")] = "",
    state: Annotated[str, typer.Option(help="open, unknown, all, or a state such as FILLED.")] = "all",
    snipe: Annotated[str, typer.Option(help="Only those of this snipe.")] = "",
    symbol: Annotated[str, typer.Option(help="Only those of this pair.")] = "",
    limit: Count = 50,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Orders, the newest first; or one of them with its trades and its history."""
    desk = books_of(config, "lab.snipes() and lab.events() in a notebook, and `mexclab ledger export`")
    if client_id:
        story = desk.order(client_id)
        typer.echo(as_json(story) if json else pages.order(story))
        return
    word = state.lower() if state.lower() in ("open", "unknown", "all") else state.upper()
    told = desk.orders(state=word, snipe=snipe, symbol=symbol, limit=limit)
    typer.echo(as_json(told) if json else pages.orders(told))


def snipes(
    snipe_id: Annotated[str, typer.Argument(help="One snipe, with its history; none: a list.")] = "",
    state: Annotated[HowFar, typer.Option(help="How far they have come.")] = HowFar.ALL,
    limit: Count = 50,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Snipes, the one that opens last first; or one of them with everything that became of it."""
    desk = books_of(config, "lab.snipes() in a notebook, and `mexclab run snipe_post_mortem`")
    if snipe_id:
        story = desk.snipe(snipe_id)
        typer.echo(as_json(story) if json else pages.snipe(story))
        return
    told = desk.snipes(state=state.value, limit=limit)
    typer.echo(as_json(told) if json else pages.snipes(told))


def positions(json: AsJson = False, config: ConfigFile = None) -> None:
    """What is held, what it is worth, and why what is left over cannot be sold."""
    told = desk_of(config).positions()
    typer.echo(as_json(told) if json else pages.positions(told))


def reconcile(
    accept: Annotated[str, typer.Option(help="A pair: what the venue lacks of it is written off.")] = "",
    why: WhyOption = "",
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Compare the ledger with the venue now: orders, trades, balances; or accept a difference."""
    if accept and not why:
        raise ParameterError("--accept needs --why: the reason is journalled")
    if why and not accept:
        raise ParameterError("--why is the reason of --accept; a comparison needs none")
    desk = desk_of(config)
    if accept:
        answer = desk.accept(accept, why)
        typer.echo(as_json(asdict(answer)) if json else said(answer))
        return
    told = desk.reconcile()
    typer.echo(as_json(told) if json else pages.reconciliation(told))


def post_mortems(
    snipe_id: Annotated[str, typer.Argument(help="One snipe in full; none: a list.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """What became of each snipe: when it fired, at what price, what it earned."""
    desk = books_of(config, "lab.post_mortem() in a notebook, and `mexclab run snipe_post_mortem`")
    if snipe_id:
        row = desk.post_mortem(snipe_id)
        typer.echo(as_json(row) if json else pages.post_mortem(row))
        return
    told = desk.post_mortems(limit=limit)
    typer.echo(as_json(told) if json else pages.post_mortems(told))
