"""Diversification: how concentrated money is, how many bets it really makes, what moves together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.tail_risk import Returns

Amounts: TypeAlias = Sequence[float] | np.ndarray
LEAST_COMMON = 60  # rows that two symbols must share before their correlation says anything
_FLAT = 1e-12  # a variance this small beside its mean square is rounding, not movement
_ROUNDS, _SETTLED = 500, 1e-10
_ONE_THREAD = 250_000  # multiplications up to which OpenBLAS keeps a product to itself
_ROUNDING = 1e-9  # of a correlation


def herfindahl(amounts: Amounts, whole: float | None = None) -> float:
    """The Herfindahl-Hirschman index: the sum of squared shares, 1 for one holding, 1/n for n equal ones.

    Args:
        amounts: money in each symbol, none of it negative.
        whole: what shares are shares of, such as the equity with its cash; None: the sum of the amounts.

    Raises:
        ParameterError: an amount is negative or not a number, or ``whole`` is not above zero.
        NotEnoughData: nothing is held, and no ``whole`` is given.
    """
    money = _money(amounts)
    total = float(money.sum()) if whole is None else whole
    if whole is None and total == 0:
        raise NotEnoughData("Concentration: nothing is held, so there are no shares.")
    if not (np.isfinite(total) and total > 0):
        raise ParameterError(f"Concentration: shares of {total} are not defined; it must be above zero.")
    return float(((money / total) ** 2).sum())


def effective_holdings(amounts: Amounts) -> float:
    """How many equal holdings would be as concentrated: 1 / :func:`herfindahl`."""
    return 1 / herfindahl(amounts)


@dataclass(frozen=True, slots=True)
class Bets:
    """The uncorrelated bets behind a book.

    Attributes:
        number: the effective number, from 1 to the number of symbols.
        shares: (N,) share of the variance by bet, summing to 1. Bet n of a minimum torsion stays as close to
            symbol n as it can; principal components come largest first.
    """

    number: float
    shares: tuple[float, ...]


def effective_bets(
    returns: Returns, amounts: Amounts, method: Literal["torsion", "components"] = "torsion"
) -> Bets:
    """The effective number of bets: the exponential of the entropy of the bets' shares of the variance.

    By principal components: A. Meucci, "Managing diversification", Risk 22(5), 2009. By minimum torsion:
    A. Meucci, A. Santangelo and R. Deguest, "Risk budgeting and diversification based on optimized
    uncorrelated factors", Risk 28(11), 2015.

    Args:
        returns: (T, N) without NaN, with T above N.
        amounts: (N,) money in each symbol, not all zero.

    Raises:
        ParameterError: the shapes do not fit, or an amount is negative or not a number.
        NotEnoughData: too few rows, a gap, a symbol that never moved, symbols that always move in step (for
            the torsion), or nothing held.
    """
    money = _money(amounts)
    if returns.ndim != 2 or money.shape != (returns.shape[1],):
        raise ParameterError(
            f"Bets: amounts {money.shape} must be one number for each column of {returns.shape}."
        )
    covariance = _covariance(returns)
    total = float(money @ covariance @ money)
    if not total > 0:
        raise NotEnoughData("Bets: nothing is held, or what is held cancels out: there is no risk to share.")
    if method == "components":
        values, vectors = np.linalg.eigh(covariance)
        parts = (np.maximum(values, 0) * (vectors.T @ money) ** 2)[::-1]
    else:
        torsion = minimum_torsion(covariance)
        variances = np.einsum("ij,jk,ik->i", torsion, covariance, torsion)
        parts = variances * np.linalg.solve(torsion.T, money) ** 2
    shares = parts / parts.sum()
    seen = shares[shares > 0]
    return Bets(float(np.exp(-(seen * np.log(seen)).sum())), tuple(shares.tolist()))


def _covariance(returns: Returns) -> np.ndarray:
    rows, count = returns.shape
    if rows <= count or not np.isfinite(returns).all():
        raise NotEnoughData(
            f"Bets: {count} symbols need more than {count} rows of returns without gaps; there are {rows}."
        )
    covariance = np.atleast_2d(np.cov(returns, rowvar=False))
    still = np.flatnonzero(np.diag(covariance) <= _FLAT * (returns**2).mean(axis=0))
    if len(still):
        raise NotEnoughData(f"Bets: the symbols in columns {still.tolist()} never moved; leave them out.")
    return covariance


def minimum_torsion(covariance: np.ndarray) -> np.ndarray:
    """(N, N) the linear map to uncorrelated factors that stay closest to the symbols themselves.

    Raises:
        NotEnoughData: the covariance is singular: some symbols always move in step.
    """
    deviation = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    if values[0] <= 1e-10 * values[-1]:
        raise NotEnoughData("Bets: some symbols always move in step; merge them, or count components.")
    root = vectors * np.sqrt(values) @ vectors.T
    scale, rotation = np.ones(len(values)), np.eye(len(values))
    for _ in range(_ROUNDS):  # the fixed point of Meucci, Santangelo and Deguest, appendix
        left, _, right = np.linalg.svd(scale[:, None] * root)
        rotation = left @ right
        fresh = np.diag(rotation @ root).copy()
        settled = np.abs(fresh - scale).max() <= _SETTLED
        scale = fresh
        if settled:
            break
    torsion = scale[:, None] * (rotation @ (vectors / np.sqrt(values) @ vectors.T))
    own: np.ndarray = deviation[:, None] * torsion / deviation
    return own


def correlations(returns: Returns, least: int = LEAST_COMMON) -> np.ndarray:
    """(N, N) Pearson correlations, each pair over the rows that both have.

    NaN where they share fewer than ``least`` rows or one of them did not move in those.

    Args:
        returns: (T, N); NaN where a symbol was not known.
    """
    if returns.ndim != 2 or least < 2:
        raise ParameterError(
            f"Correlations: (T, N) returns and 2 rows or more, not {returns.shape}, {least}."
        )
    held = ~np.isnan(returns)
    mask = held.astype(float)
    counts = _product(mask, mask)
    filled = np.where(held, returns, 0.0)
    centred = (filled - filled.sum(axis=0) / np.maximum(mask.sum(axis=0), 1)) * mask
    sums, squares = _product(centred, mask), _product(centred**2, mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = squares - sums**2 / counts
        found = (_product(centred, centred) - sums * sums.T / counts) / np.sqrt(spread * spread.T)
    moved = spread > _FLAT * squares
    return np.where((counts >= least) & moved & moved.T, np.clip(found, -1, 1), np.nan)


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``left.T @ right``, in pieces too small to be shared out: to wait for a busy core takes 20 ms."""
    total = np.zeros((left.shape[1], right.shape[1]))
    step = max(_ONE_THREAD // max(total.size, 1), 1)
    for start in range(0, len(left), step):
        total += left[start : start + step].T @ right[start : start + step]
    return total


def correlation_clusters(returns: Returns, bound: float, least: int = LEAST_COMMON) -> tuple[int, ...]:
    """A label for each column: what is linked, directly or through others, has the same one.

    Two symbols are linked when their correlation is ``bound`` or more, and also when they share too little
    history to say: what is not known to be apart counts as one bet.

    Args:
        returns: (T, N); NaN where a symbol was not known.
        bound: in (0, 1].

    Returns:
        N labels, numbered from 0 in the order of the columns.

    Raises:
        ParameterError: the bound is out of its range.
    """
    if not 0 < bound <= 1:
        raise ParameterError(f"Clusters: the bound {bound} is not a correlation above 0 and at most 1.")
    found = correlations(returns, least)
    linked = np.isnan(found) | (found >= bound - _ROUNDING)
    labels = [-1] * len(found)
    for column in range(len(found)):
        if labels[column] >= 0:
            continue
        label = max(labels, default=-1) + 1
        reached = [column]
        while reached:
            here = reached.pop()
            labels[here] = label
            reached += [each for each in np.flatnonzero(linked[here]).tolist() if labels[each] < 0]
    return tuple(labels)


def _money(amounts: Amounts) -> np.ndarray:
    money = np.asarray(amounts, dtype=float)
    if money.ndim != 1 or not np.isfinite(money).all() or (money < 0).any():
        raise ParameterError("Amounts must be a list of numbers, none of them negative.")
    return money
