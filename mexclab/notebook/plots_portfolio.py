"""The figures of a portfolio: the equity and its falls, who earned it, what bad hours would cost."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from mexclab.notebook.plots import BLUE, GREEN, GREY, INK, ORANGE, RED, nothing
from mexclab.notebook.plots_similarity import TEMPLATE

MOST_BARS = 24  # shares in one figure


def equity(points: pl.DataFrame, quote: str) -> go.Figure:
    """The equity, mark by mark and close by close, over its fall from the highest.

    Args:
        points: at (UTC), kind, equity, drawdown (fraction), known; in order of time.
        quote: the unit of the money.
    """
    if not points.height:
        return nothing("No equity was ever marked: the ledger holds no start of a desk.")
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.05)
    figure.add_scatter(
        x=points["at"].to_list(), y=points["equity"], mode="lines", name="equity", row=1, col=1,
        line={"color": BLUE, "width": 1.6, "shape": "hv"},
    )  # fmt: skip
    looks = (
        ("close", True, GREEN, "circle", "close"),
        ("close", False, ORANGE, "circle-open", "close, at cost"),
    )
    for kind, known, colour, symbol, name in looks:
        part = points.filter((pl.col("kind") == kind) & (pl.col("known") == known))
        if part.height:
            figure.add_scatter(
                x=part["at"].to_list(), y=part["equity"], mode="markers", name=name, row=1, col=1,
                marker={"color": colour, "size": 7, "symbol": symbol},
            )  # fmt: skip
    figure.add_scatter(
        x=points["at"].to_list(), y=-points["drawdown"], mode="lines", name="fall from the highest",
        fill="tozeroy", line={"color": RED, "width": 1, "shape": "hv"}, row=2, col=1,
    )  # fmt: skip
    figure.update_layout(template=TEMPLATE, title="Equity", height=420)
    figure.update_yaxes(title_text=quote, row=1, col=1)
    figure.update_yaxes(title_text="fall", tickformat=".1%", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title_text="UTC", row=2, col=1)
    return figure


def shares(table: pl.DataFrame, quote: str, title: str) -> go.Figure:
    """What each symbol or strategy earned after fees, the largest first.

    Args:
        table: name, profit (null: not known), realised; a row per share.
        quote: the unit of the money.
        title: above the figure.
    """
    if not table.height:
        return nothing("Nothing has been traded yet, so nobody earned anything.")
    shown = table.head(MOST_BARS)[::-1]
    known = shown["profit"].is_not_null()
    worth = shown["profit"].fill_null(0).to_list()
    colours = [GREY if not k else GREEN if v > 0 else RED for k, v in zip(known, worth, strict=True)]
    figure = go.Figure()
    figure.add_bar(
        x=shown["profit"].fill_null(shown["realised"]), y=shown["name"].to_list(), orientation="h",
        marker_color=colours, showlegend=False,
    )  # fmt: skip
    more = table.height - shown.height
    rest = f"; {more} more in the table" if more else ""
    grey = "; grey: realised alone, a price is missing" if not known.all() else ""
    figure.update_layout(template=TEMPLATE, title=f"{title}{rest}{grey}", height=170 + 22 * shown.height)
    figure.update_xaxes(title_text=f"{quote} after fees", zeroline=True, zerolinecolor=INK)
    figure.update_yaxes(automargin=True)
    return figure


def stress(totals: pl.DataFrame, quote: str) -> go.Figure:
    """What each scenario costs, with the stops and without.

    Args:
        totals: scenario, loss, loss_with_stop; a row per scenario.
        quote: the unit of the money.
    """
    if not totals.height or not totals["loss"].abs().sum():
        return nothing("Nothing that can be priced is at stake, so no scenario costs anything.")
    figure = go.Figure()
    names = totals["scenario"].to_list()
    figure.add_bar(x=names, y=totals["loss"], name="without a stop", marker_color=GREY)
    figure.add_bar(x=names, y=totals["loss_with_stop"], name="with the stop", marker_color=RED)
    figure.update_layout(template=TEMPLATE, title="What a bad hour would cost", barmode="group", height=360)
    figure.update_yaxes(title_text=f"loss, {quote}", zeroline=True, zerolinecolor=INK)
    return figure
