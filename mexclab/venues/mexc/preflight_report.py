"""What a preflight found: rows that are green, red or unknown, as a table or as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mexclab.domain.clock import written
from mexclab.domain.market import Symbol


@dataclass(frozen=True, slots=True)
class Check:
    """One question. ``ok`` None: it could not be asked, or the venue does not say."""

    check: str
    ok: bool | None
    found: str
    wanted: str
    why: str = ""

    @property
    def state(self) -> str:
        return "unknown" if self.ok is None else "green" if self.ok else "red"


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """What was asked and found, in the order of asking. ``str`` is a table for people."""

    checks: tuple[Check, ...]
    symbol: Symbol | None
    at_ns: int  # on the venue's clock

    @property
    def is_green(self) -> bool:
        """Whether every single check is green."""
        return bool(self.checks) and all(check.ok is True for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not green, a sentence for each check that is not."""
        return tuple(f"{c.check}: {c.why or c.found} ({c.state})" for c in self.checks if c.ok is not True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``checks`` as in :class:`Check`, with ``state`` in words."""
        return {
            "symbol": None if self.symbol is None else str(self.symbol),
            "at_ns": self.at_ns,
            "at": written(self.at_ns),
            "green": self.is_green,
            "checks": [{**asdict(check), "state": check.state} for check in self.checks],
        }

    @classmethod
    def of(cls, told: dict[str, Any]) -> PreflightReport:
        """The report that ``to_dict`` gave."""
        rows = tuple(
            Check(row["check"], row["ok"], row["found"], row["wanted"], row["why"]) for row in told["checks"]
        )
        return cls(rows, Symbol.parse(told["symbol"]) if told["symbol"] else None, told["at_ns"])

    def __str__(self) -> str:
        head = ("check", "state", "found", "wanted", "why")
        rows = [head, *((c.check, c.state, c.found, c.wanted, c.why) for c in self.checks)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        )
        about = f"{self.symbol} at " if self.symbol else ""
        verdict = "green" if self.is_green else "not green"
        return "\n".join([*(line.rstrip() for line in lines), f"{about}{written(self.at_ns)}: {verdict}"])
