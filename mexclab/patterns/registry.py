"""Finding pattern plug-ins: entry points of the group ``mexclab.patterns``.

A plug-in is a class whose constructor takes the ``listings`` settings and whose instances are
``mexclab.ports.Pattern``, or besides ``mexclab.ports.BarPattern``, which live on closed bars::

    [project.entry-points."mexclab.patterns"]
    my_sign = "my_package:MySign"
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import entry_points

from mexclab.config import ListingsSettings
from mexclab.domain.listing import Listing
from mexclab.domain.signal import Signal
from mexclab.errors import ConfigError
from mexclab.ports import Pattern


def load_patterns(settings: ListingsSettings) -> tuple[Pattern, ...]:
    """Every installed pattern, by name.

    Raises:
        ConfigError: a plug-in cannot be imported or built; the sentence names it.
    """
    patterns = []
    for point in sorted(entry_points(group="mexclab.patterns"), key=lambda point: point.name):
        try:
            patterns.append(point.load()(settings))
        except (ImportError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"the pattern plug-in {point.name!r} ({point.value}) cannot be loaded: {error}; "
                "mend it or uninstall the package that brings it",
                plugin=point.name,
            ) from error
    return tuple(patterns)


def signal(
    pattern: str, prior: Decimal, listing: Listing, now_ns: int, evidence: Mapping[str, str]
) -> Signal:
    """What the pattern of this name says now of a coin that is still to open, and how far to believe it."""
    named = signal_id(pattern, listing)
    return Signal(named, listing.symbol, pattern, now_ns, listing.open_ns, prior, evidence)


def signal_id(pattern: str, listing: Listing) -> str:
    """One id for one pattern's word about one coin, the same after a restart or a postponement.

    Short enough to leave room for a leg and an attempt in a client order id.
    """
    readable = re.sub(r"[^0-9A-Za-z]", "", listing.symbol.base)[:8]
    digest = hashlib.sha256(f"{pattern}|{listing.coin_id}|{listing.symbol}".encode()).hexdigest()[:8]
    return f"{readable or 'coin'}-{digest}"
