"""The ledger from outside: is it whole, and a copy of it for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mexclab.commands.common import ConfigFile, settings_of

app = typer.Typer(help="The ledger: check its hash chain, write a copy.", no_args_is_help=True)


@app.command()
def verify(config: ConfigFile = None) -> None:
    """Check the hash chain from the first entry to the last."""
    from mexclab.bootstrap import verify_ledger

    typer.echo(verify_ledger(settings_of(config)))


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    config: ConfigFile = None,
) -> None:
    """Write every entry to a file, each checked against the chain."""
    from mexclab.bootstrap import export_ledger

    typer.echo(export_ledger(settings_of(config), path))
