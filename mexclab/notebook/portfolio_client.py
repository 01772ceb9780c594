"""Asking the running desk about its portfolio: ``desk.portfolio.page()``, ``desk.portfolio.stress()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PATIENCE_S = 300.0  # a look back folds the ledger from its first entry on


class PortfolioClient:
    """The desk's portfolio, now or at an earlier entry. Made by ``DeskClient.portfolio``.

    ``at`` is an entry's number or a moment such as ``2026-06-01T12:30`` (UTC), as text; None is now. Money
    in the answers is exact, as text, and None where it is not known.

    Args:
        ask: sends one question; see ``DeskClient``.
    """

    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    def page(self, at: str | None = None) -> dict[str, Any]:
        """What is held, what it earned after fees, results, diversification, and what is not known.

        Raises:
            DeskError: the ledger has no such entry.
        """
        return self._ask("GET", "/portfolio", {"at": at}, patience_s=PATIENCE_S)

    def attribution(self, at: str | None = None) -> dict[str, Any]:
        """Who earned it: ``by_symbol`` and ``by_strategy``, the largest profit first."""
        return self._ask("GET", "/portfolio/attribution", {"at": at}, patience_s=PATIENCE_S)

    def curve(self, at: str | None = None, points: int = 1_000) -> dict[str, Any]:
        """The equity curve in at most that many ``points``, and ``max_drawdown``."""
        query = {"at": at, "points": points}
        return self._ask("GET", "/portfolio/curve", query, patience_s=PATIENCE_S)

    def stress(self, at: str | None = None, **own: str | bool) -> dict[str, Any]:
        """What bad hours would do to it: ``totals`` and ``rows``, with the stops and without.

        Args:
            own: any of ``price``, ``liquidity``, ``quote`` (falls as fractions, as text: "-0.2"), ``gap``
                and ``selling``: one scenario of your own instead of those of the house.
        """
        query = {name: str(value).lower() for name, value in own.items()}
        return self._ask("GET", "/portfolio/stress", {"at": at, **query}, patience_s=PATIENCE_S)

    def balances(self) -> dict[str, Any]:
        """Balances by the ledger against the venue's, which is asked now.

        Raises:
            DeskError: the venue does not answer.
        """
        return self._ask("GET", "/portfolio/balances", patience_s=PATIENCE_S)
