"""A history whose directions were decided by coins: everything else is as it was."""

from __future__ import annotations

import numpy as np

from mexclab.research.surrogate import coin_flipped
from mexclab.research.windows import Panel

MINUTE = 60_000_000_000
START = 1_780_000_020_000_000_000 // MINUTE * MINUTE


def gappy() -> Panel:
    rng = np.random.default_rng(0)
    series = {}
    for index, symbol in enumerate(("AUSDT", "BUSDT", "CUSDT")):
        rows = np.delete(np.arange(index * 40, 900), slice(300, 320))
        steps = rng.standard_normal(len(rows)) * (rng.random(len(rows)) < 0.7)
        series[symbol] = (START + rows * MINUTE, np.exp(np.cumsum(steps) * 1e-3))
    return Panel.from_arrays(series)


def moves(panel: Panel) -> dict[tuple[str, int], float]:
    """The move into each bar, by symbol and time; none into the first bar of a segment."""
    positions = np.setdiff1d(np.arange(len(panel)), panel.segment_start[:-1])
    steps = panel.log_at(positions) - panel.log_at(positions - 1)
    owners = panel.segment_symbol[panel.segment_of(positions)]
    keys = zip((panel.symbols[i] for i in owners), panel.times(positions).tolist(), strict=True)
    return dict(zip(keys, steps.tolist(), strict=True))


def test_the_size_of_every_move_stays_and_its_direction_is_a_coins() -> None:
    panel = gappy()
    before, after = moves(panel), moves(coin_flipped(panel, 1))
    assert before.keys() == after.keys()
    np.testing.assert_allclose(np.abs(list(after.values())), np.abs(list(before.values())), atol=1e-12)
    turned = np.mean([before[key] * after[key] < 0 for key in before if before[key]])
    assert 0.4 < turned < 0.6


def test_all_symbols_turn_at_the_same_times_so_that_they_still_move_together() -> None:
    panel = gappy()
    before, after = moves(panel), moves(coin_flipped(panel, 2))
    for symbol, time in before:
        other = ("BUSDT", time)
        if other in before and before[symbol, time] and before[other]:
            turned = before[symbol, time] * after[symbol, time] < 0
            assert turned == (before[other] * after[other] < 0)


def test_positions_and_gaps_stay_and_the_seed_decides() -> None:
    panel = gappy()
    one, same, other = (coin_flipped(panel, seed) for seed in (1, 1, 2))
    every = np.arange(len(panel))
    assert np.array_equal(one.times(every), panel.times(every))
    assert np.array_equal(one.segment_start, panel.segment_start)
    assert np.array_equal(one.log_at(every), same.log_at(every))
    assert not np.array_equal(one.log_at(every), other.log_at(every))
