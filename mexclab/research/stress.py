"""Stress: what the holdings would lose in a bad hour, with the stop and without it, in the book that is left.

A scenario is data: how far prices fall, how much of the depth goes, whether the fall leaves room to trade,
whether the venue takes sales at all, and what becomes of the quote asset itself. Nothing here is a forecast;
the numbers are arithmetic on the holdings and the bids that were seen last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

import polars as pl

from mexclab.domain.figures import exact
from mexclab.domain.market import Level, Symbol
from mexclab.errors import ParameterError

ZERO = Decimal(0)
_MOVES = ("price", "liquidity", "quote")
_SIX_DIGITS = Context(prec=6)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One bad hour. Changes are fractions: -0.20 is a fall by 20 %.

    Attributes:
        price: change of every bid.
        liquidity: change of the quantity at every bid.
        gap: the price jumps there; nothing trades on the way, so a stop sells at the end of the fall.
        selling: whether the venue takes sales.
        quote: change of the quote asset's own worth, in the money of the world.

    Raises:
        ParameterError: a change is no number from -1 to 0.
    """

    name: str
    words: str
    price: Decimal = ZERO
    liquidity: Decimal = ZERO
    gap: bool = False
    selling: bool = True
    quote: Decimal = ZERO

    def __post_init__(self) -> None:
        for name in _MOVES:
            change = getattr(self, name)
            if not (change.is_finite() and -1 <= change <= 0):
                raise ParameterError(
                    f"{name} of the scenario {self.name!r} is {change}; a fall is a fraction from -1 to 0",
                    **{name: str(change)},
                )


SCENARIOS = (
    Scenario("crash", "prices fall by 20 %, trading all the way", Decimal("-0.20"), Decimal("-0.30")),
    Scenario("flash", "prices fall by 10 % and 80 % of the bids go", Decimal("-0.10"), Decimal("-0.80")),
    Scenario(
        "listing_dump",
        "prices jump down by 70 %, through every stop",
        Decimal("-0.70"),
        Decimal("-0.50"),
        gap=True,
    ),
    Scenario(
        "no_selling", "the venue takes no sales while prices fall by 30 %", Decimal("-0.30"), selling=False
    ),
    Scenario("depeg", "the quote asset loses 5 % of its own worth", quote=Decimal("-0.05")),
)


@dataclass(frozen=True, slots=True)
class Held:
    """A holding as stress sees it.

    Attributes:
        cost: what was paid for it, in quote units.
        bids: the newest bids, best first; empty: nobody knows its price.
        stop: the price at which it is to be sold; None: there is no stop.
        fee: of a sale, as a fraction of its value.
    """

    symbol: Symbol
    quantity: Decimal
    cost: Decimal
    bids: tuple[Level, ...] = ()
    stop: Decimal | None = None
    fee: Decimal = ZERO

    @property
    def price(self) -> Decimal | None:
        """The best bid."""
        return self.bids[0].price if self.bids else None


@dataclass(frozen=True, slots=True)
class Hit:
    """What one scenario does to one holding, or to the quote balance. Money in quote units; None: not known.

    Attributes:
        name: the symbol, or the quote asset.
        value: before the scenario, at the best bid.
        loss: of selling everything after the fall, against ``value``; what finds no bid counts at the best.
        exit_cost: the part of it that the thin book and the fee take.
        unsold: units that find no bid.
        loss_with_stop: the same when the stop sells as early as the scenario lets it.
        words: what happens, in a sentence.
    """

    scenario: str
    name: str
    value: Decimal | None
    loss: Decimal | None
    exit_cost: Decimal
    unsold: Decimal
    stop: Decimal | None
    loss_with_stop: Decimal | None
    words: str

    @property
    def saved(self) -> Decimal | None:
        """What the stop keeps of the loss."""
        if self.loss is None or self.loss_with_stop is None:
            return None
        return self.loss - self.loss_with_stop


@dataclass(frozen=True, slots=True)
class Total:
    """One scenario over everything that has a price; ``unpriced`` names what is in no sum."""

    scenario: str
    words: str
    loss: Decimal
    loss_with_stop: Decimal
    exit_cost: Decimal
    unpriced: tuple[str, ...] = ()

    @property
    def saved(self) -> Decimal:
        return self.loss - self.loss_with_stop


@dataclass(frozen=True, slots=True)
class Stress:
    """Every scenario over every holding.

    Attributes:
        quote_asset: in whose units the money is.
        hits: by scenario, then by holding, in the order in which they were given.
    """

    quote_asset: str
    scenarios: tuple[Scenario, ...]
    hits: tuple[Hit, ...]

    @property
    def totals(self) -> tuple[Total, ...]:
        """A sum per scenario."""
        return tuple(_total(scenario, self.hits) for scenario in self.scenarios)

    @property
    def table(self) -> pl.DataFrame:
        """A row per scenario and holding, money as float64: scenario, name, value, loss, exit_cost, unsold,
        stop, loss_with_stop, saved, words; null is not known."""
        rows = [
            (h.scenario, h.name, *map(_float, (h.value, h.loss, h.exit_cost, h.unsold, h.stop)),
             *map(_float, (h.loss_with_stop, h.saved)), h.words)
            for h in self.hits
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=_HITS, orient="row")

    @property
    def summary(self) -> pl.DataFrame:
        """A row per scenario, money as float64: scenario, loss, loss_with_stop, saved, exit_cost, unpriced,
        words."""
        rows = [
            (t.scenario, *map(_float, (t.loss, t.loss_with_stop, t.saved, t.exit_cost)),
             ", ".join(t.unpriced), t.words)
            for t in self.totals
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=_TOTALS, orient="row")


