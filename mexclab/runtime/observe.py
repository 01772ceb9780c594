"""Structured logs: JSON for machines, readable on a terminal, and no secret in either."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal, TextIO

import structlog

MASK = "********"
_SECRET_KEY = re.compile(r"(?i)(token|secret|password|passwd|api_?key|authorization|signature|listen_?key)")
_SECRET_TEXT = re.compile(
    r"(?i)((?:bearer|basic)\s+|(?:token|secret(?:_key)?|passw(?:or)?d|api[_-]?key|authorization|signature"
    r"|listen_?key)[\"']?\s*[=:]\s*[\"']?(?:bearer\s+|basic\s+)?)[^\s\"'&,;]+"
)
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s/]+(@)")


def redact(value: Any, key: str = "") -> Any:
    """``value`` with everything that looks like a secret masked, at any depth."""
    if key and _SECRET_KEY.search(key) and value not in (None, ""):
        return MASK
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1{MASK}\2", _SECRET_TEXT.sub(rf"\1{MASK}", value))
    if isinstance(value, dict):
        return {name: redact(item, str(name)) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(redact(item) for item in value)
    if isinstance(value, list | set | frozenset):
        return [redact(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))  # whatever else is logged is logged as text, so that its text can be judged


def _redacted(_logger: Any, _name: str, entry: Any) -> Any:
    return {key: redact(value, key) for key, value in entry.items()}


def configure(
    style: Literal["auto", "json", "console"] = "auto", level: str = "INFO", stream: TextIO | None = None
) -> None:
    """Set up logging for this process. Logs go to standard error, so that output stays clean.

    Args:
        style: ``auto`` is readable on a terminal and JSON elsewhere.
        level: least severity that is written.
    """
    out = stream or sys.stderr
    readable = style == "console" or (style == "auto" and out.isatty())
    last = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if readable
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redacted,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
