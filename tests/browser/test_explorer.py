"""The explorer in a real Chromium, on a lake that grows: what a hand draws, and what it is shown for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from playwright.sync_api import Browser

from mexclab.domain.clock import MINUTE, from_utc
from mexclab.notebook import explorer_answer as answers
from mexclab.research.outcomes import Costs, outcomes
from mexclab.research.similarity import similar
from mexclab.research.windows import Panel
from mexclab.sample import sample_bars
from mexclab.store.lake import Lake
from tests.browser.explorer_page import cleared, drag, drawn
from tests.browser.pages import FAULTS, NARROW, PHONE, WIDE, Visit, served_dashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SYMBOLS = ("SIM01USDT", "SIM02USDT", "SIM03USDT", "SIM04USDT", "SIM05USDT", "SIM06USDT")
HELD_BACK = 30  # bars that come while somebody looks
PAINTED = """(name) => {
  const { width, height } = document.querySelector(name);
  const pen = document.querySelector(name).getContext('2d');
  return new Set(new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer)).size;
}"""


@pytest.fixture(scope="module")
def every_bar() -> pl.DataFrame:
    return sample_bars().filter(pl.col("symbol").is_in(SYMBOLS))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, every_bar: pl.DataFrame) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("explorer") / "lake")
    lake.write(every_bar.filter(pl.col("ts") < pl.col("ts").max() - pl.duration(minutes=HELD_BACK - 1)))
    return lake


@pytest.fixture(scope="module")
def dashboard(lake: Lake) -> Iterator[str]:
    with served_dashboard(lake.root.parent, lake.root.parent / "voila.log") as url:
        yield url


@pytest.fixture(scope="module")
def visit(browser: Browser, dashboard: str) -> Iterator[Visit]:
    """One visitor at a wide screen, for all tests."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="dark")
    seen = Visit(context.new_page())
    seen.open(f"{dashboard}explorer?symbol=SIM02USDT")
    seen.until("desk.querySelector('.mx-seen').textContent && desk.querySelector('.mx-busy').hidden", 90)
    yield seen
    context.close()


def test_a_window_that_is_dragged_is_answered_as_the_research_layer_answers_it(
    visit: Visit, lake: Lake
) -> None:
    drag(visit)
    window = drawn(visit)
    assert window["symbol"] == "SIM02USDT"
    assert 20 <= window["length"] <= 120
    panel = Panel.from_frame(lake.scan(), MINUTE)
    matches = similar(panel, panel.window(**window), 20, horizon=240)
    rows = visit.page.locator(".mx-found li").all_inner_texts()
    assert [row.split()[1] for row in rows] == matches.table["symbol"].to_list()
    starts = matches.table["start"].dt.strftime("%Y-%m-%d %H:%M").to_list()
    assert [" ".join(row.split()[2:4]) for row in rows] == starts
    found = outcomes(panel, matches, (15, 60, 240), Costs(), answers.OUTCOMES)
    told = visit.page.inner_text(".mx-verdict-words")
    assert found.verdict.endswith(told[1:])
    effective = found.table.filter(pl.col("sample") == "matches")["n_eff"].to_list()
    cells = visit.page.locator(".mx-evidence td:nth-child(3)").all_inner_texts()
    assert [int(cell) for cell in cells] == effective


def test_the_page_says_how_long_it_took_how_old_the_bars_are_and_what_was_searched(visit: Visit) -> None:
    drag(visit)
    drawn(visit)
    assert "ms · verdict" in visit.page.inner_text(".mx-took")
    assert visit.page.inner_text(".mx-age").startswith("bars end 2026-06-05 23:30")
    seen = visit.page.inner_text(".mx-seen")
    assert "windows of 6 symbols, 2026-06-01 00:00 to" in seen
    assert "nothing later" in seen
    assert "UTC" in visit.page.inner_text(".mx-look .mx-utc")


def test_shapes_and_outcomes_are_drawn(visit: Visit) -> None:
    drag(visit)
    drawn(visit)
    visit.page.wait_for_timeout(300)
    for name in (".mx-overlay canvas", ".mx-fan canvas"):
        assert visit.page.evaluate(PAINTED, name) > 50, f"{name} is empty"
    cleared(visit)
    assert visit.page.is_visible(".mx-fan .mx-over")
    assert visit.page.locator(".mx-found li").count() == 0


