"""``lab.portfolio()``: what is held, who earned it, when, and what could become of it.

::

    lab.portfolio()                          now; the running desk is asked
    lab.portfolio(at=1_200)                  as of an entry of the ledger
    lab.portfolio(at="2026-06-01 12:30")     as it was known at a moment, UTC

Without a desk the ledger is folded here, by the same functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from html import escape
from typing import Any, TypeAlias

import plotly.graph_objects as go
import polars as pl

from mexclab.domain.clock import utc, written
from mexclab.errors import ParameterError
from mexclab.notebook import plots_portfolio
from mexclab.notebook.display import Table, mode_html, money, rows_html
from mexclab.notebook.mode import before
from mexclab.notebook.record import NOTHING

Told: TypeAlias = Mapping[str, Any]
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
    def is_at_stake(self) -> bool:
        """Whether any bad hour would cost anything that can be priced."""
        return any(Decimal(row["loss"] or 0) for row in self.stresses["totals"])

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

    def table(self, name: str, title: str = "") -> Table:
        """One of these frames as people read it, with a sentence where there is nothing to show.

        Args:
            name: ``positions``, ``by_symbol``, ``by_strategy``, ``fees``, ``stress``, ``stress_by_position``
                or ``balances``.
            title: above it; "": the usual one.

        Raises:
            ParameterError: there is no such table.
        """
        if name not in _LOOKS:
            raise ParameterError(f"There is no table {name!r}; there are {', '.join(_LOOKS)}.")
        usual, empty, percent = _LOOKS[name]
        frame: pl.DataFrame = getattr(self, name)
        if name.startswith("stress") and not self.is_at_stake:
            frame = frame.clear()
        amounts = tuple(column for column in frame.columns if column in _MONEY)
        if "fees" in frame.columns:
            frame = frame.with_columns(
                fees=pl.Series([_short(fees) for fees in frame["fees"]], dtype=pl.String)
            )
        unit = self.page["quote"] if amounts else ""
        return Table(
            title or usual.format(unit=unit, words=self.balance["words"]), frame, empty, percent, amounts
        )

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
            self.table("positions")._repr_html_(),
            f"<p>{escape(bets(self))}</p>",
            self.table("by_strategy")._repr_html_(),
            replace(self.table("by_symbol"), most=SHOWN)._repr_html_() if self.shares["by_symbol"] else "",
            self.table("stress")._repr_html_() if self.is_at_stake else "",
            self.table("balances")._repr_html_() if self.balance["rows"] else "",
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
    paid = _short(", ".join(f"{row['amount']} {row['asset']}" for row in page["fees"])) or "none"
    results = page["results"]
    rate = "" if results["win_rate"] is None else f" ({results['win_rate']:.0%})"
    return [*rows, ("fees paid", paid), ("snipes won", f"{results['won']} of {results['closed']}{rate}")]


def answer(told: Portfolio) -> str:
    """What it comes to and what the worst of the bad hours would cost, in sentences."""
    sentences = [f"**{title(told)}.**"]
    if not told.is_empty:
        if told.is_at_stake:
            worst = told.stress.sort("loss_with_stop").tail(1).to_dicts()[0]
            cost = f"{worst['loss_with_stop']:,.2f} {told.page['quote']}"
            sentences.append(f"The worst hour of the five ({worst['words']}) costs {cost}.")
        sentences += [f"Not known: {sentence}." for sentence in told.missing]
    return " ".join(sentences)


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


NOTHING_EARNED = "nothing has been traded yet, so nobody earned anything"
NOTHING_AT_STAKE = "nothing that can be priced is at stake"
_LOOKS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "positions": ("Positions", "nothing is held", ("gain", "share")),
    "by_symbol": ("By symbol, in {unit}", NOTHING_EARNED, ("win_rate",)),
    "by_strategy": ("By strategy, in {unit}", NOTHING_EARNED, ("win_rate",)),
    "fees": ("Fees, by the asset in which they were taken; worth in {unit}", "no fee was paid yet", ()),
    "stress": ("Bad hours, everything together: losses in {unit}", NOTHING_AT_STAKE, ("fraction",)),
    "stress_by_position": ("What becomes of each holding, in {unit}", "nothing is held", ()),
    "balances": ("Balances against the venue: {words}", "there is nothing to compare", ()),
}  # fmt: skip
_MONEY = frozenset(
    {"cost", "value", "unrealised", "bought", "sold", "realised", "profit", "worth", "loss", "loss_with_stop",
     "saved", "exit_cost", "amount"}
)  # fmt: skip
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


def _float(text: str | None) -> float | None:
    return None if text is None else float(text)


def _short(fees: str) -> str:
    """Fees as text, ``AMOUNT ASSET, ...``, with as many digits as money has."""
    pairs = (each.split(" ") for each in fees.split(", ") if each)
    return ", ".join(f"{money(float(amount))} {asset}" for amount, asset in pairs)


def _money(text: str) -> str:
    return f"{Decimal(text):,.4f}"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
