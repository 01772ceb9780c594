"""Before money moves: ask the venue everything that a trade depends on, and say what is not as it should be.

Each check is green, red, or unknown when the venue could not be asked; unknown is not green. Nothing that
is asked here changes anything: the test order is judged by the venue and forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, TypeAlias, TypeVar

from mexclab.domain.clock import MILLISECOND, span, written
from mexclab.domain.market import Market, Side, Symbol
from mexclab.domain.order import OrderType
from mexclab.domain.reports import ClockReading
from mexclab.errors import ConfigError, DomainError, MexclabError, VenueError, VenueRejected, VenueUnavailable
from mexclab.venues.mexc.endpoints import ACCOUNT, PING, TEST_ORDER
from mexclab.venues.mexc.market_data import MarketData
from mexclab.venues.mexc.preflight_report import Check, PreflightReport
from mexclab.venues.mexc.refusals import NOT_OPEN_YET
from mexclab.venues.mexc.rest import Params, Rest
from mexclab.venues.mexc.wire import left_out
from mexclab.venues.mexc.wire_account import AccountReply
from mexclab.venues.mexc.wire_market import SymbolInfo, band_of, market_of

# What a refusal of a signed question is about (MEXC spot v3, "Error codes").
OF_THE_KEY = frozenset({400, 602, 10001, 10072, 60005, 700001, 700002})
OF_THE_ADDRESS = frozenset({700006})
OF_THE_TIME = frozenset({10073, 700003})
OF_THE_PERMISSION = frozenset({26, 401, 403, 700007})

SIDES = {1: "buy and sell", 2: "buy only", 3: "sell only", 4: "closed"}
STATUSES = {"1": "online", "ENABLED": "online", "2": "paused", "3": "offline"}
PINGS = 3
PROBE = Symbol("MX", "USDT")  # the venue's own coin

__all__ = ["Check", "PreflightParts", "PreflightReport", "PreflightTerms", "preflight"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PreflightTerms:
    """What is good enough.

    Attributes:
        budget_quote: money of one entry; must lie between the venue's least and greatest value.
        cap_multiple: the highest entry price, times the last one; None: no order will be so far from it.
        order_types: that exchangeInfo must name. It never names IOC and FOK, which are taken like LIMIT.
        probe: a pair that surely takes orders by API, to find out whether the key may trade.
        check_s: a question that takes longer counts as not answered.
    """

    clock_offset_ms: int = 250
    round_trip_ms: int = 500
    quote_asset: str = "USDT"
    budget_quote: Decimal = Decimal(50)
    cap_multiple: Decimal | None = None
    order_types: tuple[str, ...] = (OrderType.LIMIT.value, OrderType.MARKET.value)
    probe: Symbol = PROBE
    check_s: float = 10.0

    def __post_init__(self) -> None:
        if not (self.check_s > 0 and self.budget_quote > 0):
            raise ConfigError("a preflight needs a budget and a time above zero")


@dataclass(frozen=True, slots=True)
class PreflightParts:
    """Through what is asked."""

    rest: Rest
    data: MarketData
    terms: PreflightTerms = PreflightTerms()


Answer: TypeAlias = T | MexclabError


async def preflight(parts: PreflightParts, symbol: Symbol | None = None) -> PreflightReport:
    """Check the road, the clock, the key and, with a symbol, whether the venue takes what we would send.

    Never raises for anything that the venue does or does not answer: that is what the report says.
    """
    checks = [await _round_trip(parts), await _clock(parts), _silence(parts)]
    account = await _answer(parts, parts.rest.ask(ACCOUNT))
    checks += _key(account)
    checks.append(_may_trade(account, await _test(parts, parts.terms.probe)))
    quote = parts.terms.quote_asset if symbol is None else symbol.quote
    checks.append(_balance(parts.terms, account, quote))
    if symbol is not None:
        checks += await _pair(parts, symbol)
    return PreflightReport(tuple(checks), symbol, parts.rest.clock_ns())


async def _answer(parts: PreflightParts, question: Awaitable[T]) -> Answer[T]:
    """The answer, or the error that stands in its place."""
    try:
        async with asyncio.timeout(parts.terms.check_s):
            return await question
    except TimeoutError:
        return VenueUnavailable(f"no answer within {parts.terms.check_s:g} s")
    except (VenueError, DomainError, ConfigError) as error:
        return error


def _unknown(check: str, wanted: str, why: MexclabError | str) -> Check:
    return Check(check, None, "unknown", wanted, why if isinstance(why, str) else why.message)


# -- the road and the clock ----------------------------------------------------------------------


async def _round_trip(parts: PreflightParts) -> Check:
    wanted = f"at most {parts.terms.round_trip_ms} ms"
    trips: list[int] = []
    for _ in range(PINGS):  # the first one may have to open a connection
        began = time.perf_counter_ns()
        answer = await _answer(parts, parts.rest.ask(PING))
        if isinstance(answer, MexclabError):
            return _unknown("round trip", wanted, answer)
        trips.append(time.perf_counter_ns() - began)
    best = min(trips)
    ok = best <= parts.terms.round_trip_ms * MILLISECOND
    return Check("round trip", ok, span(best), wanted, "" if ok else "the venue is too far away to be quick")


async def _clock(parts: PreflightParts) -> Check:
    wanted = f"within {parts.terms.clock_offset_ms} ms"
    reading = await _answer(parts, parts.data.clock_reading())
    if not isinstance(reading, ClockReading):
        return _unknown("clock", wanted, reading)
    found = f"{span(reading.offset_ns)} ± {span(reading.error_ns)}"
    ok = abs(reading.offset_ns) + reading.error_ns <= parts.terms.clock_offset_ms * MILLISECOND
    why = "" if ok else "set this machine's clock (NTP), or find a quicker road: orders would come too late"
    return Check("clock", ok, found, wanted, why)


def _silence(parts: PreflightParts) -> Check:
    wanted, state = "free to ask", parts.rest.limiter.state()
    if state.quiet_for_s > 0:
        found = f"{'banned' if state.is_banned else 'told to wait'} for {state.quiet_for_s:.0f} s"
        return Check("limits", False, found, wanted, "the venue asked for silence (429 or 418)")
    broken = [breaker.family for breaker in state.breakers if breaker.state != "closed"]
    if broken:
        why = f"{', '.join(broken)}: failed again and again"
        return Check("limits", False, "left alone", wanted, why)
    return Check("limits", True, wanted, wanted)


# -- the key -------------------------------------------------------------------------------------


def _key(account: Answer[Any]) -> list[Check]:
    """Key, address and time stamp: one signed question answers for all three, or its refusal for one."""
    rows = (
        ("API key", "known to the venue", OF_THE_KEY),
        ("address", "on the key's list of addresses", OF_THE_ADDRESS),
        ("time stamp", "inside recvWindow", OF_THE_TIME),
    )
    if isinstance(account, AccountReply):
        return [Check(check, True, wanted, wanted) for check, wanted, _ in rows]
    code = account.data["code"] if isinstance(account, VenueRejected) else None
    return [
        Check(check, False, f"refused ({code})", wanted, account.message)
        if code in codes
        else _unknown(check, wanted, account)
        for check, wanted, codes in rows
    ]


def _may_trade(account: Answer[Any], probe: MexclabError | None) -> Check:
    check, wanted = "may trade", "key and account may trade spot"
    if isinstance(account, AccountReply):
        if not account.can_trade:
            return Check(check, False, "canTrade is false", wanted, "the venue has barred this account")
        if account.permissions is not None and "SPOT" not in account.permissions:
            found = ", ".join(account.permissions) or "no permission"
            return Check(check, False, found, wanted, "the account has no permission for spot")
    for answer in (account, probe):
        if isinstance(answer, VenueRejected) and answer.data["code"] in OF_THE_PERMISSION:
            why = f"{answer.message}. Give the key the right to trade spot, and no right to withdraw"
            return Check(check, False, f"refused ({answer.data['code']})", wanted, why)
    for answer in (account, probe):
        if isinstance(answer, MexclabError):
            return _unknown(check, wanted, answer)
    return Check(check, True, wanted, wanted)


def _balance(terms: PreflightTerms, account: Answer[Any], asset: str) -> Check:
    wanted = f"at least {terms.budget_quote:f} {asset}"
    if not isinstance(account, AccountReply):
        return _unknown("balance", wanted, account)
    row = next((row for row in account.balances if row.asset == asset), None)
    if row is None and left_out(account.balances):
        return _unknown("balance", wanted, "a row of the balances cannot be read")
    free = Decimal(0) if row is None else row.free
    ok = free >= terms.budget_quote
    return Check("balance", ok, f"{free:f} {asset}", wanted, "" if ok else "not enough for one entry")


# -- the pair ------------------------------------------------------------------------------------


async def _pair(parts: PreflightParts, symbol: Symbol) -> list[Check]:
    row = await _answer(parts, parts.data.row(symbol))
    tradable = await _answer(parts, parts.data.is_api_tradable(symbol))
    price = await _answer(parts, parts.data.reference_price(symbol))
    return [
        _listed(parts, row),
        _api(tradable),
        _sides(row),
        _types(parts.terms, row),
        _amounts(parts.terms, row, price),
        _band(parts.terms, row),
        _order(parts, row, await _test(parts, symbol)),
    ]


def _row_or_why(row: Answer[SymbolInfo | None]) -> SymbolInfo | str:
    if row is None:
        return "the venue does not know the pair (yet)"
    return row.message if isinstance(row, MexclabError) else row


def _is_coming(parts: PreflightParts, row: Answer[SymbolInfo | None]) -> bool:
    opens = row.first_open_ns if isinstance(row, SymbolInfo) else None
    return opens is not None and opens > parts.rest.clock_ns()


def _listed(parts: PreflightParts, row: Answer[SymbolInfo | None]) -> Check:
    check, wanted = "symbol", "online"
    if row is None:
        return Check(check, False, "not listed", wanted, "the venue does not know the pair (yet)")
    if isinstance(row, MexclabError):
        return _unknown(check, wanted, row)
    found = STATUSES.get(row.status, f"status {row.status}")
    if _is_coming(parts, row):
        assert row.first_open_ns is not None
        found += f", opens {written(row.first_open_ns)}"
    return Check(check, row.is_online, found, wanted, "" if row.is_online else "it does not trade now")


def _api(tradable: Answer[bool | None]) -> Check:
    check, wanted = "orders by API", "taken"
    if isinstance(tradable, MexclabError):
        return _unknown(check, wanted, tradable)
    if tradable is None:
        return _unknown(check, wanted, "the venue does not say; it may say so shortly before the opening")
    why = "" if tradable else "the venue takes no orders by API for this pair (10007)"
    return Check(check, tradable, "taken" if tradable else "not taken", wanted, why)


def _sides(row: Answer[SymbolInfo | None]) -> Check:
    check, wanted, known = "sides", SIDES[1], _row_or_why(row)
    if isinstance(known, str):
        return _unknown(check, wanted, known)
    side = known.trade_side_type
    if side is None:
        return _unknown(check, wanted, "the venue does not say which sides it takes")
    why = "" if side == 1 else "what is bought could not be sold" if side == 2 else "nothing can be bought"
    return Check(check, side == 1, SIDES.get(side, f"type {side}"), wanted, why)


def _types(terms: PreflightTerms, row: Answer[SymbolInfo | None]) -> Check:
    check, wanted, known = "order types", ", ".join(terms.order_types), _row_or_why(row)
    if isinstance(known, str):
        return _unknown(check, wanted, known)
    if known.order_types is None:
        return _unknown(check, wanted, "the venue does not say which types it takes")
    missing = [kind for kind in terms.order_types if kind not in known.order_types]
    why = f"not taken: {', '.join(missing)}" if missing else ""
    return Check(check, not missing, ", ".join(known.order_types), wanted, why)


def _amounts(terms: PreflightTerms, row: Answer[SymbolInfo | None], price: Answer[Decimal | None]) -> Check:
    check, wanted, known = "amounts", f"{terms.budget_quote:f} fits", _row_or_why(row)
    if isinstance(known, str):
        return _unknown(check, wanted, known)
    least, most, least_base = known.quote_amount_precision, known.max_quote_amount, known.base_size_precision
    found = f"{least:f} to {'any' if most is None else f'{most:f}'} {known.quote_asset}"
    if least_base:
        found += f", at least {least_base:f} {known.base_asset}"
        if not isinstance(price, Decimal):
            why = price.message if isinstance(price, MexclabError) else "there is no price yet"
            return Check(check, None, found, wanted, f"the least quantity has no value: {why}")
        least = max(least, least_base * price)
    if terms.budget_quote < least:
        return Check(check, False, found, wanted, f"an order is worth at least {least:f}")
    if most is not None and terms.budget_quote > most:
        return Check(check, False, found, wanted, f"an order is worth at most {most:f}")
    return Check(check, True, found, wanted)


def _band(terms: PreflightTerms, row: Answer[SymbolInfo | None]) -> Check:
    cap, known = terms.cap_multiple, _row_or_why(row)
    wanted = "any" if cap is None else f"up to {cap:f} x the last price"
    if isinstance(known, str):
        return _unknown("price band", wanted, known)
    band = band_of(known)
    if band is None:
        return Check("price band", True, "none", wanted)
    up, down = ("any" if part is None else f"{part * 100:f} %" for part in (band.up, band.down))
    ok = cap is None or band.up is None or cap <= 1 + band.up
    why = "" if ok else "an order at the cap would be refused (30087)"
    return Check("price band", ok, f"{up} above, {down} below", wanted, why)


# -- the test order ------------------------------------------------------------------------------


async def _test(parts: PreflightParts, symbol: Symbol) -> MexclabError | None:
    """Why the venue would not take the smallest sensible order for it; None: it would."""
    market = await _answer(parts, parts.data.row(symbol))
    price = await _answer(parts, parts.data.reference_price(symbol))
    for answer in (market, price):
        if isinstance(answer, MexclabError):
            return answer
    if not isinstance(market, SymbolInfo) or not isinstance(price, Decimal):
        what = "a price" if isinstance(market, SymbolInfo) else "such a pair"
        return VenueUnavailable(f"no order for {symbol} can be tried: the venue has not {what} (yet)")
    try:
        params = _smallest(market, market_of(market), price)
    except DomainError as error:
        return error
    answer = await _answer(parts, parts.rest.ask(TEST_ORDER, params))
    return answer if isinstance(answer, MexclabError) else None


def _smallest(row: SymbolInfo, market: Market, last: Decimal) -> Params:
    """A LIMIT order to buy the least that the venue takes, at the last price."""
    price = max(market.limit_price(last, Side.BUY), market.tick)
    least = max(market.min_notional / price, row.base_size_precision or Decimal(0), market.lot)
    quantity = (least / market.lot).to_integral_value(ROUND_CEILING) * market.lot
    market.check(quantity, price)
    values: Sequence[tuple[str, str]] = (
        ("symbol", str(market.symbol)),
        ("side", Side.BUY.value),
        ("type", OrderType.LIMIT.value),
        ("quantity", f"{quantity:f}"),
        ("price", f"{price:f}"),
    )
    return values


def _order(parts: PreflightParts, row: Answer[SymbolInfo | None], refusal: MexclabError | None) -> Check:
    check, wanted = "test order", "taken"
    if refusal is None:
        return Check(check, True, "taken", wanted)
    if not isinstance(refusal, VenueRejected):
        return _unknown(check, wanted, refusal)
    code = refusal.data["code"]
    if code in NOT_OPEN_YET and _is_coming(parts, row):
        return Check(check, None, f"not open yet ({code})", wanted, "only the opening shows; ask again then")
    return Check(check, False, f"refused ({code})", wanted, refusal.message)
