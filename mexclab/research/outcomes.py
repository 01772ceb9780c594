"""What happened after the matches, beside what happens anyway, and whether the two differ.

Everything is for a long position entered at the close of a match's last bar and left at the close
``horizon`` bars later; see ``mexclab.research.forward``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research import statistics
from mexclab.research.controls import (
    DEFAULT_OPTIONS,
    Case,
    OutcomeOptions,
    base_sample,
    cases_of,
    check_panel,
    control_means,
)
from mexclab.research.forward import followed, log_paths
from mexclab.research.similarity import Matches
from mexclab.research.windows import Panel, Query, span

SHARES = np.array([0.05, 0.25, 0.50, 0.75, 0.95])
QUANTILES = ("q05", "q25", "q50", "q75", "q95")
FEWEST_VOTES = 5  # below this many independent matches no verdict but "too few" is given


@dataclass(frozen=True, slots=True)
class Costs:
    """What a round trip costs, in basis points of the price.

    Args:
        fee_bps: taker fee of each side; 5 bp is what recorded MEXC exchangeInfo states for spot symbols.
        slippage_bps: beyond the best price, each side; the default is a guess, put in your own.
        spread_bps: between best bid and best ask, which a round trip crosses once; a guess as well.
    """

    fee_bps: float = 5.0
    slippage_bps: float = 2.5
    spread_bps: float = 5.0

    def __post_init__(self) -> None:
        if min(self.fee_bps, self.slippage_bps, self.spread_bps) < 0:
            raise ParameterError(f"A cost is not negative: {self!r}.")

    @property
    def round_trip(self) -> float:
        """Both sides, as a fraction of the price: 0.002 is 0.2 %."""
        return (2.0 * (self.fee_bps + self.slippage_bps) + self.spread_bps) / 10_000.0


DEFAULT_COSTS = Costs()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the matches of one query come to.

    Attributes:
        horizon: bars; the one that is significant and pays with the largest standardised difference, or
            where none does, the one with the largest.
        p_value: of its difference, held against the largest over all horizons.
        base_mean: the mean of its base rate.
        net_mean: its mean on the side that the difference points to, after costs.
        edge: whether a difference is significant over all horizons and pays its costs.
        verdict: one sentence that says so.
    """

    horizon: int
    p_value: float
    base_mean: float
    net_mean: float
    edge: bool
    verdict: str


@dataclass(frozen=True, eq=False, slots=True)
class Outcomes:
    """The answer. Returns are fractions: 0.01 is 1 %.

    Attributes:
        table: two rows per horizon, ``sample`` "matches" and "base rate": horizon (bars), n, n_eff,
            mean and its 95 % interval (mean_low, mean_high), q05..q95, share_up, of simple returns
            before costs; net_mean and net_share_up after fees, slippage and spread; best and worst
            (medians of the largest gain and loss on the way) and to_best and to_worst (medians of the
            bars until then); scaled_mean and scaled_median (log return over the window's own volatility
            times sqrt(horizon)); p_value of the mean against matched controls.
        returns: one row per match and horizon: rank, symbol, horizon, cluster, log_return,
            simple_return, net_return, best, worst, to_best, to_worst, scaled.
        p_value: of the largest difference over all horizons.
        judgement: which horizon decided, and what it comes to.
        notes: what was left out, and how the base rate was made.
    """

    query: Query
    horizons: tuple[int, ...]
    costs: Costs
    options: OutcomeOptions
    table: pl.DataFrame
    returns: pl.DataFrame
    p_value: float
    judgement: Judgement
    notes: tuple[str, ...]

    @property
    def edge(self) -> bool:
        """Whether a difference was found that is significant and pays its costs."""
        return self.judgement.edge

    @property
    def verdict(self) -> str:
        """One sentence that says so."""
        return self.judgement.verdict

    def __repr__(self) -> str:
        head = f"After windows like {self.query!r}; long, before costs; base rate below"
        columns = (
            "  horizon     n  n_eff   median     mean            95 % of mean       5 % .. 95 %     up      p"
        )
        lines = [_line(row, self.query.interval_ns) for row in self.table.to_dicts()]
        return "\n".join([head, columns, *lines, self.verdict, *(f"note: {note}" for note in self.notes)])


