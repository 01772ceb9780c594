"""A query read the long way."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes


def naive_parameters(raw: bytes) -> dict[str, str]:
    """The first value of each name, percent-decoded as UTF-8; "+" is a blank; no "=" is an empty value."""
    known: dict[str, str] = {}
    for pair in raw.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        decoded = [unquote_to_bytes(part).decode("utf-8", "replace") for part in (name, value)]
        if decoded[0] not in known:
            known[decoded[0]] = decoded[1]
    return known
