"""Changing the strategy of a running desk: validated as a whole, journalled, then in force.

Plans that are made keep what they were made with. What a person tuned outlives the process and the settings
file: a restart puts it in force again, until it is tuned anew or given back by :func:`reset`. A desk whose
tuned parameters cannot be read does not trade on other ones: it plans nothing until a person decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from mexclab.domain import events as e
from mexclab.domain.market import Market
from mexclab.domain.signal import Signal
from mexclab.errors import ConfigError, DomainError, ParameterError
from mexclab.ports import Strategy
from mexclab.strategies.parameters import Parameters, rows, text_of, texts
from mexclab.strategies.registry import PluggedStrategy, Plugin, find_plugin, plugin_of, values_of

if TYPE_CHECKING:
    from mexclab.trading.engine import Engine


@dataclass(frozen=True, slots=True)
class UnreadableStrategy:
    """Stands where a tuned strategy cannot be put in force again: it declines every signal."""

    name: str
    why: str
    parameters: Parameters = field(default_factory=Parameters)

    def plan(self, signal: Signal, market: Market, reference_price: Decimal) -> NoReturn:
        raise DomainError(
            f"the strategy that was set last cannot be read ({self.why}); tune it, or give it back to "
            "the settings, and planning goes on",
            signal_id=signal.signal_id,
        )


async def tune(
    engine: Engine, parameters: Mapping[str, object], by: str, why: str, *, strategy: str = ""
) -> str:
    """Put parameters in force, over those that are; what changed, in a sentence. Takes the gate.

    Args:
        parameters: values or their texts, by name; what is not named stays as it is.
        why: the reason, which is written down; required.
        strategy: an installed strategy to change to; parameters that are not named then start from the
            settings. Empty: the one in force.

    Raises:
        ParameterError: names every rule that is broken; nothing was changed.
        LedgerUnavailable: it could not be written down; nothing was changed.
    """
    _need_a_reason(why)
    if not parameters and not strategy:
        raise ParameterError("name at least one parameter to change")
    plugin = await _plugin(engine, strategy or engine.strategy.name)
    async with engine.gate:
        if not strategy and engine.strategy.name != plugin.name:
            raise ParameterError(f"the strategy became {engine.strategy.name!r} meanwhile; ask again")
        before, dropped = _start(engine, plugin)
        chosen = plugin.make({**before, **parameters})
        said = _difference(engine.strategy, before, chosen)
        if not said:
            return f"{plugin.name}: nothing changed"
        now = engine.parts.clock.now_ns()
        written = tuple(texts(chosen.parameters).items())
        await engine.record(e.StrategySet(now, plugin.name, written, by, why))
        engine.strategy = chosen
    left = f"; no longer known and left out: {', '.join(dropped)}" if dropped else ""
    return f"{said}{left}; plans that are made keep what they have"


async def reset(engine: Engine, by: str, why: str) -> str:
    """Give the strategy back to the settings; what is in force then, in a sentence. Takes the gate.

    It is written down as a :class:`~mexclab.domain.events.StrategySet` without a name.

    Raises:
        ParameterError: no reason was given.
        LedgerUnavailable: it could not be written down; nothing was changed.
    """
    _need_a_reason(why)
    async with engine.gate:
        told = engine.parts.strategy
        if _tuned(engine) is None:
            return f"{told.name} goes by the settings; nothing changed"
        await engine.record(e.StrategySet(engine.parts.clock.now_ns(), "", (), by, why))
        engine.strategy = told
    return f"{told.name} goes by the settings again; plans that are made keep what they have"


async def restore(engine: Engine) -> None:
    """Put in force what a person set last. Call it at a start, after the fold, with the gate held.

    A strategy that cannot be read raises nothing: it is alerted, and no plan is made until somebody tunes.
    A parameter that is younger than the setting takes the settings' value, and that is alerted, too.

    Raises:
        LedgerUnavailable: an alert could not be written.
    """
    last = _tuned(engine)
    if last is None:
        return
    now = engine.parts.clock.now_ns()
    known = dict(last.parameters)
    try:
        plugin = _known_plugin(engine, last.name) or find_plugin(last.name)
        chosen = plugin.make({**_settings_values(engine, plugin), **known})
    except (ConfigError, ParameterError) as error:
        engine.strategy = UnreadableStrategy(last.name, error.message)
        text = (
            f"nothing is planned: the strategy {last.name} as {last.by} set it is unusable: {error.message}"
        )
        await engine.record(e.AlertRaised(now, "critical", text))
        return
    engine.strategy = chosen
    young = [f"{name} = {text}" for name, text in texts(chosen.parameters).items() if name not in known]
    if young:
        text = f"{last.name} has parameters that {last.by} could not set: {', '.join(young)}"
        await engine.record(e.AlertRaised(now, "warning", text))


def in_force(engine: Engine) -> dict[str, Any]:
    """The strategy in force, all texts but ``since_ns``.

    ``name``, ``origin``, ``parameters`` (name to text), ``ranges`` (name, type, range, default, help each),
    ``since_ns`` (None: since the start), ``by`` ("settings" where no person set it), ``why``, and ``fault``:
    not empty where nothing is planned, ``parameters`` then being what was written down.
    """
    strategy, last, tuned = engine.strategy, engine.desk.strategy, _tuned(engine)
    unreadable = isinstance(strategy, UnreadableStrategy)
    plugin = _known_plugin(engine, strategy.name)
    shown = dict(tuned.parameters) if unreadable and tuned is not None else texts(strategy.parameters)
    ranges = (
        [] if plugin is None else [asdict(row) for row in rows(plugin.kind, _settings_values(engine, plugin))]
    )
    return {
        "name": strategy.name,
        "origin": "" if plugin is None else plugin.origin,
        "parameters": shown,
        "ranges": ranges,
        "since_ns": None if last is None else last.at_ns,
        "by": "settings" if tuned is None else tuned.by,
        "why": "" if last is None else last.why,
        "fault": strategy.why if isinstance(strategy, UnreadableStrategy) else "",
    }


def _need_a_reason(why: str) -> None:
    if not why.strip():
        raise ParameterError("a reason is required: it is written down with the change")


def _tuned(engine: Engine) -> e.StrategySet | None:
    """What a person set and nobody gave back."""
    last = engine.desk.strategy
    return last if last is not None and last.name else None


def _known_plugin(engine: Engine, name: str) -> Plugin | None:
    """The plug-in of that name if the desk has it at hand."""
    found = (plugin_of(engine.strategy), plugin_of(engine.parts.strategy))
    return next((plugin for plugin in found if plugin is not None and plugin.name == name), None)


async def _plugin(engine: Engine, name: str) -> Plugin:
    """The plug-in of that name; one that is not at hand is imported where it holds nothing up."""
    known = _known_plugin(engine, name)
    if known is not None:
        return known
    try:
        return await asyncio.to_thread(find_plugin, name)
    except ConfigError as error:
        raise ParameterError(error.message) from error


def _settings_values(engine: Engine, plugin: Plugin) -> dict[str, object]:
    return plugin.defaults(values_of(engine.parts.strategy.parameters))


def _start(engine: Engine, plugin: Plugin) -> tuple[dict[str, object], list[str]]:
    """What a change starts from, and the names that were written down and are no longer known."""
    strategy, tuned = engine.strategy, _tuned(engine)
    if strategy.name != plugin.name:
        return _settings_values(engine, plugin), []
    if not isinstance(strategy, UnreadableStrategy) or tuned is None:
        return values_of(strategy.parameters), []
    known = {name: text for name, text in tuned.parameters if name in plugin.kind.model_fields}
    dropped = [name for name, _ in tuned.parameters if name not in known]
    return {**_settings_values(engine, plugin), **known}, dropped


def _difference(was: Strategy, before: Mapping[str, object], chosen: PluggedStrategy) -> str:
    """What the change amounts to, in words; empty: nothing."""
    after = texts(chosen.parameters)
    if was.name != chosen.name or isinstance(was, UnreadableStrategy):
        values = ", ".join(f"{name} = {text}" for name, text in after.items())
        return f"{chosen.name} is in force: {values}"
    changes = [f"{name} {text_of(before[name])} -> {text}" for name, text in after.items()
               if text_of(before[name]) != text]  # fmt: skip
    return f"{chosen.name}: {', '.join(changes)}" if changes else ""
