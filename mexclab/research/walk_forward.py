"""Walk forward: ask again and again with nothing but the past, and hold each forecast against the truth.

At moments spread evenly over the later part of the history one symbol's latest window is the query. Its
matches, and the base rate of such windows, each forecast the distribution of what comes next, scaled to
the query's own volatility. Both see only what had ended before the query began. Whether the matches
know more than the base rate is a question of their scores alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research import statistics
from mexclab.research.conformal import Forecasts, block_of
from mexclab.research.controls import OutcomeOptions, base_sample, cases_of
from mexclab.research.forward import active_among, followed
from mexclab.research.outcomes import QUANTILES, SHARES
from mexclab.research.scores import crps, pinball
from mexclab.research.similarity import SimilarityOptions, similar
from mexclab.research.windows import Panel, Query, check_length, span

FEWEST_QUESTIONS = 20
SAMPLES = ("matches", "base")


@dataclass(frozen=True, slots=True)
class WalkForwardOptions:
    """What is asked, and how often.

    Args:
        length: bars in a query.
        horizon: bars that are forecast.
        k: matches of each query.
        questions: moments at which to ask; a walk forward takes 20.
        warm_up: the first share of the history, which is only looked back at.
        seed: of which symbols are asked about, and of every other draw.
        resamples: of the block bootstrap.
        search: the rules of the search; it is point in time.
        base: how the base rate is made; few windows are enough for its quantiles.
    """

    length: int = 60
    horizon: int = 60
    k: int = 50
    questions: int = 200
    warm_up: float = 0.3
    seed: int = 0
    resamples: int = 2000
    search: SimilarityOptions = field(default_factory=SimilarityOptions)
    base: OutcomeOptions = field(default_factory=lambda: OutcomeOptions(sample=40_000))

    def __post_init__(self) -> None:
        check_length(self.length)
        if self.horizon < 1 or self.k < 2 or self.questions < 1 or self.resamples < 100:
            raise ParameterError(f"horizon and questions from 1, k from 2, resamples from 100: {self!r}.")
        if not 0.0 < self.warm_up < 1.0 or not self.search.point_in_time:
            raise ParameterError("warm_up is a share of the history, and the search is point in time.")


DEFAULT_OPTIONS = WalkForwardOptions()


@dataclass(frozen=True, eq=False, slots=True)
class WalkForward:
    """Every forecast, what came, and who forecast better.

    Attributes:
        options: what was asked.
        table: a row per question: symbol, made and known (UTC), n, n_eff, actual (log return), scale
            (volatility over the horizon), then for the matches q05..q95 (log returns), crps, crps_fair
            and pinball (in scales), and the same for the base rate with ``base_`` before the name.
        skill: a row per score: score, matches and base (means, in scales), skill (1 - matches / base;
            positive is better than the base rate), and its 95 % block-bootstrap interval low, high.
        coverage: of the 5 to 95 % band, by sample: "matches", "base".
        verdict: one sentence.
        notes: what was left out, and how the interval was made.
    """

    options: WalkForwardOptions
    table: pl.DataFrame
    skill: pl.DataFrame
    coverage: dict[str, float]
    verdict: str
    notes: tuple[str, ...]

    def forecasts(self, sample: str = "matches") -> Forecasts:
        """The 5 to 95 % bands of "matches" or "base", to calibrate.

        Raises:
            ParameterError: there is no such sample.
        """
        if sample not in SAMPLES:
            raise ParameterError(f"sample is one of {', '.join(SAMPLES)}, not {sample!r}.")
        before = "" if sample == "matches" else "base_"
        names = (f"{before}q05", f"{before}q95", "actual", "scale")
        numbers = [self.table[name].to_numpy() for name in names]
        times = [self.table[name].dt.epoch("ns").to_numpy() for name in ("made", "known")]
        return Forecasts(*numbers, *times)

    def __repr__(self) -> str:
        head = f"{self.table.height} questions; scores in volatilities, lower is better"
        lines = [
            f"{row['score']:>10}  matches {row['matches']:.4f}  base {row['base']:.4f}  "
            f"skill {row['skill']:+.2%} ({row['low']:+.2%} .. {row['high']:+.2%})"
            for row in self.skill.to_dicts()
        ]
        return "\n".join([head, *lines, self.verdict, *(f"note: {note}" for note in self.notes)])


def walk_forward(
    panel: Panel,
    options: WalkForwardOptions = DEFAULT_OPTIONS,
    progress: Callable[[int, int], None] | None = None,
) -> WalkForward:
    """Ask ``options.questions`` times over the history, in order of time.

    Args:
        progress: called with (questions done, questions in all).

    Raises:
        NotEnoughData: fewer than 20 questions have two matches and a base rate.
    """
    asked = questions(panel, options)
    rows = []
    for number, query in enumerate(asked):
        row = _ask(panel, query, options)
        rows += [] if row is None else [row]
        if progress is not None:
            progress(number + 1, len(asked))
    if len(rows) < FEWEST_QUESTIONS:
        raise NotEnoughData(
            f"Only {len(rows)} questions could be answered, {FEWEST_QUESTIONS} are needed: take more "
            "history, a shorter window or a shorter horizon.",
            questions=len(rows),
        )
    table = _table(rows)
    rng = np.random.default_rng(options.seed)
    block = block_of(*(table[name].dt.epoch("ns").to_numpy() for name in ("made", "known")))
    skill = pl.DataFrame([_skill(table, score, block, rng, options) for score in ("crps", "pinball")])
    notes = [
        f"{len(asked)} questions of {options.length} bars, {options.horizon} bars ahead, "
        f"{options.k} matches each; bars of {span(panel.interval_ns)}",
        f"intervals from {options.resamples:,} bootstraps of blocks of {block} questions, wider where those "
        "are few",
        f"with endlessly many such matches the CRPS skill would be {_fair_skill(table):+.2%}: part of the "
        "difference is only that matches are few",
    ]
    missing = len(asked) - len(rows)
    notes += [f"{missing} questions had no two matches or no base rate"] if missing else []
    coverage = {sample: _coverage(table, sample) for sample in SAMPLES}
    return WalkForward(options, table, skill, coverage, _verdict(skill, len(rows)), tuple(notes))


def questions(panel: Panel, options: WalkForwardOptions = DEFAULT_OPTIONS) -> list[Query]:
    """The windows that ``walk_forward`` asks about, in order of time.

    Moments are spread evenly over the history after the warm-up; at each of them one symbol that has an
    active window then, and ``options.horizon`` bars behind it, is drawn by chance.
    """
    step = panel.interval_ns
    begins, bars = panel.segment_time, np.diff(panel.segment_start)
    first, last = int(begins.min()), int((begins + bars * step).max())
    earliest = first + int((last - first) * options.warm_up)
    latest = last - options.horizon * step
    moments = np.linspace(earliest, latest, options.questions).astype(np.int64) // step * step
    rng = np.random.default_rng(options.seed)
    found = []
    for moment in np.unique(moments):
        start_ns = moment - options.length * step
        rows = (start_ns - begins) // step
        there = (rows >= 0) & (rows + options.length + options.horizon <= bars)
        for segment in rng.permutation(np.flatnonzero(there)):
            start = panel.segment_start[segment : segment + 1] + rows[segment]
            if len(active_among(panel, start, options.length, options.search.activity)):
                symbol = panel.symbols[int(panel.segment_symbol[segment])]
                at_ns = int(panel.times(start)[0])
                found.append(panel.window(symbol, start_ns=at_ns, length=options.length))
                break
    return found


def _ask(panel: Panel, query: Query, options: WalkForwardOptions) -> dict[str, Any] | None:
    """One row of the table; None where there is nothing to forecast with."""
    length, horizon = options.length, options.horizon
    try:
        matches = similar(panel, query, options.k, horizon=horizon, options=options.search)
    except NotEnoughData:
        return None
    cases = cases_of(panel, matches, (horizon,), options.base)
    if not cases or len(cases[0].which) < 2:
        return None
    (case,) = cases
    base, weights = base_sample(case, options.base.sample, np.random.default_rng(options.seed))
    if len(base) < 2:
        return None
    symbol = np.array([panel.symbols.index(query.symbol)])
    own = followed(panel, panel.positions(symbol, np.array([query.start_ns])), length, horizon)
    scale = float(own.volatility[0]) * np.sqrt(horizon)
    made = query.end_ns
    facts = {
        "symbol": query.symbol,
        "made": made,
        "known": made + horizon * panel.interval_ns,
        "n": len(case.which),
        "n_eff": int(case.labels.max()) + 1,
        "actual": float(own.log[0]),
        "scale": scale,
    }
    actual = facts["actual"] / scale
    for before, starts, shares in (
        ("", case.starts, statistics.votes(case.labels)),
        ("base_", base, weights),
    ):
        members = followed(panel, starts, length, horizon).scaled(horizon)
        facts |= _scored(before, members, shares, actual, scale)
    return facts


def _scored(
    before: str, members: np.ndarray, weights: np.ndarray, actual: float, scale: float
) -> dict[str, float]:
    """The forecast of an ensemble in volatilities, and its scores, under names with ``before`` in front."""
    quantiles = statistics.weighted_quantiles(members, weights, SHARES)
    named = zip(QUANTILES, quantiles, strict=True)
    return {f"{before}{name}": float(value) * scale for name, value in named} | {
        f"{before}crps": crps(members, weights, actual),
        f"{before}crps_fair": crps(members, weights, actual, fair=True),
        f"{before}pinball": float(pinball(quantiles[None, :], SHARES, np.array([actual]))[0]),
    }


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    moment = pl.Datetime("ns", "UTC")
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col("made", "known").cast(moment))


def _skill(
    table: pl.DataFrame, score: str, block: int, rng: np.random.Generator, options: WalkForwardOptions
) -> dict[str, Any]:
    pairs = table.select(score, f"base_{score}").to_numpy()
    matches, base = pairs.mean(axis=0)
    drawn = statistics.block_bootstrap(pairs, block, rng, options.resamples)
    skill = float(1.0 - matches / base)
    low, high = statistics.block_interval(skill, 1.0 - drawn[:, 0] / drawn[:, 1], len(pairs) / block)
    return {
        "score": score,
        "matches": float(matches),
        "base": float(base),
        "skill": skill,
        "low": low,
        "high": high,
    }


def _fair_skill(table: pl.DataFrame) -> float:
    matches, base = table.select("crps_fair", "base_crps_fair").to_numpy().mean(axis=0)
    return float(1.0 - matches / base)


def _coverage(table: pl.DataFrame, sample: str) -> float:
    before = "" if sample == "matches" else "base_"
    inside = pl.col("actual").is_between(pl.col(f"{before}q05"), pl.col(f"{before}q95"))
    return float(table.select(inside.mean()).item())


def _verdict(skill: pl.DataFrame, questions: int) -> str:
    row = skill.filter(score="crps").row(0, named=True)
    facts = (
        f"over {questions} questions the matches' forecasts scored {abs(row['skill']):.2%} "
        f"{'better' if row['skill'] > 0 else 'worse'} than the base rate's (CRPS"
    )
    if not np.isfinite(row["low"]):
        return f"no skill found: {facts}); their outcomes overlap so much that nothing says how sure that is."
    facts += f"; 95 % interval of the skill {row['low']:+.2%} to {row['high']:+.2%})"
    if row["low"] > 0:
        return f"skill found: {facts}."
    if row["high"] < 0:
        return f"no skill found: {facts}; it is better not to ask the matches."
    return f"no skill found: {facts}; the interval holds zero."
