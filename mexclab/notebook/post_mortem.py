"""What became of each snipe, told from the ledger: when each step came, at what price, and what it earned.

The rows are :mod:`mexclab.domain.post_mortem`'s; here they become a table, a list of steps and pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from html import escape

import pandas as pd
import plotly.graph_objects as go
import polars as pl

from mexclab.domain.clock import HOUR, MICROSECOND, MILLISECOND, SECOND, span, utc, written
from mexclab.domain.events import Event
from mexclab.domain.listing import Listing
from mexclab.domain.market import Symbol
from mexclab.domain.post_mortem import OrderPhases, PostMortemRow, post_mortems
from mexclab.errors import ParameterError
from mexclab.notebook import plots
from mexclab.notebook.display import frame_html, money, percent, worded

FirstClose = Callable[[Symbol, int], Decimal | None]
ZERO = Decimal(0)
NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of a snipe: its name, when it came (venue clock), and what there is to say."""

    name: str
    at_ns: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PostMortem:
    """Every snipe that was asked for, by opening time; ``cases`` are exact to the last digit."""

    cases: tuple[PostMortemRow, ...]
    source: str

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[PostMortemRow]:
        return iter(self.cases)

    @property
    def table(self) -> pl.DataFrame:
        """A row per snipe; money as float64, for statistics and for the eye.

        ``vs_*`` are fractions by which the average entry lies above a price, ``exit_slip`` is how far the
        sales came out below the stop or the rungs; below zero is better, null is not known.
        """
        return pl.DataFrame([_row(case) for case in self.cases], schema=_SCHEMA, infer_schema_length=None)

    @property
    def phases(self) -> pl.DataFrame:
        """A row per step: symbol, snipe_id, phase, at (UTC), since_open_s, detail."""
        rows = [
            (str(case.symbol), case.snipe_id, p.name, utc(p.at_ns), _since(case, p.at_ns) / SECOND, p.detail)
            for case in self.cases
            for p in steps(case)
        ]
        return pl.DataFrame(rows, schema=_PHASES, orient="row")

    @property
    def shots(self) -> pl.DataFrame:
        """A row per entry order that left for the opening: its phases in milliseconds since that opening.

        Columns symbol, snipe_id, attempt, phase (scheduled, released, written, acknowledged, first
        fill), since_open_ms, late_ms, detail. ``late_ms`` is after the schedule, on this machine's own
        clock: a venue that is simulated stops its clock while a shot leaves. Null: not measured.
        """
        rows = [
            (
                *(str(case.symbol), case.snipe_id, number, name, _since(case, at_ns) / MILLISECOND),
                *(_in(MILLISECOND, _late(shot, name)), detail),
            )
            for case in self.cases
            for number, shot in enumerate(case.shots, start=1)
            for name, at_ns, detail in _anatomy(shot)
        ]
        return pl.DataFrame(rows, schema=_SHOTS, orient="row")

    def figure(self) -> go.Figure:
        """When each step came, before and after the opening."""
        return plots.timeline(self.phases)

    def anatomy(self, snipe_id: str | None = None) -> go.Figure:
        """Every shot from its schedule to its first fill, in milliseconds around the opening.

        Args:
            snipe_id: one snipe; None: all of them.
        """
        told = self.shots
        return plots.anatomy(told if snipe_id is None else told.filter(pl.col("snipe_id") == snipe_id))

    def to_pandas(self) -> pd.DataFrame:
        """``table`` as pandas."""
        return self.table.to_pandas()

    @property
    def summary(self) -> str:
        """One sentence of counts and money."""
        if not self.cases:
            return f"No snipe to look back on: {self.source}."
        entered = [case for case in self.cases if case.spent]
        profit = sum((case.profit for case in entered), ZERO)
        fees = sum((case.fees_quote for case in entered), ZERO)
        won = sum(case.profit > 0 for case in entered)
        quotes = "/".join(sorted({case.symbol.quote for case in self.cases}))
        return (
            f"{len(self.cases)} snipes, {len(entered)} entered, {won} with a profit; "
            f"{profit:+.4f} {quotes} after {fees:.4f} of fees{_unpriced(entered)}. Read from {self.source}."
        )

    def __repr__(self) -> str:
        return "\n".join([self.summary, *(_line(case) for case in self.cases)])

    def _repr_html_(self) -> str:
        head = f"<p><b>{escape(self.summary)}</b></p>"
        return head + (frame_html(self._shown()) if self.cases else "")

    def _shown(self) -> pl.DataFrame:
        """What fits a page; the rest is in ``table``."""
        first = ("symbol", "state", "profit", "why")  # what decides comes first: the table is wide
        told = self.table.select(*first, pl.exclude(*first, *_ONLY_IN_TABLE))
        told = worded(told, [column for column in told.columns if column.startswith("vs_")], percent)
        seen = pl.col("vs_first_trade", "vs_mid")
        entered = pl.col("entry").is_not_null()
        told = told.with_columns(pl.when(entered).then(seen.fill_null(NOT_SEEN)).otherwise(seen))
        return worded(told, ["profit"], money)