_HITS = {
    "scenario": pl.String, "name": pl.String, "value": pl.Float64, "loss": pl.Float64,
    "exit_cost": pl.Float64, "unsold": pl.Float64, "stop": pl.Float64, "loss_with_stop": pl.Float64,
    "saved": pl.Float64, "words": pl.String,
}  # fmt: skip
_TOTALS = {
    "scenario": pl.String, "loss": pl.Float64, "loss_with_stop": pl.Float64, "saved": pl.Float64,
    "exit_cost": pl.Float64, "unpriced": pl.String, "words": pl.String,
}  # fmt: skip


def stress(
    holdings: Iterable[Held],
    cash: Decimal = ZERO,
    quote_asset: str = "USDT",
    scenarios: Sequence[Scenario] = SCENARIOS,
) -> Stress:
    """What each scenario costs.

    Args:
        holdings: what is held, with the bids that were seen last.
        cash: the quote balance; it loses only where the quote asset itself does.
        quote_asset: its name.
        scenarios: what is to be gone through.
    """
    held = tuple(holdings)
    hits: list[Hit] = []
    for scenario in scenarios:
        hits += [_hit(each, scenario) for each in held]
        if scenario.quote and cash:
            loss, words = -scenario.quote * cash, f"the balance is worth {-scenario.quote:.0%} less"
            hits.append(Hit(scenario.name, quote_asset, cash, loss, ZERO, ZERO, None, loss, words))
    return Stress(quote_asset, tuple(scenarios), tuple(hits))


def sale(bids: Sequence[Level], quantity: Decimal, fee: Decimal) -> tuple[Decimal, Decimal]:
    """Sell into the bids, best first: what it brings after the fee (quote units), and what finds no bid."""
    brought, left = ZERO, quantity
    for bid in bids:
        taken = min(left, bid.quantity)
        brought, left = brought + taken * bid.price, left - taken
        if not left:
            break
    return brought * (1 - fee), left


def _moved(held: Held, scenario: Scenario, best: Decimal) -> list[Level]:
    """The bids that are left, with their best one at ``best``."""
    first = held.bids[0].price
    return [Level(bid.price * best / first, bid.quantity * (1 + scenario.liquidity)) for bid in held.bids]


def _hit(held: Held, scenario: Scenario) -> Hit:
    name, price = str(held.symbol), held.price
    if price is None:
        words = f"no price is known; at most its cost of {held.cost:.2f} {held.symbol.quote} can be lost"
        return Hit(scenario.name, name, None, None, ZERO, held.quantity, held.stop, None, words)
    value, fallen = held.quantity * price, price * (1 + scenario.price)
    kept, unsold = _left(held, scenario, fallen, fallen)
    with_stop, words = kept, _without_stop(held, scenario, unsold)
    if held.stop is not None:
        with_stop, words = _stopped(held, scenario, fallen, kept)
    worth = 1 + scenario.quote
    return Hit(
        scenario=scenario.name,
        name=name,
        value=value,
        loss=value - kept * worth,
        exit_cost=(held.quantity * fallen - kept) * worth,
        unsold=unsold,
        stop=held.stop,
        loss_with_stop=value - with_stop * worth,
        words=words,
    )


def _left(held: Held, scenario: Scenario, best: Decimal, fallen: Decimal) -> tuple[Decimal, Decimal]:
    """What is left after selling from ``best`` on, unsold units at ``fallen``; and how many are unsold."""
    if not scenario.selling:
        return held.quantity * fallen, held.quantity
    brought, unsold = sale(_moved(held, scenario, best), held.quantity, held.fee)
    return brought + unsold * fallen, unsold


def _without_stop(held: Held, scenario: Scenario, unsold: Decimal) -> str:
    if not scenario.selling:
        return "it cannot be sold; there is no stop"
    if unsold:
        return f"{unsold / held.quantity:.0%} of it find no bid; there is no stop"
    return "there is no stop"


def _stopped(held: Held, scenario: Scenario, fallen: Decimal, kept: Decimal) -> tuple[Decimal, str]:
    """What is left with the stop, and what becomes of it, in words."""
    assert held.stop is not None
    assert held.price is not None
    stop, quote = min(held.stop, held.price), held.symbol.quote
    at = f"the stop at {_price(held.stop)}"
    if fallen > stop:
        still = "the price in quote does not move" if scenario.quote else "the price stays above it"
        return kept, f"{at} is not reached: {still}"
    if not scenario.selling:
        return kept, f"{at} is reached and cannot sell: it is held all the way down"
    if scenario.gap:
        slip = held.quantity * (stop - fallen)
        return kept, f"the price gaps through {at}: it sells at {_price(fallen)}, {slip:.2f} {quote} lower"
    saved, unsold = _left(held, scenario, stop, fallen)
    words = f"{at} sells on the way down"
    if unsold:
        words += f"; {unsold / held.quantity:.0%} of it find no bid there and fall with the rest"
    return saved, words


def _price(price: Decimal) -> str:
    return exact(_SIX_DIGITS.plus(price))


def _total(scenario: Scenario, hits: Sequence[Hit]) -> Total:
    mine = [hit for hit in hits if hit.scenario == scenario.name]
    return Total(
        scenario=scenario.name,
        words=scenario.words,
        loss=sum((hit.loss for hit in mine if hit.loss is not None), ZERO),
        loss_with_stop=sum((hit.loss_with_stop for hit in mine if hit.loss_with_stop is not None), ZERO),
        exit_cost=sum((hit.exit_cost for hit in mine), ZERO),
        unpriced=tuple(hit.name for hit in mine if hit.loss is None),
    )


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
