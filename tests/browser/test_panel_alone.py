"""The desk's page in a real Chromium, fed by hand: what it says before it knows anything, and what is old."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from mexclab.daemon.risk_types import LimitRow
from mexclab.domain.clock import MINUTE
from mexclab.notebook.panel import in_milliseconds
from mexclab.notebook.view import bundle
from tests.browser.pages import FAULTS, PHONE, WIDE
from tests.browser.told_desk import NOW, ToldDesk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NO_DAEMON = "No trading daemon answers. Start one with `mexclab trade`."
CLAIMS = (
    "nothing ahead", "No listing is known", "No order yet", "No position", "Nothing was closed",
    "no book yet", "Nothing to show", "never rehearsed", "all clear", "not compared yet",
    "Nothing has happened", "Nothing is held", "Nothing was bought", "was not asked", "No curve yet",
    "Not all of this is new",
    "reading the ledger", "…",
)  # fmt: skip
SHOW = """async ({ module, style }) => {
  document.head.append(Object.assign(document.createElement('style'), { textContent: style }));
  document.body.dataset.voila = 'voila';
  document.body.style.margin = 0;
  window.told = null;
  const model = { send: () => {}, on: (_, hear) => { window.told = hear; }, off: () => {}, get: () => '' };
  const { default: panel } = await import(`data:text/javascript;base64,${module}`);
  panel.render({ model, el: document.body });
}"""
BALANCES = {
    "mode": "paper", "quote": "USDT", "seq": 7, "at_ns": NOW - 12 * 10**9, "agrees": True, "words": "",
    "rows": [
        {"asset": "USDT", "ledger": "920", "venue": "920", "difference": "0", "agrees": True, "words": ""},
        {"asset": "ABC", "ledger": "80", "venue": "80", "difference": "0", "agrees": True, "words": ""},
        {"asset": "MX", "ledger": None, "venue": "3", "difference": None, "agrees": None, "words": ""},
    ],
}  # fmt: skip
HELD = {
    "symbol": "ABCUSDT", "quantity": "80", "average_cost": "1", "price": "1.15", "value": "92",
    "unrealised": "12", "unrealised_fraction": 0.15, "stop": "1.08", "strategy": "opening_snipe", "why": "",
}  # fmt: skip
PAGE = {
    "quote": "USDT", "seq": 7, "at_ns": NOW, "equity": "1012", "profit": "12", "today": "12", "realised": "0",
    "unrealised": "12", "exposure": "92", "cash": "920.0", "fees": [], "missing": [], "positions": [HELD],
    "results": {"closed": 0, "won": 0},
    "diversification": {
        "hhi": 1.0, "effective_holdings": 1.0, "effective_bets": None, "clusters": [], "why": "",
    },
}  # fmt: skip


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """The desk's page in a browser, without a kernel; ``tell`` takes the kernel's part."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.route(
        "http://desk.test/**", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>")
    )
    page.goto("http://desk.test/")
    module = base64.b64encode(bundle("panel.js").encode()).decode()
    page.evaluate(SHOW, {"module": module, "style": bundle("panel.css")})
    yield page
    context.close()


def tell(page: Page, kind: str, /, **message: Any) -> None:
    told = json.loads(json.dumps(in_milliseconds(message)))
    page.evaluate("(message) => window.told(message, [])", {"kind": kind} | told)
    page.wait_for_timeout(250)  # a frame is drawn, and the clocks tick


def words(page: Page, selector: str) -> str:
    return " ".join(page.inner_text(selector).split())


