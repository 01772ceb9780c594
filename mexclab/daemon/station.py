"""What the API needs of a running daemon, as small as it can be said."""

from __future__ import annotations

from typing import Any, Protocol

from mexclab.daemon.desk_station import DeskStation
from mexclab.daemon.portfolio_station import PortfolioStation
from mexclab.daemon.risk_station import RiskStation
from mexclab.daemon.snapshot import Check
from mexclab.domain.market import Symbol


class Station(Protocol):
    """A daemon as its API sees it."""

    token: str
    desk: DeskStation
    risk: RiskStation
    portfolio: PortfolioStation

    def checks(self) -> list[Check]: ...

    def picture(self, frame: int, symbol: Symbol | None) -> dict[str, Any]: ...

    def events(self, after: int, limit: int, snipe_id: str) -> list[dict[str, Any]]: ...

    def state(self) -> tuple[int, bool]:
        """The ledger's last sequence number, and whether the desk is halted."""
        ...

    def news(self) -> int:
        """A number that changes whenever there is something new to show."""
        ...

    async def preflight(self, symbol: Symbol | None) -> dict[str, Any]: ...

    async def act(self, name: str, by: str, why: str, snipe_id: str = "") -> str: ...
