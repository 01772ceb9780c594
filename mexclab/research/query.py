"""The window that is asked about, and what it means for two windows to have the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from types import MappingProxyType
from typing import SupportsIndex

import numpy as np

from mexclab.errors import DataError, ParameterError
from mexclab.research.series import check_prices, span, utc

SHORTEST, LONGEST = 10, 2000  # bars in a window
MOST = 1_000_000_000  # bars or matches that anybody may ask for; see check_span for what time allows
LONGEST_SPAN_NS = 2**62  # 146 years: added to a time of this century it still fits in 64 bits


def check_length(length: int) -> None:
    """Raises ParameterError unless a window may have ``length`` bars."""
    if not SHORTEST <= length <= LONGEST:
        raise ParameterError(
            f"A window has {SHORTEST} to {LONGEST} bars, not {length}: choose another length.", length=length
        )


def check_count(name: str, value: object, least: int) -> None:
    """Raises ParameterError unless ``value`` is a whole number of bars or matches, at least ``least``."""
    if not isinstance(value, SupportsIndex) or not least <= index(value) <= MOST:
        raise ParameterError(
            f"{name} is a whole number from {least} to {MOST:,}, not {value!r}.", name=name, value=str(value)
        )


def check_span(name: str, bars: int, interval_ns: int) -> None:
    """Raises ParameterError unless so many bars, of ``interval_ns`` each, are a length of time."""
    if bars * interval_ns >= LONGEST_SPAN_NS:
        raise ParameterError(
            f"{name}: {bars:,} bars of {span(interval_ns)} is longer than time can be told: give fewer.",
            name=name,
            value=str(bars),
        )


def z_normalised(log_prices: np.ndarray) -> np.ndarray:
    """Zero mean and unit (population) deviation along the last axis; shape and order kept, float64."""
    centred = log_prices - log_prices[..., :1]  # first the level, so that its digits do not cost accuracy
    centred = centred - centred.mean(axis=-1, keepdims=True)
    scaled: np.ndarray = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True))
    return scaled


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """The window that we ask about.

    Args:
        values: (n,) prices, float64, positive; n from 10 to 2000.
        symbol: whose prices they are; it need not be in the panel that is searched.
        start_ns: open time of the first bar, UTC; nothing from later is used unless asked for.
        interval_ns: length of a bar.
        channels: (n,) float64 each, what else is known of these bars, in the units of
            :func:`~mexclab.research.series.channel`; needed for a search that weighs channels.

    Raises:
        DataError: a price is not a positive, finite number, or a channel holds one that is not finite.
        ParameterError: the window is too short, too long or not one row of numbers, or a bar has no length.
    """

    values: np.ndarray
    symbol: str
    start_ns: int
    interval_ns: int
    channels: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = _own(self.values)
        if values.ndim != 1:
            raise ParameterError(
                f"A query is one row of prices, not shape {values.shape}.", shape=values.shape
            )
        check_length(len(values))
        if self.interval_ns <= 0:
            raise ParameterError(f"A bar has a positive length, not {self.interval_ns} ns.")
        check_prices(self.symbol, self.start_ns + self.interval_ns * np.arange(len(values)), values)
        channels = {name: _own(numbers) for name, numbers in self.channels.items()}
        for name, numbers in channels.items():
            if numbers.shape != values.shape or not np.isfinite(numbers).all():
                raise DataError(f"Channel {name} of {self.symbol} is not {len(values)} finite numbers.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "channels", MappingProxyType(channels))

    @property
    def length(self) -> int:
        """Number of bars."""
        return len(self.values)

    @property
    def end_ns(self) -> int:
        """When the last bar closes (the end of the half-open range)."""
        return self.start_ns + self.length * self.interval_ns

    @property
    def normalised(self) -> np.ndarray:
        """(n,) z-normalised log prices."""
        return z_normalised(np.log(self.values))

    def __repr__(self) -> str:
        return (
            f"{self.symbol} {utc(self.start_ns)} to {utc(self.end_ns)} UTC, "
            f"{self.length} bars of {span(self.interval_ns)}"
        )


def _own(numbers: np.ndarray) -> np.ndarray:
    copy = np.array(numbers, dtype=np.float64)
    copy.flags.writeable = False
    return copy
