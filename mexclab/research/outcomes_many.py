"""Outcomes of many queries at once, with q-values: the best of sixty looks good even in noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.controls import DEFAULT_OPTIONS, OutcomeOptions
from mexclab.research.multiplicity import draws_needed, q_values
from mexclab.research.outcomes import DEFAULT_COSTS, FEWEST_VOTES, Costs, Outcomes, outcomes
from mexclab.research.similarity import Matches
from mexclab.research.windows import Panel

MOST_DRAWS = 100_000  # of one query: some hundred bytes of memory each
SCHEMA: dict[str, Any] = {
    "query": pl.Int64,
    "symbol": pl.String,
    "start": pl.Datetime("ns", "UTC"),
    "n": pl.Int64,
    "n_eff": pl.Int64,
    "horizon": pl.Int64,
    "mean": pl.Float64,
    "base_mean": pl.Float64,
    "net_mean": pl.Float64,
    "p_value": pl.Float64,
    "q_value": pl.Float64,
    "survives": pl.Boolean,
    "pays": pl.Boolean,
    "edge": pl.Boolean,
}


@dataclass(frozen=True, eq=False, slots=True)
class ManyOutcomes:
    """What became of every query that was asked.

    Attributes:
        table: a row per query: query (its number from 0), symbol, start (UTC), n, n_eff, horizon (bars,
            the one at which it differs most), mean and base_mean there, net_mean of the better side
            after costs, p_value (joint over horizons), q_value, survives (q at or below the level), pays
            (net_mean is positive), edge (both). A query that cannot be judged counts with p = 1.
        each: the outcomes of each query; None where there is no match with a known outcome.
        level: the false-discovery rate.
        verdict: one sentence.
        notes: how it was made.
    """

    table: pl.DataFrame
    each: tuple[Outcomes | None, ...]
    level: float
    verdict: str
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return self.table.height

    def __repr__(self) -> str:
        best = self.table.sort("q_value", "p_value").head(10)
        lines = [
            f"{row['query']:>5}  {row['symbol']:<14} {row['start']:%Y-%m-%d %H:%M}  n_eff {row['n_eff']:>4}  "
            f"p {row['p_value']:.4f}  q {row['q_value']:.3f}{'  survives' if row['survives'] else ''}"
            for row in best.to_dicts()
        ]
        return "\n".join([f"{len(self)} queries, the best first", *lines, self.verdict, *self.notes])


def outcomes_many(
    panel: Panel,
    searches: Sequence[Matches],
    horizons: Sequence[int] = (15, 60, 240),
    costs: Costs = DEFAULT_COSTS,
    options: OutcomeOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ManyOutcomes:
    """The outcomes of every search in ``searches``, judged together.

    Each query enters one Benjamini-Hochberg procedure at the level ``options.significance``, with the
    p-value of the horizon that decides it, held against all its horizons; it takes more control draws
    where there are more queries. Hand in every search that was made: leaving out those that looked dull
    is what the procedure protects against.

    Args:
        panel: the one that was searched.
        progress: called with (queries done, queries in all).

    Raises:
        ParameterError: no search, or one of another panel.
    """
    if not searches:
        raise ParameterError("There is no search to judge: give at least one.")
    needed = draws_needed(len(searches), options.significance)
    draws = max(options.draws, min(needed, MOST_DRAWS))
    rules = replace(options, draws=draws)
    found: list[Outcomes | None] = []
    for number, matches in enumerate(searches):
        try:
            found.append(outcomes(panel, matches, horizons, costs, rules))
        except NotEnoughData:
            found.append(None)
        if progress is not None:
            progress(number + 1, len(searches))
    rows = [
        _row(number, matches, answer)
        for number, (matches, answer) in enumerate(zip(searches, found, strict=True))
    ]
    table = _judged(rows, options.significance)
    notes = [f"{draws:,} control draws a query", "q-values after Benjamini and Hochberg, over all queries"]
    if draws < needed:
        notes.append(f"{needed:,} draws would be needed for one query alone to survive among so many")
    unjudged = int((table["n_eff"] < FEWEST_VOTES).sum())
    if unjudged:
        notes.append(f"{unjudged} queries have fewer than {FEWEST_VOTES} independent matches: p = 1")
    return ManyOutcomes(table, tuple(found), options.significance, _verdict(table, options), tuple(notes))


def _row(number: int, matches: Matches, answer: Outcomes | None) -> dict[str, Any]:
    query = matches.query
    head = {"query": number, "symbol": query.symbol, "start": query.start_ns, "p_value": 1.0}
    if answer is None:
        return head | {"n": 0, "n_eff": 0, "pays": False}
    judged = answer.judgement
    row = answer.table.filter(sample="matches", horizon=judged.horizon).row(0, named=True)
    told = row["n_eff"] >= FEWEST_VOTES
    facts = {name: row[name] for name in ("n", "n_eff", "horizon", "mean")}
    means = {"base_mean": judged.base_mean, "net_mean": judged.net_mean, "pays": judged.net_mean > 0}
    return head | facts | means | {"p_value": judged.p_value if told else 1.0}


def _judged(rows: list[dict[str, Any]], level: float) -> pl.DataFrame:
    q = q_values(np.array([row["p_value"] for row in rows]))
    judged = [
        row | {"q_value": float(value), "survives": bool(value <= level)}
        for row, value in zip(rows, q, strict=True)
    ]
    whole = [row | {"edge": row["survives"] and row["pays"]} for row in judged]
    full = [{name: row.get(name) for name in SCHEMA} for row in whole]
    schema = SCHEMA | {"start": pl.Int64}
    return pl.DataFrame(full, schema=schema).with_columns(pl.col("start").cast(SCHEMA["start"]))


def _verdict(table: pl.DataFrame, options: OutcomeOptions) -> str:
    level, count = options.significance, table.height
    alone = int((table["p_value"] <= level).sum())
    kept, edges = int(table["survives"].sum()), int(table["edge"].sum())
    facts = (
        f"of {count} queries {alone} look significant alone at {level:.0%}, where chance alone gives about "
        f"{count * level:.1f}; {kept} survive a false-discovery rate of {level:.0%}"
    )
    if edges:
        return f"edge found in {edges} queries: {facts}, and {edges} of them pay their costs."
    if kept:
        return f"no edge found: {facts}, but none of them pays its costs."
    return f"no edge found: {facts}."