def test_a_match_that_is_chosen_shows_its_own_bars(visit: Visit) -> None:
    drag(visit)
    drawn(visit)
    row = visit.page.locator(".mx-found li").nth(3)
    _, symbol, day, clock, *_ = row.inner_text().split()
    row.click()
    visit.page.wait_for_function(
        "(name) => document.querySelector('.mx-match h2 strong').textContent.trim() === name",
        arg=f"4  {symbol}",
    )
    assert f"{day} {clock}" in visit.page.inner_text(".mx-match h2")
    visit.page.locator(".mx-found").focus()
    visit.page.keyboard.press("ArrowDown")
    visit.until("desk.querySelector('.mx-match h2 strong').textContent.startsWith('5 ')", 10)


def test_the_keyboard_draws_moves_and_clears(visit: Visit) -> None:
    cleared(visit)
    visit.page.keyboard.press("w")
    first = drawn(visit)
    visit.page.keyboard.press("Shift+ArrowLeft")
    visit.until("desk.dataset.phase === 'asked'", 10)
    moved = drawn(visit)
    assert moved["end_ns"] == first["end_ns"] - 10 * MINUTE
    visit.page.keyboard.press("[")
    visit.until("desk.dataset.phase === 'asked'", 10)
    assert drawn(visit)["length"] == first["length"] - 1
    cleared(visit)
    assert "end=" not in visit.page.url


def test_a_window_too_short_leaves_no_answer_and_a_cleared_one_does_not_come_back(visit: Visit) -> None:
    drag(visit)
    drawn(visit)
    drag_to = visit.page.locator(".mx-look .mx-stage").bounding_box()
    assert drag_to is not None
    (x, y), mouse = (drag_to["x"] + 200, drag_to["y"] + drag_to["height"] / 2), visit.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 8, y)
    mouse.up()
    visit.until("desk.dataset.phase === 'refused'", 10)
    assert "too few" in visit.page.inner_text(".mx-verdict-words")
    assert visit.page.locator(".mx-found li").count() == 0
    assert visit.page.is_visible(".mx-fan .mx-over")
    assert "end=" not in visit.page.url
    cleared(visit)
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 150, y)
    visit.page.keyboard.press("Escape")
    mouse.move(x + 152, y)
    mouse.up()
    visit.page.wait_for_timeout(300)
    assert visit.page.get_attribute(".mx-desk", "data-phase") == "none"
    assert not visit.page.is_visible(".mx-look .mx-window")


def test_an_address_draws_the_very_window_it_names_or_says_that_it_cannot(
    browser: Browser, dashboard: str
) -> None:
    address = f"{dashboard}explorer?symbol=SIM02USDT&end=2026-06-03T20:00Z&length="
    context = browser.new_context()
    named, wrong = Visit(context.new_page()), Visit(context.new_page())
    named.open(f"{address}2000")
    window = drawn(named)
    assert (window["end_ns"], window["length"]) == (from_utc(datetime(2026, 6, 3, 20, tzinfo=UTC)), 2000)
    assert "2000 bars" in named.page.inner_text(".mx-tile.mx-asked")
    wrong.open(f"{address}60.5")
    wrong.until("desk.querySelector('.mx-toast')?.textContent.includes('not among these bars')", 60)
    assert wrong.page.get_attribute(".mx-desk", "data-phase") == "none"
    assert named.complaints + wrong.complaints == []
    context.close()


def test_a_time_without_a_zone_is_utc_wherever_the_browser_stands(browser: Browser, dashboard: str) -> None:
    context = browser.new_context(timezone_id="America/New_York")
    seen = Visit(context.new_page())
    seen.open(f"{dashboard}explorer?symbol=SIM02USDT&end=2026-06-04T01:00&length=120")
    window = drawn(seen)
    assert (window["end_ns"], window["length"]) == (from_utc(datetime(2026, 6, 4, 1, tzinfo=UTC)), 120)
    tile = seen.page.locator(".mx-asked .mx-note")
    assert tile.all_inner_texts() == ["2026-06-03 23:00–06-04 01:00 UTC", "120 bars · 2 h"]
    fits = "(tile) => tile.lastChild.getBoundingClientRect().bottom < tile.getBoundingClientRect().bottom"
    assert seen.page.eval_on_selector(".mx-asked", fits)
    context.close()


