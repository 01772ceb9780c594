"""Outcomes in a notebook: how they show themselves, and the numbers of a run by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from html import escape
from numbers import Real
from typing import Any

from mexclab.errors import ParameterError
from mexclab.notebook.display import rows_html

FACTS = "application/vnd.mexclab.facts+json"  # the kind of output that carries them
BEST = 12  # queries shown; the rest is in .table


class Facts:
    """Numbers of one run by name, each with the words in which a page quotes it.

    The last cell of an essay shows it; a page that quotes the essay takes its numbers from there.
    """

    def __init__(self) -> None:
        self._facts: dict[str, tuple[float | str, str]] = {}

    def note(self, pattern: str = "{}", **values: float | str | datetime) -> None:
        """Keep values under their names; ``pattern`` says how they are written, as ``str.format`` does.

        Raises:
            ParameterError: a name that is taken by another value.
        """
        for name, value in values.items():
            kept = float(value) if isinstance(value, Real) else str(value)
            told = (kept, pattern.format(value))
            if self._facts.get(name, told) != told:
                raise ParameterError(
                    f"The fact {name} is {self._facts[name][1]} already: choose another name."
                )
            self._facts[name] = told

    def __getitem__(self, name: str) -> str:
        return self._facts[name][1]

    def __len__(self) -> int:
        return len(self._facts)

    def as_json(self) -> dict[str, dict[str, float | str]]:
        """``{name: {"value": ..., "text": ...}}``."""
        return {name: {"value": value, "text": text} for name, (value, text) in self._facts.items()}

    def __repr__(self) -> str:
        width = max((len(name) for name in self._facts), default=0)
        return "\n".join(f"{name:<{width}}  {text}" for name, (_, text) in self._facts.items())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        rows = [(name, text) for name, (_, text) in self._facts.items()]
        html = f"<p><b>The numbers of this run</b></p>{rows_html(rows)}"
        return {"text/plain": repr(self), "text/html": html, FACTS: self.as_json()}


def facts_in(notebook: Mapping[str, Any]) -> dict[str, dict[str, float | str]]:
    """The facts that an executed notebook (nbformat 4, as JSON) showed; all of them together.

    Raises:
        ParameterError: it shows none, or two different ones of one name.
    """
    found: dict[str, dict[str, float | str]] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            told = output.get("data", {}).get(FACTS, {})
            for name, fact in (json.loads(told) if isinstance(told, str) else told).items():
                if found.setdefault(name, fact) != fact:
                    raise ParameterError(f"The notebook shows the fact {name} twice, with two values.")
    if not found:
        raise ParameterError("The notebook shows no facts: run it to its end first.")
    return found


def many_html(value: Any) -> str:
    """The queries of a family, the best first."""
    signed = dict.fromkeys(("mean", "base_mean", "net_mean"), "{:+.2%}")
    formats = {"start": "{:%Y-%m-%d %H:%M}", **signed, "p_value": "{:.4f}", "q_value": "{:.3f}"}
    heads = ["query", "symbol", "start", "n", "n_eff", "horizon", *signed, "p_value", "q_value", "survives"]
    rows = [
        [
            row[name] if row[name] is None or name not in formats else formats[name].format(row[name])
            for name in heads
        ]
        for row in value.table.sort("q_value", "p_value").head(BEST).to_dicts()
    ]
    table = rows_html(rows, ["start UTC" if head == "start" else head for head in heads])
    more = [f"and {len(value) - BEST} more in .table"] if len(value) > BEST else []
    return f"<p><b>{escape(value.verdict)}</b></p>{table}{_notes([*more, *value.notes])}"


def walk_html(value: Any) -> str:
    """The scores of a walk forward."""
    shares = ("skill", "low", "high")
    rows = [
        [row["score"], *(f"{row[name]:.4f}" for name in ("matches", "base"))]
        + [f"{row[name]:+.2%}" for name in shares]
        for row in value.skill.to_dicts()
    ]
    held = ", ".join(f"{share:.1%} of the {name}" for name, share in value.coverage.items())
    notes = [*value.notes, f"5 to 95 % bands held the outcome: {held}"]
    table = rows_html(rows, ("score", "matches", "base rate", *shares))
    return f"<p><b>{escape(value.verdict)}</b></p>{table}{_notes(notes)}"


def conformal_html(value: Any) -> str:
    """How often calibrated intervals held."""
    rows = [
        ("wanted", f"{value.level:.1%}"),
        ("calibrated", f"{value.coverage:.1%}"),
        ("95 % interval of that", f"{value.low_coverage:.1%} .. {value.high_coverage:.1%}"),
        ("as they were named", f"{value.raw_coverage:.1%}"),
        ("intervals", f"{value.table.height:,}"),
    ]
    return f"<p><b>{escape(value.verdict)}</b></p>{rows_html(rows)}"


def _notes(notes: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"


SHOWN = {
    ("mexclab.research.outcomes_many", "ManyOutcomes"): many_html,
    ("mexclab.research.walk_forward", "WalkForward"): walk_html,
    ("mexclab.research.conformal", "Conformal"): conformal_html,
}
"""What shows itself as HTML, by module and name, as ``display.register`` takes it."""
