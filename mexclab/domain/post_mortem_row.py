"""The post-mortem of one snipe as a value: every phase, price and unit of money.

Moments are the venue's clock, in nanoseconds; lateness alone was measured on the machine's own. A
slippage is a fraction and negative when we did better than the price it is against. None is "not known":
a phase that never came, or that an older ledger did not write down.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from enum import Enum

from mexclab.domain.market import Symbol
from mexclab.domain.signal import Signal
from mexclab.domain.snipe import Plan, Preflight, SnipeState
from mexclab.errors import DomainError

ZERO = Decimal(0)
AGAINST = ("cap", "first_trade", "first_mid", "first_ask", "first_fill", "first_close")


@dataclass(frozen=True, slots=True)
class OrderPhases:
    """One order's way to the venue and back.

    Attributes:
        price: its limit.
        aim: which of the openings, counted from 0, it was meant for.
        released_ns: when it was let go; ``written_ns``, when its bytes had left, is known of timed shots.
        acked_ns: the venue's first answer, yes or no.
        transmissions: how often its request was written; None where nobody counted.
        filled, value: base and quote units that it traded, fees not included.
        refused: the venue's code, where it said no.
    """

    client_id: str
    leg: str
    price: Decimal
    quantity: Decimal
    aim: int
    loaded_ns: int
    scheduled_ns: int | None = None
    released_ns: int | None = None
    written_ns: int | None = None
    acked_ns: int | None = None
    first_fill_ns: int | None = None
    last_fill_ns: int | None = None
    lateness_ns: int | None = None
    transmissions: int | None = None
    filled: Decimal = ZERO
    value: Decimal = ZERO
    refused: str = ""
    why: str = ""

    @property
    def left(self) -> bool:
        """Whether it went out at all: a shot may be postponed or halted while it is loaded."""
        return any(at is not None for at in (self.released_ns, self.acked_ns, self.first_fill_ns))

    @property
    def answer_ns(self) -> int | None:
        """From its last byte, or else its release, to the venue's answer."""
        gone_ns = self.released_ns if self.written_ns is None else self.written_ns
        return between(gone_ns, self.acked_ns)


