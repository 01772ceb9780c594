"""``lab.quality()``: which symbols' bars can be trusted, in a table and four figures."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import pandas as pd
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from mexclab.errors import NotEnoughData
from mexclab.notebook.bars import Bars
from mexclab.notebook.display import Table
from mexclab.notebook.plots import BLUE, GREEN, GREY, ORANGE, RED
from mexclab.notebook.plots_similarity import TEMPLATE
from mexclab.research import wash
from mexclab.research.quality import CARE, GOOD, POOR, Quality, QualityOptions, quality
from mexclab.research.wash import wash_suspicion

GRADES = {GOOD: GREEN, CARE: ORANGE, POOR: RED}
SHOWN = 40  # symbols in a figure: the worst of them
_MARKS = {GOOD: "circle", CARE: "diamond", POOR: "x"}  # told apart without colour, too
_SHARES = [(0.0, "#ffffff"), (0.1, "#fee0b6"), (0.5, "#e08214"), (1.0, "#7f3b08")]
_MEASURES = {
    "zero_volume": "minutes without trades",
    "frozen": "frozen prices",
    "missing": "missing bars",
}


def look_at(
    bars: Bars, interval_ns: int, remark: str = "", options: QualityOptions | None = None
) -> QualityLab:
    """What can be said of these bars; read once.

    Args:
        remark: what kind of bars they are.

    Raises:
        NotEnoughData: there is no bar.
    """
    rows = bars.collect()
    if not rows.height:
        raise NotEnoughData(bars.why_empty)
    found = quality(rows, interval_ns, options or QualityOptions())
    return QualityLab(found, wash_suspicion(rows.sort("symbol", "ts")), remark)


@dataclass(frozen=True, slots=True)
class QualityLab:
    """What was found, ready to be shown.

    Attributes:
        found: the figures behind it; see :class:`mexclab.research.quality.Quality`.
        wash: what each symbol's volume looks like; see :func:`mexclab.research.wash.wash_suspicion`.
        remark: what kind of bars these are; "" for the lake's own.
    """

    found: Quality
    wash: pl.DataFrame
    remark: str = ""

    @property
    def table(self) -> pl.DataFrame:
        """A row per symbol, the worst first: grade, faults, shares, and whether its volume is suspicious."""
        suspicion = self.wash.select("symbol", "suspicion")
        return self.found.table.join(suspicion, on="symbol", how="left", maintain_order="left")

    @property
    def usable(self) -> list[str]:
        """The symbols without a fault and without suspicious volume, sorted."""
        plain = (pl.col("grade") == GOOD) & (pl.col("suspicion") != wash.SUSPICIOUS).fill_null(True)
        return sorted(self.table.filter(plain)["symbol"])

    def to_pandas(self) -> pd.DataFrame:
        """The table as pandas."""
        return self.table.to_pandas()

    @property
    def verdict(self) -> str:
        """One sentence."""
        table, symbols = self.table, self.found.table.height
        counts = ", ".join(f"{len(self.found.of(grade))} {grade}" for grade in GRADES)
        doubt = int((table["suspicion"] == wash.SUSPICIOUS).sum())
        volume = f"; the volume of {doubt} is suspicious" if doubt else ""
        return f"{symbols} symbols: {counts}{volume}; {len(self.usable)} have neither fault nor suspicion"

    @property
    def faulty(self) -> Table:
        """The symbols that have a fault, with its size."""
        rows = self.table.filter(pl.col("grade") != GOOD).select(
            "symbol", "grade", "faults", "missing", pl.col("zero_volume", "frozen").round(3),
            "longest_frozen", "spikes", pl.col("off_tick").round(3), pl.col("suspicion").alias("volume"),
        )  # fmt: skip
        return Table(f"{rows.height} symbols with a fault", rows, "no symbol has a fault")

    @property
    def outliers(self) -> Table:
        """The largest jumps: the bar's return, and that in robust standard deviations of its symbol."""
        rows = self.found.outliers
        return Table(f"{rows.height:,} jumps, the largest first", rows, "no bar jumped", percent=("move",))

    # -- figures ---------------------------------------------------------------------------------

    def figure(self, measure: str = "zero_volume") -> go.Figure:
        """A day per column, a symbol per row: the share of its bars that have a fault.

        Args:
            measure: ``zero_volume``, ``frozen`` or ``missing``.
        """
        worst = self.found.table["symbol"].head(SHOWN).to_list()
        days = self.found.days.filter(pl.col("symbol").is_in(worst))
        grid = days.pivot("symbol", index="day", values=measure, aggregate_function="first").sort("day")
        names = [name for name in reversed(worst) if name in grid.columns]
        figure = go.Figure(
            go.Heatmap(
                x=grid["day"].to_list(), y=names, z=grid.select(names).to_numpy().T, zmin=0, zmax=1,
                colorscale=_SHARES, xgap=1, ygap=1, colorbar={"title": "share", "tickformat": ".0%"},
                hovertemplate="%{y}, %{x|%Y-%m-%d}: %{z:.1%}<extra></extra>",
            )
        )  # fmt: skip
        rest = self.found.table.height - len(names)
        more = f" ({rest} more symbols not shown)" if rest else ""
        figure.update_layout(
            template=TEMPLATE, title=f"{_MEASURES[measure].capitalize()}, by day{more}",
            height=180 + 14 * len(names),
        )  # fmt: skip
        figure.update_xaxes(title_text="day, UTC")
        figure.update_yaxes(dtick=1, tickfont={"size": 10}, automargin=True, showgrid=False)
        return figure

    def faults_figure(self) -> go.Figure:
        """Where each symbol stands between minutes without trades and frozen prices."""
        figure = go.Figure()
        for grade, colour in GRADES.items():
            rows = self.table.filter(pl.col("grade") == grade)
            if rows.height:
                figure.add_scatter(
                    x=rows["zero_volume"], y=rows["frozen"], mode="markers", name=f"{grade} ({rows.height})",
                    text=rows["symbol"],
                    marker={"color": colour, "size": 10, "opacity": 0.8, "symbol": _MARKS[grade]},
                    hovertemplate="%{text}: %{x:.1%} without trades, %{y:.1%} frozen<extra></extra>",
                )  # fmt: skip
        for row in self.table.filter(pl.col("grade") == POOR).head(12).to_dicts():
            figure.add_annotation(
                x=row["zero_volume"], y=row["frozen"], text=row["symbol"], showarrow=False, xanchor="right",
                xshift=-9, font={"size": 11},
            )  # fmt: skip
        figure.update_layout(template=TEMPLATE, title="A price that nobody trades stands still", height=420)
        figure.update_xaxes(title_text="share of bars without trades", tickformat=".0%", range=[-0.03, 1.03])
        figure.update_yaxes(title_text="share of bars in frozen runs", tickformat=".0%", range=[-0.03, 1.05])
        return figure

    def outlier_figure(self) -> go.Figure:
        """Every jump in time; those that the next bar takes back are marked."""
        figure = go.Figure()
        for is_spike, name, colour, shape in (
            (False, "jump", BLUE, "circle"),
            (True, "spike: taken back by the next bar", RED, "x"),
        ):
            rows = self.found.outliers.filter(pl.col("spike") == is_spike)
            figure.add_scatter(
                x=rows["ts"].to_list(), y=rows["move"], mode="markers", name=f"{name} ({rows.height:,})",
                text=rows["symbol"], customdata=rows["sigmas"],
                marker={"color": colour, "symbol": shape, "size": 6, "opacity": 0.6},
                hovertemplate="%{text}, %{x|%Y-%m-%d %H:%M}: %{y:+.1%} (%{customdata:.0f} σ)<extra></extra>",
            )  # fmt: skip
        bound = self.found.options.jump
        title = f"Bars that moved more than {bound:g} robust standard deviations of their symbol"
        figure.update_layout(template=TEMPLATE, title=title, height=400)
        figure.update_xaxes(title_text="UTC")
        figure.update_yaxes(title_text="return of the bar", tickformat="+.0%")
        return figure

    def wash_figure(self) -> go.Figure:
        """How volume follows moves, and how unlike its amounts are: markets lie in the upper right."""
        rows = self.wash.filter(pl.col("moves").is_not_null() & pl.col("spread").is_not_null())
        figure = make_subplots(cols=2, column_widths=[0.68, 0.32], horizontal_spacing=0.12)
        looks = {wash.SUSPICIOUS: RED, wash.UNCLEAR: ORANGE, wash.UNSUSPICIOUS: GREEN, wash.TOO_FEW: GREY}
        for word, colour in looks.items():
            some = rows.filter(pl.col("suspicion") == word)
            if some.height:
                figure.add_scatter(
                    x=some["spread"], y=some["moves"], mode="markers", name=word, text=some["symbol"],
                    marker={"color": colour, "size": 9, "opacity": 0.8},
                    hovertemplate="%{text}: spread %{x:.2f}, correlation %{y:.2f}<extra></extra>",
                    row=1, col=1,
                )  # fmt: skip
        counts = self.wash["suspicion"].value_counts(sort=True)
        figure.add_bar(
            x=counts["suspicion"], y=counts["count"], marker_color=[looks[w] for w in counts["suspicion"]],
            showlegend=False, row=1, col=2,
        )  # fmt: skip
        figure.update_layout(
            template=TEMPLATE, title="Does volume behave as if people traded it?", height=420
        )
        figure.update_xaxes(title_text="spread of amounts, (q75 - q25) / (q75 + q25)", row=1, col=1)
        figure.update_yaxes(title_text="rank correlation of turnover with |return|", row=1, col=1)
        figure.update_yaxes(title_text="symbols", row=1, col=2)
        return figure

    def __repr__(self) -> str:
        return f"{self.verdict}{self.remark}\n{self.faulty!r}"

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.verdict + self.remark)}</b></p>{self.faulty._repr_html_()}"
