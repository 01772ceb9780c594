"""A Chromium for each file of tests, and a narrow window for each test that wants its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.pages import CHROMIUM, FLAGS, NARROW


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for this file alone: its driver's event loop would be in the way of asynchronous tests."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": NARROW[0], "height": NARROW[1]})
    yield context
    context.close()
