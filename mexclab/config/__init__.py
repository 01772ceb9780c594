"""Settings: defaults, then ``mexclab.toml``, then the environment; read once, typed, frozen.

A key is a group and a name (``api.port``). In the file it stands in the group's table; in the
environment it is ``MEXCLAB_API__PORT``. ``mode`` and ``data`` stand above the groups
(``MEXCLAB_MODE``, ``MEXCLAB_DATA``). The file is the one that ``MEXCLAB_CONFIG`` names, else
``mexclab.toml`` in the working folder, else ``mexclab.toml`` in the data folder.

Whatever is not known is refused, in the file and in the environment alike: a limit that was
misspelt must never be a limit that is not there. Every problem is reported at once, by a
:class:`~mexclab.errors.ConfigError` that names the line or the variable and never shows a secret.
"""

from __future__ import annotations

from mexclab.config.loading import NOT_SETTINGS, Loaded, Row, describe, load_settings, variable_of
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
from mexclab.config.settings import (
    ApiSettings,
    DashSettings,
    LedgerSettings,
    ListingsSettings,
    LogSettings,
    OrderSettings,
    PaperSettings,
    Settings,
)
from mexclab.config.snipe import SnipeSettings
from mexclab.config.venue import VaultSettings, VenueSettings

__all__ = [
    "NOT_SETTINGS",
    "AlertSettings",
    "ApiSettings",
    "DashSettings",
    "HaltSettings",
    "LedgerSettings",
    "LimitSettings",
    "ListingsSettings",
    "LiveSettings",
    "Loaded",
    "LogSettings",
    "MonitorSettings",
    "OrderSettings",
    "PaperSettings",
    "ProtectionSettings",
    "Row",
    "Settings",
    "SizingSettings",
    "SnipeSettings",
    "VaultSettings",
    "VenueSettings",
    "WatchSettings",
    "describe",
    "load_settings",
    "variable_of",
]
