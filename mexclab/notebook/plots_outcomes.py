"""Pictures of honest outcomes: beside the base rate, among many questions, over time, and calibrated."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import polars as pl

from mexclab.notebook.plots_similarity import ACCENT, GREY, INK, PALE, TEMPLATE
from mexclab.research.conformal import Conformal
from mexclab.research.outcomes import Outcomes
from mexclab.research.outcomes_many import ManyOutcomes
from mexclab.research.walk_forward import WalkForward
from mexclab.research.windows import span

MISSED = "#c92a2a"
ROLLING = 50  # intervals in the rolling coverage


def figure_beside_base(outcomes: Outcomes) -> go.Figure:
    """What followed the matches at each horizon, in %, beside what follows such windows anyway.

    A thin line from 5 to 95 %, a thick one from 25 to 75 %, a dot at the median, a diamond at the mean.
    """
    figure = go.Figure()
    step = outcomes.query.interval_ns
    for sample, colour, side in (("matches", ACCENT, -0.16), ("base rate", GREY, 0.16)):
        rows = outcomes.table.filter(sample=sample).to_dicts()
        at = [number + side for number in range(len(rows))]
        for low, high, width in (("q05", "q95", 2), ("q25", "q75", 9)):
            figure.add_scatter(
                x=[value for x in at for value in (x, x, None)],
                y=[value for row in rows for value in (100 * row[low], 100 * row[high], None)],
                mode="lines",
                line={"color": colour, "width": width},
                opacity=0.55,
                hoverinfo="skip",
                showlegend=False,
            )
        for name, column, mark in (("median", "q50", "circle"), ("mean", "mean", "diamond-open")):
            figure.add_scatter(
                x=at,
                y=[100 * row[column] for row in rows],
                mode="markers",
                marker={"color": colour, "size": 9, "symbol": mark},
                name=f"{name} of {'matches' if sample == 'matches' else 'the base rate'}",
                text=[f"n = {row['n']:,}" for row in rows],
                hovertemplate=f"{name}: %{{y:+.2f}} %, %{{text}}<extra></extra>",
            )
    ticks = list(range(len(outcomes.horizons)))
    figure.update_xaxes(
        tickvals=ticks,
        ticktext=[span(horizon * step) for horizon in outcomes.horizons],
        range=[-0.6, len(ticks) - 0.4],
        title_text="time after the match's end",
    )
    figure.update_yaxes(title_text="return, %", ticksuffix=" %", zeroline=True, zerolinecolor=PALE)
    words = "an edge" if outcomes.edge else "no edge found"
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": "After the matches, and after such windows anyway",
            "subtitle": {"text": f"{words}; p = {outcomes.p_value:.3f} over all horizons"},
        },
    )
    return figure


def figure_p_values(many: ManyOutcomes) -> go.Figure:
    """The p-values of all queries in order, on logarithmic axes.

    Noise lies along the dashed diagonal; what lies below the red line survives Benjamini and Hochberg.
    """
    table = many.table.sort("p_value", "query")
    count = table.height
    rank = np.arange(1, count + 1)
    figure = go.Figure()
    lines = (
        ("what chance gives", rank / (count + 1), {"color": GREY, "dash": "dash", "width": 1.4}),
        (f"survives at {many.level:.0%}", many.level * rank / count, {"color": MISSED, "width": 1.4}),
    )
    for name, y, line in lines:
        figure.add_scatter(x=rank, y=y, mode="lines", line=line, name=name, hoverinfo="skip")
    figure.add_scatter(
        x=rank,
        y=table["p_value"],
        mode="markers",
        marker={"color": [ACCENT if kept else INK for kept in table["survives"]], "size": 8},
        name="queries",
        text=[f"{row['symbol']} {row['start']:%Y-%m-%d %H:%M}" for row in table.to_dicts()],
        hovertemplate="%{text}<br>p = %{y:.4f}<extra></extra>",
    )
    kept = int(table["survives"].sum())
    ranks = [value for value in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if value <= count]
    title = "rank of the query, the smallest p-value first"
    figure.update_xaxes(title_text=title, type="log", tickvals=ranks)
    figure.update_yaxes(title_text="p-value", type="log", dtick=1)
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": f"{count} queries, judged together",
            "subtitle": {
                "text": f"{int((table['p_value'] <= many.level).sum())} below {many.level:.0%} alone, "
                f"{kept} that survive"
            },
        },
    )
    return figure


def figure_skill(walk: WalkForward) -> go.Figure:
    """How much better than the base rate the matches' forecasts were, summed over the questions.

    x: when each was made, UTC; y: sum of the base rate's CRPS less the matches', in volatilities. A line
    that climbs is skill; one that wanders is luck; one that falls is a forecast worse than none.
    """
    gained = (walk.table["base_crps"] - walk.table["crps"]).to_numpy()
    figure = go.Figure()
    figure.add_hline(y=0, line={"width": 1, "color": GREY, "dash": "dash"}, layer="below")
    figure.add_scatter(
        x=walk.table["made"].to_list(),
        y=np.cumsum(gained),
        mode="lines",
        line={"color": ACCENT, "width": 2.4},
        name="matches against the base rate",
        hovertemplate="%{x}: %{y:+.2f}<extra></extra>",
    )
    row = walk.skill.filter(score="crps").row(0, named=True)
    figure.update_xaxes(title_text="UTC")
    figure.update_yaxes(title_text="CRPS gained so far, volatilities")
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": f"Skill over {walk.table.height} questions: {row['skill']:+.1%}",
            "subtitle": {"text": f"95 % interval {row['low']:+.1%} to {row['high']:+.1%}"},
        },
    )
    return figure


def figure_calibration(found: Conformal) -> go.Figure:
    """How often calibrated intervals held lately, and how often the bounds as they were named did.

    x: when each was made, UTC; y: share of the last 50 that held the outcome, in %.
    """
    figure = go.Figure()
    count = min(ROLLING, max(2, found.table.height // 2))
    made = found.table["made"].to_list()
    for name, column, line in (
        ("as they were named", "raw_inside", {"color": GREY, "width": 1.6, "dash": "dot"}),
        ("calibrated", "inside", {"color": ACCENT, "width": 2.4}),
    ):
        rolling = found.table[column].cast(pl.Float64).rolling_mean(count)
        figure.add_scatter(
            x=made,
            y=100 * rolling.to_numpy(),
            mode="lines",
            line=line,
            name=name,
            hovertemplate=f"{name}: %{{y:.0f}} %<extra></extra>",
        )
    figure.add_hline(y=100 * found.level, line={"width": 1.2, "color": MISSED, "dash": "dash"})
    figure.update_xaxes(title_text="UTC")
    figure.update_yaxes(title_text=f"of the last {count} held, %", ticksuffix=" %")
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": f"Intervals meant to hold {found.level:.0%}: {found.coverage:.1%} did",
            "subtitle": {"text": f"before calibration {found.raw_coverage:.1%}"},
        },
    )
    return figure
