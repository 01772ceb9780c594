"""The windows that matches are compared with: the same symbols, the same rules, no look at the shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mexclab.errors import ParameterError
from mexclab.research import statistics
from mexclab.research.scan import active_positions
from mexclab.research.similarity import Matches, latest_end_ns
from mexclab.research.windows import Panel, Windows, windows_within

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class OutcomeOptions:
    """How the comparison is made.

    Args:
        seed: of every random draw; the same seed gives the same numbers.
        draws: matched control draws, 1,000 or more.
        resamples: bootstrap resamples of the mean.
        sample: base-rate windows to look at; all of them when there are no more.
        same_hour: compare only with windows that end in an hour of the day (UTC) of some match.
        significance: the joint p-value at or below which a difference counts.
    """

    seed: int = 0
    draws: int = 1000
    resamples: int = 1000
    sample: int = 200_000
    same_hour: bool = False
    significance: float = 0.05

    def __post_init__(self) -> None:
        if self.draws < 1000 or self.resamples < 100 or self.sample < 1 or not 0 < self.significance < 1:
            raise ParameterError(f"At least 1,000 draws, 100 resamples, a share of significance: {self!r}.")


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """The matches whose outcome over one horizon is known, and the windows they are compared with.

    Attributes:
        horizon: bars.
        which: (n,) index of each such match among all matches.
        starts, symbols, times: (n,) its start position, symbol position and start time in ns.
        labels: (n,) its time cluster: matches whose outcomes overlap in time share one.
        pools: for each symbol position, the start positions and times of its control windows.
    """

    horizon: int
    which: np.ndarray
    starts: np.ndarray
    symbols: np.ndarray
    times: np.ndarray
    labels: np.ndarray
    pools: dict[int, tuple[np.ndarray, np.ndarray]]


DEFAULT_OPTIONS = OutcomeOptions()


def check_panel(panel: Panel, matches: Matches) -> None:
    """Raises ParameterError unless ``matches`` were found in ``panel``."""
    starts = matches.table["start"].dt.epoch("ns").to_numpy()
    inside = matches.positions < len(panel)
    if not inside.all() or not np.array_equal(panel.times(matches.positions), starts):
        raise ParameterError("These matches were found in another panel: give the one that was searched.")


def case_of(panel: Panel, matches: Matches, horizon: int, options: OutcomeOptions) -> Case:
    """The case of one horizon (bars); it may hold no match at all.

    Matches and controls alike end, with their outcome and the embargo, before the query starts (unless
    the search was not point in time), and lie above the activity floor.
    """
    length, step = matches.query.length, panel.interval_ns
    allowed = windows_within(panel, length, latest_end_ns(matches.query, matches.options), horizon)
    run = np.searchsorted(allowed.starts, matches.positions, side="right") - 1
    within = matches.positions - allowed.starts[run] if len(allowed.starts) else matches.positions
    known = (run >= 0) & (within < allowed.counts[run]) if len(allowed.starts) else np.zeros(len(run), bool)
    which = np.flatnonzero(known)
    starts = matches.positions[which]
    symbols = panel.segment_symbol[panel.segment_of(starts)]
    ends = panel.times(starts) + length * step
    labels = statistics.time_clusters(ends, ends + horizon * step)
    owners = panel.segment_symbol[panel.segment_of(allowed.starts)]
    wanted = np.isin(owners, symbols)
    pool = active_positions(
        panel, Windows(allowed.starts[wanted], allowed.counts[wanted], length), matches.options.activity
    )
    times = panel.times(pool)
    if options.same_hour:
        hours = ((times + length * step) // HOUR_NS) % 24
        fits = np.isin(hours, (ends // HOUR_NS) % 24)
        pool, times = pool[fits], times[fits]
    owners = panel.segment_symbol[panel.segment_of(pool)]
    edges = np.searchsorted(owners, np.arange(len(panel.symbols) + 1))
    pools = {
        int(symbol): (pool[edges[symbol] : edges[symbol + 1]], times[edges[symbol] : edges[symbol + 1]])
        for symbol in np.unique(symbols)
    }
    return Case(horizon, which, starts, symbols, ends - length * step, labels, pools)


def control_means(
    panel: Panel, cases: list[Case], length: int, options: OutcomeOptions, rng: np.random.Generator
) -> np.ndarray:
    """(draws, cases) means of control draws, ``cases`` being in ascending order of horizon.

    Each draw moves whole blocks of matches, members keeping their distance in time, to places that do
    not overlap either. Blocks and places are those of the longest horizon for all horizons, so that
    the means vary together as those of the matches do.
    """
    reach = cases[-1].horizon * panel.interval_ns
    most = cases[0]  # a shorter outcome is known of every match of which a longer one is
    blocks = statistics.time_clusters(most.times, most.times + reach)
    first = np.array([most.times[blocks == block].min() for block in np.unique(blocks)])
    last = np.array([most.times[blocks == block].max() for block in np.unique(blocks)])
    known = np.concatenate([times[[0, -1]] for _, times in most.pools.values()])
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
            times = case.pools[int(case.symbols[lead])][1]
            shift = times[(places[:, block] * len(times)).astype(np.int64)] - case.times[lead]
            for member in members:
                positions, ring = case.pools[int(case.symbols[member])]
                wanted = case.times[member] + shift
                drawn[:, member] = positions[statistics.nearest_in(ring, wanted, panel.interval_ns)]
        end = drawn + length - 1
        simple = np.expm1(panel.log_at(end + case.horizon) - panel.log_at(end))
        means[:, column] = simple @ statistics.votes(case.labels)
    return means


def base_sample(case: Case, sample: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Windows for a base rate: all of the case's pools, or about ``sample`` of them.

    Returns:
        (start positions, weights that sum to 1 and give each symbol its share of the matches' votes,
        how many windows there were to choose from).
    """
    share = statistics.votes(case.labels)
    quota = max(1, sample // len(case.pools))
    starts, weights = [], []
    everything = sum(len(positions) for positions, _ in case.pools.values())
    for symbol, (positions, _) in case.pools.items():
        if everything > sample and len(positions) > quota:
            positions = rng.choice(positions, quota, replace=False)
        starts.append(positions)
        weights.append(np.full(len(positions), share[case.symbols == symbol].sum() / len(positions)))
    return np.concatenate(starts), np.concatenate(weights), everything
