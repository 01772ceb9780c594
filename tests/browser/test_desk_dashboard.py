"""The live desk in a real Chromium, on a real demo daemon: what a person sees, clicks and relies on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from mexclab.notebook.desk import DeskClient
from tests.browser.pages import FAULTS, NARROW, START_S, WIDE, Visit, ended, served_dashboard

pytestmark = pytest.mark.browser

DEMO = [sys.executable, "-m", "mexclab.cli", "demo", "--headless", "--fresh", "--seconds", "240"]


@pytest.fixture(scope="session")
def demo_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A demo daemon; the folder in which clients find it."""
    folder = tmp_path_factory.mktemp("demo")
    log = (folder / "demo.log").open("w")
    demo = subprocess.Popen(DEMO, env={**os.environ, "MEXCLAB_DATA": str(folder)}, stdout=log, stderr=log)
    data, end = folder / "demo", time.monotonic() + START_S
    while not (data / "daemon.json").exists():
        told = (folder / "demo.log").read_text()
        assert demo.poll() is None, f"the demo ended: {told}"
        assert time.monotonic() < end, f"the demo did not start: {told}"
        time.sleep(0.2)
    yield data
    ended(demo, signal.SIGINT)
    log.close()


@pytest.fixture(scope="session")
def dashboard(demo_daemon: Path) -> Iterator[str]:
    """The address at which that daemon's dashboard answers."""
    with served_dashboard(demo_daemon, demo_daemon.parent / "voila.log") as url:
        yield url


