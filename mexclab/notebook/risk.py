"""``lab.risk``: the running desk's limits, and what they say of an entry that is only asked about.

::

    lab.risk                                        every limit and how much of it is used
    lab.risk.review("BTCUSDT", budget=20)           one entry against every limit; nothing is traded
    lab.risk.review(snipe="CALENDAR-FIRST01")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from html import escape
from typing import Any, TypeAlias

from mexclab.domain.clock import written
from mexclab.errors import ParameterError
from mexclab.notebook.bars import SymbolLike, name_of
from mexclab.notebook.desk import Answer, DeskClient
from mexclab.notebook.display import mode_html, rows_html
from mexclab.notebook.risk_client import is_shown

Amount: TypeAlias = Decimal | int | str | float
Told: TypeAlias = Mapping[str, Any]

GOOD, BAD = "✓ holds", "✕ BROKEN"  # told apart without colour, too
_COLOURS = {GOOD: "#1a6b3c", BAD: "#b3261e"}


@dataclass(frozen=True, slots=True)
class Review:
    """What the limits say of one entry that was only asked about.

    Attributes:
        body: ``cleared``, ``plan``, ``limits`` (each ``before`` and ``after``), ``breaches``; money as text.
    """

    body: Told = field(repr=False)

    @property
    def is_cleared(self) -> bool:
        """Whether the entry would be let through now."""
        return bool(self.body["cleared"])

    @property
    def breaches(self) -> tuple[str, ...]:
        """Every reason against it, a sentence each."""
        return tuple(str(row["why"]) for row in self.body["breaches"])

    @property
    def title(self) -> str:
        """The plan and the verdict in one line."""
        plan, verdict = self.body["plan"], "cleared" if self.is_cleared else "REFUSED"
        what = f"{plan['order_value']} {self.body['quote']} of {plan['symbol']} at {plan['order_price']}"
        return f"{verdict}: {what}, cap {plan['price_cap']}"

    def __repr__(self) -> str:
        lines = [f"{self.body['mode'].upper()} {self.title}"]
        rows = review_rows(self.body)
        lines += [f"  {mark} {_told(name, value, bound)}" for mark, name, value, bound in rows]
        return "\n".join([*lines, *(f"  {why}" for why in self.breaches)])

    def _repr_html_(self) -> str:
        table = marked(review_rows(self.body), ("", "limit", "value", "bound"))
        return mode_html(self.body["mode"], self.title) + table + _list(self.breaches)


@dataclass(frozen=True, slots=True)
class RiskLab:
    """Risk in a notebook. Shows itself as the limits and what is used of them.

    Args:
        find: gives a client of the running desk; called for every question.
    """

    find: Callable[[], DeskClient]

    def page(self) -> dict[str, Any]:
        """Every limit, pause, monitor, trigger and permit, as the API tells them."""
        with self.find() as desk:
            return desk.risk.page()

    def review(
        self,
        symbol: SymbolLike | None = None,
        budget: Amount | None = None,
        cap: Amount | None = None,
        *,
        snipe: str | None = None,
        stop_loss: Amount | None = None,
    ) -> Review:
        """What the limits say of an entry, every one of them; nothing is written and nothing is traded.

        Args:
            symbol: the pair to enter now; or give ``snipe``, the id of one that is planned.
            budget: money to spend; None: as the strategy would.
            cap: the highest price; None: as the strategy would.
            stop_loss: fall from the entry price that sells all, a fraction.

        Raises:
            ParameterError: neither or both of symbol and snipe.
            DeskError: no order can be made of it; the sentence says why.
        """
        if (symbol is None) == (snipe is None):
            raise ParameterError("Give a symbol, or the id of a snipe, and not both.")
        given = {"budget": budget, "price_cap": cap, "stop_loss": stop_loss}
        plan = {name: str(value) for name, value in given.items() if value is not None}
        about = {"symbol": name_of(symbol)} if symbol is not None else {"snipe_id": str(snipe)}
        with self.find() as desk:
            return Review(desk.risk.check(**about, **plan))

    def release(self, protection_id: str, why: str) -> Answer:
        """End a pause of entries before its time, and say why.

        Raises:
            DeskError: there is no such pause.
        """
        with self.find() as desk:
            return desk.risk.release(protection_id, why)

    def __repr__(self) -> str:
        return "\n".join(sentences(self.page()))

    def _repr_html_(self) -> str:
        told = self.page()
        head = mode_html(told["mode"], f"account {told['account']}, {written(told['at_ns'])}")
        rows = [(_sign(row), *limit_cells(row)) for row in told["limits"] if is_shown(row)]
        return head + marked(rows, ("", "limit", "used", "bound")) + _notes(told)


def limit_cells(row: Told) -> tuple[str, str, str]:
    """The name of a limit, what is used of it, and its bound, with their unit."""
    if not row["unit"]:
        return str(row["name"]), "", ""
    return str(row["name"]), _with_unit(row["used"], row["unit"]), _with_unit(row["bound"], row["unit"])


def _told(name: str, value: str, bound: str) -> str:
    return f"{name}: {value} of {bound}" if bound else name


def _sign(row: Told) -> str:
    return BAD if row["broken"] else GOOD


def review_rows(told: Told) -> list[tuple[str, str, str, str]]:
    """Each limit of a review: whether it holds, its name, the value before and after, and the bound."""
    return [
        (_sign(row), row["name"], _change(row), _with_unit(row["bound"], row["unit"]) if row["unit"] else "")
        for row in told["limits"]
        if is_shown(row)
    ]


def _change(row: Told) -> str:
    if not row["unit"]:
        return ""
    before, after = row["before"], _with_unit(row["after"], row["unit"])
    return after if before is None or before == row["after"] else f"{before} → {after}"


def _with_unit(text: str | None, unit: str) -> str:
    return "unknown" if text is None else f"{text} {unit}".rstrip()


def marked(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    """A table whose first cell says whether a row holds, in words, a sign and a colour."""
    text = rows_html(rows, heads)
    for mark, colour in _COLOURS.items():
        text = text.replace(
            f">{escape(mark)}<", f'><span style="color:{colour};font-weight:600">{escape(mark)}</span><'
        )
    return text


def sentences(told: Told) -> list[str]:
    """What a page of risk says beyond the limits' table, a line each."""
    quote = told["quote"]
    lines = [f"{told['mode'].upper()}, account {told['account']}: {told['at_risk']} {quote} at risk"]
    for row in filter(is_shown, told["limits"]):
        name, used, bound = limit_cells(row)
        lines.append(f"{_sign(row)} {_told(name, used, bound)}")
    return [*lines, *notes(told)]


def notes(told: Told) -> list[str]:
    """Halt, missing permits, pauses, monitors and triggers that are not quiet; a line each."""
    halt, lines = told["halt"], []
    if halt:
        lines.append(f"HALTED by {halt['by']} since {written(halt['at_ns'])}: {halt['why']}")
    lines += [f"MISSING {row['limit']}: {row['why']}" for row in told["missing"]]
    lines += [
        f"PAUSED {row['symbol'] or 'all'} {row['ends']} ({row['kind']}, {row['protection_id']}): {row['why']}"
        for row in told["protections"]
    ]
    lines += [
        f"{row['state'].upper()} {row['monitor']} of {row['symbol'] or 'the venue'}: {row['why']}"
        for row in told["monitors"]
        if row["state"] in ("tripped", "warning")
    ]
    lines += [f"TRIGGERED {row['name']}: {row['why']}" for row in told["triggers"] if row["fired"]]
    return lines


def _notes(told: Told) -> str:
    return _list(notes(told) or ["nothing is paused, tripped or missing"])


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
