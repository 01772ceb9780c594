"""MEXC's stream payloads: the protobuf schema of 2026-06, built at import from a table of facts.

The messages have no package, and ccxt registers its own of the same names in protobuf's default pool;
this schema therefore lives in a pool of its own, and both can be loaded in one process. Prices and
quantities are decimal text on the wire; times are milliseconds since the epoch, except a kline's window,
which is in seconds. Source: MEXC's public schema (field numbers and types), order of bodies included.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto  # type: ignore[import-untyped]
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]

# name[:kind][*|?][=number]; kind is text where none is given, numbers count up from the one before;
# * repeated, ? optional with presence
_LEVEL = "price quantity"
_DEAL = "price quantity tradeType:int32 time:int64"
_MESSAGES = {
    "PublicDealsV3ApiItem": _DEAL,
    "PublicDealsV3Api": "deals:PublicDealsV3ApiItem* eventType",
    "PublicIncreaseDepthV3ApiItem": _LEVEL,
    "PublicIncreaseDepthsV3Api": "asks:PublicIncreaseDepthV3ApiItem* bids:PublicIncreaseDepthV3ApiItem* "
    "eventType version",
    "PublicIncreaseDepthsBatchV3Api": "items:PublicIncreaseDepthsV3Api* eventType",
    "PublicLimitDepthV3ApiItem": _LEVEL,
    "PublicLimitDepthsV3Api": "asks:PublicLimitDepthV3ApiItem* bids:PublicLimitDepthV3ApiItem* "
    "eventType version lastOrderCreateTime:int64",
    "PublicBookTickerV3Api": "bidPrice bidQuantity askPrice askQuantity",
    "PublicBookTickerBatchV3Api": "items:PublicBookTickerV3Api* version lastOrderCreateTime:int64",
    "PublicAggreDepthV3ApiItem": _LEVEL,
    "PublicAggreDepthsV3Api": "asks:PublicAggreDepthV3ApiItem* bids:PublicAggreDepthV3ApiItem* "
    "eventType fromVersion toVersion lastOrderCreateTime:int64",
    "PublicAggreDealsV3ApiItem": f"{_DEAL} tradeId",
    "PublicAggreDealsV3Api": "deals:PublicAggreDealsV3ApiItem* eventType",
    "PublicAggreBookTickerV3Api": "bidPrice bidQuantity askPrice askQuantity version "
    "lastOrderCreateTime:int64",
    "PublicSpotKlineV3Api": "interval windowStart:int64 openingPrice closingPrice highestPrice lowestPrice "
    "volume amount windowEnd:int64",
    "PublicMiniTickerV3Api": "symbol price rate zonedRate high low volume quantity lastCloseRate "
    "lastCloseZonedRate lastCloseHigh lastCloseLow",
    "PublicMiniTickersV3Api": "items:PublicMiniTickerV3Api*",
    "PrivateAccountV3Api": "vcoinName coinId balanceAmount balanceAmountChange frozenAmount "
    "frozenAmountChange type time:int64",
    "PrivateDealsV3Api": "price quantity amount tradeType:int32 isMaker:bool isSelfTrade:bool tradeId "
    "clientOrderId orderId feeAmount feeCurrency time:int64",
    "PrivateOrdersV3Api": "id clientId price quantity amount avgPrice orderType:int32 tradeType:int32 "
    "isMaker:bool remainAmount remainQuantity lastDealQuantity? cumulativeQuantity cumulativeAmount "
    "status:int32 createTime:int64 market? triggerType:int32? triggerPrice? state:int32? ocoId? "
    "routeFactor? symbolId? marketId? marketCurrencyId? currencyId?",
    "PushDataV3ApiWrapper": "channel symbol?=3 symbolId? createTime:int64? sendTime:int64?",
}
# the wrapper carries one of these as its ``body``: field 301 and on, in this order
BODIES = {
    "publicDeals": "PublicDealsV3Api",
    "publicIncreaseDepths": "PublicIncreaseDepthsV3Api",
    "publicLimitDepths": "PublicLimitDepthsV3Api",
    "privateOrders": "PrivateOrdersV3Api",
    "publicBookTicker": "PublicBookTickerV3Api",
    "privateDeals": "PrivateDealsV3Api",
    "privateAccount": "PrivateAccountV3Api",
    "publicSpotKline": "PublicSpotKlineV3Api",
    "publicMiniTicker": "PublicMiniTickerV3Api",
    "publicMiniTickers": "PublicMiniTickersV3Api",
    "publicBookTickerBatch": "PublicBookTickerBatchV3Api",
    "publicIncreaseDepthsBatch": "PublicIncreaseDepthsBatchV3Api",
    "publicAggreDepths": "PublicAggreDepthsV3Api",
    "publicAggreDeals": "PublicAggreDealsV3Api",
    "publicAggreBookTicker": "PublicAggreBookTickerV3Api",
}
_FIRST_BODY = 301
_KINDS = {
    "text": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="mexc_spot_v3.proto", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        number, optional = 0, []
        for fact in fields.split():
            fact, _, given = fact.partition("=")
            number = int(given) if given else number + 1
            field = _field(message, fact.rstrip("*?"), number)
            if fact.endswith("*"):
                field.label = FieldDescriptorProto.LABEL_REPEATED
            elif fact.endswith("?"):
                field.proto3_optional = True
                optional.append(field)
        if name == "PushDataV3ApiWrapper":
            message.oneof_decl.add(name="body")
            for place, (body, kind) in enumerate(BODIES.items()):
                _field(message, f"{body}:{kind}", _FIRST_BODY + place).oneof_index = 0
        for field in optional:  # protobuf wants the oneofs of optional fields after all others
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
    return file


def _field(message: Any, fact: str, number: int) -> FieldDescriptorProto:
    name, _, kind = fact.partition(":")
    field: FieldDescriptorProto = message.field.add(
        name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL
    )
    if (scalar := _KINDS.get(kind or "text")) is not None:
        field.type = scalar
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{kind}"
    return field


_POOL = DescriptorPool()
_POOL.AddSerializedFile(_file().SerializeToString())


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


# The classes are made at import, so no type checker can see their fields.
PushData: Any = _message("PushDataV3ApiWrapper")  # every data frame is one of these
Deals: Any = _message("PublicDealsV3Api")
IncreaseDepths: Any = _message("PublicIncreaseDepthsV3Api")
IncreaseDepthsBatch: Any = _message("PublicIncreaseDepthsBatchV3Api")
LimitDepths: Any = _message("PublicLimitDepthsV3Api")
BookTicker: Any = _message("PublicBookTickerV3Api")
BookTickerBatch: Any = _message("PublicBookTickerBatchV3Api")
AggreDepths: Any = _message("PublicAggreDepthsV3Api")
AggreDeals: Any = _message("PublicAggreDealsV3Api")
AggreBookTicker: Any = _message("PublicAggreBookTickerV3Api")
SpotKline: Any = _message("PublicSpotKlineV3Api")
MiniTicker: Any = _message("PublicMiniTickerV3Api")
MiniTickers: Any = _message("PublicMiniTickersV3Api")
PrivateAccount: Any = _message("PrivateAccountV3Api")
PrivateDeals: Any = _message("PrivateDealsV3Api")
PrivateOrders: Any = _message("PrivateOrdersV3Api")

# What private streams say in numbers (PrivateOrders.orderType, .tradeType, .status)
ORDER_TYPES = {"LIMIT": 1, "LIMIT_MAKER": 2, "IMMEDIATE_OR_CANCEL": 3, "FILL_OR_KILL": 4, "MARKET": 5}
TRADE_TYPES = {"BUY": 1, "SELL": 2}
ORDER_STATUSES = {"NEW": 1, "FILLED": 2, "PARTIALLY_FILLED": 3, "CANCELED": 4, "PARTIALLY_CANCELED": 5}
