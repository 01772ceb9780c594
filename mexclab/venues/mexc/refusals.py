"""What an answer that is not the one asked for means: refused, not asked at all, or nobody knows.

Source: MEXC spot v3, "Error codes" and "Limits". No error holds a byte of the answer but its code and words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec

from mexclab.errors import OrderUnknown, VenueError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import Endpoint

WINDOW_S = 10.0  # the venue's pools refill within it: how long a 429 without Retry-After is obeyed
SHORTEST_BAN_S = 120.0  # the venue bans for two minutes to three days
LONGEST_BAN_S = 259_200.0
LONGEST_WORDS = 300

DUPLICATE_CLIENT_ID = "duplicate client order id"
NOT_OPEN_YET = frozenset({10007, 30000, 30016})
NO_PAIR = frozenset({-1121})  # the venue has no such pair (any more); 10007 and kin mean: not open
UNKNOWN_ORDER = frozenset({-2011, -2013, 22222})  # the second is not in the documents but in the answers

_TROUBLE = frozenset({500, 503, 504})  # codes by which the venue says that it failed, whatever the status
_LIMITED = frozenset({HTTPStatus.TOO_MANY_REQUESTS.value, HTTPStatus.IM_A_TEAPOT.value})
_SECONDS = re.compile(r"\s*(\d{1,9})\s*\Z", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,9}\Z", re.ASCII)


def refusal(
    status: int,
    body: bytes,
    headers: Mapping[str, str] = MappingProxyType({}),
    endpoint: Endpoint | None = None,
) -> VenueError:
    """The error that an answer stands for; for the caller to raise.

    Args:
        status: of HTTP.
        body: of the answer, whatever it is.
        headers: of the answer; the case of the names does not matter.
        endpoint: what was asked, and sent in full. An order or a cancellation that gets no clear answer
            may have happened.

    Returns:
        VenueRejected: a clear no, with ``code`` and ``words``.
        VenueUnavailable: with ``retry_after_s`` when the venue asks us to slow down (429, 418); with
            ``waf=True`` when a firewall answered in its place (403 without words of the API).
        OrderUnknown: an order was sent, and the answer does not say what became of it.
    """
    code, words = _said(body)
    if status in _LIMITED or code in _LIMITED:
        limit = status if status in _LIMITED else int(code or 429)
        wait = retry_after_s(limit, headers)
        return VenueUnavailable(
            f"the venue asks us to slow down ({limit}); nothing was done. Ask again in {wait:g} s",
            status=status, code=limit, retry_after_s=wait,
        )  # fmt: skip
    if code is not None and code not in _TROUBLE and status < 500:
        return VenueRejected(f"the venue refused: {code} {words}", code=code, words=words, status=status)
    if status == HTTPStatus.FORBIDDEN:
        why = "a firewall answered in the venue's place (403)"
        return unreadable(endpoint, why, status=status, waf=True)
    said = f", {code} {words}" if code is not None else ", not in the words of its API"
    return unreadable(endpoint, f"the venue answered {status}{said}", status=status, code=code, words=words)


def unreadable(endpoint: Endpoint | None, why: str, **data: Any) -> VenueError:
    """The error for an answer that says nothing; OrderUnknown where it was to say what became of an order."""
    if endpoint is not None and endpoint.moves_orders:
        return OrderUnknown(
            f"{endpoint.name}: {why}. It may have happened: reconcile, never resend",
            endpoint=endpoint.name, **data,
        )  # fmt: skip
    asked = f"{endpoint.name}: " if endpoint else ""
    return VenueUnavailable(
        f"{asked}{why}; nothing is known. Ask again later", endpoint=endpoint and endpoint.name, **data
    )


def code_of(payload: object) -> int | None:
    """The venue's own code in a decoded payload; None when it carries none."""
    code = payload.get("code") if isinstance(payload, dict) else None
    if isinstance(code, str) and _NUMBER.match(code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**9 else None


def retry_after_s(status: int, headers: Mapping[str, str]) -> float:
    """How long the venue asks us to wait: Retry-After in seconds or as a date; else its shortest custom."""
    told = {name.lower(): value for name, value in headers.items() if name.lower() in ("retry-after", "date")}
    custom = SHORTEST_BAN_S if status == HTTPStatus.IM_A_TEAPOT else WINDOW_S
    after = told.get("retry-after", "")
    if seconds := _SECONDS.match(after):
        return min(float(seconds[1]), LONGEST_BAN_S)
    try:
        wait = (parsedate_to_datetime(after) - parsedate_to_datetime(told["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return custom
    return min(max(wait, 0.0), LONGEST_BAN_S)


def _said(body: bytes) -> tuple[int | None, str]:
    try:
        payload = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        code = code_of({"code": msgspec.json.decode(payload.get("code", b"null"))})
        words = msgspec.json.decode(payload.get("msg", b"null"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, ""
    return code, words[:LONGEST_WORDS] if isinstance(words, str) else ""
