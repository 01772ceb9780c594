"""What a notebook takes, and whether what was given fits; asked before a kernel starts."""

from __future__ import annotations

import ast
import contextlib
import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill
import papermill.log
from papermill.exceptions import PapermillException

from mexclab.errors import ConfigError, ParameterError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a notebook: its name, annotated type, default as written, and its comment."""

    name: str
    kind: str
    default: str
    help: str


def parameters_of(notebook: Path) -> list[Parameter]:
    """The annotated variables of the notebook's ``parameters`` cell, in order.

    Raises:
        ConfigError: the file is no notebook.
    """
    with _quiet():
        try:
            found = papermill.inspect_notebook(str(notebook))
        except (OSError, ValueError, PapermillException, KeyError, AttributeError) as wrong:
            raise ConfigError(
                f"{notebook} is not a notebook that can be run: {wrong}.", file=str(notebook)
            ) from None
    return [Parameter(p["name"], p["inferred_type_name"], p["default"], p["help"]) for p in found.values()]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    level = papermill.log.logger.level
    papermill.log.logger.setLevel("ERROR")
    try:
        yield
    finally:
        papermill.log.logger.setLevel(level)


def checked(given: Mapping[str, Any], known: Iterable[Parameter], name: str) -> dict[str, Any]:
    """The given values as the notebook's types.

    Raises:
        ParameterError: names the parameter, and what is expected or the nearest name.
    """
    kinds = {parameter.name: parameter for parameter in known}
    values = {}
    for key, value in given.items():
        if key not in kinds:
            raise ParameterError(f"{name} has no parameter {key!r}{nearest(key, kinds)}", parameter=key)
        values[key] = _as_kind(kinds[key], value)
    return values


def _as_kind(parameter: Parameter, value: Any) -> Any:
    kind = parameter.kind if parameter.kind != "None" else _kind_of(parameter.default)
    read = _READERS.get(kind)
    try:
        if read is None:
            raise ValueError(f"parameters of type {kind} cannot be given")
        return read(value)
    except (ValueError, TypeError):
        what = _EXPECTED.get(kind, f"a parameter of type bool, int, float or str, and it is annotated {kind}")
        about = f" ({parameter.help})" if parameter.help else ""
        raise ParameterError(
            f"{parameter.name} = {value!r}: expected {what}{about}.", parameter=parameter.name, expected=kind
        ) from None


def _kind_of(default: str) -> str:
    try:
        return type(ast.literal_eval(default)).__name__
    except (ValueError, SyntaxError):
        return default


def _bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.strip().lower() not in words:
        raise ValueError(value)
    return words[value.strip().lower()]


def _int(value: Any) -> int:
    if isinstance(value, bool | float):
        raise TypeError(value)
    return int(value)


def _float(value: Any) -> float:
    number = math.nan if isinstance(value, bool) else float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


_READERS: dict[str, Callable[[Any], Any]] = {"bool": _bool, "int": _int, "float": _float, "str": _str}
_EXPECTED = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest one, or all there are."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(names) or 'none'}."
