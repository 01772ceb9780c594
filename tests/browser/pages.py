"""A dashboard server, a Chromium and a visitor: what every test of a page needs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from mexclab.config import Settings
from mexclab.notebook import serve
from tests.notebook.station import free_port

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
START_S = 180.0
WIDE, NARROW, PHONE = (1440, 900), (800, 1000), (390, 844)

FAULTS = """async () => {
  const found = () => {
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
    for (const row of all('.mx-row, .mx-card-top, .mx-order, .mx-truth-line, .mx-panel > h2')) {
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
  };
  // what follows the size of the window does so in its own time
  for (let looks = 0; looks < 300 && found().length; looks += 1) {
    await new Promise((done) => setTimeout(done, 100));
  }
  return found();
}"""


@dataclass
class Visit:
    """A page, what it asked for, and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.page.set_default_timeout(90_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(url)
        self.until("Number(desk.dataset.frames) > 0")

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def until(self, holds: str, seconds: float = 90) -> None:
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
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def served_dashboard(data: Path, log_file: Path) -> Iterator[str]:
    """The address at which the dashboard of the daemon on ``data`` answers."""
    settings, port = Settings(data=data), free_port()
    with log_file.open("w") as log:
        server = subprocess.Popen(
            serve.voila_command(settings, port),
            env=serve.environment(settings, os.environ),
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + START_S
        while not answers(port):
            assert time.monotonic() < end, "the dashboard server did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        ended(server, signal.SIGTERM)
