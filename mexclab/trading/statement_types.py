"""The forms of a statement: what is held, what it earned, for whom, and what could become of it.

Money, prices and quantities are decimals as text, in quote units where nothing else is said; ``None`` is not
known, and a sentence in ``missing`` or ``why`` says why. Times are ns since the epoch, on the venue's clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeeRow:
    """Fees that were paid in one asset; ``worth`` in quote units, None where that has no price."""

    asset: str
    amount: str
    worth: str | None


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """What is held of one symbol. ``share`` is of everything held that has a price, a fraction."""

    symbol: str
    strategy: str
    snipe_id: str | None
    quantity: str
    cost: str
    average_cost: str | None
    price: str | None
    price_at_ns: int | None
    value: str | None
    unrealised: str | None
    unrealised_fraction: float | None
    share: float | None
    realised: str
    stop: str | None
    fees: tuple[FeeRow, ...]
    why: str


@dataclass(frozen=True, slots=True)
class MarkRow:
    """The equity as it was last marked in the ledger."""

    at_ns: int
    equity: str
    unrealised: str
    exposure: str
    unpriced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiversificationRow:
    """How many bets the holdings are.

    ``hhi``: sum of the squared shares of what is held; ``effective_holdings``: as many equal ones would be as
    concentrated; ``effective_bets``: uncorrelated ones; ``clusters``: two or more symbols that move together,
    or of which too little is known to tell them apart.
    """

    hhi: float | None
    effective_holdings: float | None
    effective_bets: float | None
    clusters: tuple[tuple[str, ...], ...]
    cluster_correlation: str
    why: str


@dataclass(frozen=True, slots=True)
class ResultsRow:
    """The snipes that bought something and are over; ``win_rate`` is a fraction, None while there is none."""

    closed: int
    won: int
    win_rate: float | None


@dataclass(frozen=True, slots=True)
class Statement:
    """The portfolio at one entry of the ledger.

    Attributes:
        seq, at_ns: the last entry that counts, and the moment it stands for.
        past: whether it is of an earlier moment; then only prices that were given are known.
        cash: the quote balance that the ledger leads to.
        today: realised since 00:00 UTC of that day.
        exposure: what is held and has a price, at the best bid.
        other_fees: fees in third assets at their prices, of those that have one.
        profit: realised and unrealised after every fee.
        equity: by ``Portfolio.equity``: fees in third assets are in the profit alone. None: a price lacks.
    """

    mode: str
    quote: str
    seq: int
    at_ns: int
    past: bool
    opening_balance: str
    cash: str
    realised: str
    today: str
    unrealised: str | None
    exposure: str | None
    other_fees: str | None
    profit: str | None
    equity: str | None
    fees: tuple[FeeRow, ...]
    positions: tuple[HoldingRow, ...]
    results: ResultsRow
    mark: MarkRow | None
    diversification: DiversificationRow
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What one symbol or one strategy came to. ``snipes`` bought something; ``win_rate`` is a fraction."""

    name: str
    snipes: int
    closed: int
    won: int
    win_rate: float | None
    bought: str
    sold: str
    realised: str
    unrealised: str | None
    profit: str | None
    fees: tuple[FeeRow, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttributionPage:
    """The shares of symbols and of strategies, the largest profit first; ``more``: a limit left some out."""

    mode: str
    quote: str
    seq: int
    at_ns: int
    by_symbol: tuple[ShareRow, ...]
    by_strategy: tuple[ShareRow, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class PointRow:
    """The equity at one moment; ``kind`` is start, mark, close or now. ``drawdown`` is a fraction."""

    at_ns: int
    kind: str
    equity: str
    realised: str
    unrealised: str | None
    exposure: str | None
    drawdown: str
    unpriced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CurvePage:
    """The equity curve in order of time; ``left_out`` points made way, no high and no low among them."""

    mode: str
    quote: str
    seq: int
    points: tuple[PointRow, ...]
    left_out: int
    max_drawdown: str


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """One bad hour; changes are fractions as text."""

    name: str
    words: str
    price: str
    liquidity: str
    gap: bool
    selling: bool
    quote: str


@dataclass(frozen=True, slots=True)
class StressTotalRow:
    """One scenario over everything that has a price; ``fraction`` is the loss as a share of the equity."""

    scenario: str
    words: str
    loss: str
    loss_with_stop: str
    saved: str
    exit_cost: str
    fraction: float | None
    unpriced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StressRow:
    """What one scenario does to one holding, or to the quote balance."""

    scenario: str
    name: str
    value: str | None
    loss: str | None
    loss_with_stop: str | None
    saved: str | None
    exit_cost: str
    unsold: str
    stop: str | None
    words: str


@dataclass(frozen=True, slots=True)
class StressPage:
    """Every scenario over everything that is held."""

    mode: str
    quote: str
    seq: int
    at_ns: int
    equity: str | None
    cash: str
    scenarios: tuple[ScenarioRow, ...]
    totals: tuple[StressTotalRow, ...]
    rows: tuple[StressRow, ...]


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One asset by the ledger and by the venue. ``agrees`` None: the ledger cannot know what there is."""

    asset: str
    ledger: str | None
    venue: str | None
    free: str | None
    locked: str | None
    difference: str | None
    agrees: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class BalancesPage:
    """Balances against the venue's; ``rows`` empty and ``words`` say so where nobody has asked."""

    mode: str
    quote: str
    seq: int
    at_ns: int
    agrees: bool | None
    rows: tuple[BalanceRow, ...]
    words: str
