"""The simulated venue on a port: HTTP and WebSocket over one world.

In real time the venue's clock runs with the machine's, from the moment the server starts; stepped, it
stands still until the control endpoint moves it. Orders and cancels travel when a latency is given: they
are carried out on their arrival and answered after their way back, by the world's own calendar.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from math import exp
from time import monotonic, perf_counter_ns, time_ns
from typing import NamedTuple, TypeAlias

from mexclab.domain.clock import MILLISECOND, SECOND
from mexclab.errors import MexclabError, VenueRejected
from mexclab.venues.simulator import control, private, public, web
from mexclab.venues.simulator.connection import Connection, Turn
from mexclab.venues.simulator.faults import Faults, RequestFault
from mexclab.venues.simulator.gatekeeper import Gatekeeper
from mexclab.venues.simulator.http import Call, Reply, Route, error
from mexclab.venues.simulator.hub import StreamHub
from mexclab.venues.simulator.listen_keys import LIFE_S, ListenKeys
from mexclab.venues.simulator.pools import Pools, ServerTerms
from mexclab.venues.simulator.world import World

__all__ = ["ServerTerms", "SimulatorServer"]

DELAY_SPREAD = 0.35  # standard deviation of the log of a delay, as at the paper venue
SHORTEST_NAP_S, LONGEST_NAP_S = 0.0005, 0.05  # of the world, between two moments at which it is advanced
SILENT_S = 75.0  # a connection that says nothing for so long is closed
SWEEP_S = 5.0
ORDERS_KEPT = 10_000  # that are remembered as they came in
DRIPS = 16  # pieces of a reply that drips
STREAM = "/ws"
NOT_FOUND = error(404, 404, "Not Found")
BROKEN = error(500, 500, "Internal Server Error")
_REFUSED = Route(lambda call: NOT_FOUND)  # what a call costs its address that may not even come in
Routes: TypeAlias = dict[tuple[str, str], Route]  # by method and path
_TRAVELS = frozenset({"orders", "batch"})  # the pools whose calls have a latency


class OrderHeard(NamedTuple):
    """An order or a cancel as it came in, whatever became of it: by the machine's clock and the venue's."""

    machine_ns: int
    venue_ns: int
    method: str
    path: str
    symbol: str
    side: str
    client_id: str


class SimulatorServer:
    """One venue, served. ``start`` it, use ``url`` and ``ws_url``, ``stop`` it; the world stays the caller's.

    Args:
        world: what is served.
        terms: budgets, latency, time.
        faults: what goes wrong; None: nothing.
        dialect: the routes of a second wire dialect, served beside MEXC's on paths of its own.
    """

    def __init__(
        self,
        world: World,
        terms: ServerTerms,
        faults: Faults | None = None,
        dialect: Callable[[SimulatorServer], Routes] | None = None,
    ) -> None:
        self.world = world
        self.terms = terms
        self.faults = faults if faults is not None else Faults()
        self.faults.bind(world)
        self.hub = StreamHub(world, terms, self.faults, ListenKeys(LIFE_S / terms.time_scale))
        self.pools = Pools(terms)
        self.gatekeeper = Gatekeeper(world.accounts, self.told_ns)
        self.connections: set[Connection] = set()
        self.requests = 0
        self.orders_received = 0
        self.heard: deque[OrderHeard] = deque(maxlen=ORDERS_KEPT)
        self.orders_in_flight = 0
        self.url = self.ws_url = ""
        self._routes: Routes = {
            **({} if dialect is None else dialect(self)),
            **public.routes(self), **web.routes(self), **control.routes(self), **private.routes(self)
        }  # fmt: skip
        self._paths = {path for _, path in self._routes}
        self._server: asyncio.Server | None = None
        self._began_ns = perf_counter_ns()
        self._anchor_ns = world.now_ns
        self._timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._waiting: set[asyncio.Future[Reply]] = set()

    # -- life ------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Time begins to run."""
        loop = asyncio.get_running_loop()
        self._anchor_ns = max(self.terms.anchor_ns or 0, self.world.now_ns)
        self._began_ns = perf_counter_ns()
        self.advance()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        port = self._server.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.url, self.ws_url = f"http://{name}:{port}", f"ws://{name}:{port}{STREAM}"
        self.hub.start()
        self._sweep()
        if not self.terms.stepped:
            self._tick()

    async def stop(self) -> None:
        """Hang up on everybody. What was asked for and not answered stays unanswered."""
        for handle in (self._timer, self._sweeper):
            if handle is not None:
                handle.cancel()
        self._timer = self._sweeper = None
        if self._server is not None:
            self._server.close()
        self.hub.stop()
        for connection in list(self.connections):
            connection.close()
        for future in self._waiting:
            future.cancel()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)  # the transports close in the loop's next round

    # -- time ------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The venue's clock as it tells it: the true time and what its faults make of it."""
        return self._true_ns() + self.faults.clock_ns()

    def advance(self) -> None:
        """Let the world live up to now; stepped, its time is not ours to move."""
        if not self.terms.stepped and (now := self._true_ns()) > self.world.now_ns:
            self.world.advance(now)

    def _true_ns(self) -> int:
        if self.terms.stepped:
            return self.world.now_ns
        return self._anchor_ns + perf_counter_ns() - self._began_ns

    def told_ns(self) -> int:
        """``now_ns`` of the moment that the world is at: when a request that travelled is judged."""
        return self.world.now_ns + self.faults.clock_ns()

    def _tick(self) -> None:
        try:
            self.advance()
        finally:
            self._arm()

    def _arm(self) -> None:
        """Wake up when something happens next."""
        if self._timer is not None:
            self._timer.cancel()
        nap = (self.world.next_ns() - self._true_ns()) / SECOND
        nap = min(max(nap, SHORTEST_NAP_S), LONGEST_NAP_S)
        self._timer = asyncio.get_running_loop().call_later(nap, self._tick)

    def _sweep(self) -> None:
        since = monotonic() - SILENT_S / self.terms.time_scale
        for connection in [known for known in self.connections if known.is_silent(since)]:
            connection.close()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S / self.terms.time_scale, self._sweep)

    # -- requests --------------------------------------------------------------------------------

    def upgrade(self, transport: asyncio.Transport, path: str, head: bytes) -> asyncio.BaseProtocol | None:
        """A WebSocket: the hub's."""
        return self.hub.open(transport, head) if path == STREAM else None

    def take(self, call: Call, turn: Turn) -> None:
        """Answer a request: now, or when faults and latency say so."""
        self.requests += 1
        route = self._routes.get((call.method, call.path))
        if route is None:
            turn.reply(self._stray(call))
            return
        travels = route.pool in _TRAVELS
        if travels:
            self.orders_received += 1
            self._note(call)
        if route.signed:  # who it claims to be, for faults of one account; the gatekeeper judges
            call.account = (route.gate or self.gatekeeper).claimed(call)
        fault = self.faults.on_request(call)
        if fault is not None or (travels and self.terms.latency_ms_median):
            _Journey(self, route, call, turn, fault).begin()
            return
        self.advance()
        reply = self.handle(route, call)
        if isinstance(reply, Reply):
            turn.reply(reply)
        else:
            self.promise(reply, turn.reply)

    def _note(self, call: Call) -> None:
        get = call.params.get
        client_id = get("newClientOrderId") or get("origClientOrderId", "")
        facts = (call.method, call.path, get("symbol", ""), get("side", ""), client_id)
        self.heard.append(OrderHeard(time_ns(), self.now_ns(), *facts))

    def handle(self, route: Route, call: Call) -> Reply | Awaitable[Reply]:
        """Judge and carry out one request at the moment that the world is at."""
        if refusal := self._refused(route, call):
            return refusal if route.reworded is None else route.reworded(refusal)
        try:
            return route.handle(call)
        except VenueRejected as no:
            return error(400, no.data["code"], no.data["words"])
        except MexclabError:
            return BROKEN

    def _refused(self, route: Route, call: Call) -> Reply | None:
        """Why the call may not come in, or not now."""
        uid = ""
        if route.signed:
            if refusal := (route.gate or self.gatekeeper).admit(call):
                return self.pools.admit(_REFUSED, call.peer, "") or refusal
            assert call.account is not None
            uid = call.account.owner
        return self.pools.admit(route, call.peer, uid)

    def promise(self, reply: Awaitable[Reply], answer: Callable[[Reply], None]) -> None:
        """Answer with what an awaitable will give; one that ends badly is answered as the venue's fault."""
        future = asyncio.ensure_future(reply)
        self._waiting.add(future)

        def done(future: asyncio.Future[Reply]) -> None:
            self._waiting.discard(future)
            if not future.cancelled():
                answer(BROKEN if isinstance(future.exception(), MexclabError) else future.result())

        future.add_done_callback(done)

    def later(self, delay_ns: int, travels: bool, act: Callable[[], None]) -> None:
        """Do something later: in the venue's time for what travels to it, else in everybody's."""
        if travels:
            self.world.schedule(self.world.now_ns + delay_ns, act)
            if not self.terms.stepped:
                self._arm()
        else:
            asyncio.get_running_loop().call_later(delay_ns / SECOND, act)

    def delay_ns(self, call: Call, way: str) -> int:
        """One way of an order: lognormal, drawn from the seed and the request itself, never from a clock."""
        median = self.terms.latency_ms_median
        if not median:
            return 0
        named = (call.params.get(name, "") for name in ("newClientOrderId", "origClientOrderId", "orderId"))
        key = f"{self.world.terms.seed}:{call.method}:{':'.join(named)}:{self.world.now_ns}:{way}"
        chance = random.Random(key).gauss(0.0, 1.0)
        return int(median / 2 * MILLISECOND * exp(DELAY_SPREAD * chance))

    def _stray(self, call: Call) -> Reply:
        if call.path in self._paths:
            return error(405, 405, f"Request method '{call.method}' not supported")
        return NOT_FOUND


