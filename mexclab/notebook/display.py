"""How values show themselves in a notebook: HTML from above, so that no lower layer knows of it.

``register`` tells IPython by name, so nothing is imported that is not already there. Everything
keeps its plain ``repr`` for terminals; every text is escaped, because symbols come from a venue.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

import pandas as pd
import polars as pl
from IPython import get_ipython

from mexclab.domain.clock import DAY, span, written
from mexclab.notebook.mode import LIVE, mode_words

ROWS = 30  # of a table at once; what is shown beyond them is scrolled to
MATCHES = 12  # shown of a search; the rest is in .table
_BOX = "overflow-x:auto;scrollbar-color:#8c959f #eaeef2;padding-bottom:2px"  # coloured bars are never hidden
_TALL = ";overflow-y:auto;max-height:42em"
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+( ?%)?")

_BY_FIELDS = (
    ("mexclab.domain.market", "Market"),
    ("mexclab.domain.listing", "Listing"),
    ("mexclab.domain.signal", "Signal"),
    ("mexclab.domain.snipe", "Plan"),
    ("mexclab.domain.snipe", "Snipe"),
    ("mexclab.domain.order", "Order"),
    ("mexclab.domain.order", "Fill"),
    ("mexclab.domain.portfolio", "Position"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A titled frame that explains itself when it is empty.

    Attributes:
        title: one line above it.
        frame: the rows; times are Datetime in UTC.
        empty: what to say, and what to do, where there is no row.
        percent, money: columns that are shown in per cent, and with four decimals; in ``frame`` they stay
            numbers.
        most: rows that are shown; the rest is in ``frame``.
    """

    title: str
    frame: pl.DataFrame
    empty: str = "no rows"
    percent: tuple[str, ...] = ()
    money: tuple[str, ...] = ()
    most: int = ROWS

    def __len__(self) -> int:
        return self.frame.height

    def to_pandas(self) -> pd.DataFrame:
        """The rows as pandas."""
        return self.frame.to_pandas()

    def __repr__(self) -> str:
        if not len(self):
            return f"{self.title}: {self.empty}"
        with pl.Config(tbl_rows=self.most, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
            return f"{self.title}\n{self._worded(self.frame)}"

    def _repr_html_(self) -> str:
        if not len(self):
            return f"<p><b>{escape(self.title)}</b><br>{escape(self.empty)}</p>"
        more = len(self) - self.most
        tail = f"<p><small>and {more:,} more in <code>.frame</code></small></p>" if more > 0 else ""
        rows = frame_html(self._worded(self.frame.head(self.most)))
        return f"<p><b>{escape(self.title)}</b></p>{rows}{tail}"

    def _worded(self, frame: pl.DataFrame) -> pl.DataFrame:
        return worded(worded(frame, self.percent, percent), self.money, money)


def register(ipython: Any = None, more: Mapping[tuple[str, str], Callable[[Any], str]] | None = None) -> bool:
    """Show domain values and research results as HTML in this kernel; False where there is no IPython.

    Args:
        ipython: the shell; None: the one that runs this.
        more: what else shows itself, by module and name.
    """
    shell = ipython or get_ipython()
    if shell is None:
        return False
    formatter = shell.display_formatter.formatters["text/html"]
    for module, name in _BY_FIELDS:
        formatter.for_type_by_name(module, name, fields_html)
    for (module, name), show in {**_OWN, **(more or {})}.items():
        formatter.for_type_by_name(module, name, show)
    return True


def said(value: Any, name: str = "") -> str:
    """A value as people read it: moments with their zone, money digit for digit, shares in per cent."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("_ns"):
        return written(value) if value > 3650 * DAY else span(value)
    if isinstance(value, datetime):
        exact = value.second or value.microsecond
        return value.strftime("%Y-%m-%d %H:%M:%S" if exact else "%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {said(part)}" for key, part in value.items()) or "–"
    if isinstance(value, tuple | list):
        return ", ".join(said(part) for part in value) or "–"
    return str(value)


def percent(fraction: float) -> str:
    """A fraction in per cent, always with two decimals."""
    return f"{100 * fraction:.2f} %"


def money(amount: float) -> str:
    """Money with four decimals; what is less than one thousandth, with four digits."""
    return f"{amount:,.4f}" if not amount or abs(amount) >= 0.001 else f"{Decimal(f'{amount:.4g}'):f}"


def worded(frame: pl.DataFrame, names: Iterable[str], words: Callable[[float], str]) -> pl.DataFrame:
    """The frame with these columns in words; what is not known stays null."""
    told = {name: [None if value is None else words(value) for value in frame[name]] for name in names}
    return frame.with_columns(pl.Series(name, texts, pl.String) for name, texts in told.items())


def rows_html(rows: Iterable[Sequence[Any]], heads: Sequence[str] = ()) -> str:
    """A table of cells that are texts or values; numbers stand right, long texts may wrap."""
    body = [[_cell(value) for value in row] for row in rows]
    sides = [side for _, side in body[0]] if body else ["left"] * len(heads)
    head = "".join(
        f'<th style="text-align:{side}">{escape(name)}</th>' for name, side in zip(heads, sides, strict=False)
    )
    lines = "".join(f"<tr>{''.join(text for text, _ in row)}</tr>" for row in body)
    table = f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{lines}</tbody></table>"
    return f'<div style="{_BOX}{_TALL if len(body) > ROWS else ""}">{table}</div>' if head else table


def frame_html(frame: pl.DataFrame) -> str:
    """Every row of a frame as a table, without the columns that hold nothing; times with their zone above."""
    held = [column for column in frame.columns if frame[column].null_count() < frame.height]
    zones = {name: getattr(kind, "time_zone", None) for name, kind in frame.schema.items()}
    heads = [f"{name} {zones[name]}" if zones[name] else name for name in held]
    return rows_html(frame.select(held).rows(), heads)


def fields_html(value: Any) -> str:
    """A dataclass as a table of its fields."""
    pairs = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    rows = [(name.removesuffix("_ns"), said(part, name)) for name, part in pairs if part not in ((), "")]
    return f"<p><b>{escape(type(value).__name__)}</b></p>{rows_html(rows)}"


def _cell(value: Any) -> tuple[str, str]:
    """A cell and the side that it stands on."""
    text = f"{value:,}" if type(value) is int else said(value)
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    side = "right" if number or _NUMBER.fullmatch(text) else "left"
    wrap = ";white-space:normal;min-width:12em" if len(text) > 40 else ""
    return f'<td style="text-align:{side}{wrap}">{escape(text)}</td>', side


def _symbol_html(value: Any) -> str:
    return f"<code>{escape(str(value))}</code>"


def _notes_html(notes: Iterable[str]) -> str:
    return "".join(f"<li>{escape(note)}</li>" for note in notes)


def _matches_html(value: Any) -> str:
    shown = value.table.head(MATCHES).with_columns(pl.col("correlation", "distance").round(4))
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in value.excluded.items() if count)
    more = [f"and {len(value) - MATCHES} more in .table"] if len(value) > MATCHES else []
    facts = [
        *more,
        f"compared with {value.scanned:,} windows",
        *([f"left out: {left_out}"] if left_out else []),
    ]
    head = f"<p><b>{len(value)} windows most like {escape(repr(value.query))}</b></p>"
    return f"{head}{frame_html(shown)}<ul>{_notes_html([*facts, *value.notes])}</ul>"


def _outcomes_html(value: Any) -> str:
    names = ("mean", "mean_low", "mean_high", "q05", "q50", "q95", "best", "worst", "net_mean")
    returns = dict.fromkeys(names, "{:+.2%}") | dict.fromkeys(("to_best", "to_worst"), "{:.0f}")
    formats = returns | dict.fromkeys(("share_up", "net_share_up"), "{:.0%}") | {"p_value": "{:.3f}"}
    first = ("horizon", "sample", "n", "n_eff", "mean", "p_value", "net_mean", "share_up", "net_share_up")
    columns = tuple(dict.fromkeys((*first, *formats)))  # what decides comes first: the table is wide
    rows = [[_formatted(row[name], formats.get(name)) for name in columns] for row in value.table.to_dicts()]
    head = f"<p><b>{escape(value.verdict)}</b></p>"
    return f"{head}{rows_html(rows, columns)}<ul>{_notes_html(value.notes)}</ul>"


def _formatted(value: Any, pattern: str | None) -> Any:
    return value if pattern is None or value is None else pattern.format(value)


def mode_html(mode: str, text: str) -> str:
    """A line with the desk's mode before it: real money must never look like paper."""
    colour = {"live": "#b3261e", "paper": "#1a6b3c"}.get(mode, "#5f6b7a")
    badge = f"background:{colour};color:white;padding:1px 8px;border-radius:8px;font-weight:600"
    frame = f' style="border-left:6px solid {colour};padding-left:8px"' if mode == LIVE else ""
    return f'<p{frame}><span style="{badge}">{escape(mode_words(mode))}</span> {escape(text)}</p>'


def _snapshot_html(value: Any) -> str:
    body = value.body
    halt = body["halt"]
    words = [f"{written(value.at_ns)} on the {body['venue']}"]
    words += [f"HALTED by {halt['by']}: {halt['why']}"] if halt else []
    risk = body["risk"]
    rows = [(name, said(risk.get(name))) for name in ("equity", "pnl", "day_pnl", "at_risk")]
    counts = [(name, len(body[name])) for name in ("listings", "positions", "orders", "results")]
    return mode_html(value.mode, "; ".join(words)) + rows_html([*rows, *counts])


def _answer_html(value: Any) -> str:
    """What the desk did, with its mode before it."""
    return mode_html(value.mode, f"{value.message}{' (halted)' if value.halted else ''}")


def _health_html(value: Any) -> str:
    state = "ready" if value.ready else "NOT ready"
    rows = [(check.name, "ok" if check.ok else "FAILS", check.why) for check in value.checks]
    return f"<p><b>The daemon is {state}</b></p>{rows_html(rows)}"


_MARKS = {"green": "✓ green", "red": "✕ RED", "unknown": "? unknown"}  # told apart without colour, too


def _preflight_html(value: Any) -> str:
    good = "an order would be taken" if value.symbol else "the account may trade; no pair was asked about"
    about = f"{value.symbol or 'the account'}, {written(value.at_ns)}"
    verdict = f"green: {good}" if value.is_green else "NOT green"
    rows = [(c.check, _MARKS.get(c.state, c.state), c.found, c.wanted, c.why) for c in value.checks]
    table = rows_html(rows, ("check", "state", "found", "wanted", "why"))
    return f"<p><b>Preflight of {escape(about)}: {verdict}</b></p>{table}"


_OWN = {
    ("mexclab.venues.mexc.preflight_report", "PreflightReport"): _preflight_html,
    ("mexclab.domain.market", "Symbol"): _symbol_html,
    ("mexclab.research.similarity", "Matches"): _matches_html,
    ("mexclab.research.outcomes", "Outcomes"): _outcomes_html,
    ("mexclab.notebook.desk", "Snapshot"): _snapshot_html,
    ("mexclab.notebook.desk", "Health"): _health_html,
    ("mexclab.notebook.desk", "Answer"): _answer_html,
}
