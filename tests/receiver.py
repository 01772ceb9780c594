"""A receiver of webhooks: a real HTTP server on this machine, that answers as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer; ``after_s`` late, and a byte of its head every ``drip_s``, if that is above 0.

    One that drips never comes to an end of its own.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    drip_s: float = 0.0


@dataclass
class Receiver:
    """What arrived, and what is answered next; when nothing is said: 200."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> list[str]:
        return [body["id"] for body in self.bodies]

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.bodies]


@contextmanager
def receiver(*replies: Reply) -> Iterator[Receiver]:
    """A receiver that listens until the end of the block."""
    told = Receiver(replies=list(replies))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}/planted-secret-of-the-webhook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.over.set()  # nobody waits for an answer any more
        server.shutdown()
        server.server_close()
        thread.join(5)


def until(holds: Callable[[], bool], within_s: float = 60.0, told: Callable[[], Any] = str) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.01)


def _handler(told: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.times.append(time.monotonic())
            told.heads.append({name.lower(): value for name, value in self.headers.items()})
            told.bodies.append(json.loads(body))
            reply = told.replies.pop(0) if told.replies else Reply()
            told.over.wait(reply.after_s)
            try:
                if reply.drip_s:
                    self.wfile.write(b"HTTP/1.1 200 OK")
                    while not told.over.wait(reply.drip_s):
                        self.wfile.write(b"x")
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
