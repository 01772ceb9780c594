"""Finding strategy plug-ins: entry points of the group ``mexclab.strategies``.

A plug-in is a class with a ``name`` (the entry point's), a ``Parameters`` class, a constructor that takes
those parameters, and ``plan`` (``mexclab.ports.Strategy``)::

    [project.entry-points."mexclab.strategies"]
    my_strategy = "my_package:MyStrategy"

A parameter that is named as one of the ``snipe`` settings starts with that setting's value, every other one
with its own default. A plug-in is somebody else's code: whatever it raises becomes one sentence, and whatever
it plans is held against the signal before the desk believes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel

from mexclab.config import SnipeSettings
from mexclab.domain.market import Market
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Plan
from mexclab.errors import ConfigError, DomainError, MexclabError, ParameterError
from mexclab.ports import Strategy
from mexclab.strategies.parameters import ParameterRow, Parameters, faults, own_defaults, read, rows

GROUP = "mexclab.strategies"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A strategy that is installed and can be built.

    Attributes:
        origin: the package and version that brings it, and the class.
        build: makes the strategy from an instance of ``kind``.
    """

    name: str
    origin: str
    kind: type[Parameters]
    build: Callable[[Parameters], Strategy]

    def defaults(self, base: Mapping[str, object]) -> dict[str, object]:
        """Its own defaults, under those values of ``base`` that it has a name for."""
        own = own_defaults(self.kind)
        return {**own, **{name: value for name, value in base.items() if name in self.kind.model_fields}}

    def make(self, values: Mapping[str, object]) -> PluggedStrategy:
        """The strategy with these parameters; what is not named takes the plug-in's own default.

        Raises:
            ParameterError: names every rule that is broken, or what the plug-in said.
        """
        with _theirs(f"the strategy {self.name!r} cannot be built", ParameterError):
            parameters = read(self.kind, {**own_defaults(self.kind), **values})
            return PluggedStrategy(self, parameters, self.build(parameters))


@dataclass(frozen=True, slots=True)
class PluggedStrategy:
    """A strategy out of a plug-in, behind a guard; a :class:`mexclab.ports.Strategy` itself."""

    plugin: Plugin
    parameters: Parameters
    inner: Strategy

    @property
    def name(self) -> str:
        return self.plugin.name

    def plan(self, signal: Signal, market: Market, reference_price: Decimal) -> Plan:
        """The plug-in's plan, if it is one for this signal.

        Raises:
            DomainError: it made none, broke, or planned something else than it was asked for.
        """
        with _theirs(f"the strategy {self.name!r} broke", DomainError):
            plan: object = self.inner.plan(signal, market, reference_price)
        if not isinstance(plan, Plan):
            raise DomainError(f"the strategy {self.name!r} gave a {type(plan).__name__} in place of a plan")
        rules = (
            (plan.snipe_id == signal.signal_id and plan.signal_id == signal.signal_id, "its ids"),
            (plan.symbol == signal.symbol, "its symbol"),
            (plan.not_before_ns == signal.open_ns, "its first instant"),  # a moved opening is seen by it
        )
        wrong = [what for holds, what in rules if not holds]
        if wrong:
            raise DomainError(
                f"the strategy {self.name!r} planned for something else than the signal: "
                f"{' and '.join(wrong)} must be the signal's",
                signal_id=signal.signal_id,
            )
        return plan


@dataclass(frozen=True, slots=True)
class Installed:
    """A strategy as ``mexclab strategy list`` shows it; one with a ``fault`` cannot be used."""

    name: str
    origin: str
    parameters: tuple[ParameterRow, ...] = ()
    fault: str = ""


def load_strategy(name: str, settings: SnipeSettings) -> PluggedStrategy:
    """The strategy of that name, with the ``snipe`` settings as its defaults.

    Raises:
        ConfigError: there is none, it is broken, or the settings do not fit it.
    """
    plugin = find_plugin(name)
    try:
        return plugin.make(plugin.defaults(values_of(settings)))
    except ParameterError as wrong:
        raise ConfigError(
            f"the strategy {name!r} ({plugin.origin}) does not go with the snipe settings: {wrong.message}",
            plugin=name,
        ) from wrong


