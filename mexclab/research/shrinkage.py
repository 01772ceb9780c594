"""Correlations where symbols are many beside returns: noise is shrunk away."""

from __future__ import annotations

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage  # type: ignore[import-untyped]

from mexclab.research.correlation import Correlation, Returns, correlate, described, standardised
from mexclab.research.diversification import LEAST_COMMON


def shrunk(returns: Returns, least: int = LEAST_COMMON) -> Correlation:
    """The correlations of :func:`correlate`, drawn towards none by the intensity of Ledoit and Wolf.

    O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 88, 2004, as scikit-learn has it, on standardised returns. It is worth
    having where symbols are many beside returns. Missing returns count as average ones for the intensity
    alone; symbols that never moved take no part in it.
    """
    plain = correlate(returns, least)
    scores, _, squares, missing = standardised(returns.values)
    held = len(returns) - missing
    moving = (squares > 0) & (held >= least)
    if not moving.any():
        return plain
    units = scores[:, moving] * np.sqrt(held[moving])
    amount = float(ledoit_wolf_shrinkage(units, assume_centered=True))
    matrix = plain.matrix.astype(np.float64) * (1.0 - amount)
    known = np.isfinite(np.diag(plain.matrix))
    matrix[known, known] = 1.0
    return described(matrix, returns, amount)
