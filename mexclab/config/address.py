"""A database address: whether it can be trusted to parse, and how it is shown without its password."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MASK = "********"
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SECRET_QUERY = re.compile(r"(?i)\b((?:ssl)?password=)[^&]*")


def url_fault(url: str) -> str | None:
    """Why ``url`` is no PostgreSQL address, in words that hold nothing of it; None where it is one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "must be a postgresql:// address: its port is a number, special characters percent-encoded"
    if not url.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES)):
        return f"must start with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}"
    stray = parts.netloc.count("@") > 1 or "@" in parts.path + parts.query or parts.fragment or " " in url
    if stray or url.endswith("#") or "/" in parts.path[1:]:
        return "must have the characters @ / # and space of a user name or password percent-encoded"
    if port == 0:
        return "must name a port between 1 and 65535"
    return None


def shown_url(url: str) -> str:
    """``url`` with its password masked; the mask alone where the password's place is in doubt."""
    if url_fault(url):
        return MASK
    parts = urlsplit(url)
    netloc = parts.netloc
    if parts.password is not None:
        user, _, rest = netloc.rpartition("@")
        netloc = f"{user.partition(':')[0]}:{MASK}@{rest}"
    query = _SECRET_QUERY.sub(rf"\g<1>{MASK}", parts.query)
    return parts._replace(netloc=netloc, query=query).geturl()
