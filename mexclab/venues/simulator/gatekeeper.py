"""Who may come in: the API key, the signature, the time stamp, the address, the content type.

The order of the checks is ours; codes and words are MEXC's, as its documents and recorded refusals show
them. A signature covers the query as it was sent, directly followed by the body, without its own
``signature`` parameter.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any

from mexclab.domain.clock import MILLISECOND
from mexclab.venues.simulator.http import Call, Reply, error
from mexclab.venues.simulator.world import Account

RECV_WINDOW_MS = 5_000
LARGEST_RECV_WINDOW_MS = 60_000
AHEAD_MS = 1_000  # how far a time stamp may be ahead of the venue's clock

KEY_REQUIRED = error(400, 400, "api key required")
KEY_MALFORMED = error(400, 700001, "API-key format invalid.")
KEY_UNKNOWN = error(400, 10072, "Api key info invalid")
BAD_SIGNATURE = error(400, 700002, "Signature for this request is not valid.")
OUT_OF_TIME = error(400, 700003, "Timestamp for this request is outside of the recvWindow.")
WINDOW_TOO_LARGE = error(400, 700005, "recvWindow must less than 60000")
NO_PERMISSION = error(400, 700007, "No permission to access the endpoint.")
BAD_CONTENT_TYPE = error(400, 700013, "Invalid content Type.")


def missing(name: str) -> Reply:
    """The refusal of a call that lacks a parameter."""
    return error(400, 700004, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


class _Seal:
    """A secret, ready to sign: the two hashes of HMAC-SHA256 that have already taken the key in."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: str) -> None:
        key = secret.encode()
        if len(key) > 64:
            key = hashlib.sha256(key).digest()
        key = key.ljust(64, b"\0")
        self._inner: Any = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer: Any = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def __repr__(self) -> str:
        return "_Seal(...)"

    def sign(self, text: bytes) -> bytes:
        """Lower-case hex."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return hexlify(outer.digest())


class Gatekeeper:
    """Checks signed calls.

    Args:
        accounts: by API key; looked into at every call, so accounts may come later.
        now_ns: the venue's clock as it tells it.
        key_header: which header names the key, in lower case.
        takes_forms: whether a body may be a form; MEXC takes JSON only.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        now_ns: Callable[[], int],
        key_header: str = "x-mexc-apikey",
        takes_forms: bool = False,
    ) -> None:
        self._accounts = accounts
        self._now_ns = now_ns
        self._key_header = key_header
        self._takes_forms = takes_forms
        self._seals: dict[str, tuple[str, _Seal]] = {}  # by API key: the secret that it was made of

    def claimed(self, call: Call) -> Account | None:
        """Whose call it claims to be; nothing is checked."""
        return self._accounts.get(call.headers.get(self._key_header, ""))

    def admit(self, call: Call) -> Reply | None:
        """Find out whose call it is (``call.account``); the refusal when it may not come in."""
        headers, params = call.headers, call.params
        key = headers.get(self._key_header)
        if not key:
            return KEY_REQUIRED
        if call.method != "GET" and self._refuses(headers.get("content-type"), call.body):
            return BAD_CONTENT_TYPE
        account = self._accounts.get(key)
        if account is None:
            return KEY_UNKNOWN if key.startswith("mx0") and key.isascii() else KEY_MALFORMED
        signature, stamp = params.get("signature"), params.get("timestamp")
        if not signature:
            return missing("signature")
        if not stamp:
            return missing("timestamp")
        seal = self._seals.get(key)
        if seal is None or seal[0] is not account.secret:
            seal = self._seals[key] = (account.secret, _Seal(account.secret))
        if not compare_digest(seal[1].sign(signed_text(call)), signature.encode()):
            return BAD_SIGNATURE
        if refusal := self._late(stamp, params.get("recvWindow")):
            return refusal
        if account.ip_whitelist and call.peer not in account.ip_whitelist:
            return error(400, 700006, f"IP [{call.peer}] not in the ip white list")
        call.account = account
        return None

    def _refuses(self, content_type: str | None, body: bytes) -> bool:
        return not self._takes_forms and refuses_content(content_type, body)

    def _late(self, stamp: str, window: str | None) -> Reply | None:
        width = RECV_WINDOW_MS
        if window:
            if not (window.isascii() and window.isdigit() and len(window) <= 9):
                return missing("recvWindow")
            width = int(window)
            if width > LARGEST_RECV_WINDOW_MS:
                return WINDOW_TOO_LARGE
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 18):
            return missing("timestamp")
        age = self._now_ns() // MILLISECOND - int(stamp)
        return None if -AHEAD_MS < age <= width else OUT_OF_TIME


def refuses_content(content_type: str | None, body: bytes) -> bool:
    """Whether the venue refuses the way a body is sent: it takes JSON only, whatever its documents show."""
    if content_type is None:
        return bool(body)
    return not content_type.startswith("application/json")


def signed_text(call: Call) -> bytes:
    """Query and body as they were sent, without the signature."""
    query, body = call.query, call.body
    head, found, tail = query.rpartition("&signature=")
    if found and "&" not in tail:
        return head.encode("latin-1") + body if body else head.encode("latin-1")
    if "signature=" in query:
        stripped = _without_signature(query)
        if stripped is not None:
            return stripped.encode("latin-1") + body
    stripped = _without_signature(body.decode("latin-1"))
    return query.encode("latin-1") + (body if stripped is None else stripped.encode("latin-1"))


def _without_signature(text: str) -> str | None:
    """The pairs of ``text`` but the signature; None when it has none."""
    pairs = text.split("&")
    others = [pair for pair in pairs if not pair.startswith("signature=")]
    return "&".join(others) if len(others) < len(pairs) else None
