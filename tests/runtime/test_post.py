"""The post: in order, at least once, each sink by itself, more patient with every refusal."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mexclab.domain.alert import Alert, Mark
from mexclab.domain.events import AlertRaised, Halted, OrderLost
from mexclab.errors import LedgerUnavailable
from mexclab.runtime.notify import LineFile, Notifier, Refusal, Webhook
from mexclab.runtime.post import Post, PostTerms
from mexclab.runtime.spool import Spool
from tests.receiver import Reply, receiver, until

QUICK = PostTerms(first_retry_s=0.05, last_retry_s=0.4)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", "desk")


@pytest.fixture
def posts() -> Iterator[Callable[..., Post]]:
    """Posts that are closed in the end."""
    made: list[Post] = []

    def post(outbox: Spool, *sinks: Notifier, terms: PostTerms = QUICK) -> Post:
        made.append(Post(outbox, sinks, terms))
        made[-1].start()
        return made[-1]

    yield post
    for each in made:
        each.close(0)


def fill(spool: Spool, count: int, level: str = "critical") -> list[str]:
    return [spool.add(n, level, "Halted", f"alert {n}").alert_id for n in range(count)]


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_alerts_arrive_in_order_once_each_when_all_goes_well(
    spool: Spool, posts: Callable[..., Post]
) -> None:
    with receiver() as there:
        post = posts(spool, Webhook(there.url, 5))
        ids = fill(spool, 20)
        post.stir()
        until(lambda: len(there.ids) == 20)
        assert there.ids == ids
        until(lambda: spool.mark("webhook") == Mark(20))  # written once the answer is back
    assert not post.troubles()


def test_what_was_refused_comes_again_under_the_same_id_before_anything_else(
    spool: Spool, posts: Callable[..., Post]
) -> None:
    with receiver(Reply(500), Reply(502), Reply(500), Reply(200)) as there:
        post = posts(spool, Webhook(there.url, 5))
        first, second = fill(spool, 2)
        post.stir()
        until(lambda: len(there.ids) == 5)
        assert there.ids == [first] * 4 + [second]
        waits = [after - before for before, after in zip(there.times, there.times[1:4], strict=False)]
        assert [wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.2), strict=True)] == [True] * 3


def test_the_waits_double_up_to_the_longest_and_a_receivers_wish_counts() -> None:
    terms = PostTerms(first_retry_s=2, last_retry_s=300)
    waits = [terms.wait_s(attempts, Refusal("no")) for attempts in (*range(1, 11), 10_000)]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert terms.wait_s(1, Refusal("no", after_s=60)) == 60
    assert terms.wait_s(1, Refusal("no", after_s=10**9)) == 3600


def test_retry_after_is_honoured(spool: Spool, posts: Callable[..., Post]) -> None:
    soon, late = (Reply(429, {"Retry-After": wish}) for wish in ("1", "3600"))
    with receiver(soon, Reply(), late) as there:
        post = posts(spool, Webhook(there.url, 5))
        fill(spool, 1)
        post.stir()
        until(lambda: spool.mark("webhook") == Mark(1))
        assert there.times[1] - there.times[0] >= 0.99
        assert not post.troubles()
        fill(spool, 1)
        post.stir()
        until(lambda: bool(post.troubles()))
        told = post.troubles()["webhook"]
        assert re.fullmatch(r"webhook: alerts not delivered since 20.* UTC: HTTP 429, 1 tries", told)
        for _ in range(20):  # news is no reason to be impatient
            post.stir()
            time.sleep(0.01)
        assert len(there.times) == 3


def test_a_sink_that_hangs_is_in_no_other_ones_way(
    spool: Spool, posts: Callable[..., Post], tmp_path: Path
) -> None:
    path = tmp_path / "alerts.jsonl"
    with receiver(Reply(after_s=300)) as there:
        post = posts(spool, Webhook(there.url, 300), LineFile(path))
        fill(spool, 10)
        post.stir()  # returns although the webhook will not answer
        until(lambda: lines(path) == 10)
        assert spool.mark("webhook") == Mark(0)
        began_s = time.monotonic()
        post.close(0.2)  # the one that hangs is left behind
        assert time.monotonic() - began_s < 60
        assert spool.mark("webhook") == Mark(0)


def test_a_crash_between_delivery_and_mark_delivers_again_under_the_same_id(tmp_path: Path) -> None:
    class Crashes(Spool):
        """The process dies after the sink took an alert, before that is written down."""

        def put(self, sink: str, mark: Mark) -> None:
            raise LedgerUnavailable("the process died here")

    folder = tmp_path / "spool"
    with receiver() as there:
        dying = Crashes(folder, "desk")
        post = Post(dying, [Webhook(there.url, 5)], QUICK)
        post.start()
        first, second = fill(dying, 2)
        post.stir()
        until(lambda: len(there.ids) == 1)
        post.close(0)
        again = Post(Spool(folder, "desk"), [Webhook(there.url, 5)], QUICK)
        again.start()
        until(lambda: len(there.ids) == 3)
        again.close()
    assert there.ids == [first, first, second]


def test_a_mark_that_cannot_be_written_is_no_reason_to_deliver_twice(
    tmp_path: Path, posts: Callable[..., Post]
) -> None:
    class Falters(Spool):
        refusals = 3

        def put(self, sink: str, mark: Mark) -> None:
            self.refusals -= 1
            if self.refusals >= 0:
                raise LedgerUnavailable("not now")
            super().put(sink, mark)

    spool = Falters(tmp_path / "spool", "desk")
    with receiver() as there:
        post = posts(spool, Webhook(there.url, 5))
        ids = fill(spool, 3)
        post.stir()
        until(lambda: spool.mark("webhook") == Mark(3))
        assert there.ids == ids


def test_a_new_sink_gets_no_history_and_one_that_was_away_gets_what_it_missed(
    tmp_path: Path, posts: Callable[..., Post]
) -> None:
    folder, first, late = tmp_path / "spool", tmp_path / "first", tmp_path / "late"
    spool = Spool(folder, "desk")
    posts(spool, LineFile(first)).close()
    fill(spool, 3)
    again = Spool(folder, "desk")
    late_sink = LineFile(late)
    late_sink.name = "late"
    post = posts(again, LineFile(first), late_sink)
    until(lambda: lines(first) == 3)
    fill(again, 1)
    post.stir()
    until(lambda: lines(first) == 4 and lines(late) == 1)


def test_what_is_below_the_level_is_passed_over_for_good(spool: Spool, posts: Callable[..., Post]) -> None:
    with receiver() as there:
        post = posts(spool, Webhook(there.url, 5), terms=PostTerms("warning", 0.05, 0.4))
        fill(spool, 2, "info")
        ids = fill(spool, 1, "warning") + fill(spool, 1, "critical")
        fill(spool, 1, "info")
        post.stir()
        until(lambda: spool.mark("webhook") == Mark(5))
        assert there.ids == ids


def test_the_last_round_delivers_what_waits(spool: Spool, posts: Callable[..., Post], tmp_path: Path) -> None:
    post = posts(spool, LineFile(tmp_path / "f"))
    fill(spool, 50)
    post.close(60)
    assert lines(tmp_path / "f") == 50


def test_a_wait_survives_a_restart_and_a_clock_that_was_wrong_does_not(
    tmp_path: Path, posts: Callable[..., Post]
) -> None:
    spool = Spool(tmp_path / "spool", "desk")
    spool.begin(["file"])
    fill(spool, 1)
    spool.put("file", Mark(0, 3, time.time_ns() + 60 * 10**9, "disk full"))
    post = posts(spool, LineFile(tmp_path / "f"))
    until(lambda: bool(post.troubles()))
    time.sleep(0.1)
    assert lines(tmp_path / "f") == 0
    post.close()
    spool.put("file", Mark(0, 3, time.time_ns() + 10**6 * 10**9, "disk full"))
    posts(spool, LineFile(tmp_path / "f"))
    until(lambda: lines(tmp_path / "f") == 1)


def test_only_what_is_an_alert_wakes_the_couriers(tmp_path: Path, posts: Callable[..., Post]) -> None:
    class Counts(Spool):
        asked = 0

        def waiting(self, after: int) -> Sequence[Alert]:
            self.asked += 1
            return super().waiting(after)

    spool = Counts(tmp_path / "spool", "desk")
    post = posts(spool, LineFile(tmp_path / "f"))
    until(lambda: spool.asked == 1)
    for _ in range(100):
        post.take(1, OrderLost(1, "x-1-1", "no answer"))
    time.sleep(0.1)
    assert spool.asked == 1
    post.take(2, AlertRaised(1, "warning", "!"))
    until(lambda: spool.asked == 2)
    post.take(3, Halted(1, "Ann", "lunch"))
    until(lambda: spool.asked == 3)


def test_a_post_without_sinks_or_start_ends_quietly(spool: Spool) -> None:
    Post(spool, [], QUICK).close()
    before = threading.active_count()
    post = Post(spool, [], QUICK)
    post.start()
    assert threading.active_count() == before
    post.close()


def test_a_couriers_first_word_waits_for_a_shot_to_leave(
    spool: Spool, posts: Callable[..., Post], tmp_path: Path
) -> None:
    leaves_s = time.monotonic() + 0.3
    terms = PostTerms("info", 0.05, 0.4, lambda: max(leaves_s - time.monotonic(), 0.0))
    post = posts(spool, LineFile(tmp_path / "f"), terms=terms)
    fill(spool, 2)
    post.stir()
    until(lambda: lines(tmp_path / "f") == 2)
    assert time.monotonic() >= leaves_s
