"""Suspicion of wash trading: volume that somebody prints rather than trades.

People trade in bursts: when the price moves, when others trade, small and huge sizes side by side.
A program that is paid for volume prints about as much every minute, whatever the price does. Bars
cannot prove who traded with whom; they can show volume that behaves like no market's, and how.

Sources of the signs: J. M. Karpoff, "The relation between price changes and trading volume", Journal of
Financial and Quantitative Analysis 22, 1987 (volume follows the size of moves); L. Cong, X. Li, K. Tang
and Y. Yang, "Crypto wash trading", Management Science 69, 2023 (first digits, shapes of sizes); M. Nigrini,
"Benford's Law", 2012 (the mean absolute deviation as a measure). The bounds are ours and stated in
:class:`WashOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import polars as pl
from scipy.stats import rankdata  # type: ignore[import-untyped]

from mexclab.errors import DataError, ParameterError

BENFORD = np.log10(1 + 1 / np.arange(1, 10))
"""(9,) how often each first digit comes in amounts that spread over several orders of magnitude."""
FEWEST_TWINS = 5  # whatever their share
GRID = 129  # points at which distributions are compared
SIGNS = ("moves", "spread", "digits", "memory", "twins", "trades")
SUSPICIOUS, UNCLEAR, UNSUSPICIOUS, TOO_FEW = "suspicious", "unclear", "not suspicious", "too few bars"
SCHEMA = {
    "symbol": pl.String, "bars": pl.Int64, "active": pl.Int64, "turnover": pl.Float64, "moves": pl.Float64,
    "spread": pl.Float64, "digits": pl.Float64, "memory": pl.Float64, "twins": pl.Int64,
    "trades": pl.Float64, "signs": pl.Int64, "known": pl.Int64, "suspicion": pl.String, "evidence": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WashOptions:
    """Where each sign begins.

    The defaults were chosen while looking at 68 MEXC symbols of May and June 2026: what they say of
    those is a description, not a test of them.

    Attributes:
        moves: a rank correlation of turnover with the size of the price change below this is a sign.
        spread: quartiles of turnover this close, (q75 - q25) / (q75 + q25); 0.5 is the spread of amounts
            drawn evenly from 0 up to some most, and real turnover is wider.
        digits: mean absolute deviation of first digits from Benford's law, on top of what chance makes;
            above 0.015 Nigrini speaks of nonconformity.
        memory: mean rank autocorrelation of turnover ``lags`` bars apart below this; activity clusters.
        lags: how far apart, in bars.
        twin: two symbols are twins when their distributions of turnover differ by less than this anywhere
            (Kolmogorov and Smirnov's distance); independent markets have markets of their own size.
        twins: twins are a sign where they are this share of the other symbols, and five at least.
        trades: quartiles this close of turnover per trade, where trades are counted.
        fewest: active bars below which nothing is said.
        suspicious, unclear: this many signs or more make the suspicion.
    """

    moves: float = 0.15
    spread: float = 0.5
    digits: float = 0.015
    memory: float = 0.05
    lags: tuple[int, ...] = (15, 30, 60)
    twin: float = 0.08
    twins: float = 0.25
    trades: float = 0.1
    fewest: int = 500
    suspicious: int = 3
    unclear: int = 2

    def __post_init__(self) -> None:
        if not self.lags or min(self.lags) < 1 or not 1 <= self.unclear <= self.suspicious:
            raise ParameterError(
                f"Lags are 1 or more, and suspicion takes as many signs as doubt or more: {self!r}."
            )
        if not 0 < self.twins <= 1:
            raise ParameterError(
                f"twins is a share of the other symbols, above 0 and up to 1, not {self.twins}."
            )
        if self.fewest < 2 * max(self.lags):
            raise ParameterError(
                f"Give fewest at least twice the longest lag, not {self.fewest}.", fewest=self.fewest
            )


def wash_suspicion(frame: pl.DataFrame | pl.LazyFrame, options: WashOptions = WashOptions()) -> pl.DataFrame:
    """A row per symbol: what its volume looks like, which signs of wash trading it shows, and what to think.

    Args:
        frame: ``symbol``, ``close``, ``volume`` (base units) and, where known, ``trades`` (a count); rows
            of one symbol in order of time. Twins need several symbols in one frame.
        options: where each sign begins.

    Returns:
        symbol, bars, active (bars with volume), turnover (median of active bars, quote units); the
        measures ``moves``, ``spread``, ``digits``, ``memory``, ``twins``, ``trades`` (null: not known);
        signs (how many are beyond their bound) of known; suspicion: "suspicious", "unclear",
        "not suspicious" or "too few bars"; evidence: the signs as a sentence. Most signs first.

    Raises:
        DataError: a column is missing, or a close or a volume is negative or not a number.
    """
    bars = _bars(frame)
    parts = bars.partition_by("symbol", maintain_order=True, as_dict=True)
    names = [str(key[0]) for key in parts]
    series = [_series(part) for part in parts.values()]
    twins = _twins([turnover[turnover > 0] for turnover, _, _ in series], options)
    others = sum(twin is not None for twin in twins) - 1
    most = max(FEWEST_TWINS, ceil(options.twins * others))
    rows = [
        _row(name, facts, (twin, most), options)
        for name, facts, twin in zip(names, series, twins, strict=True)
    ]
    return pl.DataFrame(rows, schema=SCHEMA).sort(
        ["signs", "known", "symbol"], descending=[True, True, False]
    )


def first_digits(amounts: np.ndarray) -> np.ndarray:
    """(9,) the shares of the first digits 1 to 9 of positive amounts."""
    positive = np.asarray(amounts, dtype=np.float64)
    leading = positive / 10.0 ** np.floor(np.log10(positive))
    digits = np.clip(leading + 1e-9, 1, 9).astype(np.int64)  # 0.3 / 0.1 is a hair below 3
    counts = np.bincount(digits, minlength=10)[1:]
    shares: np.ndarray = counts / max(len(positive), 1)
    return shares


def digit_deviation(amounts: np.ndarray) -> float:
    """How far first digits are from Benford's law: mean absolute deviation, less what chance alone makes."""
    by_chance = np.sqrt(2 / np.pi * BENFORD * (1 - BENFORD) / len(amounts)).mean()
    return float(max(np.abs(first_digits(amounts) - BENFORD).mean() - by_chance, 0.0))


def quartile_spread(amounts: np.ndarray) -> float:
    """(q75 - q25) / (q75 + q25) of positive amounts: 0 where all are alike, 0.5 for even ones from 0."""
    low, high = np.quantile(amounts, [0.25, 0.75])
    return float((high - low) / (high + low))


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's correlation; None where one side has a single value."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def _bars(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    held = frame.collect_schema().names()
    missing = [name for name in ("symbol", "close", "volume") if name not in held]
    if missing:
        raise DataError(
            f"The frame has no column {', '.join(missing)}: give bars as the lake reads them.",
            missing=missing,
        )
    columns = [pl.col("symbol").cast(pl.String), pl.col("close", "volume").cast(pl.Float64)]
    columns += [pl.col("trades").cast(pl.Float64)] if "trades" in held else []
    bars = frame.lazy().select(columns).collect()
    wrong = bars.filter(~(pl.col("close").is_finite() & (pl.col("close") > 0) & (pl.col("volume") >= 0)
                          & pl.col("volume").is_finite()).fill_null(False))  # fmt: skip
    if wrong.height:
        row = wrong.row(0, named=True)
        raise DataError(
            f"{row['symbol']}: close {row['close']} with volume {row['volume']} is no bar; repair it first.",
            symbol=row["symbol"],
        )
    return bars


def _series(part: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Turnover and absolute log return of each bar, and turnover per trade where trades are counted."""
    close = part["close"].to_numpy()
    turnover = close * part["volume"].to_numpy()
    moves = np.abs(np.diff(np.log(close), prepend=np.log(close[:1])))
    if "trades" not in part.columns:
        return turnover, moves, None
    counted = part["trades"].fill_null(0.0).to_numpy()
    sizes = turnover[counted > 0] / counted[counted > 0]
    return turnover, moves, sizes[sizes > 0]


def _twins(amounts: list[np.ndarray], options: WashOptions) -> list[int | None]:
    """How many other symbols have the same distribution of turnover; None for one symbol alone."""
    enough = [index for index, each in enumerate(amounts) if len(each) >= options.fewest]
    found: list[int | None] = [None] * len(amounts)
    if len(enough) < 2:
        return found
    grid = np.quantile(np.concatenate([amounts[index] for index in enough]), np.linspace(0, 1, GRID))
    shares = np.array(
        [np.searchsorted(np.sort(amounts[i]), grid, side="right") / len(amounts[i]) for i in enough]
    )
    for index, own in zip(enough, shares, strict=True):
        found[index] = int((np.abs(shares - own).max(axis=1) < options.twin).sum()) - 1
    return found


def _row(
    name: str,
    facts: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    twins: tuple[int | None, int],
    options: WashOptions,
) -> dict[str, object]:
    """A symbol's row; ``twins``: how many it has, and how many are a sign."""
    turnover, moves, sizes = facts
    active = turnover > 0
    row: dict[str, object] = {"symbol": name, "bars": len(turnover), "active": int(active.sum())}
    if active.sum() < options.fewest:
        words = f"{int(active.sum())} bars with volume are too few to judge by"
        return row | {"signs": 0, "known": 0, "suspicion": TOO_FEW, "evidence": words}
    traded = turnover[active]
    measures: dict[str, float | int | None] = {
        "moves": rank_correlation(turnover[1:][active[1:]], moves[1:][active[1:]]),
        "spread": quartile_spread(traded),
        "digits": digit_deviation(traded),
        "memory": _memory(turnover, options.lags),
        "twins": twins[0],
        "trades": quartile_spread(sizes) if sizes is not None and len(sizes) >= options.fewest else None,
    }
    signs = _signs(measures, twins[1], options)
    known = sum(measure is not None for measure in measures.values())
    suspicion = UNSUSPICIOUS
    if len(signs) >= options.unclear:
        suspicion = SUSPICIOUS if len(signs) >= options.suspicious else UNCLEAR
    evidence = "; ".join(signs.values()) or "volume behaves like a market's"
    row |= {"turnover": float(np.median(traded)), **measures}
    return row | {"signs": len(signs), "known": known, "suspicion": suspicion, "evidence": evidence}


def _memory(turnover: np.ndarray, lags: tuple[int, ...]) -> float | None:
    ranks = rankdata(turnover)
    if np.ptp(ranks) == 0:
        return None
    centred = ranks - ranks.mean()
    return float(np.mean([(centred[lag:] * centred[:-lag]).mean() for lag in lags]) / centred.var())


def _signs(measures: dict[str, float | int | None], twins: int, options: WashOptions) -> dict[str, str]:
    """The signs that are beyond their bounds, each with its words; so many ``twins`` are one."""
    words = {
        "moves": "volume does not follow the price's moves (rank correlation {:z.2f})",
        "spread": "volume is about the same every bar (quartile spread {:.2f})",
        "digits": "first digits of turnover miss Benford's law by {:.3f}",
        "memory": "activity has no memory (rank autocorrelation {:z.2f})",
        "twins": "{} other symbols have the same distribution of turnover",
        "trades": "trades are about the same size (quartile spread {:.2f})",
    }
    found = {}
    for sign in SIGNS:
        measure = measures[sign]
        above = sign in ("digits", "twins")
        if measure is None:
            continue
        bound = twins if sign == "twins" else getattr(options, sign)
        if measure >= bound if above else measure < bound:
            found[sign] = words[sign].format(measure)
    return found
