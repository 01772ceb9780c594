"""``mexclab portfolio``: what is held, who earned it, what a bad hour would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mexclab.commands.common import AsJson, ConfigFile, as_json, desk_of, settings_of
from mexclab.commands.tables import Column, facts, moment_utc, money, number, table
from mexclab.errors import DaemonUnreachable

if TYPE_CHECKING:
    from mexclab.notebook.desk import DeskClient

Told = Mapping[str, Any]

HOLDINGS = (
    Column("symbol"), Column("quantity", is_number=True), Column("average cost", is_number=True),
    Column("bid", is_number=True), Column("value", is_number=True), Column("profit", is_number=True),
    Column("stop", is_number=True), Column("strategy"), Column("why", may_shrink=True),
)  # fmt: skip
SHARES = (
    Column(""), Column("snipes", is_number=True), Column("won", is_number=True),
    Column("bought", is_number=True), Column("realised", is_number=True), Column("open", is_number=True),
    Column("profit", is_number=True),
)  # fmt: skip
STRESS = (
    Column("if", may_shrink=True), Column("loss", is_number=True), Column("of equity", is_number=True),
    Column("with its stop", is_number=True), Column("to get out", is_number=True),
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Put the command at the top level."""
    app.command()(portfolio)


def portfolio(
    at: Annotated[
        str, typer.Option(help="An entry of the ledger, or a moment such as 2026-06-01T12:30 (UTC).")
    ] = "",
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """What is held and earned, by whom, and what a bad hour would do; now or at an earlier entry."""
    try:
        told = _asked(desk_of(config), at or None)
    except DaemonUnreachable as nobody:
        told = _folded(config, at or None, nobody)
    typer.echo(as_json(told) if json else "\n\n".join(filter(None, _page(told))))


def _asked(client: DeskClient, at: str | None) -> Told:
    desk = client.portfolio
    return {"portfolio": desk.page(at), "shares": desk.attribution(at), "stress": desk.stress(at)}


def _folded(config: Path | None, at: str | None, nobody: DaemonUnreachable) -> Told:
    """The same from the ledger, at the last closes of the lake.

    Raises:
        DaemonUnreachable: there is no ledger either.
    """
    from mexclab.notebook.closes import Closes
    from mexclab.notebook.portfolio_reading import portfolio as read
    from mexclab.store.lake import Lake

    settings = settings_of(config)
    found = read(settings, at, closes=Closes(Lake(settings.data / "lake")).last)
    if found.is_empty:
        raise nobody
    typer.echo(f"mexclab: no desk runs; read from {found.source}", err=True)
    return {"portfolio": found.page, "shares": found.shares, "stress": found.stresses}


def _page(told: Told) -> Iterator[str]:
    from mexclab.notebook.mode import before

    page, shares, stress = told["portfolio"], told["shares"], told["stress"]
    quote, results = page["quote"], page["results"]
    yield before(page["mode"], f"portfolio at {moment_utc(page['at_ns'])}, entry {page['seq']} of the ledger")
    yield facts({
        "equity": _sum(page["equity"], quote),
        "profit after fees": _gain(page["profit"], quote),
        "realised": _gain(page["realised"], quote),
        "open": _gain(page["unrealised"], quote),
        "today": _gain(page["today"], quote),
        "at market": _sum(page["exposure"], quote),
        "cash": _sum(page["cash"], quote),
        "fees": ", ".join(f"{fee['amount']} {fee['asset']}" for fee in page["fees"]) or "none",
        "closed": f"{results['closed']}, {results['won']} with profit",
        "not in these sums": "; ".join(page["missing"]),
    })  # fmt: skip
    yield (
        table(HOLDINGS, [_holding(row) for row in page["positions"]])
        if page["positions"]
        else "Nothing is held."
    )
    for name in ("by_symbol", "by_strategy"):
        yield table(SHARES, [_share(row) for row in shares[name]]) if shares[name] else ""
    rows = [_hour(row) for row in stress["totals"] if page["positions"] or float(row["loss"])]
    yield table(STRESS, rows) if rows else ""


def _sum(value: str | None, quote: str) -> str:
    return "unknown" if value is None else f"{_plain(value)} {quote}"


def _gain(value: str | None, quote: str) -> str:
    return "unknown" if value is None else f"{money(value)} {quote}"


def _plain(value: str | None) -> str:
    """Money without a sign; empty when not known."""
    return "" if value is None else f"{Decimal(value):.4f}"


def _holding(row: Told) -> tuple[str, ...]:
    return (
        row["symbol"], number(row["quantity"]), number(row["average_cost"]), number(row["price"]),
        _plain(row["value"]), money(row["unrealised"]), number(row["stop"]), row["strategy"] or "unknown",
        row["why"],
    )  # fmt: skip


def _share(row: Told) -> tuple[str, ...]:
    won = f"{row['won']} of {row['closed']}" if row["closed"] else ""
    return (
        row["name"], str(row["snipes"]), won, _plain(row["bought"]), money(row["realised"]),
        money(row["unrealised"]), money(row["profit"]),
    )  # fmt: skip


def _hour(row: Told) -> tuple[str, ...]:
    share = "" if row["fraction"] is None else f"{row['fraction']:.1%}"
    return (
        row["words"], _plain(row["loss"]), share, _plain(row["loss_with_stop"]), _plain(row["exit_cost"]),
    )  # fmt: skip
