"""The lake of bars: what it holds, what it lacks and why, and its upkeep."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mexclab.commands.common import AsJson, ConfigFile, settings_of
from mexclab.commands.tables import Column, second, table
from mexclab.errors import ConfigError, ParameterError, VenueError
from mexclab.runtime.progress import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from mexclab.store.lake import Lake

app = typer.Typer(help="The lake of bars: what it holds, what it lacks, its upkeep.", no_args_is_help=True)

EMPTY = "nothing yet: `mexclab fetch bars BTCUSDT`, or `mexclab import FILES`"

Symbols = Annotated[list[str] | None, typer.Argument(help="Symbols as the lake names them; none: all.")]
Interval = Annotated[str, typer.Option(help="Length of the bars.")]
Limit = Annotated[int, typer.Option(min=1, help="Rows that are shown; --json shows all.")]


@app.command()
def show(
    interval: Interval = "1m", limit: Limit = 40, json: AsJson = False, config: ConfigFile = None
) -> None:
    """Each symbol's first and last bar, how many bars and gaps it has."""
    frame = _lake(config).coverage(interval)
    if json:
        _told(frame.iter_rows(named=True))
        return
    numbers = (Column("bars", is_number=True), Column("gaps", is_number=True))
    columns = (Column("symbol"), Column("first (UTC)"), Column("last (UTC)"), *numbers)
    rows = [
        (symbol, f"{first:%Y-%m-%d %H:%M}", f"{last:%Y-%m-%d %H:%M}", f"{bars:,}", f"{gaps:,}")
        for symbol, first, last, bars, gaps in frame.head(limit).iter_rows()
    ]
    typer.echo(f"{frame.height} symbols, {int(frame['rows'].sum() or 0):,} bars of {interval}")
    typer.echo(table(columns, rows) if rows else EMPTY)
    _rest(frame.height, limit)


