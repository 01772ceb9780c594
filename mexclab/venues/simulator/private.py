"""Every endpoint that must be signed: orders, and all that a key may know about its account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mexclab.domain.clock import MILLISECOND
from mexclab.venues.accounts import ZERO
from mexclab.venues.matcher import NO_SUCH_SYMBOL
from mexclab.venues.orders import BAD_PARAMETER, Refusal
from mexclab.venues.simulator.gatekeeper import missing
from mexclab.venues.simulator.http import Call, Reply, Route, plain
from mexclab.venues.simulator.order_calls import OrderCalls
from mexclab.venues.simulator.order_views import OrderViews, listed, refused
from mexclab.venues.simulator.world import Account, SymbolRow

if TYPE_CHECKING:
    from mexclab.venues.simulator.server import SimulatorServer

ALL_SIDES, CLOSED_SIDES = 1, 4  # tradeSideType
NO_RECORD = Refusal(22222, "record does not exist")
GROUP_WEIGHT = 20


def routes(server: SimulatorServer) -> dict[tuple[str, str], Route]:
    """Everything signed, by method and path."""
    views = OrderViews(server.world)
    return {
        **OrderCalls(server.world, views).routes(),
        **views.routes(),
        **AccountCalls(server).routes(),
        **GroupCalls(server).routes(),
    }


def _json(value: object) -> Reply:
    return Reply(200, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _caller(call: Call) -> Account:
    assert call.account is not None
    return call.account


class AccountCalls:
    """Balances, fees, permissions, coins, and the keys of the private stream."""

    def __init__(self, server: SimulatorServer) -> None:
        self._server = server
        self._world = server.world
        self._pays_in_mx: dict[str, bool] = {}

    def routes(self) -> dict[tuple[str, str], Route]:
        base, stream = "/api/v3/", "/api/v3/userDataStream"
        return {
            ("GET", base + "account"): Route(self.account, signed=True, weight=10, pool="account"),
            ("GET", base + "tradeFee"): Route(self.trade_fee, signed=True, weight=20),
            ("GET", base + "selfSymbols"): Route(self.self_symbols, signed=True),
            ("GET", base + "kyc/status"): Route(self.kyc_status, signed=True),
            ("GET", base + "uid"): Route(self.uid, signed=True),
            ("GET", base + "mxDeduct/enable"): Route(self.mx_deduct, signed=True),
            ("POST", base + "mxDeduct/enable"): Route(self.set_mx_deduct, signed=True),
            ("GET", base + "capital/config/getall"): Route(self.coins, signed=True, weight=10),
            ("POST", stream): Route(self.new_listen_key, signed=True),
            ("GET", stream): Route(self.listen_keys, signed=True),
            ("PUT", stream): Route(self.extend_listen_key, signed=True),
            ("DELETE", stream): Route(self.delete_listen_key, signed=True),
        }

    def _done(self, data: object) -> Reply:
        now = self._server.now_ns() // MILLISECOND
        return _json({"data": data, "code": 0, "msg": "success", "timestamp": now})

    def account(self, call: Call) -> Reply:
        """Only what there is something of, as live answers are."""
        account = _caller(call)
        balances = [
            {
                "asset": asset,
                "free": plain(balance.free),
                "locked": plain(balance.locked),
                "available": plain(balance.free),
            }
            for asset, balance in self._world.matcher.balances(account.owner).items()
            if balance.total != ZERO
        ]
        return _json(
            {
                "makerCommission": None,
                "takerCommission": None,
                "buyerCommission": None,
                "sellerCommission": None,
                "canTrade": account.can_trade,
                "canWithdraw": False,
                "canDeposit": True,
                "updateTime": None,
                "accountType": "SPOT",
                "balances": balances,
                "permissions": ["SPOT"],
            }
        )

    def trade_fee(self, call: Call) -> Reply:
        """Fees as JSON numbers, 18 decimals, as the venue prints them."""
        name = call.params.get("symbol")
        if not name:
            return missing("symbol")
        row = self._world.row(name)
        if row is None:
            return refused(NO_SUCH_SYMBOL)
        now = self._server.now_ns() // MILLISECOND
        maker, taker = (f"{fee:.18f}" for fee in (row.market.maker_fee, row.market.taker_fee))
        return Reply(
            200,
            f'{{"data":{{"makerCommission":{maker},"takerCommission":{taker}}},'
            f'"code":0,"msg":"success","timestamp":{now}}}'.encode(),
        )

    def self_symbols(self, call: Call) -> Reply:
        names = [str(row.symbol) for row in self._world.rows() if row.is_api_listed]
        return _json({"code": 200, "data": names, "msg": None})

    def kyc_status(self, call: Call) -> Reply:
        return _json({"status": "1"})

    def uid(self, call: Call) -> Reply:
        return _json({"uid": _caller(call).uid})

    def mx_deduct(self, call: Call) -> Reply:
        return self._done({"mxDeductEnable": self._pays_in_mx.get(_caller(call).owner, False)})

    def set_mx_deduct(self, call: Call) -> Reply:
        """Noted and shown; fees stay what they are."""
        wanted = call.params.get("mxDeductEnable", "").lower()
        if wanted not in ("true", "false"):
            return missing("mxDeductEnable")
        self._pays_in_mx[_caller(call).owner] = wanted == "true"
        return self._done({"mxDeductEnable": wanted == "true"})

    def coins(self, call: Call) -> Reply:
        """Every currency that a symbol is made of, with one network each."""
        named: dict[str, SymbolRow | None] = {}
        for row in self._world.rows():
            named[row.symbol.base] = row
            named.setdefault(row.symbol.quote, None)
        wanted = call.params.get("coin")
        coins = {wanted: named[wanted]} if wanted in named else {} if wanted else named
        return listed([_coin_text(coin, row) for coin, row in coins.items()])

    # -- the keys of the private stream ----------------------------------------------------------

    def new_listen_key(self, call: Call) -> Reply:
        return _json({"listenKey": self._server.hub.listen_keys.create(_caller(call).owner)})

    def listen_keys(self, call: Call) -> Reply:
        return _json({"listenKey": self._server.hub.listen_keys.keys(_caller(call).owner)})

    def extend_listen_key(self, call: Call) -> Reply:
        key = call.params.get("listenKey")
        if not key:
            return missing("listenKey")
        known = self._server.hub.listen_keys.extend(_caller(call).owner, key)
        return _json({"listenKey": key}) if known else refused(NO_RECORD)

    def delete_listen_key(self, call: Call) -> Reply:
        key = call.params.get("listenKey")
        if not key:
            return missing("listenKey")
        known = self._server.hub.listen_keys.delete(_caller(call).owner, key)
        return _json({"listenKey": key}) if known else refused(NO_RECORD)


def _coin_text(coin: str, row: SymbolRow | None) -> str:
    contract = None if row is None or not row.contract_address else row.contract_address
    network = {
        "coin": coin,
        "depositDesc": None,
        "depositEnable": True,
        "minConfirm": 0,
        "Name": "Ethereum(ERC20)",
        "network": "ERC20",
        "withdrawEnable": True,
        "withdrawFee": "0.000100000000000000",
        "withdrawIntegerMultiple": None,
        "withdrawMax": "10000.000000000000000000",
        "withdrawMin": "0.001000000000000000",
        "sameAddress": False,
        "contract": contract,
        "withdrawTips": None,
        "depositTips": None,
        "netWork": "ETH",
    }
    full = coin if row is None else row.full_name
    told = {"coin": coin, "Name": full, "networkList": [network]}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


class GroupCalls:
    """Groups of users whose orders are not to meet (self-trade prevention): kept and shown, nothing more.

    MEXC's documents name the paths and parameters; the fields of the answers are ours.
    """

    def __init__(self, server: SimulatorServer) -> None:
        self._server = server
        self._groups: dict[str, dict[int, tuple[str, list[str]]]] = {}  # by owner and id: name, user ids
        self._count = 0

    def routes(self) -> dict[tuple[str, str], Route]:
        base = "/api/v3/strategy/group"
        return {
            ("POST", base): Route(self.create, signed=True, weight=GROUP_WEIGHT),
            ("GET", base): Route(self.show, signed=True, weight=GROUP_WEIGHT),
            ("DELETE", base): Route(self.delete, signed=True, weight=GROUP_WEIGHT),
            ("POST", base + "/uid"): Route(self.add_uid, signed=True, weight=GROUP_WEIGHT),
            ("DELETE", base + "/uid"): Route(self.remove_uid, signed=True, weight=GROUP_WEIGHT),
        }

    def _done(self, data: object) -> Reply:
        now = self._server.now_ns() // MILLISECOND
        return _json({"data": data, "code": 200, "msg": "success", "timestamp": now})

    def _known(self, call: Call) -> dict[int, tuple[str, list[str]]]:
        return self._groups.setdefault(_caller(call).owner, {})

    def create(self, call: Call) -> Reply:
        name = call.params.get("tradeGroupName")
        if not name:
            return missing("tradeGroupName")
        groups = self._known(call)
        if any(known == name for known, _ in groups.values()):
            return refused(BAD_PARAMETER)
        self._count += 1
        groups[self._count] = (name, [])
        return self._done({"tradeGroupName": name, "tradeGroupId": self._count})

    def show(self, call: Call) -> Reply:
        wanted = call.params.get("tradeGroupName")
        rows = [
            {"tradeGroupName": name, "tradeGroupId": number, "uid": ",".join(uids)}
            for number, (name, uids) in self._known(call).items()
            if wanted in (None, "", name)
        ]
        return self._done(rows)

    def delete(self, call: Call) -> Reply:
        number = self._number(call)
        if isinstance(number, Reply):
            return number
        del self._known(call)[number]
        return self._done(True)

    def add_uid(self, call: Call) -> Reply:
        return self._with_uids(call, adds=True)

    def remove_uid(self, call: Call) -> Reply:
        return self._with_uids(call, adds=False)

    def _with_uids(self, call: Call, adds: bool) -> Reply:
        number, told = self._number(call), call.params.get("uid")
        if isinstance(number, Reply):
            return number
        if not told:
            return missing("uid")
        name, uids = self._known(call)[number]
        named = told.split(",")
        kept = [uid for uid in uids if uid not in named]
        self._known(call)[number] = (name, kept + named if adds else kept)
        return self._done(True)

    def _number(self, call: Call) -> int | Reply:
        text = call.params.get("tradeGroupId")
        if not text:
            return missing("tradeGroupId")
        numbers = {str(number): number for number in self._known(call)}
        return numbers.get(text) or refused(NO_RECORD)
