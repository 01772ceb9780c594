"""The one way to ccxt: a class of exchange, made exact, asked within our own limits.

ccxt computes with floats unless it is told otherwise. The class that is made here keeps every number as the
text that it was on the wire, sends quantities and prices as they are instead of rounding them to what ccxt
believes to be the step, and takes the time from our clock. ccxt's own throttle is off: it delays the first
order after ``load_markets`` by seconds.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import ModuleType
from typing import Any, TypeVar

from mexclab.domain.clock import MILLISECOND
from mexclab.errors import ConfigError, VenueError, VenueUnavailable
from mexclab.venues.exchange_errors import Heard, is_open, judged
from mexclab.venues.exchange_values import exactly
from mexclab.venues.mexc.confirm import ConfirmTerms
from mexclab.venues.mexc.endpoints import Endpoint
from mexclab.venues.mexc.limits import Limiter, LimitTerms
from mexclab.venues.mexc.refusals import unreadable

_T = TypeVar("_T")

BANNED = 418
# what a payload of another shape than ccxt expects makes its parsers raise
MISREAD = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)

_OPTIONS: Mapping[str, Any] = {
    "defaultType": "spot",
    "maxRetriesOnFailure": 0,  # an order is never sent twice
    "adjustForTimeDifference": False,
    "warnOnFetchOpenOrdersWithoutSymbol": False,
    "fetchOpenOrders": {"warnWithoutSymbol": False},
}


@dataclass(frozen=True, slots=True)
class CcxtTerms:
    """Which exchange, how it is reached, and how we behave there.

    Attributes:
        exchange_id: ccxt's name of the exchange, "mexc".
        key, secret, password: credentials; without a key only public questions are possible.
        urls: replaces part of ccxt's addresses, nested as there: ``{"api": {"public": ...}}``.
        options: ccxt's options of this exchange.
        limits: the venue's pools; MEXC's unless told otherwise.
        weights: of single endpoints, by their names in ``mexc.endpoints``, where they are not MEXC's.
        deadline_s: until a request counts as unanswered.
        turn_s: how long an order waits for its turn before it is given up, unsent.
        fresh_for_s: the list of markets is asked for again when it is older.
        poll_s: between two looks at the orders that rest.
        close_s: what TLS connections are given to close, when everything ends.
    """

    exchange_id: str
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    urls: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: LimitTerms = field(default_factory=LimitTerms)
    weights: Mapping[str, int] = field(default_factory=dict)
    confirm: ConfirmTerms = field(default_factory=ConfirmTerms)
    deadline_s: float = 10.0
    turn_s: float = 2.0
    fresh_for_s: float = 30.0
    poll_s: float = 1.0
    close_s: float = 0.25

    def __post_init__(self) -> None:
        for name in ("deadline_s", "turn_s", "fresh_for_s", "poll_s", "close_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above zero, not {getattr(self, name)}", name=name)


class Client:
    """Asks one exchange through ccxt. For one event loop; ``close`` it.

    Args:
        clock_ns: the venue's time, as far as it is known: requests are stamped with it.

    Raises:
        ConfigError: ccxt has no exchange of this id.
    """

    def __init__(self, terms: CcxtTerms, clock_ns: Callable[[], int]) -> None:
        import ccxt  # type: ignore[import-untyped]
        import ccxt.async_support as asynchronous  # type: ignore[import-untyped]

        if terms.exchange_id not in asynchronous.exchanges:
            raise ConfigError(
                f"ccxt has no exchange {terms.exchange_id!r}; see ccxt.exchanges", exchange=terms.exchange_id
            )
        self.terms = terms
        self.clock_ns = clock_ns
        self.limiter = Limiter(terms.limits)
        self._ccxt: ModuleType = ccxt
        self._heard: ContextVar[Heard] = ContextVar(f"heard of {terms.exchange_id}")
        base: type[Any] = getattr(asynchronous, terms.exchange_id)
        self._exchange = _exact(base, self._heard, clock_ns)(_config(terms))
        self._exchange.commonCurrencies = {}  # assets keep the venue's own names

    def __repr__(self) -> str:
        return f"Client({self.terms.exchange_id})"

    @property
    def counts_in_steps(self) -> bool:
        """Whether a market's precision is a step such as 0.01; otherwise it is a number of decimals.

        Raises:
            ConfigError: it is neither, but significant digits.
        """
        mode = self._exchange.precisionMode
        if mode not in (self._ccxt.TICK_SIZE, self._ccxt.DECIMAL_PLACES):
            raise ConfigError(f"{self.terms.exchange_id} counts in significant digits: there is no step")
        return bool(mode == self._ccxt.TICK_SIZE)

    async def ask(self, endpoint: Endpoint, call: Callable[[Any], Awaitable[_T]], urgent: bool = False) -> _T:
        """Wait for this question's turn, and ask.

        Args:
            endpoint: what it costs; not where it goes, ccxt knows that.
            call: what to ask of ccxt's exchange.
            urgent: a cancel or an exit.

        Raises:
            VenueRejected, VenueUnavailable, OrderUnknown: see ``exchange_errors.judged``.
        """
        await self.limiter.take(self.weighed(endpoint), urgent)
        return await self.ask_now(endpoint, call)

    async def ask_now(self, endpoint: Endpoint, call: Callable[[Any], Awaitable[_T]]) -> _T:
        """Ask; the turn has been waited for."""
        heard = Heard()
        token = self._heard.set(heard)
        try:
            found = await call(self._exchange)
        except self._ccxt.BaseError as error:
            failure = judged(error, heard, endpoint, self._ccxt)
            self._report(endpoint, failure)
            raise failure from error
        except MISREAD as error:
            failure = unreadable(endpoint, f"ccxt cannot read the answer ({type(error).__name__})")
            self._report(endpoint, failure)
            raise failure from error
        finally:
            self._heard.reset(token)
        self.limiter.report(endpoint, ok=True)
        return found

    def weighed(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with this exchange's weight."""
        weight = self.terms.weights.get(endpoint.name)
        return endpoint if weight is None else replace(endpoint, weight=weight)

    async def close(self) -> None:
        await self._exchange.close()

    def _report(self, endpoint: Endpoint, error: VenueError) -> None:
        wait_s = error.data.get("retry_after_s")
        if wait_s is not None:
            self.limiter.obey(endpoint, wait_s, banned=error.data.get("code") == BANNED)
        failed = is_open(error) or (isinstance(error, VenueUnavailable) and wait_s is None)
        self.limiter.report(endpoint, ok=not failed)