def installed(settings: SnipeSettings | None = None) -> list[Installed]:
    """Every strategy of every installed package, by name, the broken ones with their fault.

    Args:
        settings: the ``snipe`` settings that the defaults come from; without them, their own defaults.
    """
    found = []
    for name in sorted({point.name for point in entry_points(group=GROUP)}):
        points = _points(name)
        origin = " and ".join(_origin(point) for point in points)
        try:
            strategy = load_strategy(name, settings or SnipeSettings())
        except ConfigError as wrong:
            found.append(Installed(name, origin, fault=wrong.message))
        else:
            found.append(
                Installed(name, origin, rows(type(strategy.parameters), values_of(strategy.parameters)))
            )
    return found


def find_plugin(name: str) -> Plugin:
    """The plug-in of that name. Imports it: keep away from moments that count.

    Raises:
        ConfigError: there is none, two packages bring it, it does not import, or breaks the protocol.
    """
    points = _points(name)
    if not points:
        known = ", ".join(sorted({point.name for point in entry_points(group=GROUP)})) or "none"
        raise ConfigError(f"no strategy is called {name!r}; installed are: {known}", plugin=name)
    if len(points) > 1:
        origins = " and ".join(_origin(point) for point in points)
        raise ConfigError(f"two packages bring a strategy {name!r}: {origins}; remove one", plugin=name)
    origin = _origin(points[0])
    broken = f"the strategy plug-in {name!r} ({origin}) cannot be loaded"
    with _theirs(broken, ConfigError):
        found = points[0].load()
        sentences = _faults(name, found)
    if sentences:
        raise ConfigError(f"{broken}: {'; '.join(sentences)}", plugin=name)
    return Plugin(name, origin, found.Parameters, found)


def plugin_of(strategy: Strategy) -> Plugin | None:
    """The plug-in behind a strategy, or None where it did not come from one."""
    return strategy.plugin if isinstance(strategy, PluggedStrategy) else None


def values_of(parameters: BaseModel) -> dict[str, object]:
    """Parameters or settings by name, with their types."""
    return {name: getattr(parameters, name) for name in type(parameters).model_fields}


def _faults(name: str, found: object) -> list[str]:
    """Where the class that an entry point names is not a strategy plug-in."""
    if not isinstance(found, type):
        return ["the entry point must name a class"]
    kind = getattr(found, "Parameters", None)
    if not (isinstance(kind, type) and issubclass(kind, Parameters)):
        return ["the class needs Parameters, a subclass of mexclab.strategies.parameters.Parameters"]
    sentences = faults(kind)
    if getattr(found, "name", None) != name:
        sentences.append(f"its name must be that of the entry point, {name!r}")
    if not callable(getattr(found, "plan", None)):
        sentences.append("it has no plan(signal, market, reference_price)")
    return sentences


def _points(name: str) -> list[EntryPoint]:
    """The entry points of that name, each class once, however often its package is found."""
    points = entry_points(group=GROUP, name=name)
    return list({point.value: point for point in points}.values())


def _origin(point: EntryPoint) -> str:
    package = f"{point.dist.name} {point.dist.version}: " if point.dist is not None else ""
    return f"{package}{point.value}"


@contextmanager
def _theirs(sentence: str, kind: type[MexclabError]) -> Iterator[None]:
    """Run a plug-in's code: whatever it raises is an error of this kind, with one sentence."""
    try:
        yield
    except kind:
        raise
    except (Exception, SystemExit) as error:
        said = error.message if isinstance(error, MexclabError) else f"{type(error).__name__}: {error}"
        raise kind(f"{sentence}: {' '.join(said.split())[:500]}") from error
