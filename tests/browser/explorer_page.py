"""The explorer's page in the hands of a visitor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mexclab.domain.clock import from_utc
from tests.browser.pages import Visit

SETTLED = "['answered', 'refused'].includes(desk.dataset.phase)"
READY = "desk.querySelector('.mx-seen').textContent && desk.querySelector('.mx-busy').hidden"


def drag(visit: Visit, start: float = 0.62, end: float = 0.78) -> None:
    """Draw a new window with the mouse, from one share of the chart's width to another."""
    cleared(visit)
    box = visit.page.locator(".mx-look .mx-stage").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    mouse = visit.page.mouse
    mouse.move(box["x"] + box["width"] * start, y)
    mouse.down()
    for step in range(1, 9):
        mouse.move(box["x"] + box["width"] * (start + (end - start) * step / 8), y)
    mouse.up()


def drawn(visit: Visit) -> dict[str, Any]:
    """The window as the page's address names it."""
    visit.until(SETTLED, 60)
    asked = visit.page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    end = datetime.fromisoformat(asked["end"].replace("Z", "")).replace(tzinfo=UTC)
    return {"symbol": asked["symbol"], "end_ns": from_utc(end), "length": int(asked["length"])}


def cleared(visit: Visit) -> None:
    visit.page.keyboard.press("Escape")
    visit.until("desk.dataset.phase === 'none'", 10)


def place(visit: Visit, share: float) -> tuple[float, float]:
    """A point of the chart, at this share of its width and half its height."""
    box = visit.page.locator(".mx-look .mx-stage").bounding_box()
    assert box is not None
    return box["x"] + box["width"] * share, box["y"] + box["height"] / 2


def shown(visit: Visit) -> str:
    """The symbol on the chart."""
    return visit.page.inner_text(".mx-look h2 strong")
