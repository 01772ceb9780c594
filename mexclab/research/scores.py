"""How good a forecast of a whole distribution was, once the outcome is known. Lower is better."""

from __future__ import annotations

import numpy as np

from mexclab.errors import ParameterError


def pinball(quantiles: np.ndarray, shares: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) mean pinball losses of forecasts by quantiles (Koenker and Bassett, 1978).

    Args:
        quantiles: (n, s) what was said of each outcome at each of ``shares``.
        shares: (s,) within 0..1.
        actual: (n,) outcomes, in the unit of ``quantiles`` and of the answer.
    """
    missed = actual[:, None] - quantiles
    losses: np.ndarray = np.maximum(shares * missed, (shares - 1.0) * missed).mean(axis=1)
    return losses


def crps(members: np.ndarray, weights: np.ndarray, actual: float, *, fair: bool = False) -> float:
    """Continuous ranked probability score of a weighted ensemble (Gneiting and Raftery, 2007).

    Args:
        members: (m,) what might have happened, in the unit of ``actual`` and of the answer.
        weights: (m,) positive, of any sum.
        fair: as if there were endlessly many members of the same kind (Ferro, 2014): a small ensemble
            then pays nothing for being small. It takes two members.

    Raises:
        ParameterError: too few members.
    """
    if len(members) < 1 + fair:
        raise ParameterError(f"{len(members)} members are too few for this score.")
    order = np.argsort(members)
    values, shares = members[order], weights[order] / weights.sum()
    before = np.cumsum(shares) - shares
    spread = float((shares * values * (2.0 * before + shares - 1.0)).sum())  # half of the mean distance
    if fair:
        spread /= 1.0 - float((shares**2).sum())
    return float((shares * np.abs(values - actual)).sum()) - spread