def outcomes(
    panel: Panel,
    matches: Matches,
    horizons: Sequence[int] = (15, 60, 240),
    costs: Costs = DEFAULT_COSTS,
    options: OutcomeOptions = DEFAULT_OPTIONS,
) -> Outcomes:
    """What followed ``matches`` over each of ``horizons`` (bars), against what follows such windows anyway.

    Matches whose outcome ranges overlap in time share one vote. The base rate is made of active windows
    of the same symbols, hours of the day and volatility that obey the same point-in-time rule, weighted
    as the matches are. The p-value compares the mean with that of control draws from the same windows:
    whole time clusters of matches moved together to a random time, same number.

    Args:
        panel: the one that was searched.

    Raises:
        ParameterError: no horizon, or one below 1.
        NotEnoughData: no match, or none with a known outcome.
    """
    spans = tuple(sorted({int(horizon) for horizon in horizons}))
    cases = _cases(panel, matches, spans, options)
    rng = np.random.default_rng(options.seed)
    length = matches.query.length
    measured = [_measure(panel, case.starts, length, case.horizon) for case in cases]
    means = np.array([statistics.votes(c.labels) @ m["simple"] for c, m in zip(cases, measured, strict=True)])
    drawn = control_means(panel, cases, length, options, rng)
    each, joint = statistics.joint_p_values(means, drawn)
    rows, notes, bases = [], _missing(matches, spans, cases), []
    for case, facts, p_value in zip(cases, measured, each, strict=True):
        rows.append(_matches_row(case, facts, costs, options, rng) | {"p_value": float(p_value)})
        base = _base_row(panel, case, length, costs, options)
        rows.append(base)
        bases.append(base["n"])
    judgement = _judge(rows, drawn, costs, options)
    notes.append(_base_note(cases, bases, options))
    if not matches.options.point_in_time:
        notes.append("the search was not point in time: this is a description, not a forecast")
    return Outcomes(
        matches.query,
        tuple(case.horizon for case in cases),
        costs,
        options,
        pl.DataFrame(rows, infer_schema_length=None),
        pl.concat([_returns(matches, c, m, costs) for c, m in zip(cases, measured, strict=True)]),
        joint,
        judgement,
        tuple(notes),
    )


def _cases(panel: Panel, matches: Matches, spans: tuple[int, ...], options: OutcomeOptions) -> list[Case]:
    """The horizons over which the outcome of some match is known, ascending."""
    if not spans or spans[0] < 1:
        raise ParameterError(f"Horizons are whole numbers of bars from 1 up, not {spans}.")
    if not len(matches):
        raise NotEnoughData("There is no match, so nothing followed. Search a longer history.")
    check_panel(panel, matches)
    cases = cases_of(panel, matches, spans, options)
    if not cases:
        raise NotEnoughData(
            f"No match has {spans[0]} unbroken bars after it that lie before the query. Search with "
            f"horizon={spans[-1]}.",
            horizons=spans,
        )
    return cases


def fan(panel: Panel, matches: Matches, found: Outcomes, sample: int = 5000) -> pl.DataFrame:
    """The way the price took after the matches, for a picture.

    Args:
        sample: base-rate windows to take, drawn with the seed of ``found``.

    Returns:
        a row per bar from 0 (the match's last close) to the longest horizon: bar, q05..q95 of the
        simple return since then, and base, its median over windows of the same symbols.
    """
    check_panel(panel, matches)
    horizon = found.horizons[-1]
    (case,) = cases_of(panel, matches, (horizon,), found.options)
    length = matches.query.length
    ahead = np.arange(horizon + 1)

    def paths(starts: np.ndarray) -> np.ndarray:
        logs = log_paths(panel, starts + length - 1, len(ahead))
        moved: np.ndarray = np.expm1(logs - logs[:, :1])
        return moved

    quantiles = statistics.weighted_quantiles(paths(case.starts), statistics.votes(case.labels), SHARES)
    starts, weights = base_sample(case, sample, np.random.default_rng(found.options.seed))
    base = statistics.weighted_quantiles(paths(starts), weights, np.array([0.5]))
    columns = dict(zip(QUANTILES, quantiles, strict=True))
    return pl.DataFrame({"bar": ahead, **columns, "base": base[0]})


