"""Pages of bars from any exchange: closed ones alone, digit for digit, patiently."""

from __future__ import annotations

import asyncio
import time

import pytest

from mexclab.domain.market import Symbol
from mexclab.errors import ConfigError, ParameterError, VenueRejected, VenueUnavailable
from mexclab.venues.fetch import BarSource, FetchTerms, exchange_of, lake_name
from tests.fetching.scene import BTC, KLINES, MINUTE_MS, fetching
from tests.venues.exchange_rig import IDS
from tests.venues.served import planned


@pytest.mark.parametrize("exchange", IDS)
async def test_a_page_holds_closed_bars_alone_digit_for_digit(exchange: str) -> None:
    async with fetching(exchange) as here:
        start = here.past_ms(100)
        rows = await here.source.page(here.source.pair("btc/usdt"), "1m", start, MINUTE_MS)
        said = [(row.open_ms, *map(float, row[1:])) for row in rows]
        assert said == here.truth(BTC, start, start + 100 * MINUTE_MS)
        assert all(isinstance(number, str) for row in rows for number in row[1:])
        growing = here.truth(BTC, start + 100 * MINUTE_MS, start + 200 * MINUTE_MS)
        assert len(growing) == 1  # the venue has it, and it is not here


async def test_a_bar_settles_before_it_counts_as_closed() -> None:
    async with fetching(settle_s=2.0) as here:
        world = here.server.world
        boundary_ms = here.source.closed_ms(MINUTE_MS) + MINUTE_MS
        world.advance(boundary_ms * 10**6 + 1_900_000_000)
        assert here.source.closed_ms(MINUTE_MS) == boundary_ms - MINUTE_MS
        world.advance(boundary_ms * 10**6 + 2_100_000_000)
        assert here.source.closed_ms(MINUTE_MS) == boundary_ms


async def test_an_unknown_pair_or_interval_is_refused_with_what_there_is() -> None:
    async with fetching() as here:
        with pytest.raises(ParameterError, match="did you mean BTCUSDT") as refused:
            here.source.pair("BTCUDST")
        assert refused.value.data["nearest"][0] == "BTCUSDT"
        with pytest.raises(ParameterError, match=r"no 8h bars.*1m, 5m"):
            here.source.check("8h")
        here.source.check("1m")


def test_an_unknown_exchange_is_refused_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match="'mxec'; did you mean mexc"):
        BarSource(FetchTerms("mxec"))


def test_bars_of_two_exchanges_never_share_a_name() -> None:
    symbol = Symbol("BTC")
    names = [lake_name(exchange, symbol) for exchange in ("mexc", "binance", "kraken")]
    assert names == ["BTCUSDT", "BINANCE:BTCUSDT", "KRAKEN:BTCUSDT"]
    assert [exchange_of(name) for name in names] == [
        ("mexc", "BTCUSDT"), ("binance", "BTCUSDT"), ("kraken", "BTCUSDT"),
    ]  # fmt: skip
    assert Symbol.parse(names[1]) == Symbol("BINANCE:BTC")  # the notebook's own parser leaves the name whole


async def test_only_spot_pairs_are_asked_for_and_no_faster_than_the_exchange_likes() -> None:
    source = BarSource(FetchTerms("binance"))
    try:
        terms = source._client.terms
        assert terms.options["fetchMarkets"]["types"] == ["spot"]
        assert terms.limits.ip_weight_per_10s == 160  # ccxt: one request each 50 ms; four fifths of it
        assert source._pace.gap_s == 0.05
        assert source.page_bars == 1_000
    finally:
        await source.close()


async def test_a_page_is_asked_for_again_until_it_comes() -> None:
    bad = [
        {"fault": "status", "path": KLINES, "status": 503, "count": 1},
        {"fault": "truncated_json", "path": KLINES, "keep": 0.5, "count": 1},
        {"fault": "html", "path": KLINES, "status": 502, "count": 1},
    ]
    async with fetching(plan=planned(*bad)) as here:
        before = here.source.requests
        rows = await here.source.page(here.source.pair("BTCUSDT"), "1m", here.past_ms(10), MINUTE_MS)
        assert len(rows) == 10
        assert here.source.requests - before == len(bad) + 1


async def test_a_venue_that_asks_us_to_slow_down_is_obeyed() -> None:
    bad = {"fault": "status", "path": KLINES, "status": 429, "retry_after_s": 1, "count": 1}
    async with fetching(plan=planned(bad)) as here:
        began = time.monotonic()
        rows = await here.source.page(here.source.pair("BTCUSDT"), "1m", here.past_ms(10), MINUTE_MS)
        assert len(rows) == 10
        assert time.monotonic() - began >= 1.0


async def test_a_venue_that_never_answers_ends_with_what_to_do() -> None:
    bad = {"fault": "status", "path": KLINES, "status": 503}
    async with fetching(plan=planned(bad), attempts=3) as here:
        with pytest.raises(VenueUnavailable, match=r"in 3 attempts.*run the same command again"):
            await here.source.page(here.source.pair("BTCUSDT"), "1m", here.past_ms(10), MINUTE_MS)


async def test_a_refusal_is_not_asked_for_twice() -> None:
    bad = {"fault": "refuse", "path": KLINES, "code": -1121, "msg": "Invalid symbol."}
    async with fetching(plan=planned(bad)) as here:
        before = here.source.requests
        with pytest.raises(VenueRejected, match="Invalid symbol"):
            await here.source.page(here.source.pair("BTCUSDT"), "1m", here.past_ms(10), MINUTE_MS)
        assert here.source.requests - before == 1


async def test_requests_keep_their_distance_however_many_ask() -> None:
    async with fetching(gap_s=0.05) as here:
        pair, start = here.source.pair("BTCUSDT"), here.past_ms(10)
        began = time.monotonic()
        await asyncio.gather(*(here.source.page(pair, "1m", start, MINUTE_MS) for _ in range(6)))
        assert time.monotonic() - began >= 5 * 0.05


async def test_the_exchange_says_when_its_pairs_opened() -> None:
    async with fetching() as here:
        opened = {pair.name: at_ns for pair, at_ns in here.source.openings().items()}
        row = here.server.world.row("BTCUSDT")
        assert row is not None
        assert opened["BTCUSDT"] == row.first_open_ns
