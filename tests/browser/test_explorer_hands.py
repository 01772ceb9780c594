"""The explorer under a finger, with thousands of symbols, and with what it has to refuse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import polars as pl
import pytest
from playwright.sync_api import Browser, CDPSession

from mexclab.sample import sample_bars
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import partition_of
from tests.browser.explorer_page import READY, SETTLED, cleared, drag, drawn, place, shown
from tests.browser.pages import WIDE, Visit, served_dashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MANY = 2000
KEPT = ("SIM01USDT", "SIM02USDT", "SIM03USDT")


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return sample_bars()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, bars: pl.DataFrame) -> Lake:
    """Three symbols of minutes, one of which has bars of five minutes, too."""
    lake = Lake(tmp_path_factory.mktemp("hands") / "lake")
    lake.write(bars.filter(pl.col("symbol").is_in(KEPT)))
    five = pl.col("ts").dt.minute() % 5 == 0
    lake.write(bars.filter((pl.col("symbol") == KEPT[0]) & five), "5m")
    return lake


@pytest.fixture(scope="module")
def dashboard(lake: Lake) -> Iterator[str]:
    with served_dashboard(lake.root.parent, lake.root.parent / "voila.log") as url:
        yield url


@pytest.fixture(scope="module")
def visit(browser: Browser, dashboard: str) -> Iterator[Visit]:
    """A visitor whose screen takes fingers."""
    context = browser.new_context(
        viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="dark", has_touch=True
    )
    seen = Visit(context.new_page())
    seen.open(f"{dashboard}explorer?symbol=SIM02USDT")
    seen.until(READY, 90)
    yield seen
    context.close()


@pytest.fixture
def fingers(visit: Visit) -> Iterator[CDPSession]:
    session = visit.page.context.new_cdp_session(visit.page)
    yield session
    session.detach()


def touch(fingers: CDPSession, kind: str, *points: tuple[float, float]) -> None:
    """Real touches: Chromium makes pointer events of them, and decides what scrolls."""
    told = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    fingers.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": told})


def swipe(visit: Visit, fingers: CDPSession, start: float, end: float) -> None:
    """A finger goes down and moves; it is still there."""
    x, y = place(visit, start)
    touch(fingers, "Start", (x, y))
    for step in range(1, 7):
        touch(fingers, "Move", (place(visit, start + (end - start) * step / 6)[0], y))


def test_a_finger_draws_a_window_and_pulls_its_edge(visit: Visit, fingers: CDPSession) -> None:
    cleared(visit)
    swipe(visit, fingers, 0.5, 0.7)
    touch(fingers, "End")
    window = drawn(visit)
    assert visit.page.get_attribute(".mx-desk", "data-phase") == "answered"
    assert 40 <= window["length"] <= 140
    assert visit.page.evaluate("scrollY") == 0
    edge = visit.page.locator(".mx-look .mx-window").bounding_box()
    assert edge is not None
    y = place(visit, 0)[1]
    right = edge["x"] + edge["width"] + 12  # a finger is no needle
    touch(fingers, "Start", (right, y))
    for step in range(1, 7):
        touch(fingers, "Move", (right + 10 * step, y))
    touch(fingers, "End")
    visit.until(f"{SETTLED} && !location.search.includes('length={window['length']}')", 60)
    longer = drawn(visit)
    assert longer["length"] > window["length"] + 5
    assert longer["end_ns"] > window["end_ns"]


def test_a_touch_that_is_taken_away_asks_about_what_was_drawn_so_far(
    visit: Visit, fingers: CDPSession
) -> None:
    cleared(visit)
    swipe(visit, fingers, 0.4, 0.55)
    taken = "addEventListener('pointercancel', () => { window.taken = true; })"
    visit.page.evaluate(f"document.querySelector('.mx-stage').{taken}")
    touch(fingers, "Cancel")
    window = drawn(visit)
    assert visit.page.evaluate("window.taken")
    visit.page.mouse.move(*place(visit, 0.8))
    visit.page.wait_for_timeout(200)
    assert drawn(visit) == window, "nobody holds it any more"


def test_a_second_finger_zooms_and_draws_nothing(visit: Visit, fingers: CDPSession) -> None:
    cleared(visit)
    near, far = place(visit, 0.45), place(visit, 0.55)
    touch(fingers, "Start", near)
    touch(fingers, "Start", near, far)
    for step in range(1, 7):
        touch(fingers, "Move", (near[0] - 8 * step, near[1]), (far[0] + 8 * step, far[1]))
    touch(fingers, "End")
    visit.page.wait_for_timeout(300)
    assert visit.page.get_attribute(".mx-desk", "data-phase") == "none"
    assert not visit.page.is_visible(".mx-look .mx-window")


def test_an_interval_that_the_symbol_has_not_is_refused_with_the_reason(visit: Visit) -> None:
    drag(visit)
    before = drawn(visit)
    visit.page.select_option("select[aria-label='Length of a bar']", "5m")
    visit.until("desk.querySelector('.mx-toast')?.textContent.includes(\"no 5m bars of 'SIM02USDT'\")", 30)
    assert visit.page.input_value("select[aria-label='Length of a bar']") == "1m"
    assert shown(visit) == "SIM02USDT"
    assert drawn(visit) == before
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("sim01")
    visit.page.keyboard.press("Enter")
    visit.until("desk.querySelector('.mx-look h2 strong').textContent === 'SIM01USDT'", 20)
    visit.page.select_option("select[aria-label='Length of a bar']", "5m")
    visit.until("desk.querySelector('.mx-look .mx-count').textContent.startsWith('5 min bars')", 30)
    visit.page.select_option("select[aria-label='Length of a bar']", "1m")
    visit.until("desk.querySelector('.mx-look .mx-count').textContent.startsWith('1 min bars')", 30)


def test_reading_anew_finds_symbols_and_bars_that_came_and_keeps_the_window(
    visit: Visit, lake: Lake, bars: pl.DataFrame
) -> None:
    drag(visit)
    before = drawn(visit)
    lake.write(bars.filter(pl.col("symbol") == "SIM08USDT"))
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("sim08")
    assert "no such symbol" in visit.page.inner_text(".mx-search-list")
    visit.page.keyboard.press("Escape")
    visit.page.click("button[aria-label='Read the history anew']")
    visit.until("desk.querySelector('.mx-seen').textContent.includes('4 symbols')", 60)
    assert drawn(visit) == before
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("sim08")
    visit.page.keyboard.press("Enter")
    visit.until("desk.querySelector('.mx-look h2 strong').textContent === 'SIM08USDT'", 20)


def test_two_thousand_symbols_are_looked_through_by_name_by_key_and_by_wheel(
    visit: Visit, lake: Lake
) -> None:
    like = next((lake.root / "bars" / "interval=1m" / "symbol=SIM03USDT").iterdir())
    made = [partition_of(lake.root, "1m", f"MANY{number:04}USDT", like.stem).path for number in range(MANY)]
    for path in made:
        path.parent.mkdir()
        shutil.copyfile(like, path)
    visit.page.click("button[aria-label='Read the history anew']")
    field = visit.page.locator(".mx-search-field")
    visit.page.wait_for_timeout(200)
    for _ in range(100):  # the names come with the next greeting
        field.focus()
        if "2,004" in visit.page.inner_text(".mx-search-list"):
            break
        field.blur()
        visit.page.wait_for_timeout(100)
    rows = visit.page.locator(".mx-search-list [role=option]")
    assert rows.count() == 12
    visit.page.keyboard.type("1234")
    assert rows.all_inner_texts() == ["MANY1234USDT"]
    field.fill("")
    assert rows.first.inner_text() == "MANY0000USDT"
    for _ in range(15):
        visit.page.keyboard.press("ArrowDown")
    assert visit.page.inner_text(".mx-search-list [aria-selected=true]") == "MANY0015USDT"
    visit.page.keyboard.press("PageDown")
    assert visit.page.inner_text(".mx-search-list [aria-selected=true]") == "MANY0027USDT"
    visit.page.hover(".mx-search-list li:nth-child(2)")
    visit.page.mouse.wheel(0, 400)
    visit.until("desk.querySelector('.mx-search-list li').textContent === 'MANY0019USDT'", 10)
    assert "20–31 of 2,004" in visit.page.inner_text(".mx-search-list")
    took_ms = visit.page.evaluate(
        """() => {
          const field = document.querySelector('.mx-search-field');
          const begun = performance.now();
          for (const typed of ['m', 'ma', 'man', 'many', 'many1']) {
            field.value = typed;
            field.dispatchEvent(new Event('input'));
          }
          return (performance.now() - begun) / 5;
        }"""
    )
    assert took_ms < 50
    visit.page.keyboard.press("Escape")
    visit.until("desk.querySelector('.mx-busy').hidden", 120)


def test_the_page_complains_of_nothing(visit: Visit) -> None:
    assert visit.complaints == []
