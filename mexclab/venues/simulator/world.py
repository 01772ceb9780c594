"""The venue without its wire: accounts, order books, listings, established pairs, time.

Everything depends on the seed, on time and on what is asked of it. With a memory, whatever is asked is
written to a journal before it takes effect, and a later start comes back with the same orders, balances
and decrees.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from mexclab.domain.clock import MINUTE
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.domain.market import Side, Symbol
from mexclab.domain.reports import Happening, Refused
from mexclab.errors import DomainError
from mexclab.venues.matcher import NO_SUCH_SYMBOL, News
from mexclab.venues.matching import OrderBook
from mexclab.venues.orders import NewOrder, Phase
from mexclab.venues.simulator import checkpoint
from mexclab.venues.simulator.acts import entry, redo
from mexclab.venues.simulator.journal import Journal
from mexclab.venues.simulator.lifecycle import Announcement, SymbolRow
from mexclab.venues.simulator.state import State, begin
from mexclab.venues.simulator.terms import PAPER_ACCOUNT, Account, WorldTerms

__all__ = ["PAPER_ACCOUNT", "Account", "Announcement", "Listener", "SymbolRow", "World", "WorldTerms"]

Listener = Callable[[str, Happening], None]

CHECKPOINT_NS = 10 * MINUTE
AWAY_BEATS = 1_000  # of each pair, at most, in a time that nobody looked at


class World:
    """A venue in process, driven to any moment by ``advance``.

    A restart, that is a start on a memory that holds something, takes seed, fees and pairs from there and
    only the accounts' keys from ``terms``. It comes back at the moment to which it had lived, and when
    ``terms.start_ns`` is later it goes on to it: the time in which nobody looked, see ``leave_alone``.

    Args:
        terms: as of the first start.
        memory: the folder of the journal; None keeps nothing.
        checkpoint_ns: between two checkpoints; what a restart after a crash lives again.

    Attributes:
        terms: those of the first start, with the accounts of this one.
        matcher: the books, accounts and orders; to be asked, not to be commanded.
        market: the listings and their scripts.
        history: trades, candles, the rolling day.
        now_ns: the moment lived to.
        accounts: by API key.

    Raises:
        VenueUnavailable: the memory cannot be read, or was begun with other bars.
        DomainError: the terms name a pair that does not exist.
    """

    def __init__(
        self, terms: WorldTerms, memory: Path | None = None, checkpoint_ns: int = CHECKPOINT_NS
    ) -> None:
        self.terms = terms
        self._every_ns = checkpoint_ns
        self.now_ns = terms.start_ns
        self.accounts: dict[str, Account] = {}
        self._listeners: list[Listener] = []
        self._callbacks: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._is_advancing = False
        self._journal: Journal | None = None
        self._checkpoint_ns = terms.start_ns + self._every_ns
        if memory is None:
            self._take_up(begin(terms, self._hear, self._time))
        else:
            self._journal = self._remember(memory)
        for account in terms.accounts:
            self.add_account(account)
        if terms.start_ns > self.now_ns:
            self.leave_alone(terms.start_ns)
        self.advance(self.now_ns)

    def close(self) -> None:
        """Keep what there is to be kept. What is on its way never arrives."""
        if self._journal is not None:
            self._keep(self.now_ns)
            self._journal.close()
            self._journal = None

    # -- memory ----------------------------------------------------------------------------------

    def _remember(self, memory: Path) -> Journal:
        """Come back to what the journal in ``memory`` tells, or begin it."""
        given = self.terms
        journal = Journal(memory, given.written(), "the simulated venue's", survives_power_loss=False)
        try:
            self.terms = given.as_written(journal.terms)
            kept = checkpoint.load(memory / "checkpoint", journal.path.stat().st_size)
            state, position = kept or (begin(self.terms, self._hear, self._time), 0)
            self._take_up(state)
            lived_ns = state.lived_ns
            for line in journal.read(position):
                redo(self, line)
                lived_ns = self.now_ns + self._every_ns
        except (LookupError, TypeError, ValueError, ArithmeticError, DomainError) as error:
            journal.close()
            raise journal.unreadable() from error
        self.advance(min(given.start_ns, lived_ns))  # what may have been told already happens again as it was
        if not journal.is_new:
            journal.write(entry("up", self.now_ns, {}))
        return journal

    def _take_up(self, state: State) -> None:
        self._state = state
        self.matcher, self.market, self.history = state.matcher, state.market, state.history
        self.lifecycle, self.now_ns = state.lifecycle, state.now_ns
        self.matcher.hear, self.history.now = self._hear, self._time
        self._checkpoint_ns = state.now_ns + self._every_ns
        self._look_ahead()

    def _keep(self, lived_ns: int) -> None:
        assert self._journal is not None
        self._state.now_ns, self._state.lived_ns = self.now_ns, lived_ns
        checkpoint.save(self._journal.path.with_name("checkpoint"), self._state, self._journal.size)
        self._checkpoint_ns = self.now_ns + self._every_ns

    def _write(self, act: str, **facts: Any) -> None:
        if self._journal is not None:
            self._journal.write(entry(act, self.now_ns, facts))

    # -- time ------------------------------------------------------------------------------------

    def _time(self) -> int:
        return self.now_ns

    def next_ns(self) -> int:
        """When something happens next by itself."""
        due = self._script_ns
        if self._state.agents and self._state.agents[0][0] < due:
            due = self._state.agents[0][0]
        if self._callbacks and self._callbacks[0][0] < due:
            due = self._callbacks[0][0]
        return due

    def advance(self, to_ns: int) -> None:
        """Live up to and including ``to_ns``, everything at its moment and in order.

        At one moment listings come first, then established pairs, then what was scheduled. A moment that
        is past changes nothing, and neither does a call from within a call.
        """
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while (at_ns := self.next_ns()) <= to_ns:
                self._live(at_ns)
        finally:
            self._is_advancing = False
        if to_ns > self.now_ns:
            self.now_ns = self.market.now_ns = self.matcher.now_ns = to_ns
        if self.now_ns >= self._checkpoint_ns and self._journal is not None:
            self._keep(self.now_ns + self._every_ns)

    def _live(self, at_ns: int) -> None:
        self.now_ns = self.matcher.now_ns = at_ns
        if self._script_ns <= at_ns:
            self.market.advance(at_ns)
            for symbol in self.matcher.decrees:
                self._impose(symbol)
            self._look_ahead()
        self.market.now_ns = at_ns
        agents = self._state.agents
        while agents and agents[0][0] <= at_ns:
            _, place, pair = agents[0]
            heapq.heapreplace(agents, (pair.beat(at_ns), place, pair))
        while self._callbacks and self._callbacks[0][0] <= at_ns:
            heapq.heappop(self._callbacks)[2]()

    def _look_ahead(self) -> None:
        self._script_ns = min(self.market.next_ns(), self.lifecycle.next_ns())

    def leave_alone(self, to_ns: int) -> None:
        """Live until ``to_ns`` as in a time that nobody looks at: established pairs move in long strides."""
        if to_ns <= self.now_ns:
            return
        self._write("away", to_ns=to_ns)
        stride_ns = max(MINUTE, (to_ns - self.now_ns) // AWAY_BEATS // MINUTE * MINUTE)
        for _, _, pair in self._state.agents:
            pair.away_stride_ns = stride_ns
        self.advance(to_ns)
        self._state.agents = [(to_ns, place, pair) for _, place, pair in self._state.agents]
        heapq.heapify(self._state.agents)
        for _, _, pair in self._state.agents:
            pair.away_stride_ns = 0
        self.advance(to_ns)

    def schedule(self, at_ns: int, act: Callable[[], None]) -> None:
        """Call ``act`` at ``at_ns``, within ``advance``. What is scheduled is not remembered."""
        self._count += 1
        heapq.heappush(self._callbacks, (max(at_ns, self.now_ns), self._count, act))

    # -- orders and accounts ---------------------------------------------------------------------

    def place(self, owner: str, symbol: Symbol, request: NewOrder) -> News:
        """Take an order at ``now_ns``; ``request.order_id`` is given by the venue, whatever it holds.

        Raises:
            DomainError: the request is another owner's.
        """
        if request.owner != owner:
            raise DomainError(f"an order of {request.owner} cannot be placed by {owner}", owner=owner)
        if self.row(str(symbol)) is None:
            refused = Refused(request.client_id, *NO_SUCH_SYMBOL, self.now_ns)
            news = News(((owner, refused),), refusal=NO_SUCH_SYMBOL)
        else:
            self._write("place", owner=owner, symbol=symbol, order=request)
            news = self.matcher.place(symbol, request, self.now_ns)
        self._hear(symbol, news)
        return news

    def cancel(self, owner: str, order_id: str) -> News:
        """Take the rest of an order out, by the owner's id or the venue's."""
        self._write("cancel", owner=owner, order_id=order_id)
        news = self.matcher.cancel(owner, order_id, self.now_ns)
        self._tell(news)
        return news

    def cancel_all(self, owner: str, symbol: Symbol | None = None) -> list[News]:
        self._write("cancel_all", owner=owner, symbol=symbol)
        return self._cancelled(owner, symbol)

    def _cancelled(self, owner: str | None, symbol: Symbol | None) -> list[News]:
        told = self.matcher.cancel_all(self.now_ns, owner, symbol)
        for news in told:
            self._tell(news)
        return told

    def add_account(self, account: Account) -> None:
        """Let an account trade. Its opening balances are paid in when the venue has never seen its owner."""
        is_new = account.owner not in self._owners()
        self.accounts[account.key] = account
        for asset, amount in account.balances.items() if is_new else ():
            self.deposit(account.owner, asset, amount)

    def _owners(self) -> set[str]:
        return {known.owner for known in self.accounts.values()} | self.matcher.accounts.owners()

    def deposit(self, owner: str, asset: str, amount: Decimal) -> None:
        """Bring money in, or with a negative amount take it out.

        Raises:
            DomainError: more would go than is free, or it is no amount.
        """
        if not amount.is_finite() or amount + self.matcher.accounts.balance(owner, asset).free < 0:
            raise DomainError(f"{owner}: {-amount} {asset} is more than is free", owner=owner, asset=asset)
        self._write("deposit", owner=owner, asset=asset, amount=amount)
        self.matcher.accounts.deposit(owner, asset, amount)

    # -- what is published -----------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` each owner and happening from now on; public news is for ``EVERYBODY``.

        Public news are trades, which the history knows by then; books are asked for, see ``book`` and
        ``OrderBook.changes_since``. Call the result to stop.
        """
        self._listeners = [*self._listeners, listener]

        def stop() -> None:
            self._listeners = [each for each in self._listeners if each is not listener]

        return stop

    def rows(self) -> Sequence[SymbolRow]:
        return tuple(self.lifecycle.rows().values())

    def row(self, wire_name: str) -> SymbolRow | None:
        """The row of the venue's exact name, ``BTCUSDT``; None when the venue has not told of it."""
        return self.lifecycle.rows().get(wire_name)

    def book(self, symbol: Symbol) -> OrderBook | None:
        """The book, or None of a symbol that the venue has not told of."""
        return self.matcher.books.get(symbol) if self.row(str(symbol)) is not None else None

    def entries(self) -> Sequence[CalendarEntry]:
        return self.lifecycle.entries()

    def states(self) -> Sequence[SymbolState]:
        """The symbol table: listings and established pairs."""
        return self.lifecycle.states()

    def announcements(self) -> Sequence[Announcement]:
        """Newest first."""
        return self.lifecycle.announcements()

    # -- playing the venue: each raises DomainError for a symbol that the venue has not told of ----

    def postpone(self, symbol: Symbol, to_ns: int) -> None:
        """Move an opening to ``to_ns``, earlier or later; of a symbol that is open, take it back till then.

        Raises:
            DomainError: ``to_ns`` is not in the future.
        """
        if to_ns <= self.now_ns:
            raise DomainError(f"{symbol} cannot open at {to_ns}: that is past", symbol=str(symbol))
        self._decree("postpone", symbol, value=to_ns)

    def withdraw(self, symbol: Symbol) -> None:
        """Take a coming listing back: no table names it until ``reopen``, and it does not open.

        Raises:
            DomainError: it is no listing that has yet to open.
        """
        self.lifecycle.check_coming(symbol)
        self._decree("withdraw", symbol)

    def pause(self, symbol: Symbol) -> None:
        self._decree("pause", symbol)

    def reopen(self, symbol: Symbol) -> None:
        """End a pause, a delisting, a withdrawal, or the wait for an opening that was taken back."""
        self._decree("reopen", symbol)

    def limit_sides(self, symbol: Symbol, side: Side | None) -> None:
        """Take orders of this side only; None: of both."""
        self._decree("limit_sides", symbol, value=side)

    def delist(self, symbol: Symbol) -> None:
        """Close it for good, and cancel what rests in its book."""
        self._decree("delist", symbol)

    def forbid_api(self, symbol: Symbol, until_ns: int | None) -> None:
        """Refuse orders by API although it trades, until then; None: for ever; the past: no longer."""
        self._decree("forbid_api", symbol, value=until_ns)

    def _decree(self, act: str, symbol: Symbol, **value: Any) -> None:
        self.lifecycle.check(symbol)
        self._write(act, symbol=symbol, **value)
        getattr(self.lifecycle, act)(symbol, *value.values())
        self._look_ahead()
        self._impose(symbol)
        if self.matcher.books[symbol].phase is Phase.CLOSED:
            self._cancelled(None, symbol)
            self.matcher.requote(symbol, "maker", {}, {}, self.now_ns)

    def _impose(self, symbol: Symbol) -> None:
        self.matcher.set_phase(symbol, self.matcher.natural[symbol])
        self.lifecycle.changed()

    # -- news ------------------------------------------------------------------------------------

    def _hear(self, symbol: Symbol, news: News) -> None:
        if news.executions:
            if not self.history.knows(symbol):
                script = self.market.script(symbol)
                opening = None if script is None else script.placeholder
                self.history.add(self.matcher.books[symbol].market, opening)
            self.history.record(symbol, news.executions)
        self._tell(news)

    def _tell(self, news: News) -> None:
        for listener in self._listeners:
            for owner, happening in news.told:
                listener(owner, happening)
