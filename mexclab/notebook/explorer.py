"""The explorer: draw a window on a chart, and see at once where its shape came before and what followed.

The kernel reads and computes, in threads of its own; the browser draws. The latest question wins: one
that was overtaken is not answered. Matches cross as soon as they are found, the outcome after them.

Messages from the view: ``ready`` and ``symbol`` (symbol, interval; around_ms and around_length: the close
and the bars of a window to show), ``page`` (before_ms or after_ms), ``ask`` (the fields of
:class:`~mexclab.notebook.explorer_answer.Question`), ``forget``, ``match`` (symbol, start_ms, length,
horizon), ``reread`` (around_ms, around_length), ``beat``. To the view: ``hello`` (symbols,
intervals, interval, simulated), ``bars`` (place: new, older, newer, tail; whole: whether the chart
reaches the last bar; end_ms: when that one closes), ``history``, ``busy`` (words), ``matches``,
``outcome``, ``refused`` (id, text), ``match_bars``, ``alive``, ``fault`` (text). Bars and shapes cross as
buffers of numbers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import traitlets

from mexclab.errors import DataError, MexclabError
from mexclab.notebook import explorer_answer as answers
from mexclab.notebook.explorer_answer import Question, Source
from mexclab.notebook.view import Message, View
from mexclab.research.multiplicity import q_values
from mexclab.research.windows import Panel
from mexclab.store.lake_layout import INTERVAL_MS

TELL_S = 0.25  # between two words on how far the reading is

Send: TypeAlias = Callable[[dict[str, Any], list[bytes]], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the lake's tail is looked at, and how long a silent view is believed in; seconds.

    Attributes:
        tail_s: between two looks for new bars of the symbol that is shown.
        away_s: without a heartbeat for this long nothing is read or sent.
        leave_s: without a heartbeat for this long a kernel under Voila ends.
    """

    tail_s: float = 1.0
    away_s: float = 8.0
    leave_s: float = 30.0


@dataclass(slots=True)
class _Chart:
    """What the view shows: whose bars, how far they reach, and whether that is the end of the lake."""

    symbol: str = ""
    interval: str = "1m"
    last_ms: int = 0
    whole: bool = False
    end_ms: int = 0  # when the symbol's last bar closes, be it on the chart or not
    tail: bytes = b""  # the last bar as it was sent: it is sent again only when it was corrected


