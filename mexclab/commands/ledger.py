"""The ledger from outside: is it whole, and a copy of it for elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mexclab.commands.common import ConfigFile, settings_of

app = typer.Typer(help="The ledger: check its hash chain, write a copy.", no_args_is_help=True)


@app.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(help="The hash that an earlier check ended with: finds what was cut off since."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Check the hash chain from the first entry to the last."""
    from mexclab.auditing import verify_ledger

    typer.echo(verify_ledger(settings_of(config), head, _told if sys.stderr.isatty() else None))


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The Parquet file to write; it must not exist.")],
    config: ConfigFile = None,
) -> None:
    """Write every entry to a Parquet file, each checked against the chain."""
    from mexclab.auditing import export_ledger

    typer.echo(export_ledger(settings_of(config), path))


@app.command()
def check(path: Annotated[Path, typer.Argument(help="A file that `mexclab ledger export` wrote.")]) -> None:
    """Check an exported file by itself: no database is needed."""
    from mexclab.auditing import check_export

    typer.echo(check_export(path))


def _told(count: int, of: int) -> None:
    typer.echo(f"\r{count:,} of {of:,} entries checked", err=True, nl=count >= of)
