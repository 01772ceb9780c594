"""Bars from exchanges into the lake: downloads, and live bars as they close."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mexclab.commands.common import AsJson, ConfigFile, settings_of

if TYPE_CHECKING:
    from mexclab.fetching.follow import Round
    from mexclab.fetching.live import Listening
    from mexclab.fetching.report import FetchReport

app = typer.Typer(
    help="Bars from any exchange that ccxt knows; public, so no key is needed.", no_args_is_help=True
)

Symbols = Annotated[
    list[str] | None, typer.Argument(help="Pairs such as BTCUSDT; none: every pair in --quote.")
]
Exchange = Annotated[str, typer.Option(help="ccxt's name of the exchange.")]
Interval = Annotated[str, typer.Option(help="Length of the bars: 1m, 5m, 15m, 30m, 1h, 4h, 8h or 1d.")]
Quote = Annotated[str, typer.Option(help="The quote currency, where no pair is named.")]
Url = Annotated[str, typer.Option(help="Another address of the exchange, such as a simulator's.")]


@app.command()
def bars(
    symbols: Symbols = None,
    exchange: Exchange = "mexc",
    interval: Interval = "1m",
    since: Annotated[str, typer.Option(help="2026-06-01, or how long ago: 30d, 12h.")] = "30d",
    until: Annotated[str, typer.Option(help="The same; default: now.")] = "",
    quote: Quote = "USDT",
    replace: Annotated[
        bool, typer.Option("--replace", help="Ask for all of it again; the venue's bars win.")
    ] = False,
    url: Url = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Download what the lake lacks of a range. Stopped or killed, the same command goes on."""
    from mexclab.fetching.bars import fetch_with_progress
    from mexclab.fetching.report import FetchWishes

    wishes = FetchWishes(symbols or (), exchange.lower(), interval, since, until, replace, url, quote)
    report = fetch_with_progress(settings_of(config), wishes)
    typer.echo(json.dumps(report.to_dict()) if as_json else str(report))
    if report.failed:
        sys.exit(5)


@app.command()
def follow(
    symbols: Symbols = None,
    exchange: Exchange = "mexc",
    interval: Interval = "1m",
    since: Annotated[str, typer.Option(help="Fill the lake from here on first: 2026-06-01, 1d, 12h.")] = "1d",
    quote: Quote = "USDT",
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Stop after so long; default: on Ctrl-C.")
    ] = None,
    url: Url = "",
    stream_url: Annotated[str, typer.Option(help="Another address of MEXC's stream.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    config: ConfigFile = None,
) -> None:
    """Fill what is missing, then store every bar when it has closed, as the venue's history has it."""
    from mexclab.fetching.live import FollowWishes
    from mexclab.fetching.live import follow as run
    from mexclab.fetching.report import FetchWishes

    asked = FetchWishes(symbols or (), exchange.lower(), interval, since, url=url, quote=quote)
    run(settings_of(config), FollowWishes(asked, seconds, stream_url), _listening(as_json))


def _listening(as_json: bool) -> Listening:
    from mexclab.fetching.live import Listening

    def say(kind: str, facts: dict[str, Any], words: str) -> None:
        typer.echo(json.dumps({"kind": kind, **facts}) if as_json else words)
        sys.stdout.flush()

    def fetched(report: FetchReport) -> None:
        say("fetched", report.to_dict(), str(report))

    def begins(pairs: int, listened: int) -> None:
        heard = f"{listened} of them on the stream" if listened else "by asking when bars close"
        say(
            "follows",
            {"pairs": pairs, "streamed": listened},
            f"following {pairs} pairs, {heard}; Ctrl-C ends it",
        )

    def each(done: Round) -> None:
        say("round", asdict(done), _round_words(done))

    return Listening(fetched, begins, each)


def _round_words(done: Round) -> str:
    from mexclab.domain.clock import MILLISECOND, utc

    parts = [f"{utc(done.closed_ms * MILLISECOND):%H:%M} UTC  {done.added} bars in {done.seconds:.1f} s"]
    parts += [f"{done.corrected} corrected"] if done.corrected else []
    parts += [f"{done.unconfirmed} on the stream's word"] if done.unconfirmed else []
    parts += [f"{done.late} late"] if done.late else []
    parts += [f"{done.refused} rows are no bars"] if done.refused else []
    parts += [f"{len(done.failed)} pairs not answered for: {done.why}"] if done.failed else []
    parts += [f"fresh bars were not folded: {done.trouble}"] if done.trouble else []
    return ", ".join(parts)
