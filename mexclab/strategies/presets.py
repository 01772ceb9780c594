"""Presets: sets of strategy parameters as TOML files that people keep, compare and pass on.

::

    strategy = "opening_snipe"

    [parameters]
    cap_multiple = "2.5"
    attempts = 4

Decimal numbers are written as text, so that no digit is lost; "none" stands for no value. A preset may name
fewer parameters than the strategy has: the others stay as they are. Where it is judged by itself, the
strategy's own defaults stand in for them.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from mexclab.errors import ConfigError, ParameterError
from mexclab.strategies.parameters import ParameterRow, rows, texts
from mexclab.strategies.registry import Plugin, find_plugin

SHIPPED = Path(__file__).parent / "shipped"
PRESET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")


@dataclass(frozen=True, slots=True)
class Preset:
    """Parameters for one strategy, as text, each of them valid when it was read."""

    name: str
    strategy: str
    parameters: Mapping[str, str]
    origin: str


def export_preset(path: Path, name: str, parameters: Mapping[str, object], *, replace: bool = False) -> Path:
    """Write parameters of the strategy ``name`` to a preset file, all of it or nothing; the path.

    Args:
        parameters: values or their texts; those that are not named are left out of the file.
        replace: whether a file that is there may be overwritten.

    Raises:
        ConfigError: the file is there, or cannot be written; there is no such strategy.
        ParameterError: names every parameter that the strategy would refuse; nothing was written.
    """
    plugin = find_plugin(name)
    judged = plugin.make(parameters).parameters
    said = {key: text for key, text in texts(judged).items() if key in parameters}
    help_by_name = {row.name: row for row in rows(type(judged), {})}
    lines = [f"strategy = {_toml(name)}", "", "[parameters]"]
    for key, text in said.items():
        lines += [f"# {_printable(help_by_name[key])}", f"{_key(key)} = {_value(getattr(judged, key), text)}"]
    _write(path, "\n".join([*lines, ""]), replace=replace)
    return path


def import_preset(path: Path) -> Preset:
    """Read a preset file and hold it against its strategy.

    Raises:
        ConfigError: it cannot be read or used. One sentence lists every problem with its line, and
            ``data["problems"]`` has them one by one.
    """
    text = _text(path)
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as wrong:
        raise _refusal(path, [f"it is not TOML: {wrong}"]) from None
    problems = [f"line {_line(text, key)}: {key} is unknown" for key in table if key not in _TOP]
    name, values = table.get("strategy"), table.get("parameters")
    plugin: Plugin | None = None
    if not isinstance(name, str):
        problems.append('strategy must be given, as text: strategy = "opening_snipe"')
    else:
        try:
            plugin = find_plugin(name)
        except ConfigError as wrong:
            problems.append(f"line {_line(text, 'strategy')}: {wrong.message}")
    if not isinstance(values, dict) or not values:
        problems.append("a table [parameters] must be given, with at least one parameter")
    elif plugin is not None:
        try:
            judged = plugin.make(values).parameters
        except ParameterError as wrong:
            told = wrong.data.get("problems") or (("", wrong.message),)
            problems += [f"line {_line(text, key)}: {rule}" if key else str(rule) for key, rule in told]
    if problems or plugin is None or not isinstance(values, dict):
        raise _refusal(path, problems)
    said = {key: value for key, value in texts(judged).items() if key in values}
    return Preset(path.stem, plugin.name, said, str(path))


def find_preset(data: Path, name: str) -> Preset:
    """A shipped preset, or the one of that name in the data folder.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    known = preset_files(data)
    if name not in known:
        raise ConfigError(f"no preset is called {name!r}; there are: {', '.join(known)}", preset=name)
    return import_preset(known[name])


def preset_files(data: Path) -> dict[str, Path]:
    """Every preset by name: the shipped ones, then those in the data folder."""
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    own = {path.stem: path for path in sorted((data / "strategies").glob("*.toml"))}
    named = {name: path for name, path in own.items() if PRESET_NAME.match(name)}
    return {**shipped, **{name: path for name, path in named.items() if name not in shipped}}


def preset_path(data: Path, name: str) -> Path:
    """Where a person's preset of that name belongs.

    Raises:
        ConfigError: it is no name for a file of one's own.
    """
    if not PRESET_NAME.match(name):
        raise ConfigError(f"{name!r} is no preset name: 1 to 40 of a-z 0-9 _ -, a letter or digit first")
    if (SHIPPED / f"{name}.toml").exists():
        raise ConfigError(f"{name!r} is a preset that comes with mexclab; give yours another name")
    return data / "strategies" / f"{name}.toml"


_TOP = ("strategy", "parameters")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _refusal(path, ["it is not UTF-8 text"]) from None
    except OSError as why:
        raise ConfigError(f"The preset {path} cannot be read: {why.strerror}.", file=str(path)) from None


def _refusal(path: Path, problems: list[str]) -> ConfigError:
    sentences = "; ".join(problem.rstrip(".") for problem in problems)
    return ConfigError(
        f"The preset {path} cannot be used: {sentences}.", file=str(path), problems=tuple(problems)
    )


def _line(text: str, key: str) -> int:
    """The line that sets ``key``; 1 where no line of its own does."""
    sets = re.compile(rf"\s*\[?\s*(parameters\s*\.\s*)?[\"']?{re.escape(key)}[\"']?\s*[=\].]")
    return next((n for n, line in enumerate(text.splitlines(), start=1) if sets.match(line)), 1)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _value(value: Any, text: str) -> str:
    return text if isinstance(value, bool | int) else _toml(text)


def _toml(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _printable(row: ParameterRow) -> str:
    words = f"{row.help}; {row.type}{f', {row.range}' if row.range else ''}"
    return "".join(each if each.isprintable() else " " for each in words)


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Put the file in its place whole and durable, never in the place of another unasked."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _place(temporary, path, replace=replace)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as why:
        raise ConfigError(f"{path} could not be written: {why.strerror}", file=str(path)) from why


def _place(temporary: Path, path: Path, *, replace: bool) -> None:
    if replace:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, it refuses to take another file's place
    except FileExistsError:
        words = "is there already; it is only overwritten when that is asked for"
        raise ConfigError(f"{path} {words}", file=str(path)) from None
