"""stand-in until accounts land"""
from __future__ import annotations
from decimal import Decimal
from mexclab.domain.market import Market, Side, Symbol, Trade
from mexclab.domain.order import Fill, Order, OrderState
from mexclab.domain.reports import Accepted, Balance, Cancelled, Refused, TradeSeen, Traded, VenueOrder
from mexclab.venues.matching import NewOrder, OrderBook, Phase, Status, HOUSE


class Matcher:
    def __init__(self, balances):
        self.books = {}
        self.bal = {(o, a): q for o, d in balances.items() for a, q in d.items()}
        self.orders = {}
        self._fills = []
        self.n = 0

    def add(self, market: Market, phase: Phase):
        book = OrderBook(market)
        book.phase = phase
        self.books[market.symbol] = book

    def set_phase(self, symbol, phase):
        self.books[symbol].phase = phase

    def _news(self, symbol, executions):
        out = []
        for x in executions:
            out.append(TradeSeen(Trade(symbol, x.price, x.quantity, x.taker_side, x.at_ns)))
            for oid, tid, side, maker in ((x.taker_order_id, x.taker_trade_id, x.taker_side, False), (x.maker_order_id, x.maker_trade_id, x.taker_side.opposite, True)):
                if oid in self.orders:
                    rec = self.orders[oid]
                    fee = x.price * x.quantity * (self.books[symbol].market.maker_fee if maker else self.books[symbol].market.taker_fee)
                    fill = Fill(f"{symbol}-{tid}", rec["o"].client_id, symbol, side, x.price, x.quantity, fee, symbol.quote, x.at_ns, maker)
                    self._fills.append(fill)
                    rec["filled"] += x.quantity
                    if rec["filled"] == rec["o"].quantity:
                        rec["state"] = OrderState.FILLED
                    s = 1 if side is Side.BUY else -1
                    self.bal[("me", symbol.base)] = self.bal.get(("me", symbol.base), Decimal(0)) + s * x.quantity
                    self.bal[("me", symbol.quote)] -= s * x.price * x.quantity + fee
                    out.append(Traded(fill, x.at_ns))
        return out

    def requote(self, symbol, maker, bids, asks, at_ns):
        return self._news(symbol, self.books[symbol].requote(maker, bids, asks, at_ns).executions)

    def house(self, symbol, side, kind, size, at_ns):
        self.n += 1
        out = self.books[symbol].submit(NewOrder(f"h{self.n}", HOUSE, side, kind, size[0], size[1]), at_ns)
        return self._news(symbol, out.executions)

    def submit(self, owner, order: Order, at_ns):
        self.n += 1
        oid = f"C02__{self.n:021d}"
        rec = {"o": order, "filled": Decimal(0), "state": OrderState.ACCEPTED, "oid": oid}
        self.orders[oid] = rec
        out = self.books[order.symbol].submit(NewOrder(oid, owner, order.side, order.type, order.quantity, order.price, None, order.client_id), at_ns)
        if out.refusal:
            del self.orders[oid]
            return [Refused(order.client_id, out.refusal.code, out.refusal.words, at_ns)]
        news = [Accepted(order.client_id, oid, at_ns), *self._news(order.symbol, out.executions)]
        if out.status in (Status.CANCELED, Status.PARTIALLY_CANCELED):
            rec["state"] = OrderState.CANCELED
            news.append(Cancelled(order.client_id, "nothing more to be had at the limit", at_ns))
        return news

    def _find(self, cid):
        return next((r for r in self.orders.values() if r["o"].client_id == cid), None)

    def cancel(self, owner, client_id, at_ns):
        rec = self._find(client_id)
        if rec is None:
            return []
        self.books[rec["o"].symbol].cancel(rec["oid"])
        if rec["state"] is OrderState.ACCEPTED:
            rec["state"] = OrderState.CANCELED
            return [Cancelled(client_id, "canceled", at_ns)]
        return []

    def _vo(self, r):
        o = r["o"]
        return VenueOrder(o.client_id, r["oid"], o.symbol, o.side, r["state"], o.quantity, o.price, r["filled"])

    def order(self, owner, cid):
        r = self._find(cid)
        return self._vo(r) if r else None

    def open_orders(self, owner):
        return [self._vo(r) for r in self.orders.values() if r["state"] is OrderState.ACCEPTED]

    def fills(self, owner, since):
        return [f for f in self._fills if f.at_ns >= since]

    def balances(self, owner):
        return {a: Balance(q, Decimal(0)) for (o, a), q in self.bal.items()}
