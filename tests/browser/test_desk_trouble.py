"""The live desk when things go wrong: what a person must see at once, and what they are told to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from mexclab.daemon import api
from tests.browser.pages import FAULTS, WIDE, Visit, served_dashboard
from tests.browser.told_desk import COMPARED, LIVE, PAUSE, ToldDesk, page
from tests.notebook.station import TOKEN, served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def told() -> ToldDesk:
    desk = ToldDesk()
    desk.desk.page, desk.desk.live, desk.desk.last = page(), [LIVE], COMPARED
    return desk


@pytest.fixture(scope="module")
def visit(browser: Browser, told: ToldDesk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """A visitor at the dashboard of that desk."""
    data = tmp_path_factory.mktemp("told")
    with served(api.build(told)) as url:
        (data / "daemon.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))
        (data / "daemon.token").write_text(TOKEN)
        with served_dashboard(data, data / "voila.log") as address:
            context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, color_scheme="dark")
            seen = Visit(context.new_page())
            seen.open(address)
            seen.page.wait_for_selector(".mx-order[data-state=FILLED]", timeout=90_000)
            yield seen
            context.close()


def words(visit: Visit, selector: str) -> str:
    return " ".join(visit.page.inner_text(selector).split())


def test_open_orders_come_first_and_the_one_of_unknown_fate_before_all(visit: Visit) -> None:
    states = visit.page.eval_on_selector_all(
        ".mx-order[data-state]", "all => all.map(each => each.dataset.state)"
    )
    assert states == ["UNKNOWN", "PARTIALLY_FILLED", "ENDED", "FILLED", "FILLED"]
    assert words(visit, ".mx-orders h2") == "Orders 1 UNKNOWN · 2 open · 1 not ours"


def test_an_unknown_fate_is_loud_and_says_that_nothing_is_sent_twice(visit: Visit) -> None:
    row = words(visit, ".mx-order[data-state=UNKNOWN]")
    assert "no answer within 5 s" in row
    assert "nothing is sent twice" in row
    loud = visit.page.eval_on_selector(
        ".mx-order .mx-state[data-state=UNKNOWN]", "node => getComputedStyle(node).backgroundColor"
    )
    assert loud == "rgb(229, 37, 47)"


def test_an_order_tells_its_leg_how_much_of_it_was_filled_its_price_and_its_age(visit: Visit) -> None:
    row = words(visit, ".mx-order[data-state=PARTIALLY_FILLED]")
    assert row.startswith("SELL ABCUSDT target 2")
    assert "20 / 50 ABC filled" in row
    assert "got 1.2 USDT" in row
    assert row.endswith("10 min ago")


def test_an_order_that_is_not_ours_is_marked_as_never_touched(visit: Visit) -> None:
    assert (
        words(visit, ".mx-part:has(.mx-other)")
        == "Not ours, never touched BUY 7 XYZ at 2.5 USDT seen 2.0 h ago"
    )


def test_a_dispute_says_what_differs_and_what_to_do(visit: Visit) -> None:
    told = words(visit, ".mx-truth")
    assert "1 disputed symbol, 1 difference, 1 order of unknown fate" in told
    assert "compared 4 min ago, 12:56:00 UTC" in told
    assert (
        "DEFUSDT is disputed, nothing is entered there: the venue sold 12 more than the ledger holds" in told
    )
    assert "then halt, and resume with a reason" in told
    assert "DEF: the ledger holds 12, the venue 0" in told


def test_a_raised_stop_says_by_how_much_and_why(visit: Visit) -> None:
    stop = words(visit, ".mx-card [data-is=stop]")
    assert stop == (
        "1.0800 USDT · −6.1 % from the bid · raised +35.0 % from 0.80000: 10 % below the highest bid 1.2"
    )
    assert words(visit, ".mx-card [data-is=peak]") == "10 % below the highest bid · peak 1.2000 USDT"


def test_every_rung_of_the_ladder_tells_what_became_of_it(visit: Visit) -> None:
    chips = visit.page.locator(".mx-card .mx-rung").all_inner_texts()
    assert chips == ["✓ +10 % · 100", "◐ +20 % · 20 / 50", "– +40 % · not placed"]


def test_a_position_says_how_long_it_has_and_why_it_cannot_be_sold(visit: Visit) -> None:
    assert words(visit, ".mx-card [data-is=time]").endswith(", at 13:20:00 UTC")
    assert words(visit, ".mx-card [data-is=sale]") == "not possible: an order of unknown fate holds it"
    assert "bid 12 s old" in words(visit, ".mx-card .mx-facts")


def test_dust_is_a_list_of_its_own_and_no_position(visit: Visit) -> None:
    assert visit.page.locator(".mx-card").count() == 1
    left = words(visit, ".mx-left-over")
    assert left.startswith("Left over")
    assert left.endswith("0.5 DEF 0.4 USDT Cannot be sold: worth 0.4 USDT; the least order is 1 USDT")


def test_a_result_tells_what_its_post_mortem_says(visit: Visit) -> None:
    assert words(visit, ".mx-results li") == "12:00 OLDUSDT +2.03 USDT (+5.7 %) by time, held for 30 min 01 s"


def test_a_limit_that_is_reached_and_one_that_nobody_knows_are_told_apart(visit: Visit) -> None:
    lines = visit.page.locator(".mx-limits li").all_inner_texts()
    assert [" ".join(line.split()) for line in lines] == [
        "exposure 80.00 / 200.00 USDT",
        "day loss 110.00 / 100.00 USDT",
        "value at risk unknown / 160.00 USDT",
    ]
    levels = visit.page.eval_on_selector_all(".mx-limits li", "all => all.map(each => each.dataset.level)")
    assert levels == ["good", "bad", "bad"]
    assert words(visit, ".mx-guard h2") == "Risk 1 missing, 1 paused, 2 at its limit, 1 tripped"


def test_what_live_trading_lacks_and_what_tripped_is_said_with_its_reason(visit: Visit) -> None:
    told = words(visit, ".mx-guard")
    assert "✕ live limits nobody has confirmed these limits" in told
    assert "✕ spread · ABCUSDT the spread is 14 %" in told
    assert "Market monitors: 1 quiet" in told
    assert "Emergency rehearsed 3.0 d ago: ✓ passed, halted in 12 ms, flat in 900 ms" in told


def test_a_pause_says_why_and_how_long_and_ends_by_a_reason_only(visit: Visit, told: ToldDesk) -> None:
    pause = visit.page.locator(".mx-pauses li")
    assert "‖ loss streak · all entries" in pause.inner_text()
    assert "the last 3 snipes lost" in pause.inner_text()
    assert "59:5" in pause.inner_text() or "01:00:00" in pause.inner_text()
    pause.get_by_text("Release…").click()
    pause.get_by_role("button", name="Release", exact=True).click()
    assert told.risk.released == [], "a release without a reason is none"
    pause.get_by_label("Reason to release").fill("looked at all three")
    pause.get_by_role("button", name="Release", exact=True).click()
    visit.page.wait_for_selector(".mx-toast:has-text('released: entries may go on')", timeout=90_000)
    assert told.risk.released == [(PAUSE, "looked at all three")]
    visit.until("desk.querySelector('.mx-pauses li') === null")


def test_compare_now_asks_the_daemon_and_tells_what_it_found(visit: Visit, told: ToldDesk) -> None:
    before = told.desk.compared
    visit.page.click("text=Compare now")
    visit.page.wait_for_selector(".mx-toast:has-text('DEF: the ledger holds 12')", timeout=90_000)
    assert told.desk.compared == before + 1


@pytest.mark.parametrize("width", [1440, 1100, 800])
def test_nothing_overlaps_or_is_cut_when_everything_is_shown(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.wait_for_timeout(600)
    faults = visit.page.evaluate(FAULTS)
    visit.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    assert faults == []


def test_a_desk_on_which_nothing_has_happened_explains_itself(visit: Visit, told: ToldDesk) -> None:
    told.desk.page.orders.clear()
    told.troubled = False
    try:
        visit.until("desk.querySelector('.mx-card') === null")
        assert "not compared yet" in words(visit, ".mx-truth")
        assert "No position" in words(visit, ".mx-positions")
        assert "Nothing was closed yet" in words(visit, ".mx-closed")
        told.seq += 1  # orders that are over are asked for again when the ledger has grown
        visit.until("desk.querySelector('.mx-orders[data-empty=true]') !== null")
        assert "No order yet" in words(visit, ".mx-orders")
        assert "0 open" in words(visit, ".mx-orders h2")
    finally:
        told.desk.page.orders.extend(page().orders)
        told.troubled = True


def test_the_console_stays_clean_in_trouble(visit: Visit) -> None:
    assert visit.complaints == []
