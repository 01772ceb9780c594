"""What moves together: clusters of symbols, and how many common movements are more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import (  # type: ignore[import-untyped]
    fcluster,
    leaves_list,
    linkage,
    optimal_leaf_ordering,
)
from scipy.spatial.distance import squareform  # type: ignore[import-untyped]

from mexclab.errors import NotEnoughData, ParameterError
from mexclab.research.correlation import Correlation

NAMED = 8  # members of a cluster that its summary names
ORDERED = 400  # symbols up to which leaves are ordered as well as they can be; it takes cubic time


@dataclass(frozen=True, eq=False, slots=True)
class Clusters:
    """Symbols grouped by how they move together.

    Attributes:
        symbols: of the correlation.
        labels: (N,) cluster of each symbol, numbered from 1, the largest first.
        order: (N,) positions such that neighbours are alike: the leaves of the tree from left to right.
        tree: (N - 1, 4) scipy's linkage matrix.
        bound: clusters are joined while their members are correlated by this on average, roughly.
        table: a row per symbol, by cluster: cluster, size, symbol, inside (mean correlation with the rest of
            its cluster; null alone), outside (with everything else).
    """

    symbols: tuple[str, ...]
    labels: np.ndarray
    order: np.ndarray
    tree: np.ndarray
    bound: float
    table: pl.DataFrame

    @property
    def count(self) -> int:
        """How many clusters there are, single symbols included."""
        return int(self.labels.max())

    def members(self, label: int) -> tuple[str, ...]:
        """The symbols of one cluster, in the order of the tree; ParameterError where there is no such one."""
        found = tuple(self.symbols[at] for at in self.order if self.labels[at] == label)
        if not found:
            raise ParameterError(f"There is no cluster {label}; they are numbered 1 to {self.count}.")
        return found

    def __repr__(self) -> str:
        sizes = np.bincount(self.labels)[1:]
        alone = int((sizes == 1).sum())
        groups = [self._core(label + 1) for label in np.flatnonzero(sizes > 1)[:10]]
        head = (
            f"{len(sizes) - alone} cluster{'s' * (len(sizes) - alone != 1)} of {int(sizes[sizes > 1].sum())} "
            f"symbols at a correlation of {self.bound:g}, {alone} symbols alone"
        )
        return "\n".join([head, *(f"{at + 1:>3}. {names}" for at, names in enumerate(groups))])

    def _core(self, label: int) -> str:
        """The members that a cluster is about: those most correlated with the rest of it come first."""
        names = self.table.filter(pl.col("cluster") == label)["symbol"].to_list()
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return ", ".join(names[:NAMED]) + more


@dataclass(frozen=True, eq=False, slots=True)
class Factors:
    """The movements behind a correlation matrix.

    Attributes:
        eigenvalues: (N,) of the matrix, largest first; they sum to N.
        edge: the largest eigenvalue that uncorrelated returns of this many rows would have.
        above: how many are above it.
        first_share: share of all variance in the largest.
        effective: exponential of the entropy of the shares: 1 when all is one movement, N when nothing is.
    """

    eigenvalues: np.ndarray
    edge: float
    above: int
    first_share: float
    effective: float

    def __repr__(self) -> str:
        return (
            f"{self.above} of {len(self.eigenvalues)} movements are above noise (eigenvalues beyond "
            f"{self.edge:.2f}); the largest holds {self.first_share:.0%} of the variance; as many as "
            f"{self.effective:.1f} independent ones"
        )


def check_bound(bound: object) -> None:
    """Raises ParameterError unless ``bound`` is a correlation at which clusters can be cut."""
    if isinstance(bound, bool) or not isinstance(bound, Real) or not -1.0 < float(bound) < 1.0:
        raise ParameterError(
            f"The bound of a cluster is a correlation above -1 and below 1, not {bound!r}.", bound=str(bound)
        )


def clusters(correlation: Correlation, bound: float = 0.5) -> Clusters:
    """Group symbols by average linkage over the distance sqrt((1 - r) / 2).

    R. N. Mantegna, "Hierarchical structure in financial markets", European Physical Journal B 11, 1999.
    Two symbols whose correlation is not known are taken as uncorrelated.

    Args:
        bound: a correlation, above -1 and below 1; groups are joined as long as the mean distance of their
            members is at most that of two symbols correlated by ``bound``.

    Raises:
        ParameterError: the bound is out of its range.
        NotEnoughData: fewer than two symbols.
    """
    check_bound(bound)
    if len(correlation) < 2:
        raise NotEnoughData("Clusters need two symbols or more.")
    known = np.where(np.isfinite(correlation.matrix), correlation.matrix, 0.0).astype(np.float64)
    np.fill_diagonal(known, 1.0)
    distance = squareform(np.sqrt(np.clip((1.0 - known) / 2.0, 0.0, 1.0)), checks=False)
    tree = linkage(distance, method="average")
    if len(correlation) <= ORDERED:
        tree = optimal_leaf_ordering(tree, distance)
    raw = fcluster(tree, np.sqrt((1.0 - bound) / 2.0) + 1e-12, criterion="distance")
    sizes = np.bincount(raw)
    first = {label: int(np.flatnonzero(raw == label)[0]) for label in np.unique(raw)}
    ranked = sorted(first, key=lambda label: (-sizes[label], first[label]))
    labels = np.array([ranked.index(label) + 1 for label in raw])
    table = _members(correlation, labels, known)
    return Clusters(correlation.symbols, labels, np.asarray(leaves_list(tree)), tree, bound, table)


def factors(correlation: Correlation) -> Factors:
    """How much of a correlation matrix is common movement, against what noise alone would show.

    The edge is (1 + sqrt(N / T))², of V. A. Marchenko and L. A. Pastur; see L. Laloux, P. Cizeau,
    J.-P. Bouchaud and M. Potters, "Noise dressing of financial correlation matrices", Physical Review
    Letters 83, 1999; T is how many returns two symbols share on average, and a matrix that was shrunk has
    its edge shrunk alike. Symbols without any known correlation take no part.

    Raises:
        NotEnoughData: fewer than two symbols whose correlations are known.
    """
    alive = np.isfinite(np.diag(correlation.matrix))
    if alive.sum() < 2:
        raise NotEnoughData("Factors need two symbols or more whose correlations are known.")
    matrix = correlation.matrix[np.ix_(alive, alive)].astype(np.float64)
    values = np.linalg.eigvalsh(np.where(np.isfinite(matrix), matrix, 0.0))[::-1]
    count = len(values)
    noise = float((1.0 + np.sqrt(count / (correlation.common or correlation.rows))) ** 2)
    edge = (1.0 - correlation.shrinkage) * noise + correlation.shrinkage
    shares = np.maximum(values, 0.0) / np.maximum(values, 0.0).sum()
    seen = shares[shares > 0]
    effective = float(np.exp(-(seen * np.log(seen)).sum()))
    return Factors(values, edge, int((values > edge).sum()), float(shares[0]), effective)


def _members(correlation: Correlation, labels: np.ndarray, known: np.ndarray) -> pl.DataFrame:
    rows = []
    others = known - np.eye(len(known))
    for at, symbol in enumerate(correlation.symbols):
        same = labels == labels[at]
        size = int(same.sum())
        inside = float(others[at, same].sum() / (size - 1)) if size > 1 else None
        outside = float(others[at, ~same].mean()) if not same.all() else None
        rows.append((int(labels[at]), size, symbol, inside, outside))
    schema = {
        "cluster": pl.Int64, "size": pl.Int64, "symbol": pl.String,
        "inside": pl.Float64, "outside": pl.Float64,
    }  # fmt: skip
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.sort(["cluster", "inside", "symbol"], descending=[False, True, False], nulls_last=True)