class _Journey:
    """One request that takes its time, or that something happens to on its way."""

    __slots__ = ("_call", "_fault", "_route", "_server", "_travels", "_turn")

    def __init__(
        self, server: SimulatorServer, route: Route, call: Call, turn: Turn, fault: RequestFault | None
    ) -> None:
        self._server, self._route, self._call, self._turn, self._fault = server, route, call, turn, fault
        self._travels = route.pool in _TRAVELS

    def begin(self) -> None:
        server = self._server
        server.advance()
        if self._travels:
            server.orders_in_flight += 1
        self._then("there", 0.0 if self._fault is None else self._fault.before_s, self._arrive)

    def _then(self, way: str, wait_s: float, act: Callable[[], None]) -> None:
        delay_ns = int(wait_s * SECOND)
        if self._travels:
            delay_ns += self._server.delay_ns(self._call, way)
        if delay_ns:
            self._server.later(delay_ns, self._travels, act)
        else:
            act()

    def _arrive(self) -> None:
        server, fault = self._server, self._fault
        if not self._travels:
            server.advance()
        times = 1 if fault is None else fault.times
        replies = [server.handle(self._route, self._call) for _ in range(times)]
        if not replies:
            self._depart(None)
        elif isinstance(replies[0], Reply):
            self._depart(replies[0])
        else:
            server.promise(replies[0], self._depart)

    def _depart(self, reply: Reply | None) -> None:
        wait_s = 0.0 if self._fault is None else self._fault.after_s
        self._then("back", wait_s, lambda: self._answer(reply))

    def _answer(self, reply: Reply | None) -> None:
        turn, fault = self._turn, self._fault
        if self._travels:
            self._server.orders_in_flight -= 1
        if fault is None:
            assert reply is not None
            turn.reply(reply)
        elif not fault.copies:
            turn.hang_up()
        else:
            data = turn.written(fault.spoil(reply)) * fault.copies
            if fault.drip_s:
                self._drip(data, fault.drip_s)
            else:
                turn.send(data)

    def _drip(self, data: bytes, span_s: float) -> None:
        loop = asyncio.get_running_loop()
        size = max(1, len(data) // DRIPS)
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        for number, piece in enumerate(pieces[:-1]):
            loop.call_later(span_s * number / len(pieces), self._turn.part, piece)
        loop.call_later(span_s, self._turn.send, pieces[-1])
