"""Pictures of similarity search: the matches over the query, and the fan of what followed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mexclab.errors import ParameterError
from mexclab.research.dtw import warped_onto
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


def figure_warping(matches: Matches, rank: int = 1, band: float = 0.1) -> go.Figure:
    """One match before and after it is bent onto the query: what dynamic time warping sees.

    Args:
        rank: of the match, from 1.
        band: how far a bar may move, as a share of the window.

    Raises:
        ParameterError: there is no match of this rank.
    """
    if not 1 <= rank <= len(matches):
        raise ParameterError(f"There are {len(matches)} matches, none of rank {rank}.", rank=rank)
    window, shape = matches.windows[rank - 1], matches.query.normalised
    bent = warped_onto(shape, window, band)
    row = matches.table.row(rank - 1, named=True)
    titles = ("as it was", f"each bar moved by at most {band:.0%} of the window")
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=titles)
    bars = np.arange(len(shape))
    for column, other in ((1, window), (2, bent)):
        for values, line, label in (
            (other, {"width": 2.2, "color": ACCENT}, "match"),
            (shape, {"width": 2.6, "color": INK}, "query"),
        ):
            figure.add_scatter(
                x=bars, y=values, mode="lines", line=line, name=label, row=1, col=column,
                showlegend=column == 1, hovertemplate=f"{label}<extra></extra>",
            )  # fmt: skip
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": f"Match {rank}: {row['symbol']}, {row['start']:%Y-%m-%d %H:%M} UTC",
            "subtitle": {
                "text": f"correlation with the query {_r(window, shape):.3f} bar by bar, "
                f"{_r(bent, shape):.3f} when it is bent onto it"
            },
        },
    )
    figure.update_annotations(font={"size": 12, "color": GREY})
    figure.update_layout(margin={"t": 92}, height=440)
    figure.update_xaxes(title_text=f"bars from window start (1 bar = {span(matches.query.interval_ns)})")
    figure.update_yaxes(title_text="z-normalised log price", col=1)
    return figure


def figure_channels(panel: Panel, matches: Matches, channels: Sequence[str] = ()) -> go.Figure:
    """The query over its matches in each channel: close, and below it volume, range.

    Args:
        panel: the one that was searched, with these channels.
        channels: which, besides the close; none: all that the panel has.

    Raises:
        ParameterError: the panel or the query does not have one of them.
    """
    names = tuple(channels) or tuple(sorted(panel.channels))
    missing = [name for name in names if name not in panel.channels or name not in matches.query.channels]
    if missing:
        raise ParameterError(f"There is no channel {missing[0]} here: search with channels={{...}}.")
    bars = np.arange(matches.query.length)
    cells = panel.cells(matches.positions[:, None] + bars)
    drawn = [("close", matches.windows, matches.query.normalised)]
    drawn += [
        (name, _standard(panel.channels[name][cells]), _standard(matches.query.channels[name]))
        for name in names
    ]
    figure = make_subplots(rows=len(drawn), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for row, (name, windows, query) in enumerate(drawn, start=1):
        for place, each in enumerate(windows[::-1]):
            figure.add_scatter(
                x=bars, y=each, mode="lines", line={"width": 1, "color": _tinted(ACCENT, 0.35)},
                row=row, col=1, name="matches", legendgroup="matches", hoverinfo="skip",
                showlegend=row == 1 and not place,
            )  # fmt: skip
        figure.add_scatter(
            x=bars, y=query, mode="lines", line={"width": 2.6, "color": INK}, row=row, col=1,
            name="query", showlegend=row == 1, hovertemplate=f"{name} of the query<extra></extra>",
        )  # fmt: skip
        figure.update_yaxes(title_text=f"{name}, z", row=row, col=1)
    height = 160 + 180 * len(drawn)
    text = f"{len(matches)} windows most like {matches.query.symbol}, {utc(matches.query.start_ns)} UTC"
    subtitle = {"text": "each channel in units of its own deviation"}
    figure.update_layout(
        template=TEMPLATE,
        title={"text": text, "subtitle": subtitle, "y": 1 - 13 / height},
        height=height,
        legend={"y": -60 / (height - 148), "traceorder": "reversed"},
    )
    label = f"bars from window start (1 bar = {span(matches.query.interval_ns)})"
    figure.update_xaxes(title_text=label, row=len(drawn), col=1)
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
    told = f"correlation {column.min():.3f} to {column.max():.3f}, of {matches.scanned:,} windows compared"
    return f"nearest by dynamic time warping; bar by bar, {told}" if "pool_rank" in matches.table else told


def _r(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def _standard(values: np.ndarray) -> np.ndarray:
    """Mean zero and deviation one along the last axis; zeros where nothing moves."""
    centred = values - values.mean(axis=-1, keepdims=True)
    size = centred.std(axis=-1, keepdims=True)
    return centred / np.where(size > 0.0, size, 1.0)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _between(first: str, last: str, share: float) -> str:
    mixed = (round(a + (b - a) * share) for a, b in zip(_channels(first), _channels(last), strict=True))
    return "rgb({}, {}, {})".format(*mixed)


def _tinted(colour: str, opacity: float) -> str:
    return "rgba({}, {}, {}, {})".format(*_channels(colour), opacity)
