"""Many questions asked of one history: which of the answers survive being one of many."""

from __future__ import annotations

import numpy as np

from mexclab.errors import ParameterError

DEPENDENCES = ("positive", "any")


def q_values(p_values: np.ndarray, dependence: str = "positive") -> np.ndarray:
    """The smallest false-discovery rate at which each of several tests would still be called a discovery.

    Calling everything with q at or below 0.05 a discovery keeps the expected share of false ones among
    them at or below 5 % (Benjamini and Hochberg, 1995), also when the tests depend on one another
    positively, as those of overlapping histories do (Benjamini and Yekutieli, 2001).

    Args:
        p_values: (m,) in 0..1, one for every test that was made, not only for those that look good.
        dependence: "positive", or "any" for the guarantee under whatever dependence, at the price of a
            factor 1 + 1/2 + ... + 1/m.

    Returns:
        (m,) in the order of ``p_values``.

    Raises:
        ParameterError: a p-value outside 0..1, or an unknown dependence.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if dependence not in DEPENDENCES:
        raise ParameterError(f"dependence is one of {', '.join(DEPENDENCES)}, not {dependence!r}.")
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ParameterError("p-values are one row of numbers from 0 to 1.")
    count = len(values)
    if not count:
        return values
    ranks = np.arange(1, count + 1)
    factor = float((1.0 / ranks).sum()) if dependence == "any" else 1.0
    order = np.argsort(values, kind="stable")
    raised = values[order] * (count * factor / ranks)
    stepped = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    found = np.empty(count)
    found[order] = stepped
    return found


def draws_needed(tests: int, significance: float) -> int:
    """Control draws with which the best of ``tests`` could still survive, with fourfold room.

    A p-value from draws is never below 1 / (1 + draws); one test alone survives Benjamini and Hochberg
    only at ``significance / tests``.
    """
    return int(np.ceil(4.0 * tests / significance))
