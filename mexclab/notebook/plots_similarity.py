"""Pictures of similarity search: the matches over the query, and the fan of what followed."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from mexclab.research.outcomes import Outcomes, fan
from mexclab.research.similarity import Matches
from mexclab.research.windows import Panel, span, utc

ACCENT = "#0b7285"
INK, GREY, PALE = "#212529", "#868e96", "#dee2e6"

_AXIS = {
    "gridcolor": "#f1f3f5",
    "linecolor": PALE,
    "showline": True,
    "ticks": "outside",
    "tickcolor": PALE,
    "ticklen": 4,
    "title": {"standoff": 8},
    "zeroline": False,
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "Inter, Helvetica, Arial, sans-serif", "size": 12, "color": INK},
        "title": {"font": {"size": 14}, "x": 0.01, "xanchor": "left", "y": 0.97, "yanchor": "top"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "colorway": [ACCENT, GREY, INK],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hovermode": "closest",
        "margin": {"l": 64, "r": 20, "t": 64, "b": 84},
        "legend": {"orientation": "h", "x": 0.0, "y": -0.2, "yanchor": "top", "bgcolor": "rgba(0,0,0,0)"},
        "height": 420,
    }
)
"""The look of mexclab's research figures: white, greys, one accent; readable from 700 px."""


def figure_matches(matches: Matches) -> go.Figure:
    """The query, bold, over its matches, thin, darker for a better rank.

    x: bars from the window's start; y: z-normalised log price. Hovering names symbol, start and r.
    """
    bars = np.arange(matches.query.length)
    figure = go.Figure()
    rows = matches.table.to_dicts()
    for row, window in reversed(list(zip(rows, matches.windows, strict=True))):
        share = (row["rank"] - 1) / max(1, len(rows) - 1)
        figure.add_scatter(
            x=bars,
            y=window,
            mode="lines",
            line={"width": 1.2, "color": _between(ACCENT, "#ced4da", share)},
            name=f"match {row['rank']}",
            showlegend=row["rank"] in {1, len(rows)},
            hovertemplate=(
                f"{row['rank']}. {row['symbol']} {row['start']:%Y-%m-%d %H:%M} UTC, "
                f"r = {row['correlation']:.3f}<extra></extra>"
            ),
        )
    figure.add_scatter(
        x=bars,
        y=matches.query.normalised,
        mode="lines",
        line={"width": 3, "color": INK},
        name="query",
        hovertemplate="query<extra></extra>",
    )
    query = matches.query
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": f"{len(matches)} windows most like {query.symbol}, {utc(query.start_ns)} UTC",
            "subtitle": {"text": _correlations(matches)},
        },
        legend={"traceorder": "reversed"},
    )
    figure.update_xaxes(title_text=f"bars from window start (1 bar = {span(query.interval_ns)})")
    figure.update_yaxes(title_text="z-normalised log price")
    return figure


def figure_fan(panel: Panel, matches: Matches, outcomes: Outcomes) -> go.Figure:
    """What followed the matches: median and quantile bands in %, beside the median of the base rate.

    x: bars after the match's end, named as a time at each horizon; y: return since the match's last
    close, in %, before costs.
    """
    ways = fan(panel, matches, outcomes)
    bars = ways["bar"].to_numpy()
    figure = go.Figure()
    for low, high, name, tint in (("q05", "q95", "5 to 95 %", 0.12), ("q25", "q75", "25 to 75 %", 0.28)):
        figure.add_scatter(
            x=np.concatenate([bars, bars[::-1]]),
            y=100.0 * np.concatenate([ways[high].to_numpy(), ways[low].to_numpy()[::-1]]),
            fill="toself",
            fillcolor=_tinted(ACCENT, tint),
            line={"width": 0},
            hoverinfo="skip",
            name=f"{name} of matches",
        )
    for column, name, line in (
        ("base", "median of the base rate", {"width": 1.6, "color": GREY, "dash": "dash"}),
        ("q50", "median of matches", {"width": 2.6, "color": ACCENT}),
    ):
        figure.add_scatter(
            x=bars,
            y=100.0 * ways[column].to_numpy(),
            mode="lines",
            line=line,
            name=name,
            hovertemplate=f"{name}, bar %{{x}}: %{{y:+.2f}} %<extra></extra>",
        )
    figure.add_hline(y=0, line={"width": 1, "color": PALE}, layer="below")
    query = matches.query
    row = outcomes.table.row(-2, named=True)
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": f"After windows like {query.symbol}, {utc(query.start_ns)} UTC",
            "subtitle": {
                "text": f"{row['n']} matches, {row['n_eff']} independent in time; "
                f"{'an edge' if outcomes.edge else 'no edge found'} (p = {outcomes.p_value:.2f})"
            },
        },
    )
    figure.update_xaxes(title_text="time after the match's end", **_time_ticks(outcomes, query.interval_ns))
    figure.update_yaxes(title_text="return since the match's end, %", ticksuffix=" %")
    return figure


def _time_ticks(outcomes: Outcomes, interval_ns: int) -> dict[str, list]:
    """Ticks at quarters of the longest horizon, and labels such as 1h."""
    last = outcomes.horizons[-1]
    at = sorted({round(last * quarter / 4) for quarter in range(5)})
    return {"tickvals": at, "ticktext": ["0" if bar == 0 else span(bar * interval_ns) for bar in at]}


def _correlations(matches: Matches) -> str:
    if not len(matches):
        return "no match"
    column = matches.table["correlation"]
    return f"correlation {column[-1]:.3f} to {column[0]:.3f}, of {matches.scanned:,} windows compared"


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _between(first: str, last: str, share: float) -> str:
    mixed = (round(a + (b - a) * share) for a, b in zip(_channels(first), _channels(last), strict=True))
    return "rgb({}, {}, {})".format(*mixed)


def _tinted(colour: str, opacity: float) -> str:
    return "rgba({}, {}, {}, {})".format(*_channels(colour), opacity)