@dataclass(frozen=True, slots=True)
class PostMortemRow:
    """One snipe, from the first sight of its listing to the last sale. Prices and money are exact.

    The phases from ``loaded_ns`` to ``acked_ns`` are those of the first shot that left for the opening
    that brought fills, or else for the one finally aimed at; every shot is in ``entries``.

    Attributes:
        open_ns: the opening finally aimed at; ``retimings`` are (when, to which opening).
        planned_ns: when the plan was first made.
        preflights: for the opening finally aimed at.
        armed_ns, armed_by: the arming that stood last; nothing after it was taken back.
        exit_decided_ns: when leaving was first decided; ``exit_why`` is the reason that stood last,
            ``exit_words`` the sentence behind it.
        closed_ns: when it ended; None while it runs, and again after a late fill has revived it.
        holding_ns: from the first fill to the last sale of a closed snipe.
        transmissions: requests of entries that were written; a shot that nobody counted is one.
        first_bid, first_ask, first_mid: of the first book that was seen.
        first_trade: price of the first public trade at or after the opening.
        first_close: of the first kept bar from the opening on; the ledger alone does not know it.
        stop_price: as it stood last; ``peak_price`` is the highest bid that raised it.
        exit_reference: the stop that was hit; without one, the mean limit of what the ladder sold.
        held: base units bought and neither sold nor taken as a fee.
        spent, received: quote units of entries and exits, fees not included.
        fees: (asset, amount), by asset.
        fees_quote: their worth in quote units; a fee in base at the price of its fill, one in a third
            asset not counted, because the ledger has no price for it.
        profit: received minus spent minus fees in quote; of what is not closed, the cash so far.
        refusals: broken limits, failed last checks and venue codes, each once, as they came.
    """

    snipe_id: str
    symbol: Symbol
    state: SnipeState
    reason: str
    why: str
    armed_by: str
    open_ns: int
    postponements: int
    first_seen_ns: int | None
    signal_ns: int | None
    planned_ns: int
    preflights: tuple[Preflight, ...]
    armed_ns: int | None
    loaded_ns: int | None
    scheduled_ns: int | None
    released_ns: int | None
    written_ns: int | None
    acked_ns: int | None
    first_fill_ns: int | None
    last_entry_fill_ns: int | None
    first_exit_sent_ns: int | None
    first_exit_fill_ns: int | None
    exit_decided_ns: int | None
    last_exit_fill_ns: int | None
    closed_ns: int | None
    lateness_ns: int | None
    write_delay_ns: int | None
    answer_ns: int | None
    holding_ns: int | None
    attempts: int
    transmissions: int
    orders: int
    fills: int
    cap: Decimal
    first_bid: Decimal | None
    first_ask: Decimal | None
    first_mid: Decimal | None
    first_trade: Decimal | None
    first_fill: Decimal | None
    average_entry: Decimal | None
    average_exit: Decimal | None
    stop_price: Decimal | None
    peak_price: Decimal | None
    exit_reference: Decimal | None
    exit_slippage: Decimal | None
    held: Decimal
    spent: Decimal
    received: Decimal
    fees: tuple[tuple[str, Decimal], ...]
    fees_quote: Decimal
    profit: Decimal
    exit_why: str
    exit_words: str
    refusals: tuple[str, ...]
    plan: Plan
    signal: Signal | None
    retimings: tuple[tuple[int, int], ...]
    entries: tuple[OrderPhases, ...]
    exits: tuple[OrderPhases, ...]
    first_close: Decimal | None = None

    @property
    def lead_ns(self) -> int | None:
        """From the first sight of the listing to the opening."""
        return between(self.first_seen_ns, self.open_ns)

    @property
    def profit_fraction(self) -> Decimal | None:
        return self.profit / self.spent if self.spent else None

    @property
    def shots(self) -> tuple[OrderPhases, ...]:
        """The entries that left for the opening that ``loaded_ns`` to ``acked_ns`` are about."""
        aims = {shot.aim for shot in self.entries if shot.loaded_ns == self.loaded_ns}
        return tuple(shot for shot in self.entries if shot.left and shot.aim in aims)

    def slippage(self, against: str) -> Decimal | None:
        """How far the average entry lies above another price, as a fraction; below zero is better.

        Args:
            against: one of ``AGAINST``.

        Raises:
            DomainError: there is no such price.
        """
        if against not in AGAINST:
            raise DomainError(f"slippage is against one of {', '.join(AGAINST)}, not {against!r}")
        price: Decimal | None = getattr(self, against)
        return None if self.average_entry is None or price is None else self.average_entry / price - 1


def to_dict(row: PostMortemRow) -> dict[str, object]:
    """The row ready for JSON: Decimals and symbols as text, times as int, what is not known as None.

    ``fees`` is a mapping by asset; slippages, ``lead_ns`` and ``profit_fraction`` are there too; the
    plan and the signal are not.
    """
    told = {name: _plain(getattr(row, name)) for name in _TOLD}
    told |= {f"slippage_{name}": _plain(row.slippage(name)) for name in AGAINST}
    told |= {"lead_ns": row.lead_ns, "profit_fraction": _plain(row.profit_fraction)}
    told["fees"] = {asset: str(amount) for asset, amount in row.fees}
    told["retimings"] = [{"at_ns": at_ns, "open_ns": open_ns} for at_ns, open_ns in row.retimings]
    return told


_TOLD = tuple(part.name for part in fields(PostMortemRow) if part.name not in ("plan", "signal"))


def _plain(value: object) -> object:
    match value:
        case Decimal() | Symbol() | Enum():
            return str(value)
        case tuple():
            return [_plain(part) for part in value]
        case OrderPhases() | Preflight():
            return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    return value


def between(from_ns: int | None, to_ns: int | None) -> int | None:
    """How long it was from one moment to another, where both are known."""
    return None if from_ns is None or to_ns is None else to_ns - from_ns