def test_a_window_of_a_symbol_that_is_not_there_is_not_drawn_on_another(
    browser: Browser, dashboard: str
) -> None:
    context = browser.new_context()
    seen = Visit(context.new_page())
    seen.open(f"{dashboard}explorer?symbol=NOPEUSDT&end=2026-06-03T20:00Z&length=60")
    seen.until("desk.querySelector('.mx-toast')?.textContent.includes('no 1m bars of NOPEUSDT')", 60)
    seen.page.wait_for_timeout(500)
    assert seen.page.get_attribute(".mx-desk", "data-phase") == "none"
    assert "end=" not in seen.page.url
    assert "NOPEUSDT" not in seen.page.url
    context.close()


def test_a_dashboard_that_is_not_there_is_not_found(browser: Browser, dashboard: str) -> None:
    context = browser.new_context()
    answers_with = [context.request.get(f"{dashboard}{name}").status for name in ("nope", "nope/")]
    assert answers_with == [404, 404]
    context.close()


def test_a_symbol_is_found_by_a_part_of_its_name(visit: Visit) -> None:
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("m05")
    visit.page.keyboard.press("Enter")
    visit.until("desk.querySelector('.mx-look h2 strong').textContent === 'SIM05USDT'", 20)
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("zzz")
    assert "no such symbol" in visit.page.inner_text(".mx-search-list")
    visit.page.keyboard.press("Escape")
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("SIM02")
    visit.page.keyboard.press("Enter")
    visit.until("desk.querySelector('.mx-look h2 strong').textContent === 'SIM02USDT'", 20)


def test_a_search_that_cannot_be_made_says_why(visit: Visit) -> None:
    drag(visit)
    drawn(visit)
    field = visit.page.locator("input[name=horizon]")
    field.fill("10000")
    visit.until("desk.dataset.phase === 'refused'", 30)
    assert "may be compared" in visit.page.inner_text(".mx-verdict-words")
    field.fill("oops")
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("240")
    visit.until("desk.dataset.phase === 'answered'", 30)
    visit.page.locator(".mx-look .mx-stage").focus()
    cleared(visit)


def test_bars_that_come_appear_by_themselves_and_the_window_follows(
    visit: Visit, lake: Lake, every_bar: pl.DataFrame
) -> None:
    visit.page.locator(".mx-check input").check()
    before = drawn(visit)
    lake.write(every_bar)
    visit.until("desk.querySelector('.mx-age').textContent.startsWith('bars end 2026-06-06 00:00')", 30)
    visit.until("location.search.includes('2026-06-06T00')", 30)
    after = drawn(visit)
    assert after["end_ns"] == before["end_ns"] + HELD_BACK * MINUTE
    visit.page.locator(".mx-check input").uncheck()
    visit.page.locator(".mx-look .mx-stage").focus()
    cleared(visit)


@pytest.mark.parametrize("size", [WIDE, NARROW, PHONE], ids=["wide", "narrow", "phone"])
def test_nothing_overlaps_is_cut_or_scrolls_sideways(visit: Visit, size: tuple[int, int]) -> None:
    drag(visit)
    drawn(visit)
    visit.page.set_viewport_size({"width": size[0], "height": size[1]})
    visit.page.wait_for_timeout(600)
    faults = visit.page.evaluate(FAULTS)
    assert visit.page.locator(".mx-zone", has_text="UTC").first.is_visible(), "a clock without its zone"
    visit.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    cleared(visit)
    assert faults == []


def test_the_page_asks_nobody_else_and_complains_of_nothing(visit: Visit, dashboard: str) -> None:
    assert len(visit.requests) > 20
    assert [url for url in visit.requests if not url.startswith((dashboard, "blob:", "data:"))] == []
    assert visit.complaints == []
