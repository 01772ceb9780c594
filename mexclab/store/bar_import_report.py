"""What an import did: per file, in total, and as a table a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SHOWN_EXAMPLES = 3  # in the text; the report keeps up to 20 per reason
SHOWN_GAPS = 20


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row that stayed outside. ``row`` counts data rows from 1, the header not among them."""

    row: int
    value: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Every row of a file that was refused for one reason: how many, and the first 20."""

    reason: str
    rows: int
    examples: tuple[RefusedRow, ...]


@dataclass(frozen=True, slots=True)
class SymbolGaps:
    """The gaps of one symbol: how many, the longest and all together, the last two in bars."""

    symbol: str
    interval: str
    count: int
    largest: int
    missing: int


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file.

    Attributes:
        path: the file.
        status: "accepted" (the lake changed), "unchanged" (it held all of it) or "refused" (whole).
        reason: why it was refused; empty otherwise.
        interval: of its bars; empty where the file was refused before it was known.
        symbols: whose bars it holds, in the lake's spelling.
        rows: data rows read.
        added, replaced, unchanged: good rows by what the lake did with them.
        repeats: exact duplicates dropped because ``fix`` allowed it.
        refused: bad rows by reason, most frequent first.
        gaps: gaps inside this file, after bad rows were taken out.
        notes: what was guessed or told about how to read it.
    """

    path: Path
    status: str
    reason: str = ""
    interval: str = ""
    symbols: tuple[str, ...] = ()
    rows: int = 0
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    repeats: int = 0
    refused: tuple[Refused, ...] = ()
    gaps: tuple[SymbolGaps, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def refused_rows(self) -> int:
        """Bad rows that stayed outside; 0 for a file that was refused whole."""
        return sum(reason.rows for reason in self.refused)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The outcome of `import_bars`; ``str()`` is a table, `to_dict` is for machines.

    Attributes:
        files: one result per file, in the order in which they were read.
        gaps: per symbol and interval that was touched, what the lake now lacks.
    """

    files: tuple[FileResult, ...]
    gaps: tuple[SymbolGaps, ...] = ()

    def total(self, name: str) -> int:
        """The sum over files of a count: rows, added, replaced, unchanged, repeats or refused_rows."""
        return sum(getattr(file, name) for file in self.files)

    def having(self, status: str) -> tuple[FileResult, ...]:
        """The files that ended as ``status``."""
        return tuple(file for file in self.files if file.status == status)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts, strings and numbers, ready for JSON."""
        counts = ("rows", "added", "replaced", "unchanged", "repeats", "refused_rows")
        return {
            "files": [
                asdict(file) | {"path": str(file.path), "refused_rows": file.refused_rows}
                for file in self.files
            ],
            "gaps": [asdict(gap) for gap in self.gaps],
            "totals": {name: self.total(name) for name in counts}
            | {status: len(self.having(status)) for status in ("accepted", "unchanged", "refused")},
        }

    def __str__(self) -> str:
        lines = _table(self.files)
        lines.append(
            f"{len(self.files)} files: {len(self.having('accepted'))} accepted, "
            f"{len(self.having('unchanged'))} unchanged, {len(self.having('refused'))} refused; "
            f"{self.total('added'):,} bars added, {self.total('replaced'):,} replaced, "
            f"{self.total('refused_rows'):,} rows refused"
        )
        for file in self.files:
            lines += _details(file)
        if len(self.having("refused")) < len(self.files):
            lines += _gap_lines(self.gaps)
        return "\n".join(lines)


def _table(files: Sequence[FileResult]) -> list[str]:
    head = ("file", "status", "interval", "symbols", "rows", "added", "known", "refused")
    cells = [
        (
            file.path.name,
            file.status,
            file.interval or "-",
            file.symbols[0] if len(file.symbols) == 1 else str(len(file.symbols)),
            f"{file.rows:,}",
            f"{file.added:,}",
            f"{file.unchanged:,}",
            f"{file.refused_rows:,}",
        )
        for file in files
    ]
    widths = [max(len(row[i]) for row in (head, *cells)) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i < 4 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *cells)
    ]


def _details(file: FileResult) -> list[str]:
    lines = []
    if file.reason:
        lines.append(f"  refused: {file.reason}")
    for reason in file.refused:
        lines.append(f"  {reason.rows:,} rows refused, {reason.reason}")
        lines += [f"    row {row.row:,}: {row.value}" for row in reason.examples[:SHOWN_EXAMPLES]]
    if file.repeats:
        lines.append(f"  {file.repeats:,} exact repeats dropped")
    if file.notes:
        lines.append(f"  read as: {'; '.join(file.notes)}")
    return [f"{file.path}", *lines] if lines else []


def _gap_lines(gaps: Sequence[SymbolGaps]) -> list[str]:
    if not gaps:
        return ["no gaps in the symbols that were touched"]
    worst = sorted(gaps, key=lambda gap: -gap.missing)
    lines = ["gaps the lake now has:"] + [
        f"  {gap.symbol} {gap.interval}: {gap.count:,} gaps, the longest {gap.largest:,} bars, "
        f"{gap.missing:,} bars missing"
        for gap in worst[:SHOWN_GAPS]
    ]
    if len(worst) > SHOWN_GAPS:
        lines.append(f"  and {len(worst) - SHOWN_GAPS:,} more symbols")
    return lines
