"""What a world begins with: accounts, seed, established pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from mexclab.venues.simulator.bars import BarReplay


@dataclass(frozen=True, slots=True)
class Account:
    """Who may trade, by which key. ``balances`` are the opening ones, by asset."""

    owner: str
    key: str
    secret: str = field(repr=False)
    balances: Mapping[str, Decimal]
    can_trade: bool = True
    ip_whitelist: tuple[str, ...] = ()
    uid: str = ""


PAPER_ACCOUNT = Account(
    "paper",
    "mx0paperAccountOfTheSimulator",
    "00112233445566778899aabbccddeeff",
    {"USDT": Decimal(1000)},
    uid="10000001",
)
"""The account that every world has unless it is told otherwise. Its secret is public and opens nothing."""

DEFAULT_PAIRS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "MXUSDT")

_NUMBERS = ("start_ns", "seed", "levels", "stride_ms", "past_days")
_FEES = ("maker_fee", "taker_fee")


@dataclass(frozen=True, slots=True)
class WorldTerms:
    """What a world begins with.

    Attributes:
        start_ns: the world's first moment. At a restart: the present; see ``World``.
        seed: of everything that is left to chance.
        pairs: established pairs, by their names in ``pairs.ESTABLISHED``.
        levels: of the maker's ladder, on each side of an established pair's book.
        stride_ms: mean time between two requotes of an established pair.
        past_days: whole days of one-minute candles before the start.
        replays: pairs that follow real bars; one of ``pairs`` with the same symbol is replaced.
        coming: listings besides those of each day, see ``scenario.coming_scripts``; not kept in a memory.
    """

    start_ns: int
    seed: int
    accounts: tuple[Account, ...] = (PAPER_ACCOUNT,)
    maker_fee: Decimal = Decimal(0)
    taker_fee: Decimal = Decimal("0.0005")
    pairs: tuple[str, ...] = DEFAULT_PAIRS
    levels: int = 60
    stride_ms: int = 180
    past_days: int = 7
    replays: tuple[BarReplay, ...] = ()
    coming: int = 0

    def written(self) -> dict[str, Any]:
        """As the first line of a journal. Accounts are not in it: what they own is, their secrets nowhere."""
        fees = {name: str(getattr(self, name)) for name in _FEES}
        replays = {str(replay.pair.symbol): replay.digest() for replay in self.replays}
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**numbers, **fees, "pairs": list(self.pairs), "replays": replays}

    def as_written(self, line: Mapping[str, Any]) -> WorldTerms:
        """These terms, with what an earlier start wrote down.

        Raises:
            LookupError, TypeError, ArithmeticError: the line holds no terms, or those of other bars.
        """
        numbers = {name: line[name] for name in _NUMBERS}
        if not all(type(number) is int for number in numbers.values()):
            raise TypeError("terms that are no numbers")
        if line["replays"] != self.written()["replays"]:
            raise LookupError("other bars")
        fees = {name: Decimal(line[name]) for name in _FEES}
        known: dict[str, Any] = {**numbers, **fees, "pairs": tuple(map(str, line["pairs"]))}
        return replace(self, **known)
