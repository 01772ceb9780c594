"""The forms of what the API tells: rows of orders, snipes and positions, and the pages that hold them.

Money, prices and quantities are exact decimals as text; times are ns since the epoch, on the venue's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order of ours; money and quantities as exact text, ``average_price`` to ten digits."""

    client_id: str
    venue_id: str | None
    snipe_id: str
    leg: str
    symbol: str
    side: str
    type: str
    state: str
    quantity: str
    price: str
    filled: str
    average_price: str | None
    decided_ns: int
    sent_ns: int | None
    left_ns: int | None
    acked_ns: int | None
    cancel_ns: int | None
    why: str


@dataclass(frozen=True, slots=True)
class FillRow:
    """One trade of an order, as the venue reported it."""

    trade_id: str
    client_id: str
    price: str
    quantity: str
    value: str
    fee: str
    fee_asset: str
    at_ns: int
    is_maker: bool


@dataclass(frozen=True, slots=True)
class ExternalRow:
    """An order on the account that this ledger does not know: shown, never touched."""

    venue_id: str
    symbol: str
    side: str
    quantity: str
    price: str
    seen_ns: int


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """A symbol whose venue reports could not be booked: no entry until a person resumes."""

    symbol: str
    why: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry of the ledger, as history."""

    seq: int
    kind: str
    at_ns: int
    correlation: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RungRow:
    """Sell ``share`` of the entry at ``gain`` above it, both fractions."""

    gain: str
    share: str


@dataclass(frozen=True, slots=True)
class ExitRow:
    """An exit plan; ``preset`` is empty for a ladder of one's own, ``text`` is how a person writes it."""

    preset: str
    text: str
    ladder: tuple[RungRow, ...]
    stop_loss: str
    trailing: str | None
    break_even_after: str | None
    time_stop_s: float


@dataclass(frozen=True, slots=True)
class StopRow:
    """The stop in force: None before an entry; ``raised`` above the plan's by ``peak``, the highest bid."""

    price: str | None
    raised: bool
    peak: str | None


@dataclass(frozen=True, slots=True)
class SnipeRow:
    """A snipe: what it may do, how far it has come, the stop in force; ``profit`` is None while it runs."""

    snipe_id: str
    signal_id: str
    symbol: str
    state: str
    reason: str
    why: str
    armed_by: str
    probability: str
    budget_quote: str
    price_cap: str
    book_slippage: str | None
    open_ns: int
    deadline_ns: int
    attempts: int
    attempts_made: int
    planned_ns: int
    entered_ns: int | None
    closed_ns: int | None
    entry_price: str | None
    stop: StopRow
    exit_why: str
    profit: str | None
    exit: ExitRow


@dataclass(frozen=True, slots=True)
class PreflightRow:
    """One check before the shot."""

    at_ns: int
    stage: str
    passed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A take-profit that rests at the venue or has sold something; ``filled``: it has sold all of it."""

    client_id: str
    price: str
    share: str
    quantity: str
    sold: str
    filled: bool
    state: str


@dataclass(frozen=True, slots=True)
class PositionRow:
    """What is held of one symbol. ``value`` is at the best bid; ``why`` says why it cannot be sold now."""

    symbol: str
    snipe_id: str | None
    quantity: str
    cost: str
    average_cost: str | None
    price: str | None
    price_at_ns: int | None
    value: str | None
    unrealised: str | None
    unrealised_fraction: float | None
    stop_price: str | None
    stop_raised: bool
    peak_price: str | None
    trailing: str | None
    entered_ns: int | None
    time_stop_ns: int | None
    minimum: str | None
    sellable: bool | None
    why: str
    targets: tuple[TargetRow, ...]


@dataclass(frozen=True, slots=True)
class RemainderRow:
    """What a snipe that is over still holds; ``minimum`` is the least value that the venue trades."""

    symbol: str
    snipe_id: str
    quantity: str
    value: str | None
    minimum: str | None
    sellable: bool
    why: str


@dataclass(frozen=True, slots=True)
class ReconciledRow:
    """The last comparison of the ledger with the venue."""

    at_ns: int
    orders_asked: int
    fills_found: int
    unknown_left: int
    external: int
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Orders, the newest first; ``more`` when the limit left some out."""

    orders: list[OrderRow]
    more: bool
    external: list[ExternalRow]
    disputed: list[DisputeRow]


@dataclass(frozen=True, slots=True)
class OrderStory:
    """One order, its trades, and every ledger entry that names it."""

    order: OrderRow
    fills: list[FillRow]
    history: list[EntryRow]


@dataclass(frozen=True, slots=True)
class SnipePage:
    """Snipes, the one that opens last first; ``more`` when the limit left some out."""

    snipes: list[SnipeRow]
    more: bool


@dataclass(frozen=True, slots=True)
class SnipeStory:
    """One snipe: its checks, orders, post-mortem and history. ``more``: the history goes on (/events)."""

    snipe: SnipeRow
    preflights: list[PreflightRow]
    orders: list[OrderRow]
    targets: list[TargetRow]
    post_mortem: dict[str, Any] | None
    history: list[EntryRow]
    more: bool


@dataclass(frozen=True, slots=True)
class PositionPage:
    """What is held by symbol, and what snipes that are over have left behind."""

    positions: list[PositionRow]
    remainders: list[RemainderRow]


@dataclass(frozen=True, slots=True)
class PostMortemPage:
    """What became of each snipe (see ``mexclab.domain.post_mortem``), the one that opened last first."""

    post_mortems: list[dict[str, Any]]
    more: bool


@dataclass(frozen=True, slots=True)
class ReconciliationPage:
    """The last comparison of the ledger with the venue, and the questions that are open now."""

    last: ReconciledRow | None
    unknown: list[OrderRow]
    disputed: list[DisputeRow]
    external: list[ExternalRow]