def review(
    events: Iterable[Event],
    listings: Iterable[Listing] = (),
    snipe_id: str | None = None,
    first_close: FirstClose = lambda symbol, open_ns: None,
) -> tuple[PostMortemRow, ...]:
    """Every snipe in these events, or one of them, by opening time.

    Args:
        events: the ledger from its first entry on, in order.
        listings: where the first sight of a listing is told; they win over the ledger, which may be younger.
        first_close: the first closing price of a symbol from a moment on, where bars of it were kept.

    Raises:
        ParameterError: no snipe has this id.
    """
    every = post_mortems(events)
    rows = [row for row in every if snipe_id in (None, row.snipe_id)]
    if snipe_id is not None and not rows:
        known = ", ".join(row.snipe_id for row in every) or "none: nothing was planned yet"
        raise ParameterError(f"There is no snipe {snipe_id!r}; those there are: {known}.", snipe_id=snipe_id)
    seen = {listing.symbol: listing.first_seen_ns for listing in listings}
    return tuple(
        replace(
            row,
            first_seen_ns=seen.get(row.symbol, row.first_seen_ns),
            first_close=first_close(row.symbol, row.open_ns),
        )
        for row in rows
    )


def steps(row: PostMortemRow) -> list[Phase]:
    """Every step of a snipe in the order in which they came; a step that never came is not there."""
    return sorted(_steps(row), key=_place)


def _steps(row: PostMortemRow) -> Iterator[Phase]:
    plan = row.plan
    if row.first_seen_ns is not None:
        yield Phase("first seen", row.first_seen_ns, f"{span(row.lead_ns or 0)} before the opening")
    if row.signal is not None:
        told = f"{row.signal.pattern}, probability {row.signal.probability}"
        yield Phase("signal", row.signal.at_ns, told)
    limit = f"up to {plan.budget_quote} {plan.symbol.quote} below {plan.price_cap}"
    yield Phase("planned", row.planned_ns, limit)
    yield from (Phase("retimed", at_ns, f"to {written(open_ns)}") for at_ns, open_ns in row.retimings)
    for check in row.preflights:
        yield Phase("preflight", check.at_ns, f"{check.stage}: {'; '.join(check.reasons) or 'passed'}")
    if row.armed_ns is not None:
        yield Phase("armed", row.armed_ns, f"by {row.armed_by}" if row.armed_by else "")
    for shot in row.entries:
        yield from _shot_steps(shot)
    if row.exit_decided_ns is not None:
        yield Phase("leaving", row.exit_decided_ns, f"{row.exit_why}: {row.exit_words}")
    for order in row.exits:
        if order.first_fill_ns is not None:
            yield Phase(f"exit {order.leg}", order.first_fill_ns, _traded(order))
    if row.closed_ns is not None:
        yield Phase(str(row.state).lower(), row.closed_ns, row.why or row.reason)


def _shot_steps(shot: OrderPhases) -> Iterator[Phase]:
    yield Phase("loaded", shot.loaded_ns, shot.client_id if shot.left else f"{shot.client_id}: {shot.why}")
    if not shot.left:
        return
    if shot.scheduled_ns is not None:
        yield Phase("scheduled", shot.scheduled_ns, shot.client_id)
    late = "" if shot.lateness_ns is None else f", {span(shot.lateness_ns)} late"
    if shot.released_ns is not None:
        yield Phase("fired", shot.released_ns, shot.client_id + late)
    if shot.written_ns is not None:
        yield Phase("written", shot.written_ns, _times(shot))
    if shot.acked_ns is not None:
        answer = f"refused, {shot.refused} {shot.why}" if shot.refused else "taken"
        yield Phase("acknowledged", shot.acked_ns, f"{shot.client_id}: {answer}")
    if shot.first_fill_ns is not None:
        yield Phase("first fill", shot.first_fill_ns, _traded(shot))


def _place(phase: Phase) -> tuple[int, int]:
    """By time; steps of the same instant in the order in which they are always taken."""
    kind = "exit" if phase.name.startswith("exit ") else phase.name
    return phase.at_ns, plots.PHASES.index(kind)


def _anatomy(shot: OrderPhases) -> Iterator[tuple[str, int, str]]:
    answer = f"refused: {shot.refused} {shot.why}" if shot.refused else shot.client_id
    told = (
        ("scheduled", shot.scheduled_ns, shot.client_id),
        ("released", shot.released_ns, "" if shot.lateness_ns is None else f"{span(shot.lateness_ns)} late"),
        ("written", shot.written_ns, _times(shot)),
        ("refused" if shot.refused else "acknowledged", shot.acked_ns, answer),
        ("first fill", shot.first_fill_ns, _traded(shot) if shot.filled else ""),
    )
    yield from ((name, at_ns, detail) for name, at_ns, detail in told if at_ns is not None)


