"""The web site's own endpoints, by which a listing is seen before the API knows it.

The shapes are what several independent readers of these pages expect; one genuine row of ``symbolsV2`` and
one genuine promotion are known, and followed to the letter. The ticker of one symbol is not recorded by
anybody: its shape here is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Symbol
from mexclab.venues.simulator.asking import Handler, answered, cut, json_reply, malformed
from mexclab.venues.simulator.http import Call, Reply, Route, plain
from mexclab.venues.simulator.pairs import KNOWN_IDS, named_id
from mexclab.venues.simulator.public import CONCEPTS, last_price

if TYPE_CHECKING:
    from mexclab.venues.simulator.server import SimulatorServer
    from mexclab.venues.simulator.world import SymbolRow, World

SPOT = "/api/platform/spot/market-v2/web"
PROMOTION = "SUN_SHINE"
MOST_CURRENCIES = 200  # of one question about promotions


def routes(server: SimulatorServer) -> dict[tuple[str, str], Route]:
    """The pages, by the paths they have at www.mexc.com; no budget of the API is taken."""
    table: tuple[tuple[str, Handler], ...] = (
        ("/api/operation/new_coin_calendar", _calendar),
        (f"{SPOT}/symbolsV2", _symbols_v2),
        (f"{SPOT}/symbols", _symbols),
        (f"{SPOT}/symbol/ticker", _symbol_ticker),
        ("/api/operateactivity/activity/list/by/currencies", _promotions),
    )
    return {("GET", path): Route(answered(handler, server), pool="none") for path, handler in table}


def _calendar(server: SimulatorServer, call: Call) -> Reply:
    coins = [
        {
            "vcoinId": entry.coin_id,
            "vcoinName": entry.ticker,
            "vcoinNameFull": entry.full_name,
            "zone": entry.zone,
            "introductionEn": f"{entry.full_name} ({entry.ticker})",
            "introductionCn": f"{entry.full_name} ({entry.ticker})",
            "firstOpenTime": entry.open_ns // MILLISECOND,
        }
        for entry in server.world.entries()
    ]
    return json_reply({"data": {"newCoins": coins}})


def _symbols_v2(server: SimulatorServer, call: Call) -> Reply:
    return json_reply({"data": {"symbols": _by_quote(server.world)}})


def _symbols(server: SimulatorServer, call: Call) -> Reply:
    return json_reply({"data": _by_quote(server.world)})


def _by_quote(world: World) -> dict[str, list[dict[str, Any]]]:
    """Every row of the symbol table under its quote currency."""
    found: dict[str, list[dict[str, Any]]] = {}
    names = {entry.coin_id: entry for entry in world.entries()}
    for place, state in enumerate(world.states(), 1):
        told = _state_row(state, world.row(state.ticker + state.quote), names)
        found.setdefault(state.quote, []).append({**told, "srt": place})
    return found


def _state_row(
    state: SymbolState, row: SymbolRow | None, calendar: Mapping[str, CalendarEntry]
) -> dict[str, Any]:
    entry = calendar.get(state.coin_id)
    name = row.full_name if row is not None else entry.full_name if entry is not None else state.ticker
    return {
        "id": symbol_id(Symbol(state.ticker, state.quote), row),
        "mcd": currency_id(state.quote),
        "cd": state.coin_id,
        "vn": state.ticker,
        "fn": name,
        "srt": 0,
        "sts": state.sts,
        "tp": "NEW",
        "in": f"F{named_id(state.ticker, 'icon')[:31]}",
        "ot": state.open_ns // MILLISECOND,
        "cp": CONCEPTS[1],
        "ci": CONCEPTS[0],
        "ps": state.price_decimals,
        "qs": state.quantity_decimals,
        "cdm": 0,
        "st": state.st,
        "dst": 1,
        "tt": state.tt,
        "ca": "" if row is None else row.contract_address,
        "fne": name,
    }


def currency_id(currency: str) -> str:
    """The id of a quote currency: the real one where it is known."""
    return KNOWN_IDS.get(currency) or named_id(currency, "currency")


def symbol_id(symbol: Symbol, row: SymbolRow | None) -> str:
    """The id of a pair."""
    return row.symbol_id if row is not None else named_id(str(symbol), "symbol")


def _symbol_ticker(server: SimulatorServer, call: Call) -> Reply:
    """One symbol's day by ``symbolId``; ``data`` is null when there is none of that id."""
    world, wanted = server.world, call.params.get("symbolId")
    if not wanted:
        raise malformed("symbolId")
    row = next((row for row in world.rows() if row.symbol_id == wanted), None)
    return json_reply({"data": None if row is None else _web_ticker(world, row)})


def _web_ticker(world: World, row: SymbolRow) -> dict[str, Any]:
    day, last = world.history.day(row.symbol), last_price(world, row)
    told = {"id": row.symbol_id, "sb": f"{row.symbol.base}_{row.symbol.quote}", "c": plain(last)}
    if day is None:
        return {**told, "o": "0", "h": "0", "l": "0", "q": "0", "a": "0"}
    return {
        **told,
        "o": plain(day.open),
        "h": plain(day.high),
        "l": plain(day.low),
        "q": plain(day.volume),
        "a": cut(day.quote_volume, row.market.tick),
    }


def _promotions(server: SimulatorServer, call: Call) -> Reply:
    """Every second coming coin has a promotion, told by its id; others have none."""
    asked = [name for name in call.params.get("currencies", "").split(",") if name]
    wanted = set(asked[:MOST_CURRENCIES])
    data = [
        {
            "activityId": named_id(entry.coin_id, "activity"),
            "currency": entry.ticker,
            "currencyId": entry.coin_id,
            "activityType": PROMOTION,
        }
        for entry in server.world.entries()
        if entry.ticker in wanted and has_promotion(entry.coin_id)
    ]
    return json_reply(
        {"data": data, "code": 0, "msg": "success", "timestamp": server.now_ns() // MILLISECOND}
    )


def has_promotion(coin_id: str) -> bool:
    return int(named_id(coin_id, "promotion")[0], 16) % 2 == 0
