"""The live desk in a real Chromium, on a real demo daemon: what a person sees, clicks and relies on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from mexclab.config import Settings
from mexclab.notebook import serve
from mexclab.notebook.desk import DeskClient
from tests.notebook.station import free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DEMO = [sys.executable, "-m", "mexclab.cli", "demo", "--headless", "--fresh", "--seconds", "600"]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
START_S = 90.0
WIDE, NARROW = (1440, 900), (800, 1000)

FAULTS = """() => {
  const faults = [];
  const seen = (node) => node.offsetParent !== null && node.getClientRects().length > 0;
  const all = (names) => [...document.querySelectorAll(names)].filter(seen);
  const apart = (nodes, where) => nodes.forEach((one, index) => nodes.slice(index + 1).forEach((other) => {
    const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    const beside = a.left >= b.right - 1 || b.left >= a.right - 1;
    const above = a.top >= b.bottom - 1 || b.top >= a.bottom - 1;
    const [first, second] = [one, other].map((node) => node.textContent.slice(0, 24));
    if (!beside && !above) faults.push(`${where}: "${first}" on "${second}"`);
  }));
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) faults.push(`the page is ${wide} pixels wide, the window ${innerWidth}`);
  apart(all('.mx-panel, .mx-tile'), 'panels');
  apart(all('.mx-top > *'), 'top bar');
  for (const row of all('.mx-row, .mx-card-top, .mx-card-end, .mx-panel > h2')) {
    apart([...row.querySelectorAll('button, span:not(:has(*)), strong')].filter(seen), 'row');
  }
  for (const node of all('.mx-big, .mx-halt, .mx-arm, .mx-state, .mx-left, .mx-limit-value, .mx-gain')) {
    if (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== 'inline') {
      faults.push(`cut: "${node.textContent}"`);
    }
  }
  for (const button of all('button')) {
    const name = button.getAttribute('aria-label') || button.textContent.trim();
    if (!name || button.tabIndex < 0) faults.push(`a button that cannot be reached: "${name}"`);
  }
  return faults;
}"""


@dataclass
class Visit:
    """A page, what it asked for, and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(url)
        self.until("Number(desk.dataset.frames) > 0", 60)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def until(self, holds: str, seconds: float = 20) -> None:
        """Wait until an expression about ``desk``, the panel's node, holds."""
        script = f"() => {{ const desk = document.querySelector('.mx-desk'); return desk && ({holds}); }}"
        self.page.wait_for_function(script, timeout=seconds * 1000)

    def frames(self) -> int:
        return int(self.page.get_attribute(".mx-desk", "data-frames") or 0)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
    settings, port = Settings(data=demo_daemon), free_port()
    with (demo_daemon.parent / "voila.log").open("w") as log:
        server = subprocess.Popen(
            serve.voila_command(settings, port),
            env=serve.environment(settings, os.environ),
            stdout=log,
            stderr=log,
        )
    end = time.monotonic() + START_S
    while not answers(port):
        assert time.monotonic() < end, "the dashboard server did not start"
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/"
    ended(server, signal.SIGTERM)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for this file alone: its driver's event loop would be in the way of asynchronous tests."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def visit(browser: Browser, dashboard: str) -> Iterator[Visit]:
    """One visitor at a wide screen, for all tests that leave the page as they found it."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="dark")
    seen = Visit(context.new_page())
    seen.open(dashboard)
    yield seen
    context.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": NARROW[0], "height": NARROW[1]})
    yield context
    context.close()


def test_the_page_asks_nobody_but_its_own_server(visit: Visit, dashboard: str) -> None:
    assert len(visit.requests) > 20
    assert [url for url in visit.requests if not url.startswith((dashboard, "blob:", "data:"))] == []


def test_frames_keep_coming_and_the_page_says_how_old_they_are(visit: Visit) -> None:
    before = visit.frames()
    visit.until(f"Number(desk.dataset.frames) >= {before + 5} && desk.dataset.age === 'good'")
    assert "data 0." in visit.page.inner_text(".mx-age")


def test_the_mode_cannot_be_mistaken(visit: Visit) -> None:
    assert visit.page.inner_text(".mx-mode") == "DEMO"


def test_every_listing_counts_down_by_itself(visit: Visit) -> None:
    visit.page.wait_for_selector(".mx-row", timeout=60_000)
    before = visit.page.inner_text(".mx-row .mx-left >> nth=0")
    script = f"document.querySelector('.mx-row .mx-left').textContent !== {json.dumps(before)}"
    visit.until(script, 5)


def test_halt_is_one_click_and_resume_wants_a_reason(visit: Visit, demo_daemon: Path) -> None:
    page = visit.page
    with DeskClient.discover(demo_daemon) as client:
        page.click(".mx-halt")
        visit.until("desk.dataset.halted === 'true'", 5)
        assert client.snapshot().halted
        banner = page.inner_text(".mx-banner[data-level=halt]")
        assert "HALTED" in banner
        assert "HALT pressed on the desk page" in banner
        page.click("text=Resume…")
        page.keyboard.press("Enter")
        assert client.snapshot().halted, "no reason, no resume"
        page.keyboard.type("the browser test has seen what it wanted")
        page.keyboard.press("Enter")
        visit.until("desk.dataset.halted === 'false'", 10)
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
        visit.until("desk.dataset.age === 'bad'", 15)
        assert visit.page.inner_text(".mx-health") == "health unknown"
        visit.page.wait_for_selector(".mx-banner[data-level=warn]", timeout=15_000)
        assert "has said nothing" in visit.page.inner_text(".mx-banner[data-level=warn]")
    finally:
        os.kill(daemon, signal.SIGCONT)
    visit.until("desk.dataset.age === 'good'", 30)


def test_the_symbol_in_the_address_is_the_one_that_is_shown(
    context: BrowserContext, dashboard: str, demo_daemon: Path
) -> None:
    with DeskClient.discover(demo_daemon) as client:
        symbol = client.snapshot().body["listings"][-1]["symbol"]
    seen = Visit(context.new_page())
    seen.open(f"{dashboard}?symbol={symbol}")
    assert seen.page.inner_text(".mx-chart h2 strong") == symbol
    assert seen.complaints == []


def test_the_console_stays_clean(visit: Visit) -> None:
    assert visit.complaints == []
