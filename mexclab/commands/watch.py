"""Watching a desk from outside of its process."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mexclab.commands.common import AsJson, ConfigFile, settings_of

if TYPE_CHECKING:
    from mexclab.config import Settings


def register(app: typer.Typer) -> None:
    """Put the command at the top level."""
    app.command()(watch)


def watch(
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Look, say what was found, end: 0 it lives or was stopped, 1 it does not."
        ),
    ] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Notice when the desk falls silent: alert, leave the halt file, cancel entries (see watch.* settings).

    With watch.cancel_entries in live mode the vault is opened at the start. Standard input: the passphrase.
    """
    from mexclab.bootstrap import data_folder
    from mexclab.runtime.observe import configure
    from mexclab.watching import Watcher, check_once, only_one

    settings = settings_of(config)
    if once:
        good, seen = check_once(settings)
        told = {"ok": good, "sign": str(seen.sign), "why": seen.why}
        typer.echo(json.dumps(told) if as_json else f"{seen.sign}: {seen.why}")
        sys.exit(0 if good else 1)
    configure(settings.log.format, settings.log.level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with only_one(data_folder(settings)):
        cancel = _canceller(settings)
        with Watcher(settings, cancel, _said(as_json)) as watcher:
            each = f"a look every {settings.watch.poll_s} s, silence after {settings.watch.silence_s} s"
            if not as_json:
                typer.echo(f"watching the desk in {settings.data}: {each}; Ctrl-C ends it")
            watcher.run()


def _said(as_json: bool) -> Callable[[dict[str, Any]], None]:
    def say(told: dict[str, Any]) -> None:
        typer.echo(json.dumps(told) if as_json else f"{told['at']}  {told['level']:<8}  {told['text']}")
        sys.stdout.flush()

    return say


def _canceller(settings: Settings) -> Callable[[], tuple[bool, str]] | None:
    """What cancels entries, if it is wished for; the key is asked for while a person is there."""
    if not settings.watch.cancel_entries:
        return None
    from mexclab.cancelling import cancel_entries
    from mexclab.vaulting import credential

    known = credential(settings) if settings.mode == "live" else None

    def cancel() -> tuple[bool, str]:
        done = cancel_entries(settings, lambda: known if known is not None else credential(settings))
        return done.is_done, str(done)

    return cancel


def _stop(*_: object) -> None:
    raise KeyboardInterrupt