def _measure(panel: Panel, starts: np.ndarray, length: int, horizon: int) -> dict[str, np.ndarray]:
    found = followed(panel, starts, length, horizon)
    return {
        "log": found.log,
        "simple": np.expm1(found.log),
        "best": np.expm1(found.best),
        "worst": np.expm1(found.worst),
        "to_best": found.to_best,
        "to_worst": found.to_worst,
        "scaled": found.scaled(horizon),
    }


def _row(
    case: Case, sample: str, facts: dict[str, np.ndarray], weights: np.ndarray, costs: Costs
) -> dict[str, Any]:
    simple = facts["simple"]
    net = simple - costs.round_trip
    half = np.array([0.5])
    middle = {
        name: float(statistics.weighted_quantiles(facts[name], weights, half)[0])
        for name in ("best", "worst", "to_best", "to_worst", "scaled")
    }
    quantiles = statistics.weighted_quantiles(simple, weights, SHARES)
    return {
        "horizon": case.horizon,
        "sample": sample,
        "n": len(simple),
        "n_eff": None,
        "mean": float(weights @ simple),
        "mean_low": None,
        "mean_high": None,
        **{name: float(value) for name, value in zip(QUANTILES, quantiles, strict=True)},
        "share_up": float(weights @ (simple > 0)),
        "net_mean": float(weights @ net),
        "net_share_up": float(weights @ (net > 0)),
        "best": middle["best"],
        "worst": middle["worst"],
        "to_best": middle["to_best"],
        "to_worst": middle["to_worst"],
        "scaled_mean": float(weights @ facts["scaled"]),
        "scaled_median": middle["scaled"],
        "p_value": None,
    }


def _matches_row(
    case: Case, facts: dict[str, np.ndarray], costs: Costs, options: OutcomeOptions, rng: np.random.Generator
) -> dict[str, Any]:
    low, high = statistics.bootstrap_mean(facts["simple"], case.labels, rng, options.resamples)
    row = _row(case, "matches", facts, statistics.votes(case.labels), costs)
    interval = {"mean_low": low, "mean_high": high} if np.isfinite(low) else {}
    return row | {"n_eff": int(case.labels.max()) + 1} | interval


def _base_row(panel: Panel, case: Case, length: int, costs: Costs, options: OutcomeOptions) -> dict[str, Any]:
    starts, weights = base_sample(case, options.sample, np.random.default_rng(options.seed))
    return _row(case, "base rate", _measure(panel, starts, length, case.horizon), weights, costs)


def _base_note(cases: list[Case], counts: list[int], options: OutcomeOptions) -> str:
    """How the base rate was made, in a sentence."""
    rules = ["the same symbols"]
    if options.hour_band < 24:
        rules.append(f"the same {options.hour_band} hours of the day")
    if options.volatility_buckets > 1:
        rules.append(f"the same of {options.volatility_buckets} volatility buckets")
    sized = zip(cases, counts, strict=True)
    sizes = ", ".join(f"{count:,} over {case.horizon} bars" for case, count in sized)
    words = [f"base rate: active windows of {' and '.join(rules)}; {sizes}"]
    thinned = max(case.thinned for case in cases)
    words += [f"of a symbol with many, one in up to {thinned} was taken"] if thinned > 1 else []
    widened = max(case.widened for case in cases)
    words += [f"for {widened} matches such windows were too rare and more were taken"] if widened else []
    return "; ".join(words)


def _missing(matches: Matches, spans: tuple[int, ...], cases: list[Case]) -> list[str]:
    known = {case.horizon: len(case.which) for case in cases}
    return [
        f"{len(matches) - known.get(horizon, 0)} of {len(matches)} matches have no known outcome over "
        f"{horizon} bars: it would reach into a gap, past the data or past the query's start"
        for horizon in spans
        if known.get(horizon, 0) < len(matches)
    ]


