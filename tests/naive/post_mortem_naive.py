"""The money of a snipe, told over once more from its raw fills: no order, no state, nothing remembered."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from mexclab.domain.market import Side
from mexclab.domain.order import Fill


def money_of(told: Sequence[Fill]) -> dict[str, object]:
    """What a post-mortem says of these fills, by the name it gives it; a trade told twice counts once."""
    fills = list({fill.trade_id: fill for fill in reversed(told)}.values())
    buys = [fill for fill in fills if fill.side is Side.BUY]
    sells = [fill for fill in fills if fill.side is Side.SELL]
    assets = sorted({fill.fee_asset for fill in fills if fill.fee})
    fees = {asset: sum(fill.fee for fill in fills if fill.fee_asset == asset) for asset in assets}
    in_base = [fill for fill in fills if fill.fee_asset == fill.symbol.base]
    spent = sum(fill.price * fill.quantity for fill in buys)
    received = sum(fill.price * fill.quantity for fill in sells)
    bought, sold = sum(fill.quantity for fill in buys), sum(fill.quantity for fill in sells)
    in_quote = fees.get("USDT", Decimal(0))
    return {
        "fills": len(fills),
        "spent": spent,
        "received": received,
        "fees": tuple(fees.items()),
        "fees_quote": in_quote + sum(fill.fee * fill.price for fill in in_base),
        "profit": received - spent - in_quote,
        "held": bought - sold - sum(fill.fee for fill in in_base),
        "average_entry": spent / bought if buys else None,
        "average_exit": received / sold if sells else None,
    }
