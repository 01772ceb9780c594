"""Where settings come from: the file and the environment, with the place of each value."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from mexclab.config.address import shown_url
from mexclab.config.group import Group, absolute
from mexclab.config.settings import Settings, data_folder
from mexclab.errors import ConfigError

FILE_NAME = "mexclab.toml"
PREFIX = "MEXCLAB_"
NOT_SETTINGS = {
    "MEXCLAB_CONFIG": "names the settings file",
    "MEXCLAB_TEST_SEED": "reproduces a test run",
}
"""Variables of ours that are no setting; every other ``MEXCLAB_*`` variable must name one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each came from.

    Attributes:
        settings: what to run with.
        origin: for every key ``"default"``, ``"<file>:<line>"`` or ``"environment <variable>"``.
        file: the settings file that was read, if there was one.
    """

    settings: Settings
    origin: Mapping[str, str]
    file: Path | None


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as ``mexclab config`` shows it; secrets are masked."""

    key: str
    value: str
    origin: str
    help: str


@dataclass(frozen=True, slots=True)
class _Source:
    """Values by key as they were typed, and where each stands."""

    values: Mapping[str, Any]
    origin: Mapping[str, str]
    problems: tuple[str, ...] = ()


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings.

    Args:
        path: the settings file; without it, the one that is found (see the module).
        environ: the environment; without it, this process's.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown or wrong. One sentence lists
            every problem; ``data["problems"]`` has them one by one.
    """
    environ = os.environ if environ is None else environ
    variables = _read_environment(environ)
    file = _find_file(path, environ)
    lines = _Source({}, {}) if file is None else _read_file(file)
    values = {**lines.values, **variables.values}
    origin = {**dict.fromkeys(_FIELDS, "default"), **lines.origin, **variables.origin}
    problems = [*lines.problems, *variables.problems]
    settings = None
    try:
        settings = Settings.model_validate(_nested(values))
    except ValidationError as wrong:
        problems += [_sentence(dict(error), values, origin) for error in wrong.errors()]
    if problems or settings is None:
        raise ConfigError(f"The settings cannot be used: {'; '.join(problems)}.", problems=tuple(problems))
    return Loaded(settings, origin, file)


def describe(loaded: Loaded) -> list[Row]:
    """Every setting in the order of the groups, with its value as text and secrets masked."""
    rows = []
    for key, (_, info) in _FIELDS.items():
        value: Any = loaded.settings
        for name in key.split("."):
            value = getattr(value, name)
        rows.append(Row(key, _shown(key, value), loaded.origin[key], info.description or ""))
    return rows


def variable_of(key: str) -> str:
    """The environment variable of a key: ``api.port`` is ``MEXCLAB_API__PORT``."""
    return PREFIX + key.replace(".", "__").upper()


def _fields() -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for name, info in Settings.model_fields.items():
        group = info.annotation
        if isinstance(group, type) and issubclass(group, Group):
            found |= {f"{name}.{sub}": (each.annotation, each) for sub, each in group.model_fields.items()}
        else:
            found[name] = (info.annotation, info)
    return found


_FIELDS = _fields()
_GROUPS = tuple(dict.fromkeys(key.split(".")[0] for key in _FIELDS if "." in key))
_VARIABLES = {variable_of(key): key for key in _FIELDS}


def _find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = environ.get("MEXCLAB_CONFIG", "")
    try:
        asked: Path | None = absolute(path or named) if path is not None or named else None
        data = absolute(environ.get("MEXCLAB_DATA") or str(data_folder()))
    except (ValueError, RuntimeError):
        raise ConfigError(
            "MEXCLAB_CONFIG or MEXCLAB_DATA starts with '~' and there is no such home."
        ) from None
    if asked is not None:
        if not asked.is_file():
            by = "that was asked for" if path is not None else "that MEXCLAB_CONFIG names"
            raise ConfigError(f"There is no settings file {asked}, {by}.", file=str(asked))
        return asked
    return next((file for file in (Path.cwd() / FILE_NAME, data / FILE_NAME) if file.is_file()), None)


def _read_environment(environ: Mapping[str, str]) -> _Source:
    values: dict[str, Any] = {}
    problems = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        key = _VARIABLES.get(variable)
        if key is None and variable not in NOT_SETTINGS:
            known = [*_VARIABLES, *NOT_SETTINGS]
            problems.append(f"{variable} in the environment is no setting{_nearest(variable.upper(), known)}")
        elif not environ[variable].strip():
            problems.append(f"{variable} in the environment is empty: give it a value or unset it")
        elif key is not None:
            values[key] = _from_text(_FIELDS[key][0], environ[variable])
    return _Source(values, {key: f"environment {variable_of(key)}" for key in values}, tuple(problems))


def _from_text(annotation: Any, text: str) -> Any:
    """An environment variable's text as the type that its field wants; as it is where it does not fit."""
    if annotation is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
    if annotation is int:
        return int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", text) else text
    if getattr(annotation, "__origin__", None) is tuple:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _read_file(file: Path) -> _Source:
    """The file's keys with the line each stands on; a float keeps the digits that were typed."""
    name = _short(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
        table = tomllib.loads(text, parse_float=Decimal)
    except UnicodeDecodeError:
        raise ConfigError(f"The settings file {name} is not UTF-8 text.", file=str(file)) from None
    except OSError as wrong:
        raise ConfigError(
            f"The settings file {name} cannot be read: {wrong.strerror}.", file=str(file)
        ) from None
    except tomllib.TOMLDecodeError as wrong:
        found = re.search(r"at line (\d+)", str(wrong))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        fault = re.sub(r" \(at .*\)$", "", str(wrong))
        raise ConfigError(f"{name}:{line} is not TOML: {fault}.", file=str(file), line=line) from None
    lines: dict[str, int] = {}
    for key, line in _statements(text):
        lines.setdefault(key, line)
    values: dict[str, Any] = {}
    problems = []
    for key, value in _flat(table):
        if key in _FIELDS:
            values[key] = value
            continue
        where = f"{name}:{lines.get(key, 1)}"
        if key in _GROUPS:
            problems.append(f"{key} ({where}) must be a table of settings: [{key}]")
        else:
            known = _FIELDS if key.split(".")[0] in _GROUPS else (*_GROUPS, *_FIELDS)
            problems.append(f"{key} ({where}) is no setting{_nearest(key, known)}")
    return _Source(values, {key: f"{name}:{lines.get(key, 1)}" for key in values}, tuple(problems))


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys as far down as our own tree goes: an unknown table is one unknown key."""
    for name, value in table.items():
        if name in _GROUPS and isinstance(value, dict):
            for sub, each in value.items():
                yield f"{name}.{sub}", each
        else:
            yield name, value


def _statements(text: str) -> Iterator[tuple[str, int]]:
    """Every key of a TOML text that parses, with the line its statement starts on.

    TOML's own parser says where a statement ends: lines are gathered until they parse. So strings
    and arrays over several lines count right without a second grammar.
    """
    heading: tuple[str, ...] = ()
    gathered, start = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        gathered += line + "\n"
        try:
            piece = tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue
        if gathered.lstrip().startswith("["):
            heading = next(_paths(piece), ())
            yield ".".join(heading[:2]), start
        else:
            for path in _paths(piece):
                yield ".".join((*heading, *path)[:2]), start
                yield (*heading, *path)[0], start
        gathered, start = "", number + 1


def _paths(table: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        below = list(_paths(inner)) if isinstance(inner, dict) else []
        yield from ((name, *path) for path in below or [()])


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[name] = value
    return tree


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else f"; known: {', '.join(known)}"


def _sentence(error: Mapping[str, Any], values: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    """One problem: the key, what was given, where, and the rule that it breaks."""
    keys = (".".join(map(str, error["loc"][:size])) for size in (2, 1))
    key = next((key for key in keys if key in _FIELDS), None)
    rule = "must be a number" if "Decimal" in error["msg"] else error["msg"]
    rule = re.sub(r"^(Value error, |Input should )", "", rule)
    if key is None:  # settings of one group that do not go together: the rule names them
        group = str(error["loc"][0])
        places = dict.fromkeys(origin[name] for name in values if name.startswith(f"{group}."))
        return f"{group} ({', '.join(places)}): {rule}"
    rule = rule if rule.startswith("must") else f"must {rule}" if rule.startswith("be ") else rule
    item = "".join(f"[{index}]" for index in error["loc"][key.count(".") + 1 :])
    value = values.get(key)
    given = f'"{value}"' if isinstance(value, str) and not _is_secret(key) else _shown(key, value)
    return f"{key}{item} = {given} ({origin[key]}): {rule}"


def _is_secret(key: str) -> bool:
    return "SecretStr" in str(_FIELDS[key][0])


def _shown(key: str, value: Any) -> str:
    """A value as text; a secret by its mask."""
    if value is None:
        return "none"
    if _is_secret(key):
        secret = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        return shown_url(secret)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(key, item) for item in value)}]"
    return str(value)


def _short(file: Path) -> str:
    """The file as a person in this folder would name it."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
