"""The web site's endpoints, and a listing's whole life as they and the API tell it."""

from __future__ import annotations

from typing import Any

from mexclab.domain.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from mexclab.domain.market import Side
from mexclab.venues.simulator.scenario import FIRST_DAY, Fate, ListingScript
from mexclab.venues.simulator.web import has_promotion
from mexclab.venues.simulator.world import World
from tests.venues.served import Served, listings_only, served

CALENDAR = "/api/operation/new_coin_calendar"
SPOT = "/api/platform/spot/market-v2/web"
PROMOTIONS = "/api/operateactivity/activity/list/by/currencies"
EARLY_NS = FIRST_DAY * DAY
KNOWN_USDT = "128f589271cb4951b03e71e6323eb7be"
# the fields of the one genuine row that is known, in its order
ROW = [
    "id", "mcd", "cd", "vn", "fn", "srt", "sts", "tp", "in", "ot", "cp", "ci", "ps", "qs", "cdm", "st", "dst",
    "tt", "ca", "fne",
]  # fmt: skip


def early_world(fate: Fate) -> tuple[World, ListingScript]:
    world = listings_only(EARLY_NS)
    return world, next(
        script
        for script in world.market.scripts()
        if script.fate is fate and script.announced_ns > EARLY_NS and script.opens_ns < EARLY_NS + DAY
    )


async def calendar_row(venue: Served, script: ListingScript) -> dict[str, Any] | None:
    coins = (await venue.ask(CALENDAR, timestamp=1))["data"]["newCoins"]
    return next((coin for coin in coins if coin["vcoinId"] == script.coin_id), None)


async def symbol_row(venue: Served, script: ListingScript) -> dict[str, Any] | None:
    symbols = (await venue.ask(f"{SPOT}/symbolsV2"))["data"]["symbols"]
    return next((row for row in symbols["USDT"] if row["cd"] == script.coin_id), None)


async def api_row(venue: Served, script: ListingScript) -> dict[str, Any] | None:
    symbols = (await venue.ask("/api/v3/exchangeInfo"))["symbols"]
    return next((row for row in symbols if row["symbol"] == str(script.symbol)), None)


async def test_a_listing_is_announced_then_in_the_calendar_then_in_the_tables_then_open() -> None:
    world, script = early_world(Fate.PLAIN)
    opening = script.opens_ns
    async with served(world=world) as venue:
        world.advance(script.announced_ns - SECOND)
        assert await calendar_row(venue, script) is None
        assert await symbol_row(venue, script) is None

        world.advance(script.announced_ns)
        entry = await calendar_row(venue, script)
        assert entry is not None
        assert entry["vcoinName"] == script.symbol.base
        assert entry["firstOpenTime"] == opening // MILLISECOND
        titles = (await venue.ask("/api/v3/announcements", limit=50))["data"][0]["details"]
        assert any(script.symbol.base in row["title"] for row in titles)

        seen = []
        for left in (6 * HOUR, 2 * HOUR, 30 * MINUTE, 12 * MINUTE, 0):
            if opening - left < script.announced_ns:
                continue
            world.advance(opening - left)
            row = await symbol_row(venue, script)
            assert row is not None
            assert row["ot"] == opening // MILLISECOND
            seen.append((row["sts"], row["st"], row["tt"]))
        assert seen[-4:] == [(2, 1, 1), (2, 2, 2), (2, 2, 4), (1, 1, 1)]
        told = await api_row(venue, script)
        assert told is not None
        assert told["isSpotTradingAllowed"] is True


async def test_before_its_opening_a_listing_is_in_exchange_info_but_not_tradable() -> None:
    world, script = early_world(Fate.PLAIN)
    async with served(world=world) as venue:
        world.advance(script.opens_ns - 10 * MINUTE)
        told = await api_row(venue, script)
        assert told is not None
        assert (told["status"], told["isSpotTradingAllowed"]) == ("1", False)
        assert told["firstOpenTime"] == script.opens_ns // MILLISECOND
        assert str(script.symbol) in (await venue.ask("/api/v3/defaultSymbols"))["data"]


async def test_a_symbol_that_never_trades_by_api_is_never_in_the_list_of_api_symbols() -> None:
    world, script = early_world(Fate.NOT_BY_API)
    async with served(world=world) as venue:
        world.advance(script.opens_ns + MINUTE)
        told = await api_row(venue, script)
        assert told is not None
        assert told["isSpotTradingAllowed"] is False
        assert str(script.symbol) not in (await venue.ask("/api/v3/defaultSymbols"))["data"]