@app.command()
def gaps(
    symbols: Symbols = None,
    interval: Interval = "1m",
    since: Annotated[str, typer.Option(help="Look from here on, before the first bar too.")] = "",
    until: Annotated[str, typer.Option(help="Look up to here, after the last bar too.")] = "",
    limit: Limit = 40,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Every stretch without bars, and why: missing, before listing, after delisting, another name."""
    from mexclab.fetching.report import moment_ns

    now_ns = time.time_ns()
    start, end = (moment_ns(text, now_ns) if text else None for text in (since, until))
    lake = _lake(config)
    if not symbols and not lake.symbols(interval):
        typer.echo("[]" if json else EMPTY)
        return
    frame = lake.gaps(symbols or None, interval, start_ns=start, end_ns=end)
    if json:
        _told(frame.iter_rows(named=True))
        return
    columns = (Column("symbol"), Column("from (UTC)"), Column("to (UTC)"), Column("bars", is_number=True),
               Column("why"))  # fmt: skip
    rows = [
        (symbol, f"{start:%Y-%m-%d %H:%M}", f"{end:%Y-%m-%d %H:%M}", f"{missing:,}", reason)
        for symbol, start, end, missing, reason in frame.head(limit).iter_rows()
    ]
    typer.echo(table(columns, rows) if rows else "no gaps")
    _rest(frame.height, limit)
    if (frame["reason"] == "missing").any():
        typer.echo("`mexclab lake repair` asks the exchanges for what is missing")


@app.command()
def repair(
    symbols: Symbols = None,
    interval: Interval = "1m",
    since: Annotated[str, typer.Option(help="Only gaps after this: 2026-06-01, 30d.")] = "3650d",
    url: Annotated[str, typer.Option(help="Another address of MEXC, such as a simulator's.")] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked for, and stop.")] = False,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Ask the exchanges for bars that are missing between others. Exit code 5: one gave no answer."""
    from mexclab.fetching.repair import plan_repair, repair_with_progress
    from mexclab.fetching.report import FetchWishes
    from mexclab.venues.fetch import HOME

    settings = settings_of(config)
    wishes = FetchWishes(symbols or (), HOME, interval, since, url=url)
    lake = _lake(config)
    if not symbols and not lake.symbols(interval):
        typer.echo(_json({"missing": 0, "symbols": 0}) if json else EMPTY)
        return
    plan = plan_repair(lake, wishes, time.time_ns())
    if not plan.gaps or dry:
        facts = {"missing": plan.bars, "symbols": len(plan.gaps)}
        words = (
            f"{plan.bars:,} bars are missing in {len(plan.gaps)} symbols"
            if plan.gaps
            else "nothing is missing"
        )
        typer.echo(_json(facts) if json else words)
        return
    failed = False
    for exchange in plan.exchanges:
        asked = FetchWishes(symbols or (), exchange, interval, since, url=url if exchange == HOME else "")
        try:
            report = repair_with_progress(settings, plan.of(exchange), asked)
        except (VenueError, ConfigError, ParameterError) as error:  # the other exchanges get their turn
            typer.echo(f"mexclab: {exchange}: {error}", err=True)
            failed = True
            continue
        typer.echo(_json(report.to_dict()) if json else str(report))
        failed = failed or bool(report.failed)
    if failed:
        sys.exit(5)


@app.command()
def compact(
    interval: Annotated[str, typer.Option(help="Length of the bars; default: all.")] = "",
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Fold live bars into their months. Safe at any moment, beside readers and a running follow."""
    with progress_bar("symbol", "compact") as progress:
        folded = _lake(config).compact(interval or None, progress)
    facts = {"files": folded.files, "bars": folded.bars, "partitions": folded.partitions}
    words = f"{folded.bars:,} bars of {folded.files} files went into {folded.partitions} months"
    typer.echo(_json(facts) if json else words if folded.files else "nothing was fresh")


@app.command()
def facts(
    symbols: Symbols = None,
    learn: Annotated[
        str, typer.Option(help="Record first when this exchange says that pairs were listed: mexc.")
    ] = "",
    url: Annotated[str, typer.Option(help="Another address of the exchange, such as a simulator's.")] = "",
    limit: Limit = 40,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Listings, delistings and renames: when, since when we know, and who said so."""
    if learn:
        from mexclab.fetching.repair import learn as learn_from

        new, told = learn_from(settings_of(config), learn.lower(), url, symbols or ())
        typer.echo(f"{learn} told the listing of {told} pairs, {new} of them new to us", err=json)
    frame = _lake(config).facts.frame()
    if symbols:
        frame = frame.filter(frame["symbol"].is_in(symbols) | frame["becomes"].is_in(symbols))
    if json:
        _told(frame.iter_rows(named=True))
        return
    columns = (Column("at (UTC)"), Column("what"), Column("symbol"), Column("becomes"),
               Column("known since (UTC)"), Column("source", may_shrink=True))  # fmt: skip
    rows = [
        (f"{at:%Y-%m-%d %H:%M}", kind, symbol, becomes, f"{known:%Y-%m-%d %H:%M}", source)
        for kind, symbol, becomes, at, known, source in frame.head(limit).iter_rows()
    ]
    typer.echo(
        table(columns, rows) if rows else "no facts yet; `mexclab lake facts --learn mexc` asks for them"
    )
    _rest(frame.height, limit)


@app.command()
def record(
    kind: Annotated[str, typer.Argument(help="listing, delisting or rename.")],
    symbol: Annotated[str, typer.Argument(help="As the lake names it; of a rename, the old name.")],
    at: Annotated[str, typer.Option(help="When it took effect, UTC: 2026-06-01, 2026-06-01T12:30.")],
    source: Annotated[str, typer.Option(help="Who said so: an announcement's address, a person.")],
    becomes: Annotated[str, typer.Option(help="Of a rename, the new name.")] = "",
    config: ConfigFile = None,
) -> None:
    """Record a listing, a delisting or a rename by hand, for good: a correction is a later fact."""
    from mexclab.fetching.report import moment_ns
    from mexclab.store.lake_facts import Fact, FactKind

    if kind not in list(FactKind):
        raise ParameterError(f"{kind!r} is no fact; choose one of {', '.join(FactKind)}", kind=kind)
    now_ns = time.time_ns()
    fact = Fact(FactKind(kind), symbol, moment_ns(at, now_ns), now_ns, source, becomes)
    new = _lake(config).facts.record([fact])
    words = f"{kind} of {symbol}{f', now {becomes},' if becomes else ''} at {second(fact.at_ns)} UTC"
    typer.echo(f"{words}: {'recorded' if new else 'known already'}")


def _lake(config: Path | None) -> Lake:
    from mexclab.store.lake import Lake

    return Lake(settings_of(config).data / "lake")


def _rest(rows: int, limit: int) -> None:
    if rows > limit:
        typer.echo(f"and {rows - limit:,} more; --limit {rows} or --json shows them")


def _json(told: Any) -> str:
    return json.dumps(told)


def _told(rows: Any) -> None:
    """Rows as one JSON list; times in ISO 8601."""
    plain = [
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in rows
    ]
    typer.echo(_json(plain))
