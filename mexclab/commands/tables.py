"""Plain aligned text for terminals: no more than 120 columns wide, times in UTC. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mexclab.domain.clock import MILLISECOND, SECOND, utc

WIDTH = 120
GAP = "  "
LEAST = 6  # what a shortened column keeps, or it is left out


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand to the right, and only words may be shortened to fit the page."""

    head: str
    is_number: bool = False
    may_shrink: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """Heads and rows below each other. The column that may shrink is cut where the page ends.

    Numbers are never cut: where they need the whole page the column that may shrink is left out, and where
    even that is not enough the lines are longer than the page.
    """
    lines = [[column.head for column in columns], *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    over = sum(widths) + len(GAP) * (len(columns) - 1) - width
    for n, column in enumerate(columns):
        if over > 0 and column.may_shrink:
            kept = widths[n] - over if widths[n] - over >= LEAST else 0
            over -= widths[n] - kept
            widths[n] = kept
    return "\n".join(_line(line, columns, widths) for line in lines)


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    fitted = (
        (_cut(cell, width).rjust if column.is_number else _cut(cell, width).ljust)(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
        if width
    )
    return GAP.join(fitted).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def facts(rows: Mapping[str, str], width: int = WIDTH) -> str:
    """A name and a value per line; empty values are left out, long ones go on below."""
    known = {name: " ".join(value.split()) for name, value in rows.items() if value}
    wide = max(map(len, known), default=0)
    lines = []
    for name, value in known.items():
        head, room = f"{name:<{wide}}{GAP}", width - wide - len(GAP)
        for piece in _wrapped(value, room):
            lines.append(head + piece)
            head = " " * (wide + len(GAP))
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def second(at_ns: int | None) -> str:
    """To the second, without its zone: the head of the column says UTC. Empty when it never came."""
    return utc(at_ns).strftime("%Y-%m-%d %H:%M:%S") if at_ns else ""


def moment(at_ns: int | None) -> str:
    """To the millisecond, without its zone: the head of the column says UTC. Empty when it never came."""
    return f"{second(at_ns)}.{at_ns % SECOND // MILLISECOND:03d}" if at_ns else ""


def moment_utc(at_ns: int | None) -> str:
    """To the millisecond, with its zone; empty when it never came."""
    return f"{moment(at_ns)} UTC" if at_ns else ""


def number(text: str | None) -> str:
    """A number without zeros at its end, never with an exponent; empty when not known."""
    if text is None or text == "":
        return ""
    value = Decimal(text)
    return f"{value.normalize():f}" if value else "0"


def money(text: str | None) -> str:
    """A profit with its sign, to four places; empty when not known."""
    return f"{Decimal(text):+.4f}" if text else ""


def percent(text: str | None) -> str:
    """A fraction in percent; empty when not known."""
    return f"{(Decimal(text) * 100).normalize():f} %" if text else ""


def words(value: Any) -> str:
    """Anything in a ledger entry, for people."""
    if isinstance(value, Mapping):
        if value.keys() == {"base", "quote"}:
            return f"{value['base']}{value['quote']}"
        return " ".join(f"{name}={words(part)}" for name, part in value.items() if part not in (None, "", []))
    if isinstance(value, list | tuple):
        return "; ".join(map(words, value))
    return str(value)