@pytest.fixture(scope="module")
def visit(browser: Browser, dashboard: str) -> Iterator[Visit]:
    """One visitor at a wide screen, for all tests that leave the page as they found it."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="dark")
    seen = Visit(context.new_page())
    seen.open(dashboard)
    yield seen
    context.close()


def test_the_page_asks_nobody_but_its_own_server(visit: Visit, dashboard: str) -> None:
    assert len(visit.requests) > 20
    assert [url for url in visit.requests if not url.startswith((dashboard, "blob:", "data:"))] == []


def test_frames_keep_coming_and_the_page_says_how_old_they_are(visit: Visit) -> None:
    before = visit.frames()
    fresh = "desk.dataset.age === 'good' && desk.querySelector('.mx-age').textContent.includes('data 0.')"
    visit.until(f"Number(desk.dataset.frames) >= {before + 5} && {fresh}")


def test_the_mode_cannot_be_mistaken(visit: Visit) -> None:
    assert visit.page.inner_text(".mx-mode") == "DEMO"


def test_every_listing_counts_down_by_itself(visit: Visit) -> None:
    visit.page.wait_for_selector(".mx-row", timeout=90_000)
    before = visit.page.inner_text(".mx-row .mx-left >> nth=0")
    script = f"document.querySelector('.mx-row .mx-left').textContent !== {json.dumps(before)}"
    visit.until(script)


def test_the_page_compares_the_ledger_with_the_venue_when_asked(visit: Visit, demo_daemon: Path) -> None:
    with DeskClient.discover(demo_daemon) as client:
        before = client.reconciliation()["last"]["at_ns"]
        visit.page.click("text=Compare now")
        visit.page.wait_for_selector(".mx-toast:has-text('compared:')", timeout=90_000)
        assert client.reconciliation()["last"]["at_ns"] > before
    assert "UTC" in visit.page.inner_text(".mx-truth time")


def test_halt_is_one_click_and_resume_wants_a_reason(visit: Visit, demo_daemon: Path) -> None:
    page = visit.page
    with DeskClient.discover(demo_daemon) as client:
        page.click(".mx-halt")
        visit.until("desk.dataset.halted === 'true'")
        assert client.snapshot().halted
        banner = page.inner_text(".mx-banner[data-level=halt]")
        assert "HALTED" in banner
        assert "HALT pressed on the desk page" in banner
        page.click("text=Resume…")
        page.keyboard.press("Enter")
        assert client.snapshot().halted, "no reason, no resume"
        page.keyboard.type("the browser test has seen what it wanted")
        page.keyboard.press("Enter")
        visit.until("desk.dataset.halted === 'false'")
        assert not client.snapshot().halted


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_overlaps_is_cut_or_scrolls_sideways(visit: Visit, size: tuple[int, int]) -> None:
    visit.page.set_viewport_size({"width": size[0], "height": size[1]})
    visit.page.wait_for_timeout(600)
    faults = visit.page.evaluate(FAULTS)
    visit.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    assert faults == []


def test_halt_stays_in_view_however_far_the_page_is_scrolled(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    visit.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert visit.page.evaluate("scrollY") > 0
    box = visit.page.locator(".mx-halt").bounding_box()
    visit.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    assert box is not None
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= NARROW[1]
    assert box["x"] + box["width"] > NARROW[0] - 40, "top right"


def test_old_data_never_look_fresh(visit: Visit, demo_daemon: Path) -> None:
    daemon = json.loads((demo_daemon / "daemon.json").read_text())["pid"]
    os.kill(daemon, signal.SIGSTOP)
    try:
        visit.until("desk.dataset.age === 'bad'")
        assert visit.page.inner_text(".mx-health") == "health unknown"
        visit.page.wait_for_selector(".mx-banner[data-level=warn]", timeout=90_000)
        assert "has said nothing" in visit.page.inner_text(".mx-banner[data-level=warn]")
    finally:
        os.kill(daemon, signal.SIGCONT)
    visit.until("desk.dataset.age === 'good'")


def test_the_symbol_in_the_address_is_the_one_that_is_shown(
    context: BrowserContext, dashboard: str, demo_daemon: Path
) -> None:
    with DeskClient.discover(demo_daemon) as client:
        symbol = client.snapshot().body["listings"][-1]["symbol"]
    seen = Visit(context.new_page())
    seen.open(f"{dashboard}?symbol={symbol}")
    assert seen.page.inner_text(".mx-chart h2 strong") == symbol
    assert seen.complaints == []


def test_what_the_desk_holds_and_orders_is_shown_while_it_trades(visit: Visit, demo_daemon: Path) -> None:
    """An entry is filled, its targets rest: the orders, the stop and the ladder of that position."""
    visit.until("[...desk.querySelectorAll('.mx-orders .mx-order')].some((row) => "
                "row.textContent.includes('BUY') && row.textContent.includes('FILLED'))", 200)  # fmt: skip
    with DeskClient.discover(demo_daemon) as client:
        bought = [
            row for row in client.orders()["orders"] if row["side"] == "BUY" and row["state"] == "FILLED"
        ]
    shown = visit.page.inner_text(".mx-orders")
    assert bought[0]["symbol"] in shown
    assert "entry" in shown
    assert "USDT" in shown
    visit.until("desk.querySelector('.mx-card, .mx-results li') !== null")


def test_the_portfolio_is_a_page_of_its_own_that_the_address_keeps(visit: Visit, dashboard: str) -> None:
    visit.page.click("button[data-view=portfolio]")
    visit.page.wait_for_selector(".mx-folio .mx-table td >> text=opening snipe", timeout=90_000)
    told = visit.page.inner_text(".mx-folio")
    for words in (
        "Profit after fees",
        "By symbol, after fees",
        "What a bad hour would do",
        "How many bets it is",
    ):
        assert words in told
    visit.until("desk.querySelector('.mx-folio .mx-curve canvas') !== null")
    assert "view=portfolio" in visit.page.url
    assert visit.page.evaluate(FAULTS) == []
    assert not visit.page.is_visible(".mx-grid")
    visit.page.click("button[data-view=desk]")
    visit.page.wait_for_selector(".mx-grid", state="visible")
    assert "view=" not in visit.page.url


def test_the_console_stays_clean(visit: Visit) -> None:
    assert visit.complaints == []
