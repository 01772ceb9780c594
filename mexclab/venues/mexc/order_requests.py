"""The bytes of an order, quickly: all that does not change from one order to the next is made once."""

from __future__ import annotations

from urllib.parse import quote

from mexclab.domain.clock import MILLISECOND
from mexclab.domain.market import Side, Symbol
from mexclab.domain.order import Order, OrderType
from mexclab.venues.mexc.endpoints import NEW_ORDER
from mexclab.venues.mexc.http import Origin
from mexclab.venues.mexc.signing import Signer


class OrderRequests:
    """Writes signed ``POST /api/v3/order`` requests.

    The parameters are in the query and the body is empty: the venue refuses form bodies, and an empty one is
    what it is known to take. A MARKET order carries its price, too: it narrows the venue's own bound.

    Args:
        common: the header lines that every request carries, from the blank after the query on.
    """

    def __init__(self, origin: Origin, signer: Signer, common: bytes, recv_window_ms: int) -> None:
        self._signer = signer
        self._start = f"{NEW_ORDER.method} {origin.prefix}{NEW_ORDER.path}?".encode()
        tail = b"Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"
        self._end = common + signer.header + tail
        self._stamp = f"&recvWindow={recv_window_ms}&timestamp="
        self._heads: dict[tuple[Symbol, Side, OrderType], str] = {}

    def place(self, order: Order, at_ns: int) -> bytes:
        """The request, stamped and signed for ``at_ns`` on the venue's clock.

        A client order id needs no percent-encoding, and a ``Decimal`` is written plainly, never with an
        exponent.
        """
        head = self._heads.get((order.symbol, order.side, order.type)) or self._head(order)
        text = (
            f"{head}{order.quantity:f}&price={order.price:f}"
            f"&newClientOrderId={order.client_id}{self._stamp}{at_ns // MILLISECOND}"
        ).encode()
        return b"".join((self._start, text, b"&signature=", self._signer.sign(text), self._end))

    def _head(self, order: Order) -> str:
        symbol = quote(str(order.symbol), safe="")
        head = f"symbol={symbol}&side={order.side}&type={order.type}&quantity="
        self._heads[order.symbol, order.side, order.type] = head
        return head
