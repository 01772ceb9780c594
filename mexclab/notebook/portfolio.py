"""``lab.portfolio()``: what is held, who earned it, when, and what could become of it.

::

    lab.portfolio()                          now; the running desk is asked
    lab.portfolio(at=1_200)                  as of an entry of the ledger
    lab.portfolio(at="2026-06-01 12:30")     as it was known at a moment, UTC

Without a desk the ledger is folded here, by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from html import escape
from operator import index
from typing import Any, SupportsIndex, TypeAlias

import plotly.graph_objects as go
import polars as pl

from mexclab.config import Settings
from mexclab.domain.clock import utc, written
from mexclab.domain.events import DaemonStarted
from mexclab.domain.market import Symbol
from mexclab.errors import DeskError
from mexclab.notebook import plots_portfolio
from mexclab.notebook.bars import Moment, moment_ns
from mexclab.notebook.display import frame_html, mode_html, rows_html
from mexclab.notebook.mode import before
from mexclab.notebook.portfolio_client import PortfolioClient
from mexclab.notebook.record import NOTHING, daemon, read
from mexclab.trading.lookback import NOW, Cut, Past
from mexclab.trading.statement import World, statement
from mexclab.trading.statement_pages import attribution_page, balances_page, curve_page, stress_page

Told: TypeAlias = Mapping[str, Any]
Prices: TypeAlias = Mapping[Symbol, Decimal]
Closes: TypeAlias = Callable[[Sequence[Symbol], int], Prices]
POINTS = 2_000  # of the equity curve
SHOWN = 12  # shares in the display; the rest is in the tables
_UTC = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A portfolio at one entry of the ledger. Money in the frames is float64; in the pages it is exact text.

    Attributes:
        page, shares, curve, stresses, balance: what the API answers at ``/portfolio``, ``/attribution``,
            ``/curve``, ``/stress`` and ``/balances``.
        source: where it was read.
    """

    page: Told = field(repr=False)
    shares: Told = field(repr=False)
    curve: Told = field(repr=False)
    stresses: Told = field(repr=False)
    balance: Told = field(repr=False)
    source: str

    @property
    def is_empty(self) -> bool:
        """Whether there is no ledger behind it."""
        return not self.page["seq"]

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not known, and so is in no sum."""
        return tuple(self.page["missing"])

    # -- frames ----------------------------------------------------------------------------------

    @property
    def positions(self) -> pl.DataFrame:
        """A row per symbol that is held: quantity, average_cost, cost, price, value, unrealised, gain and
        share (fractions), stop, strategy, why."""
        names = ("quantity", "average_cost", "cost", "price", "value", "unrealised")
        rows = [
            (row["symbol"], *(_float(row[name]) for name in names), row["unrealised_fraction"], row["share"],
             _float(row["stop"]), row["strategy"], row["why"] or None)
            for row in self.page["positions"]
        ]  # fmt: skip
        numbers = dict.fromkeys((*names, "gain", "share", "stop"), pl.Float64)
        return _frame(rows, {"symbol": pl.String, **numbers, "strategy": pl.String, "why": pl.String})

    @property
    def by_symbol(self) -> pl.DataFrame:
        """A row per symbol that was traded: snipes, closed, won, win_rate, realised, unrealised, profit."""
        return _shares(self.shares["by_symbol"])

    @property
    def by_strategy(self) -> pl.DataFrame:
        """The same by strategy."""
        return _shares(self.shares["by_strategy"])

    @property
    def fees(self) -> pl.DataFrame:
        """A row per asset in which fees were paid: amount, and worth in quote units (null: no price)."""
        rows = [(row["asset"], _float(row["amount"]), _float(row["worth"])) for row in self.page["fees"]]
        return _frame(rows, {"asset": pl.String, "amount": pl.Float64, "worth": pl.Float64})

    @property
    def points(self) -> pl.DataFrame:
        """The equity curve: at (UTC), kind, equity, realised, unrealised, exposure, drawdown (fraction), and
        ``known``: whether everything held had a price."""
        names = ("equity", "realised", "unrealised", "exposure", "drawdown")
        rows = [
            (utc(row["at_ns"]), row["kind"], *(_float(row[name]) for name in names),
             row["unrealised"] is not None and not row["unpriced"])
            for row in self.curve["points"]
        ]  # fmt: skip
        numbers = dict.fromkeys(names, pl.Float64)
        return _frame(rows, {"at": _UTC, "kind": pl.String, **numbers, "known": pl.Boolean})

    @property
    def stress(self) -> pl.DataFrame:
        """A row per scenario: loss, loss_with_stop, saved, exit_cost, fraction (of the equity), unpriced,
        words."""
        names = ("loss", "loss_with_stop", "saved", "exit_cost")
        rows = [
            (row["scenario"], *(_float(row[name]) for name in names), row["fraction"],
             ", ".join(row["unpriced"]) or None, row["words"])
            for row in self.stresses["totals"]
        ]  # fmt: skip
        numbers = dict.fromkeys((*names, "fraction"), pl.Float64)
        return _frame(rows, {"scenario": pl.String, **numbers, "unpriced": pl.String, "words": pl.String})

    @property
    def stress_by_position(self) -> pl.DataFrame:
        """A row per scenario and holding: value, loss, loss_with_stop, saved, exit_cost, unsold, stop,
        words."""
        names = ("value", "loss", "loss_with_stop", "saved", "exit_cost", "unsold", "stop")
        rows = [
            (row["scenario"], row["name"], *(_float(row[name]) for name in names), row["words"])
            for row in self.stresses["rows"]
        ]
        numbers = dict.fromkeys(names, pl.Float64)
        return _frame(rows, {"scenario": pl.String, "name": pl.String, **numbers, "words": pl.String})

    @property
    def balances(self) -> pl.DataFrame:
        """A row per asset, money as exact text: ledger, venue, difference, words."""
        names = ("asset", "ledger", "venue", "difference", "words")
        rows = [tuple(row[name] for name in names) for row in self.balance["rows"]]
        return _frame(rows, dict.fromkeys(names, pl.String))

    # -- figures ---------------------------------------------------------------------------------

    def figure(self) -> go.Figure:
        """The equity and its falls."""
        return plots_portfolio.equity(self.points, self.page["quote"])

    def shares_figure(self, by: str = "symbol") -> go.Figure:
        """Who earned it.

        Args:
            by: ``symbol`` or ``strategy``.
        """
        table = self.by_strategy if by == "strategy" else self.by_symbol
        return plots_portfolio.shares(table, self.page["quote"], f"Profit by {by}")

    def stress_figure(self) -> go.Figure:
        """What bad hours would cost."""
        return plots_portfolio.stress(self.stress, self.page["quote"])

    # -- itself ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return "\n".join([before(self.page["mode"], title(self)), *(f"  {line}" for line in _lines(self))])

    def _repr_html_(self) -> str:
        head = mode_html(self.page["mode"], title(self))
        if self.is_empty:
            return head
        parts = [
            rows_html(sums(self)),
            _list(self.missing),
            _part("Positions", _percent(self.positions, "gain", "share"), "Nothing is held."),
            f"<p>{escape(bets(self))}</p>",
            _part("By strategy", _percent(self.by_strategy, "win_rate"), "Nothing has been traded yet."),
            _part("By symbol", _percent(self.by_symbol.head(SHOWN), "win_rate"), ""),
            _part("Bad hours: losses in " + self.page["quote"], _percent(self.stress, "fraction"), ""),
            _part(f"Balances against the venue: {self.balance['words']}", self.balances, ""),
        ]
        return head + "".join(parts)


def title(told: Portfolio) -> str:
    """When, from where, and what it comes to, in a line."""
    if told.is_empty:
        return f"No portfolio: {told.source if told.source == NOTHING else 'the ledger begins later'}"
    page, quote = told.page, told.page["quote"]
    when = f"entry {page['seq']:,}, {written(page['at_ns'])}"
    equity = "unknown" if page["equity"] is None else _money(page["equity"])
    return f"equity {equity} {quote}, {len(page['positions'])} positions; {when}, from {told.source}"


def sums(told: Portfolio) -> list[tuple[str, str]]:
    """The money, by name, with its unit."""
    page, quote = told.page, told.page["quote"]
    names = (
        ("equity", "equity"), ("cash", "cash"), ("held at the best bids", "exposure"),
        ("profit after fees", "profit"), ("realised", "realised"), ("realised today (UTC)", "today"),
        ("on paper", "unrealised"), ("fees in other assets", "other_fees"),
    )  # fmt: skip
    rows = [(name, "unknown" if page[key] is None else f"{_money(page[key])} {quote}") for name, key in names]
    paid = ", ".join(f"{row['amount']} {row['asset']}" for row in page["fees"]) or "none"
    results = page["results"]
    rate = "" if results["win_rate"] is None else f" ({results['win_rate']:.0%})"
    return [*rows, ("fees paid", paid), ("snipes won", f"{results['won']} of {results['closed']}{rate}")]


def bets(told: Portfolio) -> str:
    """How many bets the holdings are, in a sentence."""
    row = told.page["diversification"]
    if row["hhi"] is None:
        return f"Diversification is not known: {row['why']}."
    words = [f"Concentration (HHI) {row['hhi']:.2f}: as {row['effective_holdings']:.1f} equal holdings"]
    if row["effective_bets"] is not None:
        words.append(f"{row['effective_bets']:.1f} uncorrelated bets")
    if row["clusters"]:
        groups = "; ".join(" + ".join(group) for group in row["clusters"])
        words.append(f"moving together from a correlation of {row['cluster_correlation']}: {groups}")
    return ", ".join(words) + (f" ({row['why']})" if row["why"] else "") + "."


def _lines(told: Portfolio) -> Iterator[str]:
    if told.is_empty:
        return
    yield from (f"{name}: {text}" for name, text in sums(told))
    for row in told.page["positions"]:
        gain = row["why"] or f"{_money(row['unrealised'])} on paper"
        yield f"HELD {row['symbol']} {row['quantity']} at {row['average_cost']}: {gain}"
    yield bets(told)
    yield f"balances: {told.balance['words']}"
    yield from told.missing


def portfolio(
    settings: Settings,
    at: Moment | None = None,
    prices: Prices | None = None,
    closes: Closes | None = None,
) -> Portfolio:
    """The portfolio now or at an earlier entry; the running desk is asked, without one the ledger is read.

    Args:
        settings: where the data lies.
        at: an entry's number, or a moment; None: the last entry.
        prices: to value what is held, instead of what the desk knows.
        closes: the last closing prices before a moment (ns), where no desk knows better ones.

    Raises:
        ParameterError: the ledger has no such entry, or that is no moment.
        DeskError: the desk has no such entry.
        LedgerError: the ledger cannot be read.
    """
    place = _place(at)
    client = daemon(settings) if prices is None else None
    if client is not None:
        with client:
            return _asked(client.portfolio, place)
    record = read(settings)
    past = Past().grow(record.events, Cut.read(place) if place else NOW)
    mode = ""
    for seq, event in record.events:
        if seq <= past.seq and isinstance(event, DaemonStarted):
            mode = event.mode
    held = [position.symbol for position in past.desk.portfolio.held]
    known = dict(prices) if prices is not None else dict(closes(held, past.at_ns)) if closes and held else {}
    world = World(mode, settings.paper.quote_asset, past.seq, past.at_ns, past=True, prices=known)
    return Portfolio(
        page=asdict(statement(past.desk, world)),
        shares=asdict(attribution_page(past.shares, world)),
        curve=asdict(curve_page(past.curve.points, world, POINTS)),
        stresses=asdict(stress_page(past.desk, world)),
        balance=asdict(balances_page(past.desk, world, None)),
        source=record.source if record.events else NOTHING,
    )


def _place(at: Moment | None) -> str | None:
    """An entry's number or a moment, as the API takes it."""
    if at is None or at == "":
        return None
    if isinstance(at, SupportsIndex):
        return str(index(at))
    if isinstance(at, str):
        return at
    at_ns = moment_ns(at)
    return None if at_ns is None else utc(at_ns).isoformat()