def _late(shot: OrderPhases, phase: str) -> int | None:
    """How long after its schedule a phase came on this machine's own clock; None where nobody measured.

    Of a written shot the release was measured; its bytes had left as much later as the venue's clock tells.
    """
    if shot.lateness_ns is None or phase not in ("scheduled", "released", "written"):
        return None
    if phase == "scheduled":
        return 0
    writing = (shot.written_ns or 0) - (shot.released_ns or 0) if phase == "written" else 0
    return shot.lateness_ns + writing


def _traded(order: OrderPhases) -> str:
    return f"{order.filled} at {order.value / order.filled:.6g} on average"


def _times(shot: OrderPhases) -> str:
    times = "once" if shot.transmissions == 1 else f"{shot.transmissions} times"
    return f"{shot.client_id}, {times}"


def _since(row: PostMortemRow, at_ns: int) -> int:
    return at_ns - row.open_ns


def _unpriced(rows: list[PostMortemRow]) -> str:
    """Fees in a third asset, which have no price in the ledger."""
    paid: dict[str, Decimal] = {}
    for row in rows:
        for asset, amount in row.fees:
            if asset not in (row.symbol.base, row.symbol.quote):
                paid[asset] = paid.get(asset, ZERO) + amount
    return "".join(f" and {amount} {asset}" for asset, amount in paid.items())


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _in(unit_ns: int, value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / unit_ns


_UTC = pl.Datetime("us", "UTC")
_VERSUS = {
    "vs_cap": "cap", "vs_first_trade": "first_trade", "vs_mid": "first_mid", "vs_first_ask": "first_ask",
    "vs_first_fill": "first_fill", "vs_first_close": "first_close",
}  # fmt: skip
_SCHEMA = {
    "symbol": pl.String, "snipe_id": pl.String, "state": pl.String, "opens": _UTC, "lead_h": pl.Float64,
    "late_us": pl.Float64, "answer_ms": pl.Float64, "attempts": pl.Int64, "transmissions": pl.Int64,
    "postponed": pl.Int64, "spent": pl.Float64, "entry": pl.Float64,
    **dict.fromkeys(_VERSUS, pl.Float64),
    "exit": pl.Float64, "exit_slip": pl.Float64, "held_s": pl.Float64, "fees": pl.Float64,
    "profit": pl.Float64, "profit_fraction": pl.Float64, "exit_why": pl.String, "refusals": pl.String,
    "why": pl.String,
}  # fmt: skip
_ONLY_IN_TABLE = (
    "snipe_id", "attempts", "transmissions", "postponed", "spent", "held_s", "fees", "profit_fraction",
    "exit_why", "refusals", "exit_slip",
)  # fmt: skip
_PHASES = {
    "symbol": pl.String, "snipe_id": pl.String, "phase": pl.String, "at": _UTC, "since_open_s": pl.Float64,
    "detail": pl.String,
}  # fmt: skip
_SHOTS = {
    "symbol": pl.String, "snipe_id": pl.String, "attempt": pl.Int64, "phase": pl.String,
    "since_open_ms": pl.Float64, "late_ms": pl.Float64, "detail": pl.String,
}  # fmt: skip


def _row(row: PostMortemRow) -> dict[str, object]:
    return {
        "symbol": str(row.symbol),
        "snipe_id": row.snipe_id,
        "state": str(row.state),
        "opens": utc(row.open_ns),
        "lead_h": _in(HOUR, row.lead_ns),
        "late_us": _in(MICROSECOND, row.lateness_ns),
        "answer_ms": _in(MILLISECOND, row.answer_ns),
        "attempts": row.attempts,
        "transmissions": row.transmissions,
        "postponed": row.postponements,
        "spent": float(row.spent),
        "entry": _float(row.average_entry),
        **{column: _float(row.slippage(against)) for column, against in _VERSUS.items()},
        "exit": _float(row.average_exit),
        "exit_slip": _float(row.exit_slippage),
        "held_s": _in(SECOND, row.holding_ns),
        "fees": float(row.fees_quote),
        "profit": float(row.profit),
        "profit_fraction": _float(row.profit_fraction),
        "exit_why": row.exit_why,
        "refusals": ", ".join(row.refusals),
        "why": row.why or row.reason,
    }


def _line(row: PostMortemRow) -> str:
    late = f", {span(row.lateness_ns)} late" if row.lateness_ns is not None else ""
    money = f", profit {row.profit:+.4f}" if row.spent else ""
    why = row.why or row.reason
    return f"  {row.symbol!s:<14} {row.state!s:<8} opens {written(row.open_ns)}{late}{money}  {why}"
