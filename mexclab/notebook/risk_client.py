"""Asking the running desk about risk: ``desk.risk.page()``, ``desk.risk.check(symbol="BTCUSDT")``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from mexclab.notebook.desk import Answer

PATIENCE_S = 60.0  # the venue is asked for a pair that the desk does not watch


def is_shown(row: Mapping[str, Any]) -> bool:
    """Whether people want to see this limit: it has a measure, or it refuses entries."""
    return bool(row["unit"]) or bool(row["broken"])


class RiskClient:
    """The desk's limits, pauses and permits. Made by ``DeskClient.risk``.

    Args:
        ask: sends one question; see ``DeskClient``.
        command: sends one act that is journalled.
    """

    def __init__(self, ask: Callable[..., dict[str, Any]], command: Callable[..., Answer]) -> None:
        self._ask = ask
        self._command = command

    def page(self) -> dict[str, Any]:
        """Every limit with what is used of it, pauses, monitors, triggers, permits, the last rehearsal."""
        return self._ask("GET", "/risk")

    def check(self, **plan: str) -> dict[str, Any]:
        """What the limits say of an entry that is only asked about; nothing is written and nothing moves.

        Args:
            plan: ``snipe_id`` or ``symbol``; with either ``budget``, ``price_cap``, ``stop_loss`` and
                ``probability`` as text. What is not given is what the strategy would do.

        Returns:
            ``cleared``, ``plan``, ``limits`` (each before and after) and ``breaches``.

        Raises:
            DeskError: no order can be made of it; the sentence says why.
        """
        return self._ask("POST", "/risk/check", body=plan, patience_s=PATIENCE_S)

    def limits(self) -> dict[str, Any]:
        """The limits in force in full, their ``digest``, and who confirmed which for the account."""
        return self._ask("GET", "/limits")

    def confirm(self, account: str, digest: str, why: str) -> Answer:
        """Take the limits of that digest on for this account, and say why.

        Raises:
            DeskError: the desk trades on another account, or the limits in force are others.
        """
        return self._command("/limits/confirm", {"account": account, "digest": digest, "why": why})

    def release(self, protection_id: str, why: str) -> Answer:
        """End a pause of entries before its time, and say why.

        Raises:
            DeskError: there is no such pause.
        """
        return self._command(f"/protections/{quote(protection_id, safe='')}/release", {"why": why})
