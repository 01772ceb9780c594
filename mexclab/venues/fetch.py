"""Bars of any exchange that ccxt knows: page by page, no faster than it likes, closed bars alone.

A page begins at a moment and holds the next bars, as many as the exchange gives at once. A bar counts as
closed when the venue's clock is past its end by a settling time; what is still growing never leaves here.
"""

from __future__ import annotations

import asyncio
import difflib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.domain.market import Symbol
from mexclab.errors import ConfigError, ParameterError, VenueUnavailable
from mexclab.venues.exchange_client import CcxtTerms, Client
from mexclab.venues.exchange_values import symbol_of
from mexclab.venues.mexc.endpoints import EXCHANGE_INFO, KLINES, TIME
from mexclab.venues.mexc.limits import LimitTerms
from mexclab.venues.raw_bars import RawBar

HOME = "mexc"  # whose symbols have no prefix in the lake
# lengths of a page where ccxt's own figure is not what the venue gives
_PAGES: Mapping[str, int] = {HOME: 500}
_LONGEST_PAGE = 1_000
_LONGEST_OBEYED_S = 300.0  # a longer Retry-After is told instead of waited for


@dataclass(frozen=True, slots=True)
class FetchTerms:
    """Which exchange, and how it is asked.

    Attributes:
        exchange: ccxt's name of it.
        url: replaces scheme and host of every address; None: the exchange's own.
        requests_per_10s: at most; None: four fifths of what ccxt says the exchange takes.
        gap_s: between two requests at least; None: as ccxt says.
        attempts: how often one page is asked for before it is given up.
        first_pause_s, longest_pause_s: before the second attempt, and before the last ones.
        settle_s: how long after its end a bar may still change.
        deadline_s: until a request counts as unanswered.
    """

    exchange: str = HOME
    url: str | None = None
    requests_per_10s: int | None = None
    gap_s: float | None = None
    attempts: int = 6
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    settle_s: float = 2.0
    deadline_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A spot pair of an exchange.

    Attributes:
        name: in the lake: ``BTCUSDT``, or ``BINANCE:BTCUSDT`` where the exchange is not MEXC.
        unified: ccxt's name.
        symbol: base and quote.
    """

    name: str
    unified: str
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class _Known:
    """What ccxt says of an exchange, before it is asked anything."""

    intervals: tuple[str, ...]
    page: int
    rate_ms: float
    urls: Any
    tells_time: bool
    options: Mapping[str, Any]


@dataclass(slots=True)
class _Pace:
    """One request after another, a gap apart."""

    gap_s: float
    _free_s: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def wait(self) -> None:
        async with self._lock:
            left_s = self._free_s - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            self._free_s = time.monotonic() + self.gap_s


class BarSource:
    """Closed bars of one exchange. For one event loop; ``open`` it first, ``close`` it in the end.

    Args:
        wall_ns: this machine's clock; how far the venue's is from it is asked for.

    Attributes:
        page_bars: how many bars one request brings at most.
        requests: how many pages were asked for, attempts included.

    Raises:
        ConfigError: ccxt has no such exchange, or it gives no bars; names like it are in the sentence.
    """

    def __init__(self, terms: FetchTerms, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self.terms = terms
        self._known = known = _known(terms.exchange)
        self._wall_ns = wall_ns
        self._ahead_ns = 0  # the venue's clock before ours
        self._pace = _Pace(known.rate_ms / 1000 if terms.gap_s is None else terms.gap_s)
        self._client = Client(_client_terms(terms, known), self.now_ns)
        self._pairs: dict[str, Pair] = {}
        self._openings: dict[Pair, int] = {}
        self._chance = random.Random()
        self.page_bars = known.page
        self.requests = 0

    def __repr__(self) -> str:
        return f"BarSource({self.terms.exchange})"

    async def open(self) -> None:
        """Learn the exchange's pairs and its clock.

        Raises:
            VenueUnavailable: it did not answer; nothing is known.
            VenueRejected: it refused.
        """
        rows = await self._patiently("the list of pairs", EXCHANGE_INFO, lambda x: x.load_markets(True))
        for row in rows.values():
            symbol = symbol_of(row)
            if symbol is not None:
                pair = Pair(lake_name(self.terms.exchange, symbol), str(row["symbol"]), symbol)
                self._pairs.setdefault(str(symbol).upper(), pair)
                opened_ns = _opened_ns(row)
                if opened_ns is not None:
                    self._openings[pair] = opened_ns
        await self.set_clock()

    async def set_clock(self) -> None:
        """Ask how late it is at the venue, to half a round trip; nothing where it does not tell.

        Raises:
            VenueUnavailable: it did not answer.
        """
        if not self._known.tells_time:
            return
        asked_ns = self._wall_ns()
        told = await self._patiently("its time", TIME, lambda exchange: exchange.fetch_time())
        self._ahead_ns = int(told) * MILLISECOND - (asked_ns + self._wall_ns()) // 2

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    def now_ns(self) -> int:
        """The venue's time, as far as it is known."""
        return self._wall_ns() + self._ahead_ns

    # -- what there is ---------------------------------------------------------------------------

    def pair(self, text: str) -> Pair:
        """The spot pair that a person names: ``BTCUSDT``, ``BTC/USDT``, ``BINANCE:BTCUSDT``.

        Raises:
            ParameterError: the exchange has no such pair; the nearest are in the sentence.
        """
        asked = text.strip().upper().removeprefix(f"{self.terms.exchange.upper()}:")
        key = "".join(c for c in asked if c not in "/_- ")
        found = self._pairs.get(key)
        if found is None:
            near = difflib.get_close_matches(key, self._pairs, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(near)}?" if near else "its spot pairs are named like BTCUSDT"
            raise ParameterError(
                f"{self.terms.exchange} has no spot pair {text!r} among {len(self._pairs):,}; {hint}",
                symbol=text,
                nearest=near,
            )
        return found

    def pairs(self, quote: str = "USDT") -> tuple[Pair, ...]:
        """Every spot pair in this quote currency, by name."""
        chosen = [pair for pair in self._pairs.values() if pair.symbol.quote.upper() == quote.upper()]
        return tuple(sorted(chosen, key=lambda pair: pair.name))

    def openings(self) -> Mapping[Pair, int]:
        """When pairs opened, in ns, as far as the exchange says."""
        return dict(self._openings)

    def check(self, interval: str) -> None:
        """See that the exchange has bars of this length.

        Raises:
            ParameterError: it has not; those it has are in the sentence.
        """
        if interval not in self._known.intervals:
            raise ParameterError(
                f"{self.terms.exchange} has no {interval} bars of spot pairs; choose one of "
                f"{', '.join(self._known.intervals)}",
                interval=interval,
            )

    def closed_ms(self, interval_ms: int) -> int:
        """When the first bar opens that is not closed and settled yet."""
        settled = self.now_ns() - round(self.terms.settle_s * SECOND)
        return settled // MILLISECOND // interval_ms * interval_ms

    # -- bars ------------------------------------------------------------------------------------

    async def page(self, pair: Pair, interval: str, start_ms: int, interval_ms: int) -> tuple[RawBar, ...]:
        """The next closed bars from ``start_ms`` on, the oldest first; none where the venue has none there.

        Args:
            interval: ccxt's word for it, which ``check`` knows.
            start_ms: open time, ms since the epoch.
            interval_ms: its length.

        Raises:
            VenueUnavailable: every attempt failed.
            VenueRejected: the venue refuses to show this pair's bars.
        """
        rows = await self._patiently(
            f"{pair.unified} {interval}",
            KLINES,
            lambda x: x.fetch_ohlcv(pair.unified, interval, start_ms, self.page_bars),
        )
        end_ms = self.closed_ms(interval_ms)
        bars = (_bar(row) for row in rows)
        return tuple(bar for bar in bars if bar is not None and start_ms <= bar.open_ms < end_ms)

    async def _patiently(self, what: str, endpoint: Any, call: Callable[[Any], Any]) -> Any:
        """Ask until there is an answer, more and more rarely."""
        terms = self.terms
        for attempt in range(1, terms.attempts + 1):
            try:
                await self._pace.wait()
                self.requests += 1
                return await self._client.ask(endpoint, call)
            except VenueUnavailable as error:
                asked_s = float(error.data.get("retry_after_s") or 0.0)
                if attempt == terms.attempts or asked_s > _LONGEST_OBEYED_S:
                    words = f"{terms.exchange} gave no answer for {what} in {attempt} attempts"
                    raise VenueUnavailable(
                        f"{words} ({error.message}). What came before is kept; run the same command again to "
                        "go on",
                        **error.data,
                    ) from error
                pause = min(terms.longest_pause_s, terms.first_pause_s * 2.0 ** (attempt - 1))
                await asyncio.sleep(max(asked_s, pause * self._chance.uniform(0.5, 1.0)))
        raise AssertionError("unreachable: the last attempt raises")