class Told:
    """Says what is being done and how much of it, a few times a second at most."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._tell, self._words, self._said_s = say, "", 0.0

    def say(self, words: str) -> None:
        """Something else is done now; an empty text: nothing."""
        self._words = words
        self._tell(words)

    def share(self, done: int, total: int) -> None:
        """So much of it is done."""
        now_s = time.monotonic()
        if now_s - self._said_s >= TELL_S:
            self._said_s = now_s
            self._tell(f"{self._words}: {done / max(1, total):.0%}")


class Session:
    """Between one view and a lab. ``take`` returns at once; everything slow happens in two threads.

    Args:
        lab: whose bars; nothing is read before the view is ready.
        send: takes a message and its buffers to the view; called from several threads.
        leave: called once when the view is gone for good; None where the kernel must stay.
        pace: how often, and how long.
    """

    def __init__(
        self,
        lab: Source,
        send: Send,
        leave: Callable[[], None] | None = None,
        pace: Pace = Pace(),
    ) -> None:
        self._lab = lab
        self._send = send
        self._leave = leave
        self._pace = pace
        self._chart = _Chart()
        self._told = ""  # the interval whose history the view was told about
        self._asked: dict[Question, float] = {}  # the p-value of every window asked so far
        self._trouble = ""  # why the latest look for new bars failed: said once, not every second
        self._wanted = 0  # the number of the latest question; others are not answered
        self._beat_s = time.monotonic()
        self._reader = ThreadPoolExecutor(1, "explorer reader")
        self._asker = ThreadPoolExecutor(1, "explorer asker")
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    def take(self, message: Message) -> None:
        """Take one message from the view."""
        self._beat_s = time.monotonic()
        kind = message.get("kind")
        reads: dict[str, Callable[[Message], None]] = {
            "ready": self._greet,
            "symbol": self._show,
            "page": self._turn,
            "match": self._show_match,
        }
        if kind == "ready":
            self._watch_over()
        if kind in reads:
            self._in(self._reader, partial(reads[str(kind)], message))
        elif kind == "ask":
            self._ask(message)
        elif kind == "forget":
            self._wanted = 0
        elif kind == "reread":
            self._in(self._asker, partial(self._reread, message))

    def close(self) -> None:
        """Stop. What runs is finished, nothing new begins."""
        self._closing.set()
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._asker.shutdown(wait=False, cancel_futures=True)

    # -- threads ----------------------------------------------------------------------------------

    def _in(self, pool: ThreadPoolExecutor, work: Callable[[], None]) -> Future[None] | None:
        if self._closing.is_set():
            return None
        done = pool.submit(work)
        done.add_done_callback(self._tell_fault)
        return done

    def _tell_fault(self, done: Future[None]) -> None:
        """An exception in a thread would vanish: show it on the page."""
        if done.cancelled() or (fault := done.exception()) is None:
            return
        if isinstance(fault, MexclabError):
            self._send({"kind": "refused", "id": 0, "text": fault.message}, [])
        else:
            self._send({"kind": "fault", "text": f"{type(fault).__name__}: {fault}"}, [])

    def _watch_over(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="explorer watch", daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        pace, looking = self._pace, None
        while not self._closing.wait(pace.tail_s):
            silent_s = time.monotonic() - self._beat_s
            if self._leave is not None and silent_s > pace.leave_s:
                self._leave()
                return
            if silent_s < pace.away_s and (looking is None or looking.done()):
                looking = self._in(self._reader, self._look_for_news)

    # -- bars, on the reader's thread -------------------------------------------------------------

    def _greet(self, message: Message) -> None:
        lake = self._lab.lake
        intervals = [interval for interval in INTERVAL_MS if lake.symbols(interval)]
        if not intervals:
            raise DataError("The lake is empty. Bring bars with `mexclab import` or `mexclab fetch bars`.")
        interval = str(message.get("interval") or "")
        interval = interval if interval in intervals else intervals[0]
        symbols = lake.symbols(interval)
        self._send(
            {
                "kind": "hello",
                "symbols": symbols,
                "intervals": intervals,
                "interval": interval,
                "simulated": self._lab.simulated,
                "at_ms": time.time_ns() // 1_000_000,
            },
            [],
        )
        wanted = str(message.get("symbol") or "")
        named = wanted if wanted in symbols else answers.first_symbol(self._lab, interval)
        self._told = ""  # a second view, or one that was reloaded, is told it, too
        around = {} if wanted in ("", named) else {"around_ms": None, "around_length": None}  # of other bars
        self._show({**message, **around, "symbol": named, "interval": interval})
        if wanted and wanted != named:
            raise DataError(f"The lake has no {interval} bars of {wanted}: this is {named}.")

    def _show(self, message: Message) -> None:
        symbol, interval = str(message["symbol"]), str(message.get("interval") or self._chart.interval)
        about = {name: message.get(name) for name in ("around_ms", "around_length")}
        where = {name: int(value) for name, value in about.items() if value is not None}
        bars = answers.page_of_bars(self._lab.lake, symbol, interval, **where)
        if not len(bars):  # a time that the lake does not reach
            where, bars = {}, answers.page_of_bars(self._lab.lake, symbol, interval)
        self._chart = _Chart(symbol, interval)
        self._draw("new", bars, whole=not where or len(bars) < answers.BARS_A_PAGE)
        if interval != self._told:
            self._told = interval
            self._in(self._asker, partial(self._read_history, interval))

    def _turn(self, message: Message) -> None:
        """A page of older or of newer bars."""
        chart = self._chart
        if message.get("symbol") != chart.symbol or message.get("interval") != chart.interval:
            return  # of a chart that is not shown any more
        older = "before_ms" in message
        where = "before_ms" if older else "after_ms"
        bars = answers.page_of_bars(
            self._lab.lake, chart.symbol, chart.interval, **{where: int(message[where])}
        )
        full = len(bars) == answers.BARS_A_PAGE
        self._draw("older" if older else "newer", bars, whole=chart.whole if older else not full, more=full)

    def _draw(self, place: str, bars: np.ndarray, *, whole: bool, more: bool = True) -> None:
        chart = self._chart
        chart.whole = whole
        if len(bars) and place != "older":
            chart.last_ms, chart.tail = int(bars[-1, 0]), bars[-1].tobytes()
        if whole:
            chart.end_ms = chart.last_ms + INTERVAL_MS[chart.interval]
        elif place == "new":
            chart.end_ms = answers.end_of_bars(self._lab.lake, chart.symbol, chart.interval)
        told = {
            "kind": "bars",
            "place": place,
            "symbol": chart.symbol,
            "interval": chart.interval,
            "interval_ms": INTERVAL_MS[chart.interval],
            "whole": whole,
            "more": more,
            "end_ms": chart.end_ms,
            "at_ms": time.time_ns() // 1_000_000,
        }
        self._send(told, [np.ascontiguousarray(bars, dtype="<f8").tobytes()])

    def _look_for_news(self) -> None:
        trouble = ""
        try:
            if self._drew_news():
                self._trouble = ""
                return
        except MexclabError as refused:
            trouble = refused.message
        if trouble and trouble != self._trouble:
            self._send({"kind": "refused", "id": 0, "text": trouble}, [])
        self._trouble = trouble
        self._send({"kind": "alive", "at_ms": time.time_ns() // 1_000_000}, [])

    def _drew_news(self) -> bool:
        chart = self._chart
        if not (chart.symbol and chart.whole):
            return False
        bars = answers.newer_bars(self._lab.lake, chart.symbol, chart.interval, chart.last_ms)
        is_new = len(bars) > 1 or (len(bars) == 1 and bars[-1].tobytes() != chart.tail)
        if is_new:
            self._draw("tail", bars, whole=True)
        return is_new

    def _show_match(self, message: Message) -> None:
        bars = answers.bars_of_match(self._lab.lake, self._chart.interval, message)
        told = {name: message[name] for name in ("symbol", "start_ms", "length", "horizon", "rank")}
        self._send({"kind": "match_bars", **told}, [np.ascontiguousarray(bars, dtype="<f8").tobytes()])

    # -- questions, on the asker's thread ---------------------------------------------------------

    def _ask(self, message: Message) -> None:
        try:
            question = Question.read(message)
        except MexclabError as refused:
            self._send({"kind": "refused", "id": message.get("id"), "text": refused.message}, [])
            return
        self._wanted = question.number
        self._in(self._asker, partial(self._answer, question))

    def _overtaken(self, question: Question) -> bool:
        return self._closing.is_set() or question.number != self._wanted

    def _answer(self, question: Question) -> None:
        if self._overtaken(question):
            return
        started_s = time.perf_counter()
        try:
            panel, matches = answers.search(self._lab, question)
            told, shapes = answers.matches_message(panel, matches, question)
            took = {"search_ms": (time.perf_counter() - started_s) * 1e3}
            if self._overtaken(question):
                return
            self._send({**told, **took}, [shapes.astype("<f4").tobytes()])
            if question.final:
                outcome = answers.outcome_message(panel, question, matches)
                outcome |= self._among_many(question, outcome)
                took["took_ms"] = (time.perf_counter() - started_s) * 1e3
                if not self._overtaken(question):
                    self._send({**outcome, **took}, [])
                    self._send(answers.history_message(panel, question.interval), [])
        except MexclabError as refused:
            if not self._overtaken(question):
                self._send({"kind": "refused", "id": question.number, "text": refused.message}, [])
        except Exception as fault:  # the page waits for an answer to this question before it asks again
            words = f"This search failed: {type(fault).__name__}."
            self._send({"kind": "refused", "id": question.number, "text": words}, [])
            raise

    def _among_many(self, question: Question, outcome: dict[str, Any]) -> dict[str, Any]:
        """What is left of an edge when it is one of many windows that were asked here."""
        self._asked[replace(question, number=0)] = outcome["p_value"]
        among = q_values(np.array(list(self._asked.values())))
        q_value = float(among[list(self._asked).index(replace(question, number=0))])
        survives = bool(outcome["edge"]) and q_value <= outcome["significance"]
        return {"asked": len(self._asked), "q_value": q_value, "survives": survives}

    def _read_history(self, interval: str) -> None:
        """Read what is searched, and rehearse: the first answer then comes as fast as the others."""
        told = Told(lambda words: self._send({"kind": "busy", "words": words}, []))
        told.say("reading the history")
        try:
            panel = self._lab.panel(interval, progress=told.share)
            self._send(answers.history_message(panel, interval), [])
            if not self._wanted:  # who asks already is answered at once, however long that takes
                told.say("preparing the search")
                self._rehearse(panel, interval)
        finally:
            told.say("")

    def _rehearse(self, panel: Panel, interval: str) -> None:
        with contextlib.suppress(MexclabError):  # who asks will be told why
            question = answers.rehearsal(self._lab.lake, self._chart.symbol, interval)
            if question is None:
                return
            answers.outcome_message(panel, question, answers.search(self._lab, question)[1])
            started_s = time.perf_counter()  # everything is compiled now: this is what a search takes
            answers.search(self._lab, question)
            took = {"search_ms": (time.perf_counter() - started_s) * 1e3}
            self._send(answers.history_message(panel, interval) | took, [])

    def _reread(self, message: Message) -> None:
        """Look at the lake anew: its symbols, whether it is simulated, the bars shown, and the history."""
        self._lab.refresh()
        shown = {"symbol": self._chart.symbol, "interval": self._chart.interval}
        self._in(self._reader, partial(self._greet, {**message, **shown}))


class Explorer(View):
    """Pick a symbol, draw a window, see its matches and what followed. Show it as the last value of a cell.

    Args:
        lab: whose bars; what it has read is shared.
        symbol: whose chart to show first; empty: the most traded one. What the page's address
            names wins (``?symbol=``).
        interval: length of the bars that are shown first.

    Raises:
        ConfigError: the front end has not been built.
    """

    interval = traitlets.Unicode("").tag(sync=True)

    def __init__(self, lab: Source, symbol: str = "", interval: str = "1m") -> None:
        super().__init__("explorer", symbol=symbol, interval=interval)
        self._session = Session(lab, self.send, self.leave)
        self.listen(self._session.take)
