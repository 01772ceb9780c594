"""What a strategy can be told: typed parameters with ranges, units and one line of help each.

A strategy's parameters are a subclass of :class:`Parameters` whose fields are ``Exact`` (a decimal number,
exact), ``int``, ``bool``, ``str`` or a ``Literal`` of texts, each of them with ``| None`` where "none" is an
answer. Every field has a description that names the unit, and every number has both its bounds.

Values come from files, command lines, the API and the ledger, where they are text: :func:`read` takes text
for any of them, and :func:`texts` gives it back without losing a digit. "none" stands for None.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from mexclab.config.group import Group as Parameters
from mexclab.config.settings import Exact
from mexclab.errors import ParameterError

__all__ = [
    "Exact",
    "ParameterRow",
    "Parameters",
    "faults",
    "own_defaults",
    "read",
    "rows",
    "text_of",
    "texts",
]

LONGEST_TEXT = 200  # characters; every value ends up in the ledger
_NAMES = {Decimal: "number", int: "whole number", bool: "true or false", str: "text"}
_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One parameter as a person is shown it; all texts."""

    name: str
    type: str
    range: str
    default: str
    help: str


def read(kind: type[Parameters], values: Mapping[str, object]) -> Parameters:
    """Parameters from values that may be text.

    Raises:
        ParameterError: a name is unknown or a rule is broken. The sentence lists every problem;
            ``data["problems"]`` has them as (name, sentence), with an empty name for a rule about several.
    """
    fields = kind.model_fields
    problems: list[tuple[str, str]] = []
    typed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            problems.append((name, f"{name} is no parameter{_nearest(name, fields)}"))
        elif isinstance(value, str) and len(value) > LONGEST_TEXT:
            problems.append((name, f"{name}: a value has at most {LONGEST_TEXT} characters"))
        else:
            typed[name] = _typed(fields[name], value)
    found = None
    try:
        found = kind.model_validate(typed)
    except ValidationError as wrong:
        spoken_of = {name for name, _ in problems}
        told = [_problem(dict(error), kind, values) for error in wrong.errors()]
        problems += [(name, sentence) for name, sentence in told if not name or name not in spoken_of]
    if problems or found is None:
        sentences = "; ".join(sentence for _, sentence in problems)
        raise ParameterError(f"The parameters cannot be used: {sentences}.", problems=tuple(problems))
    return found


def texts(parameters: BaseModel) -> dict[str, str]:
    """Every parameter as text, by name; decimals digit for digit."""
    return {name: text_of(getattr(parameters, name)) for name in sorted(type(parameters).model_fields)}


def rows(kind: type[BaseModel], defaults: Mapping[str, object]) -> tuple[ParameterRow, ...]:
    """What a person may set, in the author's order; ``defaults`` by name."""
    return tuple(
        ParameterRow(name, _type_words(info), _range_words(info), text_of(defaults.get(name)), _help(info))
        for name, info in kind.model_fields.items()
    )


def own_defaults(kind: type[Parameters]) -> dict[str, Any]:
    """The defaults that the author wrote, not yet judged; a field without one is left out."""
    return {
        name: info.get_default(call_default_factory=True)
        for name, info in kind.model_fields.items()
        if not info.is_required()
    }


def faults(kind: type[Parameters]) -> list[str]:
    """What the author of these parameters must mend, in sentences."""
    found = []
    if kind.model_config.get("extra") != "forbid" or not kind.model_config.get("frozen"):
        found.append("its parameters must stay frozen and refuse unknown names")
    for name, info in kind.model_fields.items():
        base, _ = _base(info.annotation)
        bounds = set(_bounds(info))
        if base not in _NAMES and not _choices(base):
            found.append(f"{name} must be Exact, int, bool, str or a Literal of texts, with or without None")
        if not _help(info):
            found.append(f"{name} has no description")
        if base in (Decimal, int) and not (bounds & {"gt", "ge"} and bounds & {"lt", "le"}):
            found.append(f"{name} needs a lower and an upper bound")
    return found


def _typed(info: FieldInfo, value: object) -> object:
    """Text as the type that the field wants; as it is where it does not fit, so that it is refused."""
    if not isinstance(value, str):
        return value
    base, optional = _base(info.annotation)
    word = value.strip()
    if optional and word.lower() == "none":
        return None
    if base is int and re.fullmatch(r"[+-]?[0-9]{1,20}", word):
        return int(word)
    if base is bool:
        return {"true": True, "false": False}.get(word.lower(), value)
    return value


def text_of(value: object) -> str:
    """A parameter's value as text, which :func:`read` takes back."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem(
    error: Mapping[str, Any], kind: type[Parameters], values: Mapping[str, object]
) -> tuple[str, str]:
    name = str(error["loc"][0]) if error["loc"] else ""
    own = error["msg"].removeprefix("Value error, ") if error["type"] == "value_error" else ""
    info = kind.model_fields.get(name)
    if info is None:
        return "", own or error["msg"]
    if name not in values:
        return name, f"{name} is missing"
    given = text_of(values[name])
    words = _type_words(info)
    article = "a " if words.startswith(("number", "whole")) else ""
    rule = own or f"must be {article}{words}{_with_range(info)} ({_help(info)})"
    return name, f"{name} = {given[:60]}: {rule}"


def _with_range(info: FieldInfo) -> str:
    return f", {words}" if (words := _range_words(info)) else ""


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else f"; known: {', '.join(known)}"


def _base(annotation: Any) -> tuple[Any, bool]:
    """The type inside ``Annotated`` and ``| None``, and whether None is allowed."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _base(get_args(annotation)[0])
    if origin in (Union, UnionType):
        inner = [each for each in get_args(annotation) if each is not type(None)]
        if len(inner) == 1:
            return _base(inner[0])[0], len(get_args(annotation)) == 2
    return annotation, False


def _choices(base: Any) -> tuple[str, ...]:
    given = get_args(base) if get_origin(base) is Literal else ()
    return given if all(isinstance(each, str) for each in given) else ()


def _bounds(info: FieldInfo) -> dict[str, Any]:
    """Bounds by gt, ge, lt and le, wherever they stand: at the field, or inside ``Annotated``."""
    found: dict[str, Any] = {}
    waiting: list[Any] = [*info.metadata, info.annotation]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, FieldInfo):
            waiting += each.metadata
        elif get_origin(each) is Annotated:
            waiting += [*each.__metadata__, get_args(each)[0]]
        elif get_origin(each) in (Union, UnionType):
            waiting += get_args(each)
        else:
            found |= {word: getattr(each, word) for word in _WORDS if getattr(each, word, None) is not None}
    return found


def _type_words(info: FieldInfo) -> str:
    base, optional = _base(info.annotation)
    words = f"one of {', '.join(_choices(base))}" if _choices(base) else _NAMES.get(base, str(base))
    return f"{words} or none" if optional else words


def _range_words(info: FieldInfo) -> str:
    found = _bounds(info)
    return " and ".join(f"{said} {found[word]}" for word, said in _WORDS.items() if word in found)


def _help(info: FieldInfo) -> str:
    return " ".join((info.description or "").split())
