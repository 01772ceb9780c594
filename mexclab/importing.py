"""``mexclab import``: bars from files into the lake, with a progress bar for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mexclab.config import Settings
from mexclab.errors import ParameterError
from mexclab.runtime.progress import progress_bar
from mexclab.store.bar_import import import_bars
from mexclab.store.bar_import_plan import ImportPlan
from mexclab.store.bar_import_report import ImportReport
from mexclab.store.lake import Lake


@dataclass(frozen=True, slots=True)
class ImportWishes:
    """An import as it is asked for in words on the command line; empty means "find out"."""

    symbol: str = ""
    interval: str = ""
    time_unit: str = "auto"
    time_is: str = "open"
    volume_in: str = "base"
    columns: Sequence[str] = ()
    fix: str = ""
    replace: bool = False

    def plan(self) -> ImportPlan:
        """Raises: ParameterError: a rename is not NAME=COLUMN, or a word is not one of the possible ones."""
        renames = {}
        for words in self.columns:
            ours, sign, theirs = words.partition("=")
            if not sign:
                raise ParameterError(f"--column {words!r} is not NAME=COLUMN, such as ts='Open time'")
            renames[ours.strip()] = theirs.strip()
        return ImportPlan(
            columns=renames,
            time_unit=self.time_unit,
            time_is=self.time_is,
            interval=self.interval or "auto",
            volume_unit=self.volume_in,
            symbol=self.symbol or None,
            fix=self.fix,
            replace=self.replace,
        )


def lake_of(settings: Settings) -> Lake:
    """The lake of the data folder."""
    return Lake(settings.data / "lake")


def import_with_progress(paths: Sequence[Path], settings: Settings, wishes: ImportWishes) -> ImportReport:
    """Import files, with a progress bar on standard error.

    Raises:
        ImportRefused: nothing could be taken in; the lake is as it was.
    """
    with progress_bar("file", "import") as progress:
        return import_bars(paths, lake_of(settings), wishes.plan(), progress)
