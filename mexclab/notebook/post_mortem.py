"""What became of each snipe, told from the ledger: when each step came, at what price, and what it earned.

Moments are the venue's clock, except lateness, which the machine measured on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from html import escape

import pandas as pd
import plotly.graph_objects as go
import polars as pl

from mexclab.domain import events as e
from mexclab.domain.clock import HOUR, SECOND, span, utc, written
from mexclab.domain.desk import Desk
from mexclab.domain.listing import Listing
from mexclab.domain.market import Symbol
from mexclab.domain.order import Fill, Order
from mexclab.domain.snipe import Snipe, SnipeState
from mexclab.errors import ParameterError
from mexclab.notebook import plots
from mexclab.notebook.display import frame_html

FirstClose = Callable[[Symbol, int], Decimal | None]
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of a snipe: its name, when it came (venue clock), and what there is to say."""

    name: str
    at_ns: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One snipe, from the first sight of its listing to the last sale. Prices and money are exact.

    Attributes:
        open_ns: the opening that the plan aimed at.
        phases: in the order in which they came; a step that never came is not there.
        lateness_ns: of the first shot, against its schedule, on the machine's own clock.
        answer_ns: from that shot to the venue's acknowledgement, on the venue's clock.
        spent: quote paid for the entry, fees not included.
        first_ask: the best ask of the first book that was seen after the opening.
        first_close: close of the first bar that the lake has from the opening on, if it has the symbol (its
            open would be the venue's placeholder, at which nobody trades).
        fees: in quote units; fees taken in the base asset at the price of their fill, those
            in a third asset not counted.
        profit: sold minus bought minus fees in quote.
    """

    snipe_id: str
    symbol: Symbol
    state: SnipeState
    why: str
    open_ns: int
    phases: tuple[Phase, ...]
    attempts: int
    cap: Decimal
    lateness_ns: int | None
    answer_ns: int | None
    spent: Decimal
    average_entry: Decimal | None
    first_ask: Decimal | None
    first_fill: Decimal | None
    first_close: Decimal | None
    average_exit: Decimal | None
    fees: Decimal
    profit: Decimal

    @property
    def lead_ns(self) -> int | None:
        """From the first sight of the listing to the opening."""
        seen = next((phase for phase in self.phases if phase.name == "first seen"), None)
        return self.open_ns - seen.at_ns if seen else None

    @property
    def profit_fraction(self) -> Decimal | None:
        return self.profit / self.spent if self.spent else None

    def slippage(self, against: str) -> Decimal | None:
        """How far the average entry lies above another price, as a fraction.

        ``against`` is ``cap``, ``first_ask``, ``first_fill`` or ``first_close``. Negative is better
        than that price; None where one of the two is not known.
        """
        price: Decimal | None = getattr(self, against)
        if self.average_entry is None or price is None:
            return None
        return self.average_entry / price - 1


@dataclass(frozen=True, slots=True)
class PostMortem:
    """Every snipe that was asked for, by opening time."""

    cases: tuple[Case, ...]
    source: str

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    @property
    def table(self) -> pl.DataFrame:
        """A row per snipe; money as float64, for statistics and for the eye (``cases`` are exact)."""
        return pl.DataFrame([_row(case) for case in self.cases], schema=_SCHEMA, infer_schema_length=None)

    @property
    def phases(self) -> pl.DataFrame:
        """A row per step: symbol, snipe_id, phase, at (UTC), since_open_s, detail."""
        rows = [
            (
                str(case.symbol),
                case.snipe_id,
                p.name,
                utc(p.at_ns),
                (p.at_ns - case.open_ns) / SECOND,
                p.detail,
            )
            for case in self.cases
            for p in case.phases
        ]
        return pl.DataFrame(rows, schema=_PHASES, orient="row")

    def figure(self) -> go.Figure:
        """When each step came, before and after the opening."""
        return plots.timeline(self.phases)

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
        fees = sum((case.fees for case in entered), ZERO)
        won = sum(case.profit > 0 for case in entered)
        quotes = "/".join(sorted({case.symbol.quote for case in self.cases}))
        return (
            f"{len(self.cases)} snipes, {len(entered)} entered, {won} with a profit; "
            f"{profit:+.4f} {quotes} after {fees:.4f} of fees. Read from {self.source}."
        )

    def __repr__(self) -> str:
        return "\n".join([self.summary, *(_line(case) for case in self.cases)])

    def _repr_html_(self) -> str:
        head = f"<p><b>{escape(self.summary)}</b></p>"
        return head + (frame_html(self._shown()) if self.cases else "")

    def _shown(self) -> pl.DataFrame:
        """What fits a page; the rest is in ``table``."""
        told = self.table.drop("snipe_id", "attempts", "spent", "fees", "profit_fraction")
        against = [column for column in told.columns if column.startswith("vs_")]
        percent = (pl.format("{} %", (100 * pl.col(column)).round(2)).alias(column) for column in against)
        return told.with_columns(*percent, pl.col("profit").round(4))


_UTC = pl.Datetime("us", "UTC")
_SCHEMA = {
    "symbol": pl.String, "snipe_id": pl.String, "state": pl.String, "opens": _UTC, "lead_h": pl.Float64,
    "late_us": pl.Float64, "answer_ms": pl.Float64, "attempts": pl.Int64, "spent": pl.Float64,
    "entry": pl.Float64, "vs_cap": pl.Float64, "vs_first_ask": pl.Float64, "vs_first_fill": pl.Float64,
    "vs_first_close": pl.Float64, "exit": pl.Float64, "fees": pl.Float64, "profit": pl.Float64,
    "profit_fraction": pl.Float64,
    "why": pl.String,
}  # fmt: skip
_PHASES = {
    "symbol": pl.String, "snipe_id": pl.String, "phase": pl.String, "at": _UTC, "since_open_s": pl.Float64,
    "detail": pl.String,
}  # fmt: skip


def review(
    events: Iterable[e.Event],
    listings: Iterable[Listing] = (),
    snipe_id: str | None = None,
    first_close: FirstClose = lambda symbol, open_ns: None,
) -> tuple[Case, ...]:
    """Every snipe in these events, or one of them, by opening time.

    Args:
        events: the ledger from its first entry on, in order.
        listings: where the first sight of a listing is told.
        first_close: the first closing price of a symbol from a moment on, where bars of it were kept.

    Raises:
        ParameterError: no snipe has this id.
    """
    history = list(events)
    desk = Desk.of(history)
    if snipe_id is not None and snipe_id not in desk.snipes:
        known = ", ".join(desk.snipes) or "none: nothing was planned yet"
        raise ParameterError(f"There is no snipe {snipe_id!r}; those there are: {known}.", snipe_id=snipe_id)
    wanted = [desk.snipes[snipe_id]] if snipe_id is not None else list(desk.snipes.values())
    seen = {listing.symbol: listing for listing in listings}
    told: dict[str, list[e.Event]] = {}
    for event in history:
        told.setdefault(e.correlation(event), []).append(event)
    cases = [
        _case(desk, snipe, told.get(snipe.snipe_id, []), seen.get(snipe.plan.symbol), first_close)
        for snipe in wanted
    ]
    return tuple(sorted(cases, key=lambda case: (case.open_ns, str(case.symbol))))


def _case(
    desk: Desk, snipe: Snipe, told: list[e.Event], listing: Listing | None, first_close: FirstClose
) -> Case:
    plan = snipe.plan
    bought = [fill for order in desk.entries(plan.snipe_id) for fill in order.fills]
    sold = [fill for order in desk.exits(plan.snipe_id) for fill in order.fills]
    shots = [event for event in told if isinstance(event, e.Fired)]
    first = desk.orders[shots[0].client_id] if shots else None
    answered = first is not None and first.acked_ns is not None
    phases = sorted(_phases(desk, snipe, told, listing), key=_place)
    return Case(
        snipe_id=plan.snipe_id,
        symbol=plan.symbol,
        state=snipe.state,
        why=snipe.why or snipe.reason,
        open_ns=plan.not_before_ns,
        phases=tuple(phases),
        attempts=snipe.attempts_made,
        cap=plan.price_cap,
        lateness_ns=shots[0].lateness_ns if shots else None,
        answer_ns=first.acked_ns - shots[0].at_ns if answered else None,  # type: ignore[union-attr, operator]
        spent=sum((fill.value for fill in bought), ZERO),
        average_entry=_average(bought),
        first_ask=next((event.ask for event in told if isinstance(event, e.FirstBookSeen)), None),
        first_fill=bought[0].price if bought else None,
        first_close=first_close(plan.symbol, plan.not_before_ns),
        average_exit=_average(sold),
        fees=sum((_fee(fill) for fill in (*bought, *sold)), ZERO),
        profit=desk.profit(plan.snipe_id),
    )


def _phases(desk: Desk, snipe: Snipe, told: list[e.Event], listing: Listing | None) -> Iterator[Phase]:
    if listing is not None:
        yield Phase("first seen", listing.first_seen_ns, f"{span(listing.lead_ns)} before the opening")
    for event in told:
        match event:
            case e.SignalRaised(signal=signal):
                yield Phase("signal", event.at_ns, f"{signal.pattern}, probability {signal.probability}")
            case e.SnipePlanned(plan=plan):
                yield Phase(
                    "planned",
                    event.at_ns,
                    f"up to {plan.budget_quote} {plan.symbol.quote} below {plan.price_cap}",
                )
            case e.SnipeRetimed():
                yield Phase("retimed", event.at_ns, f"to {written(event.not_before_ns)}")
            case e.SnipeMoved(to=SnipeState.ARMED):
                yield Phase("armed", event.at_ns, f"by {event.by}" if event.by else "")
            case e.Fired(client_id=client_id):
                yield Phase("scheduled", event.scheduled_ns, client_id)
                yield Phase("fired", event.at_ns, f"{client_id}, {span(event.lateness_ns)} late")
            case e.ExitDecided():
                yield Phase("leaving", event.at_ns, f"{event.reason}: {event.why}")
            case e.SnipeMoved() if event.to.is_over:
                yield Phase(str(event.to).lower(), event.at_ns, event.why or event.reason)
    for order in desk.orders_of(snipe.snipe_id):
        yield from _order_phases(order)


def _place(phase: Phase) -> tuple[int, int]:
    """By time; steps of the same instant in the order in which they are always taken."""
    kind = "exit" if phase.name.startswith("exit ") else phase.name
    return phase.at_ns, plots.PHASES.index(kind)


def _order_phases(order: Order) -> Iterator[Phase]:
    entry = order.leg == "b"
    if entry and order.acked_ns is not None:
        yield Phase("acknowledged", order.acked_ns, f"{order.client_id}: {order.state}")
    if order.fills:
        name = "first fill" if entry else f"exit {order.leg}"
        yield Phase(name, order.fills[0].at_ns, f"{order.filled} at {order.average_price:.6g} on average")


def _average(fills: list[Fill]) -> Decimal | None:
    quantity = sum((fill.quantity for fill in fills), ZERO)
    return sum((fill.value for fill in fills), ZERO) / quantity if quantity else None


def _fee(fill: Fill) -> Decimal:
    """The fee in quote units; one that was taken in a third asset is not counted."""
    worth = {fill.symbol.quote: Decimal(1), fill.symbol.base: fill.price}
    return fill.fee * worth.get(fill.fee_asset, ZERO)


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _row(case: Case) -> dict[str, object]:
    prices = {
        f"vs_{name}": _float(case.slippage(name))
        for name in ("cap", "first_ask", "first_fill", "first_close")
    }
    return {
        "symbol": str(case.symbol),
        "snipe_id": case.snipe_id,
        "state": str(case.state),
        "opens": utc(case.open_ns),
        "lead_h": None if case.lead_ns is None else case.lead_ns / HOUR,
        "late_us": None if case.lateness_ns is None else case.lateness_ns / 1_000,
        "answer_ms": None if case.answer_ns is None else case.answer_ns / 1_000_000,
        "attempts": case.attempts,
        "spent": float(case.spent),
        "entry": _float(case.average_entry),
        **prices,
        "exit": _float(case.average_exit),
        "fees": float(case.fees),
        "profit": float(case.profit),
        "profit_fraction": _float(case.profit_fraction),
        "why": case.why,
    }


def _line(case: Case) -> str:
    late = f", {span(case.lateness_ns)} late" if case.lateness_ns is not None else ""
    money = f", profit {case.profit:+.4f}" if case.spent else ""
    return f"  {case.symbol!s:<14} {case.state!s:<8} opens {written(case.open_ns)}{late}{money}  {case.why}"