def _config(terms: CcxtTerms) -> dict[str, Any]:
    """What ccxt's constructor takes; it merges nested parts with its own."""
    return {
        "apiKey": terms.key,
        "secret": terms.secret,
        "password": terms.password,
        "enableRateLimit": False,
        "timeout": int(terms.deadline_s * 1000),
        "timeout_on_exit": int(terms.close_s * 1000),
        "urls": dict(terms.urls),
        "has": {"fetchCurrencies": False},  # a signed question that nothing here needs
        "options": {**_OPTIONS, **terms.options},
    }


def _exact(base: type[Any], heard: ContextVar[Heard], clock_ns: Callable[[], int]) -> type[Any]:
    """The class of exchange, without floats, on our clock, and telling what it hears."""

    class Exact(base):  # type: ignore[misc]
        number = str

        def milliseconds(self) -> int:
            return clock_ns() // MILLISECOND

        def amount_to_precision(self, symbol: str, amount: object) -> str:
            return format(Decimal(str(amount)), "f")

        def price_to_precision(self, symbol: str, price: object) -> str:
            return format(Decimal(str(price)), "f")

        def parse_order_book_bid_ask(
            self, bidask: Any, price_key: Any = 0, amount_key: Any = 1, count_key: Any = 2
        ) -> list[Any]:
            """As numbers, because they are sorted by price afterwards."""
            told = (self.safe_string(bidask, key) for key in (price_key, amount_key))
            return [exactly(text, "a level of the book") for text in told]

        def on_json_response(self, body: str) -> Any:
            return json.loads(body, parse_float=str)

        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            heard.get().left = True
            return await super().fetch(url, method, headers, body)

        def on_rest_response(self, *told: Any) -> str:
            code, _, _, _, headers, body, *_ = told
            now = heard.get()
            now.status, now.headers, now.body = code, headers, body
            return str(super().on_rest_response(*told))

        def parse_json(self, http_response: str) -> Any:
            found = super().parse_json(http_response)
            status = heard.get().status
            if found is None and status is not None and status < 300:
                # ccxt would go on with the text itself, and take it for the id of an order
                from ccxt import BadResponse

                raise BadResponse(f"{self.id}: the answer is no JSON")
            return found

    return Exact