def _asked(client: PortfolioClient, place: str | None) -> Portfolio:
    page = client.page(place)
    try:
        balance = client.balances() if place is None else _PAST_BALANCES
    except DeskError as silent:  # everything else is still worth a look
        balance = {"rows": [], "agrees": None, "words": f"not known: {silent}"}
    return Portfolio(
        page=page,
        shares=client.attribution(place),
        curve=client.curve(place, POINTS),
        stresses=client.stress(place),
        balance=balance,
        source="the daemon",
    )


_PAST_BALANCES: Told = {"rows": [], "agrees": None, "words": "the venue tells only those of now"}
_SHARE_NUMBERS = ("bought", "sold", "realised", "unrealised", "profit")


def _shares(rows: Sequence[Told]) -> pl.DataFrame:
    cells = [
        (row["name"], row["snipes"], row["closed"], row["won"], row["win_rate"],
         *(_float(row[name]) for name in _SHARE_NUMBERS),
         ", ".join(f"{fee['amount']} {fee['asset']}" for fee in row["fees"]))
        for row in rows
    ]  # fmt: skip
    counts = dict.fromkeys(("snipes", "closed", "won"), pl.Int64)
    numbers = dict.fromkeys(("win_rate", *_SHARE_NUMBERS), pl.Float64)
    return _frame(cells, {"name": pl.String, **counts, **numbers, "fees": pl.String})


def _frame(rows: Sequence[Sequence[Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(schema), orient="row")


def _percent(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Fractions as people read them; the frames themselves keep their numbers."""
    return frame.with_columns(pl.format("{} %", (100 * pl.col(name)).round(2)).alias(name) for name in names)


def _float(text: str | None) -> float | None:
    return None if text is None else float(text)


def _money(text: str) -> str:
    return f"{Decimal(text):,.4f}"


def _part(title: str, frame: pl.DataFrame, empty: str) -> str:
    if not frame.height:
        return f"<p><b>{escape(title)}</b> {escape(empty)}</p>" if empty else ""
    return f"<p><b>{escape(title)}</b></p>{frame_html(frame)}"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
