"""Finding strategy plug-ins: entry points of the group ``mexclab.strategies``."""

from __future__ import annotations

from importlib.metadata import entry_points

from mexclab.config import SnipeSettings
from mexclab.errors import ConfigError
from mexclab.ports import Strategy


def load_strategy(name: str, settings: SnipeSettings) -> Strategy:
    """The strategy of that name, built with the ``snipe`` settings.

    Raises:
        ConfigError: there is none, or it cannot be loaded.
    """
    points = {point.name: point for point in entry_points(group="mexclab.strategies")}
    if name not in points:
        raise ConfigError(
            f"no strategy is called {name!r}; installed are: {', '.join(sorted(points)) or 'none'}"
        )
    try:
        strategy: Strategy = points[name].load()(settings)
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"the strategy plug-in {name!r} cannot be loaded: {error}", plugin=name) from error
    return strategy