async def test_a_postponement_moves_the_opening_everywhere() -> None:
    world, script = early_world(Fate.POSTPONED)
    assert script.moved_ns is not None
    assert script.moved_to_ns is not None
    async with served(world=world) as venue:
        for at_ns, opening in (
            (script.moved_ns - SECOND, script.open_ns),
            (script.moved_ns, script.moved_to_ns),
        ):
            world.advance(at_ns)
            entry, row = await calendar_row(venue, script), await symbol_row(venue, script)
            told = await api_row(venue, script)
            assert entry is not None
            assert row is not None
            assert told is not None
            told_ms = {entry["firstOpenTime"], row["ot"], told["firstOpenTime"]}
            assert told_ms == {opening // MILLISECOND}


async def test_a_pause_side_limits_and_a_delisting_show_in_the_tables() -> None:
    world, script = early_world(Fate.PLAIN)
    async with served(world=world) as venue:
        world.advance(script.opens_ns + MINUTE)
        world.limit_sides(script.symbol, Side.SELL)
        told = await api_row(venue, script)
        assert told is not None
        assert told["tradeSideType"] == 3
        world.pause(script.symbol)
        row = await symbol_row(venue, script)
        assert row is not None
        assert row["sts"] == 2
        world.delist(script.symbol)
        told = await api_row(venue, script)
        assert told is not None
        assert told["status"] == "3"


async def test_symbols_v2_is_an_object_keyed_by_quote_with_the_genuine_rows_fields() -> None:
    async with served() as venue:
        symbols = (await venue.ask(f"{SPOT}/symbolsV2"))["data"]["symbols"]
        assert isinstance(symbols, dict)
        for row in symbols["USDT"]:
            assert list(row) == ROW
            assert row["mcd"] == KNOWN_USDT
            assert all(len(row[name]) == 32 for name in ("id", "mcd", "cd", "in"))
        bitcoin = next(row for row in symbols["USDT"] if row["vn"] == "BTC")
        assert bitcoin["cd"] == "febc9973be4d4d53bb374476239eb219"
        assert bitcoin["id"] == "2fb942154ef44a4ab2ef98c8afb6a4a7"
        assert (bitcoin["sts"], bitcoin["st"], bitcoin["tt"]) == (1, 1, 1)
        assert [row["srt"] for row in symbols["USDT"]] == sorted(row["srt"] for row in symbols["USDT"])
        assert (await venue.ask(f"{SPOT}/symbols"))["data"] == symbols


async def test_calendar_and_symbol_table_are_joined_by_the_coins_id() -> None:
    async with served() as venue:
        coins = {coin["vcoinId"]: coin for coin in (await venue.ask(CALENDAR))["data"]["newCoins"]}
        rows = (await venue.ask(f"{SPOT}/symbolsV2"))["data"]["symbols"]["USDT"]
        joined = [(coins[row["cd"]], row) for row in rows if row["cd"] in coins]
        assert joined
        for coin, row in joined:
            assert (coin["vcoinName"], coin["firstOpenTime"]) == (row["vn"], row["ot"])


async def test_promotions_are_told_for_the_coming_coins_that_have_one() -> None:
    async with served() as venue:
        entries = venue.world.entries()
        names = [entry.ticker for entry in entries]
        told = await venue.ask(PROMOTIONS, currencies=",".join([*names, "BTC", "NOPE"]))
        assert list(told) == ["data", "code", "msg", "timestamp"]
        wanted = {entry.ticker for entry in entries if has_promotion(entry.coin_id)}
        assert {row["currency"] for row in told["data"]} == wanted
        for row in told["data"]:
            assert list(row) == ["activityId", "currency", "currencyId", "activityType"]
        assert (await venue.ask(PROMOTIONS))["data"] == []


async def test_about_half_of_all_coins_have_a_promotion() -> None:
    assert 400 < sum(has_promotion(f"{number:032x}") for number in range(1000)) < 600


async def test_one_symbols_ticker_is_found_by_its_id() -> None:
    async with served() as venue:
        row = venue.world.row("BTCUSDT")
        assert row is not None
        told = await venue.ask(f"{SPOT}/symbol/ticker", symbolId=row.symbol_id)
        price = await venue.ask("/api/v3/ticker/price", symbol="BTCUSDT")
        assert told["data"]["c"] == price["price"]
        assert told["data"]["sb"] == "BTC_USDT"
        assert (await venue.ask(f"{SPOT}/symbol/ticker", symbolId="0" * 32))["data"] is None
        assert (await venue.refusal(f"{SPOT}/symbol/ticker"))[0] == 400
        coming = next(row for row in venue.world.rows() if row.first_open_ns > venue.world.now_ns)
        told = await venue.ask(f"{SPOT}/symbol/ticker", symbolId=coming.symbol_id)
        assert told["data"]["q"] == "0"


async def test_web_pages_take_nothing_from_the_apis_budget() -> None:
    async with served() as venue:
        before = venue.server.pools.refused
        for _ in range(400):
            assert (await venue.client.get(CALENDAR)).status_code == 200
        assert venue.server.pools.refused == before
