"""``mexclab rehearse``: practise the emergency, and keep the evidence."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from mexclab.commands.common import AsJson, ConfigFile, any_desk_of, as_json, settings_of
from mexclab.commands.tables import Column, table
from mexclab.domain.clock import MILLISECOND
from mexclab.errors import DaemonUnreachable, DeskError

if TYPE_CHECKING:
    from pathlib import Path

FAILED = 1
_COLUMNS = (
    Column("step"),
    Column("ms", is_number=True),
    Column("ok"),
    Column("what was seen", may_shrink=True),
)
_SPANS = {
    "halted_ns": "request to halted",
    "last_entry_ns": "request to last entry",
    "flattened_ns": "request to nothing held",
    "resumed_ns": "request to resumed",
    "file_halted_ns": "halt file to halted",
}


def rehearse(json: AsJson = False, config: ConfigFile = None) -> None:
    """Halt, flatten and resume a desk on a stage of its own; exit code 1: it did not work.

    Yours is not touched. The evidence is kept in rehearsals/ of the data folder, and a desk that runs there
    keeps when this was and how it went.
    """
    from mexclab.rehearsal import rehearse as practise

    settings = settings_of(config)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # the stage is cleared then
    done = practise(settings, lambda words: typer.echo(words, err=True))
    kept = _told(config, done.summary())
    told = done.to_dict()
    typer.echo(as_json(told) if json else f"{_page(told)}\n{kept}")
    if not done.passed:
        sys.exit(FAILED)


def _told(config: Path | None, summary: Mapping[str, Any]) -> str:
    try:
        with any_desk_of(config) as desk:
            return desk.keep_rehearsal(summary).message
    except DaemonUnreachable:
        return "no desk runs on the data folder, so none was told"
    except DeskError as refusal:
        return f"the running desk was not told: {refusal.message}"


def _page(told: Mapping[str, Any]) -> str:
    rows = [
        (step["name"], _ms(step["ended_ns"] - step["began_ns"]), "yes" if step["ok"] else "NO", step["words"])
        for step in told["steps"]
    ]
    spans = [f"{words}: {_ms(told[name])} ms" for name, words in _SPANS.items() if told[name]]
    verdict = "the emergency works" if told["passed"] else "THE EMERGENCY DOES NOT WORK"
    return "\n".join([table(_COLUMNS, rows), "", *spans, f"{verdict}; evidence: {told['evidence']}"])


def _ms(span_ns: int) -> str:
    return f"{span_ns / MILLISECOND:,.0f}"
