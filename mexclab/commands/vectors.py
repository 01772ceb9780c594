"""Vectors of windows for questions in bulk: made, added to, checked, asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mexclab.commands.common import AsJson, ConfigFile, as_json, settings_of
from mexclab.runtime.progress import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from mexclab.vectoring import Place, Vectors

app = typer.Typer(
    help="Vectors of windows: an index for thousands of questions of one length.", no_args_is_help=True
)

Length = Annotated[int, typer.Option(min=10, max=2000, help="Bars in a window.")]
Interval = Annotated[str, typer.Option(help="Which bars: 1m, 5m, 1h, ...")]
Store = Annotated[
    Literal["faiss", "pgvector"], typer.Option(help="Files beside the lake, or the ledger's Postgres.")
]
Goal = Annotated[float, typer.Option(min=0, max=1, help="Recall@10 to look for.")]


@app.command()
def build(
    length: Length = 60,
    interval: Interval = "1m",
    store: Store = "faiss",
    stride: Annotated[int, typer.Option(min=1, help="Keep every so many-th window.")] = 4,
    goal: Goal = 0.98,
    config: ConfigFile = None,
) -> None:
    """Make the vectors of every window of the lake, and measure how well they find."""
    vectors, place = _asked(config, length, interval, store)
    with progress_bar("windows") as progress:
        said = vectors.build(place, stride, goal, progress)
    typer.echo(said)


@app.command()
def add(
    length: Length = 60, interval: Interval = "1m", store: Store = "faiss", config: ConfigFile = None
) -> None:
    """Take in the windows that came since."""
    vectors, place = _asked(config, length, interval, store)
    with progress_bar("windows") as progress:
        said = vectors.add(place, progress)
    typer.echo(said)


@app.command()
def check(
    length: Length = 60,
    interval: Interval = "1m",
    store: Store = "faiss",
    queries: Annotated[int, typer.Option(min=1, help="Windows that both searches are asked about.")] = 50,
    goal: Goal = 0.98,
    config: ConfigFile = None,
) -> None:
    """Measure the recall against the exact search, exclusion zones and all. Exit code 1: below the goal."""
    vectors, place = _asked(config, length, interval, store)
    lacking = vectors.lacking(place)
    with progress_bar("queries") as progress:
        found = vectors.check(place, queries, goal, progress)
    for recall in found:
        typer.echo(str(recall))
    if lacking:
        typer.echo(f"{lacking:,} windows are not in yet: `mexclab vectors add --length {length}`")
    if max(recall.share for recall in found) < goal:
        typer.echo(f"no effort reaches {goal:g}: build with a smaller --stride", err=True)
        sys.exit(1)


@app.command()
def search(
    symbol: Annotated[str, typer.Argument(help="Whose latest window to ask about, such as BTCUSDT.")],
    end: Annotated[str, typer.Option(help="When the window closes, UTC; none: with the data.")] = "",
    length: Length = 60,
    interval: Interval = "1m",
    store: Store = "faiss",
    k: Annotated[int, typer.Option("-k", min=1, help="Matches.")] = 10,
    horizon: Annotated[
        int, typer.Option(min=0, help="Bars after each match that must lie before it, too.")
    ] = 0,
    json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """The windows of all history before it that look most like this one, by the vectors."""
    from mexclab.notebook.bars import moment_ns, name_of
    from mexclab.store.lake import Lake
    from mexclab.store.panel_file import panel_of

    vectors, place = _asked(config, length, interval, store)
    panel = panel_of(Lake(_lake_folder(config)), interval)
    end_ns = moment_ns(end or None)
    whole_ns = None if end_ns is None else end_ns - end_ns % panel.interval_ns
    query = panel.window(name_of(symbol), end_ns=whole_ns, length=length)
    (found,) = vectors.search(query, k, horizon, store=place.store)
    if not json:
        typer.echo(repr(found))
        return
    rows = found.table.to_dicts()
    for row in rows:
        row |= {name: f"{row[name]:%Y-%m-%dT%H:%M:%SZ}" for name in ("start", "end")}
    typer.echo(as_json({"matches": rows, "notes": list(found.notes)}))


def _asked(config: Path | None, length: int, interval: str, store: str) -> tuple[Vectors, Place]:
    from mexclab.store.lake import Lake
    from mexclab.vectoring import Place, Vectors

    return Vectors(Lake(_lake_folder(config)), settings_of(config)), Place(length, interval, store)


def _lake_folder(config: Path | None) -> Path:
    return settings_of(config).data / "lake"