def lake_name(exchange: str, symbol: Symbol) -> str:
    """What the lake calls a pair: MEXC's as it is, other exchanges' with the exchange before it.

    Bars of two exchanges are never mixed under one name.
    """
    return str(symbol) if exchange == HOME else f"{exchange.upper()}:{symbol}"


def exchange_of(name: str) -> tuple[str, str]:
    """The exchange and the pair of a name in the lake; the inverse of `lake_name`."""
    exchange, colon, pair = name.partition(":")
    return (exchange.lower(), pair) if colon else (HOME, name)


def _known(exchange: str) -> _Known:
    import ccxt  # type: ignore[import-untyped]

    if exchange not in ccxt.exchanges:
        near = difflib.get_close_matches(exchange.lower(), ccxt.exchanges, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "ccxt.exchanges lists them"
        raise ConfigError(f"ccxt has no exchange {exchange!r}; {hint}", exchange=exchange, nearest=near)
    told = getattr(ccxt, exchange)()
    if not told.has.get("fetchOHLCV") or not told.timeframes:
        raise ConfigError(f"{exchange} gives no bars through ccxt; choose another exchange")
    spot = (told.options.get("timeframes") or {}).get("spot") or told.timeframes
    limits = ((told.features or {}).get("spot") or {}).get("fetchOHLCV") or {}
    page = _PAGES.get(exchange) or min(int(limits.get("limit") or 500), _LONGEST_PAGE)
    intervals = tuple(name for name in told.timeframes if name in spot)
    return _Known(
        intervals,
        page,
        float(told.rateLimit),
        told.urls["api"],
        bool(told.has.get("fetchTime")),
        _spot_alone(told.options.get("fetchMarkets")),
    )


def _spot_alone(told: Any) -> Mapping[str, Any]:
    """ccxt's option by which only spot pairs are asked for, where an exchange has one."""
    types = told.get("types") if isinstance(told, Mapping) else None
    return (
        {"fetchMarkets": {**told, "types": ["spot"]}} if isinstance(types, list) and "spot" in types else {}
    )


def _client_terms(terms: FetchTerms, known: _Known) -> CcxtTerms:
    most = terms.requests_per_10s or max(2, int(8_000 / max(known.rate_ms, 1.0)))
    limits = LimitTerms(ip_weight_per_10s=most, ip_reserve_per_10s=0, patience_s=_LONGEST_OBEYED_S)
    weights = {} if terms.exchange == HOME else {KLINES.name: 1, EXCHANGE_INFO.name: 1, TIME.name: 1}
    if most < EXCHANGE_INFO.weight:  # a pool that the list of pairs alone would not fit in
        weights[EXCHANGE_INFO.name] = 1
    return CcxtTerms(
        terms.exchange,
        urls={} if terms.url is None else {"api": _rehosted(known.urls, terms.url)},
        options=known.options,
        limits=limits,
        weights=weights,
        deadline_s=terms.deadline_s,
    )


def _rehosted(urls: Any, base: str) -> Any:
    """ccxt's addresses on another host; their paths stay."""
    if isinstance(urls, Mapping):
        return {name: _rehosted(part, base) for name, part in urls.items()}
    return base.rstrip("/") + urlsplit(urls).path if isinstance(urls, str) else urls


def _opened_ns(row: Any) -> int | None:
    """When a pair opened, by ccxt's ``created`` or MEXC's own ``firstOpenTime``; None where none says."""
    told: Any = row.get("created") or (row.get("info") or {}).get("firstOpenTime")
    try:
        opened_ms = int(told)
    except (TypeError, ValueError):
        return None
    return opened_ms * MILLISECOND if opened_ms > 0 else None


def _bar(row: Any) -> RawBar | None:
    """A row of ccxt's; None where it does not even say when."""
    if not isinstance(row, list | tuple) or len(row) < 6 or not isinstance(row[0], int):
        return None
    numbers = ["" if value is None else str(value) for value in row[1:6]]
    return RawBar(row[0], *numbers)