@pytest.mark.parametrize("view", ["desk", "portfolio"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_page_that_was_told_nothing_states_nothing(page: Page, view: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.click(f"button[data-view={view}]")
    tell(page, "link", why=NO_DAEMON, retry_ms=1000)
    tell(page, "portfolio", why=NO_DAEMON)
    told = words(page, ".mx-desk")
    assert [claim for claim in CLAIMS if claim in told] == []
    tiles = page.locator(".mx-tile").all_inner_texts()
    assert [" ".join(tile.split()) for tile in tiles] == [
        f"{name} – not known yet" for name in ("Next opening", "Armed", "At risk", "Profit today", "Held")
    ]
    assert words(page, ".mx-mode") == "–"
    assert words(page, ".mx-clock").endswith("UTC"), "a clock without its zone"
    assert "No trading daemon answers" in words(page, ".mx-banner[data-level=warn]")
    shown = page.locator(".mx-panel:visible").all_inner_texts()
    first = [" ".join(panel.split()) for panel in shown]
    where = ".mx-grid" if view == "desk" else ".mx-folio"
    assert len(first) == page.locator(f"{where} .mx-panel").count()
    assert all("Not known: the daemon has told nothing yet." in panel for panel in first[view != "desk" :])
    if view == "portfolio":
        assert first[0] == f"Portfolio not known {NO_DAEMON.replace('`', '')}"
    assert page.evaluate(FAULTS) == []


def test_the_first_picture_takes_the_place_of_what_was_not_known(page: Page) -> None:
    tell(page, "link", why=NO_DAEMON, retry_ms=1000)
    tell(page, "frame", frame=1, lag_ms=0, desk=ToldDesk(troubled=False).picture(1, None))
    told = words(page, ".mx-desk")
    assert "Not known" not in told
    assert "not known yet" not in told
    for claim in ("nothing ahead", "No position", "No order yet", "Nothing was closed yet"):
        assert claim in told
    assert words(page, ".mx-mode") == "PAPER"


def test_what_is_held_is_its_worth_at_the_bid_and_beside_it_what_it_gained(page: Page) -> None:
    picture = ToldDesk().picture(1, None)
    tell(page, "frame", frame=1, lag_ms=0, desk=picture)
    assert words(page, ".mx-tile[data-tile=held]") == "Held 92.00 USDT +12.00 not yet sold: ABCUSDT"
    assert page.get_attribute(".mx-tile[data-tile=held] .mx-note", "data-sign") == "up"
    picture["positions"][0] |= {"value": None, "unrealised": None, "price": None, "price_at_ns": None}
    tell(page, "frame", frame=2, lag_ms=0, desk=picture)
    told = words(page, ".mx-tile[data-tile=held]")
    assert told == "Held ABCUSDT worth not known: no price of ABCUSDT"


def test_a_balance_that_the_venue_was_asked_for_tells_how_long_ago(page: Page) -> None:
    free = LimitRow("insufficient_balance", "free balance", "0.00", "812.50", "USDT", 0.0, False)
    limits = [asdict(replace(free, asked_ns=NOW - 3 * MINUTE)), asdict(replace(free, limit="x", name="x"))]
    picture = ToldDesk().picture(1, None)
    picture["risk"] = picture["risk"] | {"limits": limits}
    tell(page, "frame", frame=1, lag_ms=0, desk=picture)
    rows = [" ".join(row.split()) for row in page.locator(".mx-limits li").all_inner_texts()]
    assert rows == ["free balance 3 min ago 0.00 / 812.50 USDT", "x 0.00 / 812.50 USDT"]


def test_agreement_tells_its_age_and_turns_amber_once_a_fill_came(page: Page) -> None:
    page.click("button[data-view=portfolio]")
    tell(page, "frame", frame=1, lag_ms=0, desk=ToldDesk().picture(1, None))
    tell(page, "portfolio", why="", page=PAGE, balances=BALANCES)
    count = ".mx-folio-side .mx-panel:last-child h2 .mx-count"
    assert re.fullmatch(r"✓ agree, 12:59:48 UTC, 1\d s ago", words(page, count))
    assert page.get_attribute(count, "data-level") == "good"
    tell(page, "portfolio", why="", page=PAGE | {"seq": 9})  # an entry that is no fill
    assert page.get_attribute(count, "data-level") == "good"
    tell(page, "portfolio", why="", page=PAGE | {"seq": 10, "cash": "1012", "positions": []})
    assert words(page, count).startswith("! before the last fill, 12:59:48 UTC, 1")
    assert page.get_attribute(count, "data-level") == "warn"
    assert page.evaluate(FAULTS) == []


def test_a_portfolio_that_was_read_once_says_what_is_not_new(page: Page) -> None:
    page.click("button[data-view=portfolio]")
    tell(page, "portfolio", why="", page=PAGE)
    tell(page, "portfolio", why=NO_DAEMON)
    assert words(page, ".mx-folio .mx-gaps[role=alert]").startswith(
        "Not all of this is new: No trading daemon"
    )
