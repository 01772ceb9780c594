"""What an error of ccxt means: refused, not sent, or nobody knows.

ccxt sorts the venues' errors into classes of its own and lets go of the HTTP status; the class alone does
not say whether an order may have been taken. What was heard on the wire is kept beside it (:class:`Heard`)
and decides together with the class. The rule is the one of ``mexc/refusals.py``: an order is refused only by
a clear no in the venue's own words; whatever else happens after it left means that it may exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import ModuleType
from typing import Any

import msgspec

from mexclab.errors import OrderUnknown, VenueError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.refusals import LONGEST_WORDS, code_of, retry_after_s, unreadable

NO_CODE = 0  # of a refusal that carries no number: ccxt's own, or of a venue that has words only
_LIMITED = frozenset({HTTPStatus.TOO_MANY_REQUESTS.value, HTTPStatus.IM_A_TEAPOT.value})
# codes by which a venue of this family says that it failed and does not know, whatever the status
_TROUBLE = frozenset({500, 501, 503, 504, -1000, -1001, -1004, -1006, -1007, -1008})
_WORDS = ("msg", "message", "error", "errors", "error_message", "retMsg")


@dataclass(slots=True)
class Heard:
    """What one question to ccxt brought over the wire.

    Attributes:
        left: a request was handed to the network.
        status: of the last answer; None when there was none.
    """

    left: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


def judged(error: Exception, heard: Heard, endpoint: Endpoint, ccxt: ModuleType) -> VenueError:
    """The error of ours that an error of ccxt stands for; for the caller to raise.

    Args:
        ccxt: the library; it is not imported before it is needed.

    Returns:
        VenueRejected: a clear no, with ``code`` and ``words``; ``kind`` is ccxt's class, ``missing`` tells
            that the order is not there, ``duplicate`` that its id is taken.
        VenueUnavailable: nothing was done; with ``retry_after_s`` when the venue asks us to slow down.
        OrderUnknown: an order or a cancellation left, and the answer does not say what became of it.
    """
    kind = type(error).__name__
    if not heard.left:
        return _unsent(error, endpoint, kind, ccxt)
    told = said(heard.body) if heard.status is not None else None
    code, words = told or (None, "")
    limit = heard.status if heard.status in _LIMITED else code
    if limit in _LIMITED:
        wait = retry_after_s(int(limit), heard.headers)
        return VenueUnavailable(
            f"{endpoint.name}: the venue asks us to slow down ({limit}); nothing was done. "
            f"Ask again in {wait:g} s",
            status=heard.status, code=limit, retry_after_s=wait,
        )  # fmt: skip
    if told is not None and _is_clear_no(error, heard, code, ccxt):
        code = NO_CODE if code is None else code
        return VenueRejected(
            f"the venue refused: {code} {words}",
            code=code, words=words, status=heard.status, kind=kind,
            missing=isinstance(error, ccxt.OrderNotFound),
            duplicate=isinstance(error, ccxt.DuplicateOrderId),
        )  # fmt: skip
    if heard.status is None and _never_connected(error):
        return VenueUnavailable(f"{endpoint.name} was not sent: no connection. Ask again", kind=kind)
    answer = "no answer" if heard.status is None else f"the answer {heard.status}"
    return unreadable(endpoint, f"{answer} ({kind})", status=heard.status, code=code, words=words, kind=kind)


def is_open(error: VenueError) -> bool:
    """Whether this error leaves open what became of an order."""
    return isinstance(error, OrderUnknown)


def said(body: str) -> tuple[int | None, str] | None:
    """The venue's code and words in the body of an answer; None when it is no JSON object or list."""
    try:
        payload: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if isinstance(payload, list) and len(payload) == 1:
        payload = payload[0]
    if not isinstance(payload, dict):
        return (None, "") if isinstance(payload, list) else None
    words = next((payload[name] for name in _WORDS if payload.get(name)), "")
    text = words if isinstance(words, str) else msgspec.json.encode(words).decode()
    return code_of(payload), text[:LONGEST_WORDS]


def _unsent(error: Exception, endpoint: Endpoint, kind: str, ccxt: ModuleType) -> VenueError:
    """ccxt stopped before the network: by its own judgement of the question, or by its own trouble."""
    if isinstance(error, ccxt.ExchangeError) and not isinstance(error, ccxt.ExchangeClosedByUser):
        words = str(error)[:LONGEST_WORDS]
        return VenueRejected(
            f"{endpoint.name} was not sent, ccxt refuses it: {words}",
            code=NO_CODE, words=words, kind=kind, missing=False, duplicate=False,
        )  # fmt: skip
    return VenueUnavailable(f"{endpoint.name} was not sent ({kind}). Ask again", kind=kind)


def _is_clear_no(error: Exception, heard: Heard, code: int | None, ccxt: ModuleType) -> bool:
    if heard.status is None or heard.status >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _TROUBLE:
        return False
    if isinstance(error, ccxt.InvalidNonce):  # a NetworkError to ccxt, and yet the venue's own refusal
        return code is not None
    if not isinstance(error, ccxt.ExchangeError):
        return False
    # the class without a name of its own is what ccxt raises when it knows nothing: then a code must speak
    return code is not None or type(error) is not ccxt.ExchangeError


def _never_connected(error: BaseException) -> bool:
    from aiohttp import ClientConnectorError  # ccxt's HTTP client; it comes with it

    return any(isinstance(cause, ClientConnectorError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    known: BaseException | None = error
    while known is not None:
        yield known
        known = known.__cause__
