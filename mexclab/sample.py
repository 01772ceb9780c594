"""A tiny lake of simulated bars, so that a notebook runs where no data was imported.

Twelve symbols, five days of one-minute bars. Eight walk at random with a common factor; four are
listed on the way, by the generator of ``mexclab.research.listing_day``. All of it is seeded and none
of it is a market: every name begins with ``SIM``, so that nobody takes it for one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from mexclab.domain.clock import DAY, MINUTE
from mexclab.research.listing_day import FITTED, listing_day
from mexclab.store.lake import Lake

SEED = 20_260_601
START_NS = 20_605 * DAY  # 2026-06-01 00:00 UTC
DAYS = 5
WALKERS = tuple(f"SIM{number:02}USDT" for number in range(1, 9))
LISTED = {"SIM09USDT": 10.0, "SIM10USDT": 37.0, "SIM11USDT": 58.5, "SIM12USDT": 83.0}  # hours after the start

_TICK_S = 10  # a random walk moves this often
_TICKS = 60 // _TICK_S
_MINUTES = DAYS * 1440


def sample_bars(seed: int = SEED) -> pl.DataFrame:
    """The sample as a frame that a lake takes: symbol, ts, open, high, low, close, volume.

    The same seed gives the same bars.
    """
    rng = np.random.default_rng(seed)
    market = _returns(rng, 1.0)
    frames = [_walker(rng, name, market) for name in WALKERS]
    frames += [_listed(rng, name, hours) for name, hours in LISTED.items()]
    return pl.concat(frames)


def sample_lake(folder: Path) -> Lake:
    """The sample as a lake in ``folder``; made on the first call, found on later ones.

    Raises:
        DataError: the folder cannot be written, or holds bars that are not the sample's.
    """
    lake = Lake(folder)
    if len(lake.symbols()) < len(WALKERS) + len(LISTED):
        lake.write(sample_bars())
    return lake


def _returns(rng: np.random.Generator, scale: float) -> np.ndarray:
    """(minutes, ticks) log returns: fat-tailed, with volatility that comes in spells and by the hour."""
    spells = np.empty(_MINUTES)
    level = 0.0
    for minute, shock in enumerate(rng.standard_normal(_MINUTES)):
        level = 0.995 * level + 0.06 * shock
        spells[minute] = level
    hour = np.arange(_MINUTES) % 1440 / 1440
    sd = scale * 1.6e-4 * np.exp(spells - spells.var() / 2) * (1 + 0.35 * np.cos(2 * np.pi * (hour - 0.6)))
    return sd[:, None] * rng.standard_t(4, (_MINUTES, _TICKS)) / np.sqrt(2)


def _walker(rng: np.random.Generator, name: str, market: np.ndarray) -> pl.DataFrame:
    own = _returns(rng, float(rng.uniform(0.8, 2.5)))
    moves = float(rng.uniform(0.5, 1.5)) * market + own
    path = float(10 ** rng.uniform(-2, 3)) * np.exp(np.cumsum(moves)).reshape(moves.shape)
    activity = np.abs(moves).sum(axis=1) / np.abs(moves).sum(axis=1).mean()
    quote = 3_000 * 10 ** float(rng.uniform(0, 1.5)) * activity * np.exp(0.6 * rng.standard_normal(_MINUTES))
    return _bars(name, START_NS, path, quote)


def _listed(rng: np.random.Generator, name: str, hours: float) -> pl.DataFrame:
    """A listing day at one second, then on as a walk with the volatility that a day leaves behind."""
    first_day = listing_day(rng, hours=24.0)
    opening = 10 ** float(rng.uniform(-3, 0))
    prices = opening * first_day.price.reshape(-1, 60)
    quote = (first_day.trades_per_s * FITTED.trade_mean_quote).reshape(-1, 60).sum(axis=1)
    quote = quote * np.exp(0.8 * rng.standard_normal(len(quote)))
    minutes = _MINUTES - round(hours * 60) - len(prices)
    if minutes <= 0:
        kept = _MINUTES - round(hours * 60)
        return _bars(name, START_NS + round(hours * 60) * MINUTE, prices[:kept], quote[:kept])
    later = prices[-1, -1] * np.exp(np.cumsum(4.0 * _returns(rng, 1.0)[:minutes])).reshape(minutes, _TICKS)
    whole = np.pad(later, ((0, 0), (0, 60 - _TICKS)), mode="edge")
    rest = np.full(minutes, np.median(quote[-240:])) * np.exp(0.8 * rng.standard_normal(minutes))
    return _bars(
        name,
        START_NS + round(hours * 60) * MINUTE,
        np.concatenate([prices, whole]),
        np.concatenate([quote, rest]),
    )


def _bars(name: str, start_ns: int, path: np.ndarray, quote: np.ndarray) -> pl.DataFrame:
    """Bars of ``path`` (minutes, prices within the minute); each opens where the last one closed."""
    digits = 6 - int(np.ceil(np.log10(np.median(path))))
    path = np.maximum(np.round(path, digits), 10.0**-digits)
    opened = np.concatenate([path[:1, 0], path[:-1, -1]])
    times = start_ns + np.arange(len(path), dtype=np.int64) * MINUTE
    return pl.DataFrame(
        {
            "symbol": pl.Series([name]).new_from_index(0, len(path)),
            "ts": pl.Series(times // 1_000_000).cast(pl.Datetime("ms", "UTC")),
            "open": opened,
            "high": np.maximum(path.max(axis=1), opened),
            "low": np.minimum(path.min(axis=1), opened),
            "close": path[:, -1],
            "volume": np.round(quote / path[:, -1], 4),
        }
    )
