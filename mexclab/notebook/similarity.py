"""What ``lab.similar`` and ``lab.similar_many`` do with their keywords; the search itself is research."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np

from mexclab.domain.market import Symbol
from mexclab.errors import MexclabError, NotEnoughData, ParameterError
from mexclab.notebook.asked import known_options, of_kind, truth, whole
from mexclab.notebook.bars import SymbolLike
from mexclab.research.activity import ActivityFloor
from mexclab.research.dtw import Warping, similar_batch_by_dtw
from mexclab.research.similarity import CLOSE, Matches, SimilarityOptions, similar_batch
from mexclab.research.windows import Panel, Query

WHOLE = frozenset({"k", "horizon", "exclusion", "per_symbol", "embargo", "threads", "pool"})


class SearchOptions(TypedDict, total=False):
    """How to search, as keywords.

    ``rerank="dtw"`` ranks the ``pool`` (2,000) nearest windows again by dynamic time warping within
    ``band`` (0.1 of the window). ``channels={"close": 2, "volume": 1}`` weighs what is compared: close,
    volume, range. The others are the fields of :class:`~mexclab.research.similarity.SimilarityOptions`.
    """

    exclusion: int | None
    per_symbol: int | None
    point_in_time: bool
    embargo: int
    activity: ActivityFloor
    threads: int
    channels: Mapping[str, float] | None
    rerank: Literal["dtw"] | None
    pool: int
    band: float


class ManyOptions(SearchOptions, total=False):
    """The same for several windows; ``skip=True`` leaves out those that have no shape or no history."""

    skip: bool


class Search(NamedTuple):
    """What is wanted, parsed.

    Attributes:
        k: matches.
        horizon: bars after each that must lie before the query.
        options: which windows may match.
        warping: how to rank them again; None: not at all.
    """

    k: int
    horizon: int
    options: SimilarityOptions
    warping: Warping | None

    @classmethod
    def of(cls, k: int, horizon: int, given: SearchOptions) -> Search:
        """Raises ParameterError for a keyword that does not fit, or fits only beside another one."""
        rest: dict[str, Any] = dict(given)
        known_options(rest, SearchOptions.__annotations__)
        for name, value in ({"k": k, "horizon": horizon} | rest).items():
            if name in WHOLE and value is not None:
                whole(name, value)
        truth("point_in_time", rest.get("point_in_time", True))
        of_kind("activity", rest.get("activity", ActivityFloor()), ActivityFloor, "an ActivityFloor")
        _check_weights(rest.get("channels"))
        if not isinstance(rest.get("band", 0.0), Real):
            raise ParameterError(f"band is a share of the window from 0 to 1, not {rest['band']!r}.")
        how = rest.pop("rerank", None)
        warped = {name: rest.pop(name) for name in ("pool", "band") if name in rest}
        if how not in (None, "dtw"):
            raise ParameterError(f"rerank is 'dtw' or None, not {how!r}.", rerank=how)
        if warped and how is None:
            belong = "belong" if len(warped) > 1 else "belongs"
            raise ParameterError(f"{' and '.join(warped)} {belong} to rerank='dtw': give that too.")
        return cls(k, horizon, SimilarityOptions(**rest), Warping(**warped) if how else None)

    @property
    def channels(self) -> tuple[str, ...]:
        """What is looked at besides the close, in order of name."""
        return tuple(sorted(name for name in self.options.weights if name != CLOSE))

    def one(self, panel: Panel, query: Query) -> Matches:
        """The answer for one window."""
        return self.batch(panel, [query])[0]

    def batch(self, panel: Panel, queries: Sequence[Query]) -> list[Matches]:
        """The answers for windows of one length, in their order."""
        whole = [with_channels(panel, query, self.channels) for query in queries]
        rules: dict[str, Any] = {"horizon": self.horizon, "options": self.options}
        if self.warping is None:
            return similar_batch(panel, whole, self.k, **rules)
        return similar_batch_by_dtw(panel, whole, self.k, **rules, warping=self.warping)

    def many(
        self, panel_of: Callable[[Query], Panel], queries: Sequence[Query], skip: bool = False
    ) -> list[Matches]:
        """The answers for several windows, in their order; those of one length share a pass over the bars.

        ``skip`` leaves out what is refused, unless all of it is.
        """
        alike: dict[tuple[int, int], list[int]] = {}
        for place, query in enumerate(queries):
            alike.setdefault((query.interval_ns, query.length), []).append(place)
        found: dict[int, Matches] = {}
        refused: list[MexclabError] = []
        for places in alike.values():
            panel = panel_of(queries[places[0]])
            try:
                answers = self.batch(panel, [queries[place] for place in places])
                found |= dict(zip(places, answers, strict=True))
            except (NotEnoughData, ParameterError):
                if not skip:
                    raise
                for place in places:
                    try:
                        found[place] = self.one(panel, queries[place])
                    except (NotEnoughData, ParameterError) as refusal:
                        refused.append(refusal)
        if refused and not found:
            raise refused[0]
        return [found[place] for place in sorted(found)]


def _check_weights(weights: object) -> None:
    if weights is None:
        return
    if not isinstance(weights, Mapping) or not all(isinstance(each, Real) for each in weights.values()):
        raise ParameterError(
            f'channels is a weight for each name, such as {{"close": 2, "volume": 1}}, not {weights!r}.'
        )


def cut(
    windows: SymbolLike | Query | Iterable[SymbolLike | Query],
    window_of: Callable[[SymbolLike], Query],
    skip: bool,
) -> list[Query]:
    """The windows themselves, and those that ``window_of`` cuts for symbols; one alone will do.

    ``skip`` leaves out symbols that have not as many bars, unless none has.
    """
    queries: list[Query] = []
    refused: list[NotEnoughData] = []
    one = isinstance(windows, Query | Symbol | str) or not isinstance(windows, Iterable)
    for each in [windows] if one else windows:  # type: ignore[union-attr]
        if not isinstance(each, Query | Symbol | str) or each == "":
            raise ParameterError(f"A window is a symbol, such as BTCUSDT, or lab.window(...), not {each!r}.")
        try:
            queries.append(each if isinstance(each, Query) else window_of(each))
        except NotEnoughData as refusal:
            if not skip:
                raise
            refused.append(refusal)
    if refused and not queries:
        raise refused[0]
    return queries


def with_channels(panel: Panel, query: Query, names: Sequence[str]) -> Query:
    """``query`` with the channels ``names``: it may have been cut from a panel that knew the close alone.

    Raises:
        ParameterError: it lacks one and is no window of this panel.
    """
    if all(name in query.channels for name in names):
        return query
    try:
        same = panel.window(query.symbol, start_ns=query.start_ns, length=query.length)
    except MexclabError:
        same = None
    if same is None or not np.allclose(same.values, query.values, rtol=1e-9, atol=0.0):
        missing = [name for name in names if name not in query.channels]
        raise ParameterError(
            f"{query!r} has no {' and no '.join(missing)}, and is no window of the bars that are searched: "
            "give Query(..., channels={...}), or search by close alone.",
            missing=missing,
        )
    return replace(query, channels=same.channels)
