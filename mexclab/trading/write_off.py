"""Writing off: a person accepts that what the ledger holds and the venue lacks is gone, and says why.

Coins that were sold or withdrawn by hand cannot be sold by the desk: their snipe would be leaving for ever,
and the symbol would stay disputed. What they brought is not known here, so they count as sold for nothing:
their cost is a loss of the day on which they are written off.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from mexclab.domain import events as e
from mexclab.domain.market import Symbol
from mexclab.errors import DomainError, VenueUnavailable
from mexclab.trading import permits, recovery
from mexclab.trading.ladder import holding

if TYPE_CHECKING:
    from mexclab.domain.desk import Desk
    from mexclab.domain.order import Order
    from mexclab.trading.engine import Engine


async def accept(engine: Engine, symbol: Symbol, by: str, why: str) -> str:
    """Write off what the venue lacks of ``symbol``; what was done, in a sentence.

    The difference must be the one that the last comparison found and disputed, and that the venue tells now.

    Raises:
        DomainError: nobody says who or why; the two agree; the difference is another than was seen; an order
            of the symbol is open or of unknown fate. Nothing was written off.
        VenueUnavailable: the venue does not answer.
    """
    if not permits.is_person(by) or not why.strip():
        raise DomainError("writing off is a person's act: say who, and why")
    last = _last_order(engine.desk, symbol)
    _refuse_open(engine.desk, symbol)
    found = {each.symbol: each for each in await recovery.mismatches(engine)}.get(symbol)
    async with engine.gate:
        _refuse_open(engine.desk, symbol)
        if found is None:
            raise DomainError(f"the ledger and the venue agree about {symbol}: there is nothing to write off")
        if _last_order(engine.desk, symbol) is not last or engine.desk.held(symbol) != found.ledger:
            raise DomainError(f"something was traded in {symbol} meanwhile: compare again, and look")
        _refuse_unseen(engine.desk, found)
        now = engine.parts.clock.now_ns()
        shares = list(_shares(engine.desk, symbol, found.ledger - found.venue))
        losses = [e.WrittenOff(now, snipe_id, symbol, quantity, by, why) for snipe_id, quantity in shares]
        await engine.record(*losses)
        await engine.act(set())  # a snipe that holds nothing any more is over
    gone = f"{found.ledger - found.venue} {symbol.base} are written off, at a loss of what they cost"
    try:
        await recovery.reconcile(engine)
    except VenueUnavailable as error:
        engine.failed(error)
        return f"{gone}; the venue could not be compared anew: do that before you resume"
    return f"{gone}; resume allows entries again"


def _refuse_open(desk: Desk, symbol: Symbol) -> None:
    """Refuse while an order may still explain the difference, or change it.

    Raises:
        DomainError: names the orders.
    """
    live = [order for order in desk.open_orders() if order.symbol == symbol]
    if live:
        names = ", ".join(f"{order.client_id} ({order.state})" for order in live)
        raise DomainError(
            f"orders of {symbol} are open or of unknown fate: {names}. Flatten takes back what rests; "
            "accept the difference when they are over",
            symbol=str(symbol),
        )


def _refuse_unseen(desk: Desk, found: recovery.Difference) -> None:
    """Refuse what nobody can have looked at.

    Raises:
        DomainError: says what was seen, and what there is now.
    """
    symbol = found.symbol
    if found.venue > found.ledger:
        raise DomainError(
            f"{found.sentence}: what is more than the ledger knows is not the desk's; nothing is to be "
            "written off",
            symbol=str(symbol),
        )
    told = desk.reconciled.differences if desk.reconciled is not None else ()
    if found.sentence not in told or symbol not in desk.disputed:
        before = ", ".join(each for each in told if each.startswith(f"{symbol.base}:")) or "no difference"
        raise DomainError(
            f"the difference is not the one that was seen. Now {found.sentence}; the last comparison found "
            f"{before}. Reconcile until it is disputed, look, and accept it then",
            symbol=str(symbol),
        )


def _shares(desk: Desk, symbol: Symbol, quantity: Decimal) -> Iterator[tuple[str, Decimal]]:
    """Whose loss it is: of the snipes that are over first, then of those that go on; the oldest first."""
    mine = [snipe for snipe in desk.snipes.values() if snipe.plan.symbol == symbol]
    for snipe in sorted(mine, key=lambda each: not each.state.is_over):
        part = min(holding(desk, snipe.snipe_id), quantity)
        if part > 0:
            quantity -= part
            yield snipe.snipe_id, part


def _last_order(desk: Desk, symbol: Symbol) -> Order | None:
    return next((order for order in desk.recent_orders() if order.symbol == symbol), None)
