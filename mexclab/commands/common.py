"""What commands share: settings, the running desk, and the options that many of them have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mexclab.config import Settings
    from mexclab.notebook.desk import Answer, DeskClient

Why = Annotated[str, typer.Argument(help="The reason, in a sentence; it is journalled.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason, in a sentence; it is journalled.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: see `mexclab config`.")
]


def settings_of(config: Path | None = None) -> Settings:
    """The settings in force; servers and kernels that are started here read the same file."""
    from mexclab.config import load_settings

    loaded = load_settings(config)
    if loaded.file is not None:
        os.environ["MEXCLAB_CONFIG"] = str(loaded.file.absolute())
    return loaded.settings


def desk_of(config: Path | None) -> DeskClient:
    """The client of the desk that runs on the data folder.

    Raises:
        DaemonUnreachable: none runs there.
    """
    from mexclab.notebook.desk import DeskClient

    return DeskClient.discover(settings_of(config).data)


def books_of(config: Path | None, instead: str) -> DeskClient:
    """As ``desk_of``, for what the ledger tells as well.

    Args:
        instead: how to read it there without a desk, for the refusal.

    Raises:
        DaemonUnreachable: none runs there; says what else there is.
    """
    from mexclab.errors import DaemonUnreachable

    try:
        return desk_of(config)
    except DaemonUnreachable as nobody:
        raise DaemonUnreachable(f"{nobody.message} Without one the ledger is read by {instead}.") from None


def any_desk_of(config: Path | None) -> DeskClient:
    """The client of whatever desk runs on the data folder when it is asked."""
    from mexclab.notebook.desk import DeskClient

    return DeskClient.on(settings_of(config).data)


def said(answer: Answer) -> str:
    """What the desk did, with its mode before it: real money must never look like paper."""
    from mexclab.notebook.mode import before

    return before(answer.mode, answer.message)


def as_json(told: Any) -> str:
    """For machines."""
    return json.dumps(told, indent=2)
