"""The figures of the notebooks, in the look of ``plots_similarity``. Each takes a frame.

Colours are Okabe and Ito's, which colour-blind readers tell apart (jfly.uni-koeln.de/color).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from mexclab.domain.market import Symbol
from mexclab.errors import DomainError
from mexclab.notebook.plots_similarity import TEMPLATE

BLUE, ORANGE, GREEN, RED, PINK, SKY, GREY, INK = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c959f", "#212529",
)  # fmt: skip
PHASES = (
    "first seen", "signal", "planned", "retimed", "preflight", "armed", "loaded", "scheduled", "fired",
    "written", "acknowledged", "first fill", "leaving", "exit", "closed", "aborted", "missed",
)  # fmt: skip
_PHASE_LOOKS = (  # a colour that comes twice comes in another shape
    (GREY, "circle"), (SKY, "circle"), (BLUE, "circle"), (PINK, "circle"), (GREY, "square"),
    (ORANGE, "circle"), (SKY, "triangle-up"), (INK, "line-ns-open"), (RED, "circle"), (BLUE, "diamond"),
    (GREEN, "circle"), (GREEN, "star"), (PINK, "square"), (ORANGE, "square"), (INK, "x"), (RED, "x"),
    (PINK, "x"),
)  # fmt: skip
SHOT_PHASES = ("scheduled", "released", "written", "acknowledged", "refused", "first fill")
_SHOT_LOOKS = (
    (INK, "line-ns-open"), (ORANGE, "circle"), (BLUE, "diamond"), (GREEN, "circle-open"), (RED, "x"),
    (PINK, "star"),
)  # fmt: skip
_FIRST_S = 1e-4  # where a logarithmic axis of time begins


def candles(bars: pl.DataFrame, title: str = "") -> go.Figure:
    """Candles with volume below.

    Args:
        bars: symbol, ts, open, high, low, close, volume of one symbol, oldest first.
        title: above the figure.
    """
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.78, 0.22], vertical_spacing=0.03)
    numbers = {name: bars[name].to_numpy() for name in ("open", "high", "low", "close")}
    colours = {"increasing": {"line": {"color": GREEN}}, "decreasing": {"line": {"color": RED}}}
    figure.add_candlestick(x=bars["ts"].to_list(), **numbers, **colours, name="price", row=1, col=1)
    figure.add_bar(x=bars["ts"].to_list(), y=bars["volume"], marker_color=GREY, name="volume", row=2, col=1)
    figure.update_layout(
        template=TEMPLATE, title=title, showlegend=False, xaxis_rangeslider_visible=False, height=420
    )
    base, quote = _units(bars)
    figure.update_yaxes(title_text=f"price{quote}", row=1, col=1)
    figure.update_yaxes(title_text=f"volume{base}", row=2, col=1)
    figure.update_xaxes(title_text="UTC", row=2, col=1)
    return figure


def _units(bars: pl.DataFrame) -> tuple[str, str]:
    """The base and the quote asset as axes name them; nothing where the name is no pair."""
    try:
        pair = Symbol.parse(str(bars["symbol"][0]))
    except DomainError:
        return "", ""
    return f", {pair.base}", f", {pair.quote}"


def closes(bars: pl.DataFrame, title: str = "") -> go.Figure:
    """Closing prices of several symbols, each relative to its own first one.

    Args:
        bars: symbol, ts, close, in order of time.
        title: above the figure.
    """
    figure = go.Figure()
    for (name,), part in bars.group_by("symbol", maintain_order=True):
        relative = part["close"] / part["close"][0] - 1.0
        figure.add_scatter(x=part["ts"].to_list(), y=relative, name=str(name), mode="lines", line_width=1.3)
    figure.update_layout(template=TEMPLATE, title=title, height=360)
    figure.update_yaxes(tickformat="+.0%", title_text="since the first bar")
    figure.update_xaxes(title_text="UTC")
    return figure


def lead_histogram(lead_h: Sequence[float], floor_h: float) -> go.Figure:
    """How many hours before their opening listings were first seen; ``floor_h`` is what is asked for."""
    leads = np.asarray(lead_h, dtype=np.float64)
    figure = go.Figure()
    figure.add_histogram(
        x=leads, xbins={"size": 1.0}, marker={"color": BLUE, "line": {"width": 1, "color": "white"}}
    )
    figure.add_vline(
        x=floor_h,
        line={"color": RED, "dash": "dash"},
        annotation_text=f"the floor of {floor_h:g} h",
        annotation_x=floor_h,
    )
    met = int((leads >= floor_h).sum())
    title = f"{met} of {len(leads)} listings were first seen at least {floor_h:g} h before they opened"
    figure.update_layout(template=TEMPLATE, title=title, height=320, bargap=0.02)
    figure.update_xaxes(title_text="hours before the opening")
    figure.update_yaxes(title_text="listings", dtick=max(1, len(leads) // 8))
    return figure


def timeline(phases: pl.DataFrame) -> go.Figure:
    """When each step of each snipe came, before the opening and after it, on logarithmic axes of time.

    Args:
        phases: symbol, phase, since_open_s, detail; a row per step.
    """
    figure = make_subplots(
        cols=2, shared_yaxes=True, horizontal_spacing=0.02, column_widths=[0.4, 0.6],
        subplot_titles=("before the opening", "after the opening"),
    )  # fmt: skip
    kinds = phases.with_columns(kind=pl.col("phase").str.replace(r"^exit .*", "exit"))
    for name, look in zip(PHASES, _PHASE_LOOKS, strict=True):
        rows = kinds.filter(pl.col("kind") == name)
        shown = True
        for column, part in enumerate(
            (rows.filter(pl.col("since_open_s") < 0), rows.filter(pl.col("since_open_s") >= 0)), start=1
        ):
            if part.height:
                figure.add_scatter(**_dots(part, name, look), showlegend=shown, row=1, col=column)
                shown = False
    ticks = {"tickvals": [1e-4, 1e-3, 1e-2, 0.1, 1, 10, 60, 600, 3600, 36_000, 86_400, 864_000]}
    ticks["ticktext"] = [
        "≤ 100 µs",  # what came sooner stands here too
        "1 ms",
        "10 ms",
        "0.1 s",
        "1 s",
        "10 s",
        "1 min",
        "10 min",
        "1 h",
        "10 h",
        "1 d",
        "10 d",
    ]
    figure.update_xaxes(type="log", **ticks)
    figure.update_xaxes(autorange="reversed", row=1, col=1)
    symbols = list(dict.fromkeys(phases["symbol"]))
    figure.update_yaxes(categoryorder="array", categoryarray=symbols[::-1], automargin=True)
    figure.update_layout(template=TEMPLATE, height=210 + 34 * len(symbols))
    return figure


def _dots(part: pl.DataFrame, name: str, look: tuple[str, str]) -> dict[str, object]:
    colour, symbol = look
    return {
        "x": part["since_open_s"].abs().clip(lower_bound=_FIRST_S),
        "y": part["symbol"].to_list(),
        "name": name,
        "legendgroup": name,
        "mode": "markers",
        "marker": {"color": colour, "size": 9, "symbol": symbol},
        "text": part["detail"].to_list(),
        "hovertemplate": f"%{{y}}<br>{name}: %{{text}}<extra></extra>",
    }


def profits(table: pl.DataFrame) -> go.Figure:
    """What each entered snipe earned, after fees, and the sum so far.

    Args:
        table: symbol, opens, profit; a row per snipe, by opening.
    """
    figure = go.Figure()
    names = [f"{symbol} {opens:%d %b %H:%M}" for symbol, opens in table.select("symbol", "opens").rows()]
    colours = [GREEN if profit > 0 else RED for profit in table["profit"]]
    figure.add_bar(x=names, y=table["profit"], marker_color=colours, name="each")
    figure.add_scatter(x=names, y=table["profit"].cum_sum(), mode="lines+markers", line_color=INK, name="sum")
    figure.update_layout(template=TEMPLATE, title="Profit after fees", height=340)
    quotes = sorted({_units(table[place])[1].removeprefix(", ") for place in range(table.height)})
    figure.update_yaxes(title_text=" / ".join(quotes), zeroline=True, zerolinecolor=INK)
    return figure


def anatomy(shots: pl.DataFrame) -> go.Figure:
    """Every attempt as a line of its phases: how it left, and when it was answered around the opening.

    Args:
        shots: symbol, snipe_id, attempt, phase, since_open_ms, late_ms (on the machine's own clock, after the
            schedule; null: not measured), detail; a row per phase of an attempt.
    """
    if not shots.height:
        return nothing("No shot has left yet: nothing to take apart.")
    figure = make_subplots(
        cols=2, shared_yaxes=True, horizontal_spacing=0.03, column_widths=[0.38, 0.62],
        subplot_titles=("how it left", "around the opening"),
    )  # fmt: skip
    several = shots["snipe_id"].n_unique() < shots.select("snipe_id", "attempt").n_unique()
    whose = "symbol" if shots["symbol"].n_unique() == shots["snipe_id"].n_unique() else "snipe_id"
    name = pl.format("{} #{}", whose, "attempt") if several else pl.col(whose)
    told = shots.with_columns(row=name)
    leaving = told.with_columns(ms=pl.col("late_ms")).drop_nulls("ms")
    if not (leaving["ms"] != 0).any():
        words = "Not measured: no shot's lateness<br>on the machine's clock is in the ledger."
        figure.add_annotation(
            text=words, showarrow=False, font={"color": GREY}, xref="x domain", yref="y domain"
        )
        figure.update_xaxes(visible=False, row=1, col=1)
        leaving = leaving.clear()
    for column, part in enumerate((leaving, told.with_columns(ms=pl.col("since_open_ms"))), start=1):
        _spans(figure, part, column)
        for phase, look in zip(SHOT_PHASES, _SHOT_LOOKS, strict=True):
            dots = part.filter(pl.col("phase") == phase)
            if dots.height:
                figure.add_scatter(**_shot_dots(dots, phase, look), showlegend=column == 2, row=1, col=column)
    rows = list(dict.fromkeys(told["row"]))
    figure.add_vline(x=0, line={"color": GREY, "dash": "dot", "width": 1}, row=1, col=2)
    titles = (
        "ms after its schedule (this machine's clock)",
        "ms since the opening, dotted (the venue's clock)",
    )
    for column, title in enumerate(titles, start=1):
        figure.update_xaxes(title_text=title, ticksuffix=" ms", row=1, col=column)
    figure.update_yaxes(categoryorder="array", categoryarray=rows[::-1], automargin=True)
    legend = {"y": 0, "yref": "container", "yanchor": "bottom"}  # at any height below the axis' title
    figure.update_layout(template=TEMPLATE, height=220 + 30 * len(rows), legend=legend)
    figure.update_layout(title="Anatomy of each shot", margin_b=100)
    return figure


def _spans(figure: go.Figure, part: pl.DataFrame, column: int) -> None:
    """A thin line behind the dots of each attempt, from its first phase to its last."""
    ends = part.group_by("row", maintain_order=True).agg(low=pl.col("ms").min(), high=pl.col("ms").max())
    x = [value for row in ends.rows(named=True) for value in (row["low"], row["high"], None)]
    y = [value for row in ends.rows(named=True) for value in (row["row"], row["row"], None)]
    line = {"color": GREY, "width": 3}
    look = {"mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False, "opacity": 0.4}
    figure.add_scatter(x=x, y=y, **look, row=1, col=column)


def _shot_dots(dots: pl.DataFrame, phase: str, look: tuple[str, str]) -> dict[str, object]:
    colour, symbol = look
    return {
        "x": dots["ms"],
        "y": dots["row"].to_list(),
        "name": phase,
        "legendgroup": phase,
        "mode": "markers",
        "marker": {"color": colour, "size": 10, "symbol": symbol, "line": {"color": colour, "width": 2}},
        "text": dots["detail"].to_list(),
        "hovertemplate": f"%{{y}}<br>{phase}: %{{x:.3f}} ms<br>%{{text}}<extra></extra>",
    }


def nothing(sentence: str) -> go.Figure:
    """A figure that says why it is empty."""
    figure = go.Figure()
    figure.add_annotation(text=sentence, showarrow=False, font={"size": 14, "color": GREY})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(template=TEMPLATE, height=160, margin={"t": 20, "b": 20})
    return figure
