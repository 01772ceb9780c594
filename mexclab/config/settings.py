"""The settings themselves: types, units, ranges, defaults and a line of help for each."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr, field_validator

from mexclab.config.address import url_fault
from mexclab.config.group import Folder, Group
from mexclab.config.numbers import Exact, Level, Money, Port, Triples
from mexclab.config.risk import (
    AlertSettings,
    HaltSettings,
    LimitSettings,
    LiveSettings,
    MonitorSettings,
    ProtectionSettings,
    SizingSettings,
    WatchSettings,
)
from mexclab.config.snipe import SnipeSettings
from mexclab.config.venue import VaultSettings, VenueSettings


class LedgerSettings(Group):
    """Where the ledger lives."""

    url: SecretStr | None = Field(
        default=None, description="postgresql:// address; none: the embedded server"
    )
    pool_size: int = Field(default=5, ge=1, le=100, description="connections kept open at most")
    connect_timeout_s: int = Field(default=10, ge=1, le=300, description="seconds to wait for a connection")

    @field_validator("url")
    @classmethod
    def _is_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and (fault := url_fault(url.get_secret_value())):
            raise ValueError(fault)
        return url


class ApiSettings(Group):
    """Where the trading daemon listens."""

    host: str = Field(default="127.0.0.1", description="loopback address to listen on")
    port: Port = Field(default=8787, description="TCP port; 0: any free one")

    @field_validator("host")
    @classmethod
    def _is_loopback(cls, host: str) -> str:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError("must be a loopback address (127.0.0.1, ::1 or localhost)")
        return host


class DashSettings(Group):
    """Where people look: Voila and JupyterLab."""

    port: Port = Field(default=8866, description="TCP port of the dashboards; 0: any free one")
    lab_port: Port = Field(default=8888, description="TCP port of JupyterLab; 0: any free one")


class PaperSettings(Group):
    """The account on the simulated venue, and how that venue treats it."""

    quote_balance: Money = Field(
        default=Decimal(1000), ge=0, description="money to start with, in the quote asset"
    )
    quote_asset: str = Field(
        default="USDT", pattern=r"^[A-Z0-9]{2,12}$", description="asset that money is held in"
    )
    maker_fee: Exact = Field(
        default=Decimal(0), ge=0, lt=1, description="fee of a resting fill, as a fraction"
    )
    taker_fee: Exact = Field(
        default=Decimal("0.0005"), ge=0, lt=1, description="fee of a crossing fill, as a fraction"
    )
    latency_ms_median: int = Field(
        default=120, ge=0, le=60_000, description="median milliseconds to the venue and back"
    )
    seed: int = Field(default=7, ge=0, lt=2**63, description="seed of the simulated market and its delays")


class ListingsSettings(Group):
    """How listings are watched for before they open."""

    poll_interval_s: int = Field(
        default=30, ge=1, le=86_400, description="seconds between two looks at the venue"
    )
    ready_triples: Triples = Field(
        default=((2, 2, 4),),
        description="(sts, st, tt) codes that mean: ready to open; the venue's symbolsV2",
    )
    minimum_lead_h: Exact = Field(
        default=Decimal("3.5"),
        ge=0,
        le=720,
        description="hours before the opening that a listing must be known",
    )
    watch_bars: bool = Field(
        default=False,
        description="feed the lake's live minutes (`mexclab fetch follow`) to the patterns that live on bars",
    )


class OrderSettings(Group):
    """How orders are watched, and how the ledger is held against the venue (docs/guides/orders.md)."""

    in_flight_s: int = Field(
        default=5, ge=1, le=60, description="seconds an answer may take before the venue is asked"
    )
    grace_s: int = Field(
        default=2, ge=0, le=60, description="seconds a venue may need to show an order that it took"
    )
    unknown_poll_s: int = Field(
        default=1, ge=1, le=60, description="seconds between two questions about an order of unknown fate"
    )
    open_poll_s: int = Field(
        default=60, ge=5, le=3600, description="seconds between two looks at every open order"
    )
    reconcile_s: int = Field(
        default=300, ge=10, le=86_400, description="seconds between two full comparisons with the venue"
    )
    look_back_h: int = Field(
        default=24, ge=1, le=720, description="hours back in which trades are looked for; MEXC keeps a month"
    )
    price_age_s: int = Field(
        default=3, ge=1, le=60, description="seconds after which a holding's price is asked for by REST"
    )
    stop_within_s: int = Field(
        default=15, ge=1, le=3600, description="seconds that a stop may take; then the desk just ends"
    )
    on_stop: Literal["keep", "flatten"] = Field(
        default="keep", description="what becomes of positions when the desk is told to stop"
    )


class LogSettings(Group):
    """What the log looks like."""

    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else json"
    )
    level: Level = Field(default="INFO", description="least severity that is written")


def data_folder() -> Path:
    """The platform's folder for a user's data, where none is named."""
    return Path(platformdirs.user_data_dir("mexclab", appauthor=False))


class Settings(Group):
    """Every setting of mexclab. ``Settings()`` is the defaults; :func:`load_settings` reads the rest."""

    mode: Literal["paper", "live"] = Field(
        default="paper", description="paper: simulated money; live: real money"
    )
    data: Folder = Field(default_factory=data_folder, description="folder of the lake, ledger and vault")
    ledger: LedgerSettings = LedgerSettings()
    api: ApiSettings = ApiSettings()
    dash: DashSettings = DashSettings()
    venue: VenueSettings = VenueSettings()
    vault: VaultSettings = VaultSettings()
    paper: PaperSettings = PaperSettings()
    listings: ListingsSettings = ListingsSettings()
    snipe: SnipeSettings = SnipeSettings()
    orders: OrderSettings = OrderSettings()
    sizing: SizingSettings = SizingSettings()
    limits: LimitSettings = LimitSettings()
    protections: ProtectionSettings = ProtectionSettings()
    monitors: MonitorSettings = MonitorSettings()
    halt: HaltSettings = HaltSettings()
    live: LiveSettings = LiveSettings()
    alerts: AlertSettings = AlertSettings()
    watch: WatchSettings = WatchSettings()
    log: LogSettings = LogSettings()
