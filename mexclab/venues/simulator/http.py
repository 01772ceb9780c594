"""What goes over the venue's HTTP door: calls, replies and routes, and how they are read and written."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from mexclab.venues.simulator.world import Account

JSON_TYPE = "application/json;charset=UTF-8"


class Reply(NamedTuple):
    """What is sent back. ``headers`` are extra ones; a Content-Type among them replaces JSON's."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Call:
    """One request, read once.

    Attributes:
        path: percent-decoded.
        query: as it was sent, bytes as Latin-1 characters: what is signed.
        headers: by lower-case name.
        peer: the sender's address, without the port.
        params: of query and body, percent-decoded; the query wins over the body, the first over the next.
        account: whose key signed it; None where nothing is signed.
    """

    method: str
    path: str
    query: str
    body: bytes
    headers: Mapping[str, str]
    peer: str
    params: dict[str, str]
    account: Account | None = None


class Gate(Protocol):
    """Who decides which signed calls may come in."""

    def claimed(self, call: Call) -> Account | None: ...

    def admit(self, call: Call) -> Reply | None: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers, whether the call must be signed, and which budget it is taken from.

    ``pool`` is "ip", "orders", "batch", "account", "announcements" or "none"; ``weight`` is in the weights
    of the IP and UID pools. A handler that has to wait for something answers with an awaitable. A route of
    another wire dialect has a gate of its own, and says in its own words (``reworded``) what the server
    refuses in MEXC's before the handler is asked.
    """

    handle: Callable[[Call], Reply | Awaitable[Reply]]
    signed: bool = False
    weight: int = 1
    pool: str = "ip"
    gate: Gate | None = None
    reworded: Callable[[Reply], Reply] | None = None


def error(status: int, code: int, words: str, *headers: tuple[str, str]) -> Reply:
    """MEXC's way to say no."""
    return Reply(status, b'{"code":%d,"msg":%b}' % (code, json.dumps(words).encode()), headers)


def plain(value: Decimal) -> str:
    """A number as MEXC writes it: no exponent, no idle zeros, no negative zero."""
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def parameters(text: str) -> dict[str, str]:
    """The names and values of a query; the first value of a name counts, one without "=" is empty."""
    if not text:
        return {}
    pairs = text.split("&")
    if "%" not in text and "+" not in text and text.isascii():
        try:
            known = dict([pair.split("=", 1) for pair in pairs])
        except ValueError:
            known = {}  # one has no "="
        if len(known) == len(pairs):
            return known
    known = {}
    for pair in pairs:
        if pair:
            name, _, value = pair.partition("=")
            known.setdefault(decoded(name), decoded(value))
    return known


def decoded(text: str) -> str:
    """A part of an address: blanks for "+", bytes for percent signs, read as UTF-8."""
    raw = unquote_to_bytes(text.replace("+", " ").encode("latin-1"))
    return raw.decode("utf-8", "replace")


def body_parameters(body: bytes) -> dict[str, str]:
    """The parameters of a body: a JSON object's texts and numbers, or pairs as in a query."""
    if body.lstrip()[:1] != b"{":
        return parameters(body.decode("latin-1"))
    try:
        known = json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.items()}


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


_PLAIN_OK = _status_line(200) + f"Content-Type: {JSON_TYPE}\r\nContent-Length: ".encode()


def written(reply: Reply, keeps: bool = True, has_body: bool = True) -> bytes:
    """The reply as it goes over the wire; without its body in answer to HEAD."""
    status, body, headers = reply
    if status == 200 and not headers and keeps and has_body:
        return b"%b%d\r\n\r\n%b" % (_PLAIN_OK, len(body), body)
    lines = [_status_line(status)]
    if not any(name.lower() == "content-type" for name, _ in headers):
        lines.append(f"Content-Type: {JSON_TYPE}\r\n".encode())
    lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in headers]
    if not keeps:
        lines.append(b"Connection: close\r\n")
    lines.append(b"Content-Length: %d\r\n\r\n" % len(body))
    return b"".join(lines) + (body if has_body else b"")
