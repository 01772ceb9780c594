"""What a result rests on, for the head of a notebook."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from mexclab.notebook.display import mode_html, rows_html
from mexclab.notebook.mode import mode_words


@dataclass(frozen=True, slots=True)
class Header:
    """What a result rests on, in (name, value) rows; with the desk's mode, it stands above them."""

    rows: tuple[tuple[str, str], ...]
    mode: str = ""

    def __repr__(self) -> str:
        rows = "\n".join(f"{name:<12} {value}" for name, value in self.rows)
        return f"{mode_words(self.mode)}\n{rows}" if self.mode else rows

    def _repr_html_(self) -> str:
        return (mode_html(self.mode, "") if self.mode else "") + rows_html(self.rows)


def commit_rows() -> list[tuple[str, str]]:
    """The commit of the checkout that this package runs from, and whether it was changed; else nothing."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return []
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # no git, or no commit yet: the version alone has to do
    return [("commit", done.stdout.strip())]
