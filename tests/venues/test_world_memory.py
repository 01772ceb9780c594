"""A world's memory: a restart comes back with the same orders, balances and decrees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.domain.clock import HOUR, MINUTE, SECOND
from mexclab.domain.market import Side
from mexclab.domain.order import OrderType
from mexclab.errors import VenueUnavailable
from mexclab.venues.simulator import checkpoint
from mexclab.venues.simulator.world import CHECKPOINT_NS, Account, World
from tests.venues.world_acts import ALICE, BTC, MX, START, TERMS, Act, acts, journal, near, order, seen


def with_a_history(world: World) -> None:
    """A purchase, an order that rests, one that was cancelled, a pause, a deposit."""
    world.advance(world.now_ns + SECOND)
    for side, away, kind in (
        (Side.BUY, 10, OrderType.IMMEDIATE_OR_CANCEL),
        (Side.SELL, 300, OrderType.LIMIT),
    ):
        price = near(world, BTC, away)
        world.place("alice", BTC, order("alice", side, kind, (Decimal("0.005"), price)))
    gone = world.place(
        "bob", MX, order("bob", Side.SELL, OrderType.LIMIT, (Decimal(9), near(world, MX, 100)))
    )
    world.advance(world.now_ns + SECOND)
    assert gone.order is not None
    world.cancel("bob", gone.order.venue_id)
    world.pause(MX)
    world.deposit("bob", "USDT", Decimal(77))
    world.advance(world.now_ns + SECOND)


def crashed(memory: Path, into: Path) -> Path:
    """The memory as a process finds it whose forerunner was killed now."""
    return Path(shutil.copytree(memory, into))


@pytest.mark.parametrize("how", ["closed", "crashed", "without its checkpoint"])
def test_a_restart_comes_back_with_everything(tmp_path: Path, how: str) -> None:
    world = World(TERMS, tmp_path / "a")
    with_a_history(world)
    before = seen(world)
    assert before["orders"]["alice"]
    assert before["trades"]["alice"]
    folder = tmp_path / "a"
    if how == "crashed":
        folder = crashed(folder, tmp_path / "b")
        assert not (folder / "checkpoint").exists()
    world.close()
    if how == "closed":
        assert checkpoint.load(folder / "checkpoint", 1 << 30) is not None, "it could be read again"
    if how == "without its checkpoint":
        (folder / "checkpoint").unlink()
    back = World(TERMS, folder)
    back.advance(world.now_ns)
    assert seen(back) == before
    back.reopen(MX)
    for each in (world, back):
        each.advance(before["now"] + 5 * SECOND)
    assert back.matcher.books[BTC].levels(60) == world.matcher.books[BTC].levels(60), "the past goes on alike"
    back.close()


lives = st.lists(
    st.tuples(acts, st.sampled_from(["", "", "", "", "close", "crash"])), min_size=4, max_size=24
)


@given(lives)
@settings(max_examples=20, deadline=None)
def test_however_often_it_is_restarted_a_world_lives_the_same_life(life: Sequence[tuple[Act, str]]) -> None:
    whole = World(TERMS)
    with TemporaryDirectory() as root:
        memory = Path(root) / "0"
        parts = World(TERMS, memory)
        for number, (act, then) in enumerate(life, start=1):
            act(whole)
            act(parts)
            if then == "crash":
                memory = crashed(memory, Path(root) / str(number))
            if then:
                parts.close()
                parts = World(TERMS, memory)
                parts.advance(whole.now_ns)
        assert seen(parts) == seen(whole)
        parts.close()


def test_a_crash_long_after_the_last_act_lives_again_what_had_been_told(tmp_path: Path) -> None:
    terms = replace(TERMS, pairs=("MXUSDT",))
    world = World(terms, tmp_path / "a")
    book = world.matcher.books[MX]
    assert book.best_ask is not None
    price = book.best_ask - book.market.tick
    world.place("bob", MX, order("bob", Side.BUY, OrderType.LIMIT, (Decimal(150), price)))
    world.advance(START + CHECKPOINT_NS + 30 * SECOND)
    world.advance(START + CHECKPOINT_NS + 4 * MINUTE)
    assert world.matcher.own_trades("bob", 0)
    before = seen(world)
    folder = crashed(tmp_path / "a", tmp_path / "b")
    world.close()
    assert (folder / "checkpoint").exists()
    back = World(replace(terms, start_ns=before["now"]), folder)
    assert seen(back) == before
    back.close()


def test_the_time_in_which_nobody_looked_is_lived_quickly_and_fills_what_the_price_went_through(
    tmp_path: Path,
) -> None:
    world = World(TERMS, tmp_path)
    near_touch = near(world, BTC, -5)
    world.place("alice", BTC, order("alice", Side.BUY, OrderType.LIMIT, (Decimal("0.01"), near_touch)))
    world.advance(START + SECOND)
    world.close()
    later = START + 6 * HOUR
    back = World(replace(TERMS, start_ns=later), tmp_path)
    assert back.now_ns == later
    assert back.terms.start_ns == START
    assert back.matcher.own_trades("alice", 0), "the price went through it in six hours"
    assert back.matcher.accounts.total("BTC") == Decimal("0.02")
    bars = back.history.candles(BTC, "1m", START, later)
    assert len(bars) == 360
    assert sum(bar.volume > 0 for bar in bars) > 300
    bids, asks = back.matcher.books[BTC].levels(5)
    assert bids[0][0] < asks[0][0]
    once = seen(back)
    back.close()
    (tmp_path / "checkpoint").unlink()
    again = World(TERMS, tmp_path)
    assert seen(again) == once, "the journal says in which time nobody looked"
    again.close()


def test_what_a_world_began_with_stays_and_only_keys_are_new(tmp_path: Path) -> None:
    world = World(TERMS, tmp_path)
    with_a_history(world)
    before = seen(world)
    world.close()
    other = Account("alice", "another", "1dea5", {"USDT": Decimal(1)})
    carol = Account("carol", "mx0carol", "2dea5", {"USDT": Decimal(5)})
    back = World(replace(TERMS, seed=9, pairs=(), taker_fee=Decimal(1), accounts=(other, carol)), tmp_path)
    assert (back.terms.seed, back.terms.pairs, back.terms.taker_fee) == (7, TERMS.pairs, TERMS.taker_fee)
    assert set(back.accounts) == {"another", "mx0carol"}
    assert back.matcher.balances("alice") == before["balances"]["alice"]
    assert back.matcher.balances("carol")["USDT"].total == 5
    assert back.matcher.balances("bob") == before["balances"]["bob"]
    back.close()


def test_the_journal_holds_every_act_with_its_moment_and_no_secret(tmp_path: Path) -> None:
    world = World(TERMS, tmp_path)
    with_a_history(world)
    lines = [json.loads(line) for line in journal(tmp_path)]
    kinds = [line["do"] for line in lines[1:]]
    assert kinds == [*["deposit"] * 4, "place", "place", "place", "cancel", "pause", "deposit"]
    moments = [line["at_ns"] for line in lines[1:]]
    assert moments == sorted(moments)
    text = (tmp_path / "journal.jsonl").read_text()
    assert ALICE.secret not in text
    assert ALICE.key not in text
    world.close()


@pytest.mark.parametrize(
    "line",
    [
        '{"do": "place", "at_ns": 1}',
        '{"do": "sing", "at_ns": 1, "symbol": ["BTC", "USDT"]}',
        '{"do": "sing", "at_ns": 1}',
        '{"do": "pause", "at_ns": 1, "symbol": ["NO", "USDT"]}',
        '{"do": "deposit", "at_ns": 1, "owner": "alice", "asset": "USDT", "amount": "much"}',
        "{",
    ],
)
def test_a_journal_that_makes_no_sense_is_one_clear_sentence(tmp_path: Path, line: str) -> None:
    World(replace(TERMS, pairs=()), tmp_path).close()
    path = tmp_path / "journal.jsonl"
    (tmp_path / "checkpoint").unlink()
    whole = path.read_text() + line + '\n{"do": "cancel_all", "at_ns": 1, "owner": "alice", "symbol": null}\n'
    path.write_text(whole)
    with pytest.raises(VenueUnavailable, match="cannot be read; move it away"):
        World(replace(TERMS, pairs=()), tmp_path)
    assert path.read_text() == whole


def test_a_line_cut_short_by_a_crash_never_took_effect(tmp_path: Path) -> None:
    world = World(TERMS, tmp_path / "a")
    with_a_history(world)
    before = seen(world)
    folder = crashed(tmp_path / "a", tmp_path / "b")
    world.close()
    whole = (folder / "journal.jsonl").read_text()
    with (folder / "journal.jsonl").open("a") as file:
        file.write('{"do": "cancel_all", "at_n')
    back = World(TERMS, folder)
    back.advance(before["now"])
    assert seen(back) == before
    *lines, taken_up = journal(folder)
    assert "\n".join(lines) + "\n" == whole
    assert json.loads(taken_up)["do"] == "up"
    back.close()


class Stranger:
    """Nothing that a world is made of."""


@pytest.mark.parametrize("harm", ["torn", "edited", "of a longer journal", "gone", "a stranger's"])
def test_a_checkpoint_that_cannot_be_used_is_as_good_as_none(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "checkpoint"
    checkpoint.save(path, {"now": [START]}, 100)
    assert checkpoint.load(path, 100) == ({"now": [START]}, 100)
    data, size = path.read_bytes(), 100
    if harm == "torn":
        path.write_bytes(data[:-3])
    elif harm == "edited":
        path.write_bytes(data.replace(b"now", b"wow"))
    elif harm == "of a longer journal":
        size = 99
    elif harm == "gone":
        path.unlink()
    else:
        checkpoint.save(path, Stranger(), 100)
    assert checkpoint.load(path, size) is None


def test_a_long_life_keeps_its_orders_and_trades_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mexclab.venues.matcher.KEPT_ORDERS", 300)
    world = World(replace(TERMS, pairs=("BTCUSDT",), past_days=0))
    stays = world.place(
        "alice", BTC, order("alice", Side.BUY, OrderType.LIMIT, (Decimal("0.001"), Decimal(9)))
    )
    assert stays.refusal is not None
    stays = world.place(
        "alice", BTC, order("alice", Side.BUY, OrderType.LIMIT, (Decimal("0.001"), Decimal(80_000)))
    )
    for _ in range(1_200):
        price = near(world, BTC, -20)
        news = world.place("alice", BTC, order("alice", Side.BUY, OrderType.LIMIT, (Decimal("0.001"), price)))
        assert news.order is not None
        world.cancel("alice", news.order.venue_id)
    known = world.matcher.placed("alice")
    assert 300 <= len(known) < 700
    assert known[0] is stays.order, "an order that is open is never forgotten"
    assert world.matcher.balances("alice")["USDT"].locked == known[0].hold.locked
