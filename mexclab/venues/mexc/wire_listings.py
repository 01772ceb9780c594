"""Payloads about what is listed, comes, or goes: the web endpoints and their official substitutes.

Source: the official ones as recorded; for www.mexc.com no full payload was ever recorded, its shapes are what
several independent readers of it agree on, so everything that we can do without has a default here.
"""

from __future__ import annotations

from msgspec import field

from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.venues.mexc.wire_market import SymbolInfo
from mexclab.venues.mexc.wire_types import Decimals, Id, Ms, Name, Small, Text, Wire, ns


class SymbolsReply(Wire, frozen=True):
    """defaultSymbols, selfSymbols: the pairs that take orders by API (for this account)."""

    data: list[Name]
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class OfflineRow(Wire, frozen=True):
    symbol: Name
    state: Small  # 2 suspended, 3 delisted
    offline_time: Ms | None = None


class OfflineReply(Wire, frozen=True):
    data: list[OfflineRow]
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class AnnouncementRow(Wire, frozen=True):
    title: Text
    post_time: Ms
    url: Text | None = None
    language: Text | None = None


class AnnouncementPage(Wire, frozen=True):
    details: list[AnnouncementRow]
    total_page: Text | None = None


class AnnouncementsReply(Wire, frozen=True):
    data: list[AnnouncementPage]
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class NewCoinRow(Wire, frozen=True):
    """A row of the calendar."""

    vcoin_id: Id
    vcoin_name: Name
    first_open_time: Ms
    vcoin_name_full: Text | None = None
    zone: Text | None = None
    introduction_en: Text | None = None
    introduction_cn: Text | None = None


class NewCoins(Wire, frozen=True):
    new_coins: list[NewCoinRow]


class CalendarReply(Wire, frozen=True):
    data: NewCoins
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class WebSymbolRow(Wire, frozen=True, rename=None):
    """A row of symbolsV2. The ticker is ``vn``; ``ca`` is the contract's address."""

    coin_id: Id = field(name="cd")
    ticker: Name = field(name="vn")
    sts: Small  # 1: trading
    st: Small  # spot enabled
    tt: Small  # trading type
    open_ms: Ms = field(name="ot")
    price_decimals: Decimals = field(name="ps")
    quantity_decimals: Decimals = field(name="qs")
    symbol_id: Id | None = field(name="id", default=None)
    quote_id: Id | None = field(name="mcd", default=None)
    full_name: Text | None = field(name="fn", default=None)
    full_name_en: Text | None = field(name="fne", default=None)
    rank: Small | None = field(name="srt", default=None)
    market_type: Text | None = field(name="tp", default=None)
    icon: Text | None = field(name="in", default=None)
    categories: list[Text] | None = field(name="cp", default=None)
    category_ids: list[Small] | None = field(name="ci", default=None)
    cdm: Small | None = None
    deposit_status: Small | None = field(name="dst", default=None)
    contract_address: Text | None = field(name="ca", default=None)


class WebSymbols(Wire, frozen=True):
    symbols: dict[Name, list[WebSymbolRow]]


class SymbolsV2Reply(Wire, frozen=True):
    data: WebSymbols
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class WebSymbolsReply(Wire, frozen=True):
    """The older sibling of symbolsV2: the same rows, directly under ``data``."""

    data: dict[Name, list[WebSymbolRow]]
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


class ActivityRow(Wire, frozen=True):
    currency: Name
    activity_id: Id | None = None
    currency_id: Id | None = None
    activity_type: Text | None = None


class ActivitiesReply(Wire, frozen=True):
    data: list[ActivityRow]
    code: Small | None = None
    msg: Text | None = None
    timestamp: Ms | None = None


def entry_of(row: NewCoinRow) -> CalendarEntry:
    return CalendarEntry(
        coin_id=row.vcoin_id,
        ticker=row.vcoin_name,
        full_name=row.vcoin_name_full or row.vcoin_name,
        zone=row.zone or "",
        open_ns=ns(row.first_open_time),
    )


def state_of(row: WebSymbolRow, quote: str) -> SymbolState:
    return SymbolState(
        coin_id=row.coin_id,
        ticker=row.ticker,
        quote=quote,
        sts=row.sts,
        st=row.st,
        tt=row.tt,
        open_ns=ns(row.open_ms),
        price_decimals=row.price_decimals,
        quantity_decimals=row.quantity_decimals,
    )


def states_of(groups: dict[str, list[WebSymbolRow]]) -> list[SymbolState]:
    """Every row with the quote currency that it stands under."""
    return [state_of(row, quote) for quote, rows in groups.items() for row in rows]


def official_entry_of(row: SymbolInfo) -> CalendarEntry | None:
    """A coming listing as exchangeInfo alone tells it; None for a row without an opening time.

    exchangeInfo has no coin id, so the entry's is made of the pair's name and can be told from a real one.
    """
    open_ns = row.first_open_ns
    if open_ns is None:
        return None
    return CalendarEntry(
        official_id(row.base_asset), row.base_asset, row.full_name or row.base_asset, "", open_ns
    )


def official_id(base: str) -> str:
    """The stand-in for a coin id where only an official source names the coin."""
    return f"official:{base}"
