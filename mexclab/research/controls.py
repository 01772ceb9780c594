"""The windows that matches are compared with: same symbols, hours and volatility, no look at the shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mexclab.errors import ParameterError
from mexclab.research import statistics
from mexclab.research.activity import ActivityFloor
from mexclab.research.forward import active_among, volatility
from mexclab.research.similarity import Matches, latest_end_ns
from mexclab.research.windows import Panel, Windows, windows_within

HOUR_NS = 3_600_000_000_000
FEWEST_SPELLS = 10  # separate stretches of time that the controls of a match must come from, at least


@dataclass(frozen=True, slots=True)
class OutcomeOptions:
    """How the comparison is made.

    Args:
        seed: of every random draw; the same seed gives the same numbers.
        draws: matched control draws, 1,000 or more.
        resamples: bootstrap resamples of the mean.
        sample: windows that the base rate and the controls are taken from; where the symbols have more,
            every 2nd, 4th, 8th ... is taken, at the same times in every symbol.
        hour_band: a match is compared with windows that end in its own band of so many hours of the day
            (UTC): 1, 2, 3, 4, 6, 8, 12, or 24 for all hours.
        volatility_buckets: and whose volatility is in the same one of so many equally filled buckets of
            its symbol; 1 for all.
        significance: the joint p-value at or below which a difference counts.
    """

    seed: int = 0
    draws: int = 1000
    resamples: int = 1000
    sample: int = 200_000
    hour_band: int = 6
    volatility_buckets: int = 5
    significance: float = 0.05

    def __post_init__(self) -> None:
        if self.draws < 1000 or self.resamples < 100 or self.sample < 1 or not 0 < self.significance < 1:
            raise ParameterError(f"At least 1,000 draws, 100 resamples, a share of significance: {self!r}.")
        if self.hour_band < 1 or 24 % self.hour_band or not 1 <= self.volatility_buckets <= 20:
            raise ParameterError(
                f"hour_band divides 24, and there are 1 to 20 volatility buckets, unlike in {self!r}."
            )


@dataclass(frozen=True, eq=False, slots=True)
class Controls:
    """Active windows of the matches' symbols, m of them, ascending; every array is (m,).

    Attributes:
        starts, times: start position, and start time in ns.
        owners: position of the symbol.
        bands: band of the day in which it ends.
        volatility: see :class:`~mexclab.research.forward.Followed`.
        thinned: the symbols' largest stride; 1 when every window is there.
    """

    starts: np.ndarray
    times: np.ndarray
    owners: np.ndarray
    bands: np.ndarray
    volatility: np.ndarray
    thinned: int

    def keep(self, which: np.ndarray) -> Controls:
        """Those at ``which``, a mask or indices."""
        return Controls(
            self.starts[which],
            self.times[which],
            self.owners[which],
            self.bands[which],
            self.volatility[which],
            self.thinned,
        )


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """The matches whose outcome over one horizon is known, and the windows they are compared with.

    Attributes:
        horizon: bars.
        which: (n,) index of each such match among all matches.
        starts, times: (n,) its start position and start time in ns.
        labels: (n,) its time cluster: matches whose outcomes overlap in time share one.
        strata: (n,) which of ``pools`` it is compared with.
        pools: start positions and times of control windows, ascending.
        widened: matches whose own hours and volatility were too rare, so that fewer rules were kept.
        thinned: every so many-th window of a symbol is among the controls.
    """

    horizon: int
    which: np.ndarray
    starts: np.ndarray
    times: np.ndarray
    labels: np.ndarray
    strata: np.ndarray
    pools: tuple[tuple[np.ndarray, np.ndarray], ...]
    widened: int
    thinned: int


DEFAULT_OPTIONS = OutcomeOptions()


def check_panel(panel: Panel, matches: Matches) -> None:
    """Raises ParameterError unless ``matches`` were found in ``panel``."""
    starts = matches.table["start"].dt.epoch("ns").to_numpy()
    inside = matches.positions < len(panel)
    if not inside.all() or not np.array_equal(panel.times(matches.positions), starts):
        raise ParameterError("These matches were found in another panel: give the one that was searched.")


def cases_of(
    panel: Panel, matches: Matches, horizons: tuple[int, ...], options: OutcomeOptions
) -> list[Case]:
    """One case for each of ``horizons`` (bars, ascending) over which the outcome of some match is known.

    Matches and controls alike end, with their outcome and the embargo, before the query starts (unless
    the search was not point in time), and lie above the activity floor.
    """
    length, latest = matches.query.length, latest_end_ns(matches.query, matches.options)
    allowed = [windows_within(panel, length, latest, horizon) for horizon in horizons]
    known = [np.flatnonzero(_among(windows, matches.positions)) for windows in allowed]
    if not any(len(which) for which in known):
        return []
    first = next(at for at, which in enumerate(known) if len(which))
    symbols = np.unique(panel.segment_symbol[panel.segment_of(matches.positions[known[first]])])
    every = _controls(panel, allowed[first], symbols, matches.options.activity, options)
    own = volatility(panel, matches.positions, length)
    edges = {int(symbol): _edges(every, symbol, options) for symbol in symbols}
    found = []
    for horizon, windows, which in zip(horizons, allowed, known, strict=True):
        if len(which):
            fitting = every.keep(_among(windows, every.starts))
            found.append(_case(panel, matches, (horizon, which, own), fitting, edges, options))
    return found


def _among(windows: Windows, positions: np.ndarray) -> np.ndarray:
    """Whether a window of ``windows`` starts at each position; same shape, bool."""
    if not len(windows.starts):
        return np.zeros(len(positions), dtype=bool)
    run = np.searchsorted(windows.starts, positions, side="right") - 1
    within: np.ndarray = (run >= 0) & (positions - windows.starts[run] < windows.counts[run])
    return within


def _controls(
    panel: Panel, allowed: Windows, symbols: np.ndarray, floor: ActivityFloor, options: OutcomeOptions
) -> Controls:
    """The active windows of ``symbols``, thinned to about ``options.sample``."""
    owners = panel.segment_symbol[panel.segment_of(allowed.starts)]
    quota = max(1, options.sample // len(symbols))
    chance = int(np.random.default_rng(options.seed).integers(1 << 30))
    found, largest = [], 1
    for symbol in symbols:
        runs = Windows(allowed.starts[owners == symbol], allowed.counts[owners == symbol], allowed.length)
        stride = 1
        while runs.total > quota * stride:
            stride *= 2
        active = active_among(panel, _thinned(panel, runs, stride, chance), runs.length, floor)
        if not len(active) and stride > 1:
            active = active_among(panel, runs.positions(), runs.length, floor)
        found.append(active)
        largest = max(largest, stride)
    starts = np.concatenate(found)
    times = panel.times(starts)
    ends = times + allowed.length * panel.interval_ns
    return Controls(
        starts,
        times,
        panel.segment_symbol[panel.segment_of(starts)],
        _bands(ends, options),
        volatility(panel, starts, allowed.length),
        largest,
    )


def _thinned(panel: Panel, runs: Windows, stride: int, chance: int) -> np.ndarray:
    """Those windows of ``runs`` whose start time falls on one grid of ``stride`` bars, the same for all."""
    phase = panel.times(runs.starts) // panel.interval_ns
    skipped = (chance - phase) % stride
    counts = np.maximum(0, -((skipped - runs.counts) // stride))
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    starts: np.ndarray = np.repeat(runs.starts + skipped, counts) + within * stride
    return starts


def _bands(ends: np.ndarray, options: OutcomeOptions) -> np.ndarray:
    return (ends // HOUR_NS) % 24 // options.hour_band


def _edges(every: Controls, symbol: int, options: OutcomeOptions) -> np.ndarray:
    """Where one volatility bucket of the symbol ends and the next begins."""
    shares = np.arange(1, options.volatility_buckets) / options.volatility_buckets
    own = every.volatility[every.owners == symbol]
    return np.quantile(own, shares) if len(own) else np.empty(0)


def _case(
    panel: Panel,
    matches: Matches,
    known: tuple[int, np.ndarray, np.ndarray],
    controls: Controls,
    edges: dict[int, np.ndarray],
    options: OutcomeOptions,
) -> Case:
    horizon, which, own = known
    length, step = matches.query.length, panel.interval_ns
    starts = matches.positions[which]
    times = panel.times(starts)
    ends = times + length * step
    keys = zip(
        panel.segment_symbol[panel.segment_of(starts)].tolist(),
        _bands(ends, options).tolist(),
        own[which].tolist(),
        strict=True,
    )
    numbers: dict[tuple[int, int, int], int] = {}
    pools: list[tuple[np.ndarray, np.ndarray]] = []
    strata, widened, rare = np.empty(len(which), dtype=np.int64), 0, set()
    parts = {symbol: _of_symbol(controls, symbol, edges[symbol]) for symbol in edges}
    for at, (symbol, band, spread) in enumerate(keys):
        key = (symbol, band, int(np.searchsorted(edges[symbol], spread)))
        if key not in numbers:
            numbers[key] = len(pools)
            pool, whole = _pool(*parts[symbol], key[1:], (length + horizon) * step)
            here = slice(at, at + 1)  # alone where the symbol has no other window with a known outcome
            alone = (starts[here], times[here])
            pools.append((pool.starts, pool.times) if len(pool.starts) else alone)
            if not whole:
                rare.add(key)
        strata[at] = numbers[key]
        widened += key in rare
    labels = statistics.time_clusters(ends, ends + horizon * step)
    return Case(horizon, which, starts, times, labels, strata, tuple(pools), widened, controls.thinned)


def _of_symbol(controls: Controls, symbol: int, edges: np.ndarray) -> tuple[Controls, np.ndarray]:
    own = controls.keep(controls.owners == symbol)
    return own, np.searchsorted(edges, own.volatility)


def _pool(own: Controls, buckets: np.ndarray, key: tuple[int, int], reach_ns: int) -> tuple[Controls, bool]:
    """The controls of one symbol's band and bucket, and whether there were enough of them.

    Where they come from fewer than FEWEST_SPELLS separate stretches of ``reach_ns``, the band is given
    up first and the bucket next.
    """
    band, bucket = key
    alike = buckets == bucket
    for number, fits in enumerate((alike & (own.bands == band), alike)):
        if len(np.unique(own.times[fits] // reach_ns)) >= FEWEST_SPELLS:
            return own.keep(fits), number == 0
    return own, False


def control_means(
    panel: Panel, cases: list[Case], length: int, options: OutcomeOptions, rng: np.random.Generator
) -> np.ndarray:
    """(draws, cases) means of control draws, ``cases`` being in ascending order of horizon.

    Each draw moves whole blocks of matches, members keeping their distance in time as nearly as their
    pools allow, to places that do not overlap either. Blocks and places are those of the longest
    horizon for all horizons, so that the means vary together as those of the matches do.
    """
    reach = cases[-1].horizon * panel.interval_ns
    most = cases[0]  # a shorter outcome is known of every match of which a longer one is
    blocks = statistics.time_clusters(most.times, most.times + reach)
    first = np.array([most.times[blocks == block].min() for block in np.unique(blocks)])
    last = np.array([most.times[blocks == block].max() for block in np.unique(blocks)])
    known = np.concatenate([times[[0, -1]] for _, times in most.pools])
    shares = (last + reach - first) / (known.max() - known.min() + reach)
    places = statistics.random_places(shares, options.draws, rng)
    block_of = dict(zip(most.which.tolist(), blocks.tolist(), strict=True))
    means = np.empty((options.draws, len(cases)))
    for column, case in enumerate(cases):
        owners = np.array([block_of[match] for match in case.which.tolist()])
        drawn = np.empty((options.draws, len(owners)), dtype=np.int64)
        for block in np.unique(owners):
            members = np.flatnonzero(owners == block)
            lead = members[np.argmin(case.times[members])]
            times = case.pools[case.strata[lead]][1]
            shift = times[(places[:, block] * len(times)).astype(np.int64)] - case.times[lead]
            for member in members:
                positions, ring = case.pools[case.strata[member]]
                wanted = _in_band(case.times[member] + shift, case.times[member], length, panel, options)
                drawn[:, member] = positions[statistics.nearest_in(ring, wanted, panel.interval_ns)]
        end = drawn + length - 1
        simple = np.expm1(panel.log_at(end + case.horizon) - panel.log_at(end))
        means[:, column] = simple @ statistics.votes(case.labels)
    return means


def _in_band(
    wanted: np.ndarray, home_ns: int, length: int, panel: Panel, options: OutcomeOptions
) -> np.ndarray:
    """``wanted`` moved by whole bands of hours, the shorter way, into the band of the day of ``home_ns``.

    Else windows at the edges of the band would stand for all that fall outside it.
    """
    width, day = options.hour_band * HOUR_NS, 24 // options.hour_band
    reach = length * panel.interval_ns
    off = (home_ns + reach) // width - (wanted + reach) // width
    moved: np.ndarray = wanted + ((off + day // 2) % day - day // 2) * width
    return moved


def base_sample(case: Case, sample: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Windows for a base rate: all of the case's pools, or about ``sample`` of them.

    Returns:
        (start positions, weights that sum to 1 and give each pool its matches' share of the votes).
    """
    share = np.bincount(case.strata, weights=statistics.votes(case.labels), minlength=len(case.pools))
    everything = sum(len(positions) for positions, _ in case.pools)
    quota = max(1, sample // len(case.pools))
    starts, weights = [], []
    for (positions, _), part in zip(case.pools, share, strict=True):
        taken = positions
        if everything > sample and len(positions) > quota:
            taken = rng.choice(positions, quota, replace=False)
        starts.append(taken)
        weights.append(np.full(len(taken), part / len(taken)))
    return np.concatenate(starts), np.concatenate(weights)
