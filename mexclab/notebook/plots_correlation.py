"""Pictures of correlation: the ordered matrix with its tree, ties over time, who leads, printed volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots
from scipy.cluster.hierarchy import dendrogram  # type: ignore[import-untyped]

from mexclab.notebook.plots import BLUE, GREEN, GREY, INK, ORANGE, RED, nothing
from mexclab.notebook.plots_similarity import TEMPLATE
from mexclab.research.correlation import Correlation
from mexclab.research.correlation_clusters import Clusters
from mexclab.research.lead_lag import LeadLag
from mexclab.research.wash import SUSPICIOUS, UNSUSPICIOUS, WashOptions
from mexclab.research.windows import span, utc

# Blue and orange of one family each way: told apart by colour-blind readers, white where nothing is shared.
DIVERGING = [
    [0.0, "#08306b"],
    [0.25, "#6baed6"],
    [0.5, "#ffffff"],
    [0.75, "#f4a261"],
    [1.0, "#9c2a00"],
]
_BELOW = {"y": 0, "yref": "container", "yanchor": "bottom"}  # at any height below the axis' title
_SIDES = ("top center", "bottom center", "middle right", "middle left")
LABELLED = 90  # symbols up to which each has its name on the axis
_SUSPICION = {SUSPICIOUS: RED, "unclear": ORANGE, UNSUSPICIOUS: BLUE, "too few bars": GREY}


def figure_heat_map(correlation: Correlation, clusters: Clusters, title: str = "") -> go.Figure:
    """The matrix with neighbours alike, its tree above, clusters of several symbols framed.

    Colour is the correlation, from -1 (blue) by 0 (white) to 1 (orange); what is not known is grey.
    """
    names = [correlation.symbols[at] for at in clusters.order]
    shown = correlation.matrix[np.ix_(clusters.order, clusters.order)]
    size = len(names)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.16, 0.84], vertical_spacing=0.01)
    for across, up in _branches(clusters):
        line = {"color": GREY, "width": 1}
        figure.add_scatter(x=across, y=up, mode="lines", line=line, hoverinfo="skip", row=1, col=1)
    figure.add_heatmap(
        z=np.round(shown, 3),
        x=np.arange(size),
        y=np.arange(size),
        customdata=[[f"{row}, {column}" for column in names] for row in names],
        hovertemplate="%{customdata}: %{z:.2f}<extra></extra>",
        zmin=-1.0,
        zmax=1.0,
        colorscale=DIVERGING,
        colorbar={"title": {"text": "r"}, "thickness": 12, "len": 0.8, "y": 0.42},
        row=2,
        col=1,
    )
    edges = {"x0": -0.5, "x1": size - 0.5, "y0": -0.5, "y1": size - 0.5}
    unknown = {"fillcolor": "#dee2e6", "line": {"width": 0}, "layer": "below"}
    figure.add_shape(type="rect", **edges, **unknown, row=2, col=1)
    _frames(figure, clusters)
    ticks = {"tickvals": list(range(size)), "ticktext": names, "tickfont": {"size": 8 if size > 40 else 10}}
    axis = ticks if size <= LABELLED else {"showticklabels": False}
    figure.update_xaxes(showgrid=False, row=2, col=1, tickangle=90, **axis)
    figure.update_yaxes(showgrid=False, row=2, col=1, autorange="reversed", **axis)
    figure.update_yaxes(visible=False, row=1, col=1)
    figure.update_xaxes(visible=False, row=1, col=1)
    words = {"text": title or f"What moves together: {size} symbols, {_range(correlation)}"}
    words["subtitle"] = {"text": f"{correlation.average:.2f} on average; {_groups(clusters)}"}
    height = 300 + 10 * min(max(size, 20), LABELLED)
    figure.update_layout(template=TEMPLATE, title=words, showlegend=False, height=height)
    figure.update_layout(margin={"b": 110, "l": 110, "t": 84})
    return figure


def figure_rolling(frame: pl.DataFrame, alarms: pl.DataFrame | None = None, title: str = "") -> go.Figure:
    """The average correlation of all pairs by time, with its quartiles; a mark where a symbol came loose.

    Args:
        frame: ts, average, low, high, of ``rolling_average``.
        alarms: ts, symbol, before, recent, of ``breaks``.
    """
    if not frame.height:
        return nothing("No window is full yet: give a shorter one, or more history.")
    times = frame["ts"].to_list()
    figure = go.Figure()
    figure.add_scatter(
        x=[*times, *times[::-1]],
        y=[*frame["high"], *frame["low"][::-1]],
        fill="toself",
        hoverinfo="skip",
        fillcolor="rgba(0, 114, 178, 0.15)",
        line={"width": 0},
        name="half of all pairs",
    )
    figure.add_scatter(
        x=times,
        y=frame["average"],
        mode="lines",
        line={"color": BLUE, "width": 2},
        name="average of all pairs",
        hovertemplate="%{x|%Y-%m-%d %H:%M} UTC: %{y:.2f}<extra></extra>",
    )
    if alarms is not None and alarms.height:
        figure.add_scatter(
            x=alarms["ts"].to_list(),
            y=alarms["recent"],
            mode="markers+text",
            text=alarms["symbol"].to_list(),
            textposition=[_SIDES[at % len(_SIDES)] for at in range(alarms.height)],
            textfont={"size": 9},
            name="came loose",
            marker={"color": RED, "symbol": "x", "size": 8},
            customdata=alarms["before"].to_list(),
            hovertemplate="%{text} %{x|%Y-%m-%d %H:%M} UTC: %{customdata:.2f} to %{y:.2f}<extra></extra>",
        )
    figure.update_layout(
        template=TEMPLATE, title=title or "How closely everything moves together", height=380
    )
    figure.update_layout(legend=_BELOW, margin_b=100)
    figure.update_yaxes(title_text="correlation", zeroline=True, zerolinecolor=GREY)
    figure.update_xaxes(title_text="UTC, end of the window")
    return figure


def figure_pair(frame: pl.DataFrame, title: str) -> go.Figure:
    """The correlation of one pair by time: ts, correlation."""
    figure = go.Figure()
    figure.add_scatter(
        x=frame["ts"].to_list(),
        y=frame["correlation"],
        mode="lines",
        line={"color": BLUE, "width": 1.6},
        hovertemplate="%{x|%Y-%m-%d %H:%M} UTC: %{y:.2f}<extra></extra>",
    )
    figure.update_layout(template=TEMPLATE, title=title, height=320)
    figure.update_yaxes(title_text="correlation", range=[-1, 1], zeroline=True, zerolinecolor=GREY)
    figure.update_xaxes(title_text="UTC, end of the window")
    return figure


def figure_horizons(frame: pl.DataFrame) -> go.Figure:
    """The average correlation by the length of a return: length, average, low, high."""
    lengths = frame["length"].to_list()
    figure = go.Figure()
    figure.add_scatter(
        x=[*lengths, *lengths[::-1]],
        y=[*frame["high"], *frame["low"][::-1]],
        fill="toself",
        mode="lines",
        fillcolor="rgba(0, 114, 178, 0.15)",
        line={"width": 0},
        hoverinfo="skip",
        name="half of all pairs",
    )
    figure.add_scatter(
        x=lengths,
        y=frame["average"],
        mode="lines+markers",
        marker={"size": 9, "color": BLUE},
        line={"color": BLUE},
        hovertemplate="%{x}: %{y:.3f}<extra></extra>",
        name="average of all pairs",
    )
    figure.update_layout(template=TEMPLATE, title="What is shared, by the length of a return", height=360)
    figure.update_layout(legend=_BELOW, margin_b=100)
    figure.update_xaxes(title_text="length of a return", type="category")
    figure.update_yaxes(title_text="correlation", zeroline=True, zerolinecolor=GREY)
    return figure


def figure_leads(found: LeadLag, profile: pl.DataFrame | None = None, shown: int = 15) -> go.Figure:
    """How many others each symbol leads and follows, and the surest pair's correlation by lag.

    Args:
        profile: lag, correlation, band, of ``cross_correlation`` for the surest pair.
        shown: symbols from either end.
    """
    if not found.significant.height:
        return nothing(found.verdict)
    table = found.leaders
    rows = table if table.height <= 2 * shown else pl.concat([table.head(shown), table.tail(shown)])
    row = found.significant.row(0, named=True)
    one = span(found.interval_ns)
    figure = make_subplots(
        cols=2,
        column_widths=[0.5, 0.5],
        horizontal_spacing=0.12,
        subplot_titles=(
            "who leads, who follows",
            f"{row['leader']} before {row['follower']}, the surest pair",
        ),
    )
    names = rows["symbol"].to_list()
    for column, sign, colour, words in (("leads", 1, GREEN, "leads"), ("follows", -1, ORANGE, "follows")):
        figure.add_bar(
            y=names,
            x=sign * rows[column],
            orientation="h",
            marker_color=colour,
            name=words,
            customdata=rows[column].to_list(),
            hovertemplate=f"%{{y}} {words} %{{customdata}}<extra></extra>",
            row=1,
            col=1,
        )
    if profile is not None:
        _profile(figure, profile)
    figure.update_yaxes(autorange="reversed", tickfont={"size": 9}, dtick=1, row=1, col=1)
    figure.update_xaxes(title_text="other symbols", row=1, col=1)
    figure.update_xaxes(title_text=f"{row['leader']} is ahead by so many returns of {one}", row=1, col=2)
    figure.update_yaxes(title_text="correlation of innovations", row=1, col=2)
    title = f"{found.significant.height:,} leads of {len(found.table):,} ordered pairs survive"
    figure.update_layout(template=TEMPLATE, title=title, barmode="relative", height=260 + 15 * len(names))
    figure.update_layout(legend=_BELOW, margin={"l": 110, "t": 90})
    return figure


def _profile(figure: go.Figure, profile: pl.DataFrame) -> None:
    """The correlation by lag over the band of chance, on the right."""
    lags = profile["lag"].to_list()
    band = [*profile["band"], *(-profile["band"])[::-1]]
    figure.add_scatter(
        x=[*lags, *lags[::-1]],
        y=band,
        fill="toself",
        fillcolor="rgba(140, 149, 159, 0.25)",
        line={"width": 0},
        hoverinfo="skip",
        name="chance, 95 %",
        row=1,
        col=2,
    )
    colours = [GREEN if lag > 0 else ORANGE if lag < 0 else INK for lag in lags]
    figure.add_bar(
        x=lags,
        y=profile["correlation"],
        marker_color=colours,
        width=0.5,
        showlegend=False,
        hovertemplate="lag %{x}: %{y:+.3f}<extra></extra>",
        row=1,
        col=2,
    )


def figure_wash(table: pl.DataFrame, options: WashOptions = WashOptions()) -> go.Figure:  # noqa: B008 - frozen
    """Two of the signs against each other: how alike volumes are, and whether they follow the price."""
    judged = table.drop_nulls(["moves", "spread"])
    if not judged.height:
        return nothing("No symbol has enough bars with volume to be judged.")
    figure = go.Figure()
    for suspicion, colour in _SUSPICION.items():
        part = judged.filter(pl.col("suspicion") == suspicion)
        if part.height:
            figure.add_scatter(
                x=part["spread"],
                y=part["moves"],
                mode="markers",
                name=f"{suspicion} ({part.height})",
                marker={"color": colour, "size": 9, "opacity": 0.75, "line": {"width": 1, "color": "white"}},
                text=part["symbol"].to_list(),
                customdata=part["evidence"].to_list(),
                hovertemplate="<b>%{text}</b><br>%{customdata}<extra></extra>",
            )
    figure.add_vline(x=options.spread, line={"color": GREY, "dash": "dot"})
    figure.add_hline(y=options.moves, line={"color": GREY, "dash": "dot"})
    figure.update_layout(
        template=TEMPLATE, title="Volume that follows nothing (below, left of the lines)", height=440
    )
    figure.update_xaxes(title_text="spread of turnover a bar (0: always the same; 0.5: even from 0 up)")
    figure.update_yaxes(title_text="rank correlation of volume with the move")
    return figure


def figure_turnover(bars: pl.DataFrame, table: pl.DataFrame, points: int = 60) -> go.Figure:
    """The distribution of turnover a bar, a line per symbol: lines that fall together have one source.

    Args:
        bars: symbol, close, volume.
        table: symbol, suspicion, of ``wash_suspicion``.
    """
    shares = np.linspace(0.01, 0.99, points)
    suspicion = dict(table.select("symbol", "suspicion").iter_rows())
    seen: set[str] = set()
    figure = go.Figure()
    traded = bars.filter(pl.col("volume") > 0).with_columns(turnover=pl.col("close") * pl.col("volume"))
    for (symbol,), part in traded.group_by("symbol", maintain_order=True):
        kind = suspicion.get(str(symbol), "too few bars")
        figure.add_scatter(
            x=np.quantile(part["turnover"].to_numpy(), shares),
            y=shares,
            mode="lines",
            name=kind,
            legendgroup=kind,
            showlegend=kind not in seen,
            opacity=0.6,
            line={"color": _SUSPICION[kind], "width": 1.2},
            hovertemplate=f"{symbol}: %{{x:.3s}}<extra></extra>",
        )
        seen.add(kind)
    figure.update_layout(
        template=TEMPLATE, title="Turnover a bar: independent markets do not coincide", height=420
    )
    figure.update_xaxes(type="log", title_text="turnover of a bar, quote units")
    figure.update_yaxes(title_text="share of bars below", tickformat=".0%")
    return figure


def _branches(clusters: Clusters) -> Sequence[tuple[list[float], list[float]]]:
    """The lines of the tree, a leaf's middle at its row of the matrix."""
    drawn = dendrogram(clusters.tree, no_plot=True)
    middles = [[(x - 5.0) / 10.0 for x in each] for each in drawn["icoord"]]
    return list(zip(middles, drawn["dcoord"], strict=True))


def _frames(figure: go.Figure, clusters: Clusters) -> None:
    ordered = clusters.labels[clusters.order]
    starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))
    ends = np.append(starts[1:], len(ordered))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start > 1:
            corners = {"x0": start - 0.5, "x1": end - 0.5, "y0": start - 0.5, "y1": end - 0.5}
            figure.add_shape(type="rect", **corners, line={"color": INK, "width": 1.5}, row=2, col=1)


def _groups(clusters: Clusters) -> str:
    sizes = np.bincount(clusters.labels)[1:]
    several = int((sizes > 1).sum())
    return f"{several} cluster{'s' * (several != 1)} at {clusters.bound:g}, {int((sizes == 1).sum())} alone"


def _range(correlation: Correlation) -> str:
    return (
        f"returns of {span(correlation.interval_ns)}, {utc(correlation.begins_ns)} to "
        f"{utc(correlation.ends_ns)} UTC"
    )