def _judge(rows: list[dict[str, Any]], drawn: np.ndarray, costs: Costs, options: OutcomeOptions) -> Judgement:
    """Whether there is an edge at some horizon, and the sentence that says so."""
    pairs = list(zip(rows[0::2], rows[1::2], strict=True))
    means = np.array([row["mean"] for row, _ in pairs])
    usual = drawn.mean(axis=0)
    seen, adjusted = statistics.adjusted_p_values(means, drawn)
    nets = np.where(means > usual, means, -means) - costs.round_trip
    told = np.array([row["n_eff"] >= FEWEST_VOTES for row, _ in pairs])
    good = np.flatnonzero((adjusted <= options.significance) & (nets > 0.0) & told)
    at = int(good[np.argmax(seen[good])]) if len(good) else int(np.argmax(seen))
    row, base = pairs[at]
    side = "long" if means[at] > usual[at] else "short"
    net, p_value = float(nets[at]), float(adjusted[at])
    edge, words = _words((row, base, len(pairs)), (side, net, p_value), costs, options)
    return Judgement(row["horizon"], p_value, base["mean"], net, edge, words)


def _words(
    case: tuple[dict[str, Any], dict[str, Any], int],
    found: tuple[str, float, float],
    costs: Costs,
    options: OutcomeOptions,
) -> tuple[bool, str]:
    """Whether it is an edge, and the sentence; ``found``: (side, mean after costs, p over all horizons)."""
    (row, base, count), (side, net, p_value) = case, found
    facts = (
        f"{row['n']} matches ({row['n_eff']} independent) moved {row['mean']:+.2%} on average over "
        f"{row['horizon']} bars, where windows of the base rate move {base['mean']:+.2%}"
    )
    over = f" at one of {count} horizons" if count > 1 else ""
    chance = f"as large a difference{over} comes by chance in {p_value:.1%} of draws"
    if row["n_eff"] < FEWEST_VOTES:
        return False, f"no edge found: {facts}; fewer than {FEWEST_VOTES} independent matches cannot tell."
    if p_value > options.significance:
        return False, f"no edge found: {facts}; {chance}."
    cost = f"a round trip of {costs.round_trip:.2%}"
    if net <= 0:
        return False, f"no edge found: {facts}; {chance}, but {side} it does not pay {cost}."
    left = f"{net:+.2%} is left after {cost}"
    return True, f"edge found, {side}: {facts}; {chance}; {left}. Allow for how many queries were asked."


def _returns(matches: Matches, case: Case, facts: dict[str, np.ndarray], costs: Costs) -> pl.DataFrame:
    return matches.table.select("rank", "symbol")[case.which].with_columns(
        pl.lit(case.horizon).alias("horizon"),
        pl.Series("cluster", case.labels),
        pl.Series("log_return", facts["log"]),
        pl.Series("simple_return", facts["simple"]),
        pl.Series("net_return", facts["simple"] - costs.round_trip),
        pl.Series("best", facts["best"]),
        pl.Series("worst", facts["worst"]),
        pl.Series("to_best", facts["to_best"]).cast(pl.Int64),
        pl.Series("to_worst", facts["to_worst"]).cast(pl.Int64),
        pl.Series("scaled", facts["scaled"]),
    )


def _line(row: dict[str, Any], interval_ns: int) -> str:
    own = row["sample"] == "matches"
    name = span(row["horizon"] * interval_ns) if own else "base"
    votes = f"{row['n_eff']:>6,}" if own else " " * 6
    interval = (
        f"{row['mean_low']:+8.2%} .. {row['mean_high']:+7.2%}" if row["mean_low"] is not None else " " * 20
    )
    p_value = f"{row['p_value']:.3f}" if own else ""
    return (
        f"{name:>9} {row['n']:>7,} {votes} {row['q50']:+8.2%} {row['mean']:+8.2%} {interval:>23} "
        f"{row['q05']:+8.2%} .. {row['q95']:+7.2%} {row['share_up']:>5.0%}  {p_value:>5}"
    )
