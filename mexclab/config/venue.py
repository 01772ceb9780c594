"""Settings of the venue's wire: where it is, how politely it is asked, how the shot is fired."""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from mexclab.config.group import Folder, Group

REST_URL = "https://api.mexc.com"
STREAM_URL = "wss://wbs-api.mexc.com/ws"
WEB_URL = "https://www.mexc.com"


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class VenueSettings(Group):
    """The exchange's wire. Without an address, paper mode starts a simulator of its own."""

    rest_url: str | None = Field(
        default=None, description=f"REST address; none: a simulator in paper mode, {REST_URL} in live mode"
    )
    stream_url: str | None = Field(
        default=None, description=f"WebSocket address; none: beside a loopback rest_url, else {STREAM_URL}"
    )
    web_url: str | None = Field(
        default=None, description=f"address of the listing pages; none: as rest_url, or {WEB_URL}"
    )
    credential: str = Field(
        default="mexc", pattern=r"^[0-9A-Za-z_.-]{1,64}$", description="name of the API key in the vault"
    )
    user_agent: str = Field(
        default="mexclab", min_length=1, max_length=200, description="how requests introduce themselves"
    )
    ip_weight_10s: int = Field(
        default=300, ge=10, le=1_000_000, description="request weight in ten seconds at most"
    )
    orders_per_s: int = Field(
        default=12, ge=1, le=100_000, description="orders and cancels a second at most, as the venue counts"
    )
    order_reserve: int = Field(default=4, ge=0, le=1000, description="of these, kept for cancels and exits")
    timeout_ms: int = Field(
        default=4000, ge=50, le=4900, description="milliseconds until a request counts as unanswered"
    )
    calendar_interval_s: int = Field(
        default=300, ge=1, le=86_400, description="seconds between two looks at the calendar of new coins"
    )
    symbols_interval_s: int = Field(
        default=30, ge=1, le=86_400, description="seconds between two looks at the symbol table"
    )
    near_interval_s: int = Field(
        default=5, ge=1, le=3600, description="the same, in the last hour before a known opening"
    )
    burst_attempts: int = Field(
        default=5, ge=1, le=12, description="how often one order is sent while the answer is: not open yet"
    )
    burst_spacing_ms: int = Field(
        default=20, ge=10, le=1000, description="milliseconds between two sendings of a burst"
    )
    burst_overlap: bool = Field(
        default=False,
        description="send again before the last answer came; only where the venue refuses doubled client ids",
    )

    @field_validator("rest_url", "stream_url", "web_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            usable = bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.scheme not in ("http", "https", "ws", "wss"):
            raise ValueError("must be an http://, https://, ws:// or wss:// address")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment")
        if parts.scheme in ("http", "ws") and not is_loopback(url):
            raise ValueError("must be https:// or wss://: without TLS only a loopback address will do")
        return url.rstrip("/")


class VaultSettings(Group):
    """How the vault of API keys is opened. The vault itself lies in the data folder."""

    unlock: Literal["passphrase", "keyring"] = Field(
        default="passphrase", description="by a passphrase, or by a key in the system's keyring"
    )
    passphrase_file: Folder | None = Field(
        default=None, description="file of the passphrase, readable by its owner only; none: it is asked for"
    )
