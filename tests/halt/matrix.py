"""Rounds of the matrix, what is measured in each, and how it is told."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from mexclab.domain.clock import MILLISECOND
from tests.crash.scene import Databases
from tests.halt import clients
from tests.halt.situations import SITUATIONS, Situation
from tests.halt.stage import Stage, staged

WITHIN_MS = 1000.0  # promise 6
DURABLE_S, SOLD_S, RESUMED_S = 30.0, 30.0, 20.0
STRIDE_MS = 20
SPARE = 3  # listings of a life that no round needs
SLACK_NS = (
    50 * MILLISECOND
)  # by which a desk that corrects its clock may order two of its own moments wrongly


@dataclass(slots=True)
class Round:
    """One halt.

    Attributes:
        entry_ms: from the request to the last entry that came in at the venue after it; 0: none did.
        durable_ms: from the request until the halt was known to be durable; None: nobody knows.
        sold_ms: from the wish to sell until the venue was asked to sell; None: it was not.
        frames_per_s: what the venue sent meanwhile.
        wrong: everything that should not be.
    """

    client: str
    situation: str
    entry_ms: float = 0.0
    entries: int = 0
    durable_ms: float | None = None
    sold_ms: float | None = None
    frames_per_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wish:
    """How often each client halts in each situation, and how busy a busy life is."""

    rounds: int
    tell: Callable[[Round], None]
    stride_ms: int = STRIDE_MS


def lives(names: Sequence[str], rounds: int) -> Iterator[Sequence[str]]:
    """The clients of each life's rounds: people share one; what a trigger has fired on stays for a minute."""
    people = [name for name in names if name != "trigger"]
    if people:
        yield [name for _ in range(rounds) for name in people]
    for _ in range(rounds if "trigger" in names else 0):
        yield ["trigger"]


def lived(
    databases: Databases,
    situation: Situation,
    names: Sequence[str],
    stride_ms: int = STRIDE_MS,
    within_ms: float = WITHIN_MS,
) -> Iterator[Round]:
    """One life: a desk that is halted again and again.

    Args:
        stride_ms: in a busy life, between two requotes of each listing that trades.
        within_ms: from the request until it must have taken effect.
    """
    coming = len(names) * (1 + situation.listings) + situation.extra + SPARE
    own = {**situation.own, **({"halt": {"errors": 1}} if "trigger" in names else {})}
    with staged(databases, coming, own, stride_ms if situation.is_busy else 0) as stage:
        situation.prepare(stage)
        for name in names:
            done = Round(name, situation.name)
            try:
                _play(stage, situation, done, within_ms)
            except (AssertionError, httpx.HTTPError, subprocess.TimeoutExpired) as error:
                done.wrong.append(f"{type(error).__name__}: {error}")
                yield done
                return  # nobody knows how things stand
            yield done


def _play(stage: Stage, situation: Situation, done: Round, within_ms: float) -> None:
    """One round: hold something, halt, sell it, resume."""
    stage.buy()
    before, frames, began_s = stage.ledger.last, _frames(stage), time.monotonic()
    asked_ns = situation.run(stage, clients.ALL[done.client])
    done.frames_per_s = (_frames(stage) - frames) / (time.monotonic() - began_s)
    if done.client == "nobody":
        done.entries = len(stage.entries(asked_ns))
        if not done.entries:
            done.wrong.append("nobody halted, and nothing was entered: the other rounds prove nothing")
        stage.behaves()
        _sell(stage, done)
        return
    stage.until("halt", lambda: stage.ledger.since(before, "Halted"), DURABLE_S)
    heard_ns = stage.ledger.since(before, "Halted")[0].heard_ns
    if (
        heard_ns >= asked_ns
    ):  # a trigger may have fired for an earlier failure: that took we know not how long
        done.durable_ms = (heard_ns - asked_ns) / MILLISECOND
    later = stage.entries(asked_ns)
    done.entries = len(later)
    done.entry_ms = (max(later) - asked_ns) / MILLISECOND if later else 0.0
    if done.entry_ms > within_ms:
        done.wrong.append(f"an entry came in {done.entry_ms:,.0f} ms after the request")
    if (
        done.durable_ms or 0
    ) > within_ms and situation.name != "restart":  # nothing is durable before the start
        done.wrong.append(f"the halt was durable {done.durable_ms:,.0f} ms after the request")
    done.wrong += _left_after(stage, before)
    stage.behaves()
    _sell(stage, done)
    if stage.entries(asked_ns + round(within_ms * MILLISECOND)):
        done.wrong.append("an entry came in while the desk was halted")
    if done.client != "trigger":
        _resume(stage, done)


def _left_after(stage: Stage, before: int) -> list[str]:
    """Entries that the desk let go after it had decided to halt, by its own clock."""
    halted_ns = stage.ledger.since(before, "Halted")[0].body["at_ns"]
    late = [
        each.body for each in stage.ledger.since(before, "Fired") if each.body["at_ns"] > halted_ns + SLACK_NS
    ]
    return [f"{each['client_id']} left {each['at_ns'] - halted_ns} ns after the halt" for each in late]


def _sell(stage: Stage, done: Round) -> None:
    """Exits pass while the desk is halted."""
    began_ns = time.time_ns()
    reply = stage.act("/flatten", why="the drill goes on")
    if reply.status_code != 200:
        done.wrong.append(f"flatten was refused: {reply.text}")
        return
    try:
        stage.until("sale", lambda: stage.state(stage.held) == "CLOSED", SOLD_S)
    except AssertionError:
        done.wrong.append(f"what was held was not sold: {stage.snipe(stage.held)}")
        return
    sales = stage.sales(began_ns)
    if not sales:
        done.wrong.append("nothing was offered at the venue while the desk was halted")
        return
    done.sold_ms = (max(sales) - began_ns) / MILLISECOND


def _resume(stage: Stage, done: Round) -> None:
    if stage.file.exists():
        refused = stage.act("/resume", why="too early")
        if refused.status_code != 409 or "halt file" not in refused.text:
            done.wrong.append(f"resume was not refused beside the halt file: {refused.text}")
        stage.file.unlink()
    deadline = time.monotonic() + RESUMED_S
    while (reply := stage.act("/resume", why="the drill is over")).status_code != 200:
        if time.monotonic() > deadline:
            done.wrong.append(f"the desk does not resume: {reply.text}")
            return
        time.sleep(0.2)


def _frames(stage: Stage) -> int:
    return int(stage.venue.state()["counters"]["frames_sent"])


def played_out(
    databases: Databases, names: Sequence[str], chosen: Sequence[Situation], wish: Wish
) -> list[Round]:
    """Every round of the matrix."""
    found: list[Round] = []
    for situation in chosen:
        for life in lives(names, wish.rounds):
            for done in lived(databases, situation, life, wish.stride_ms):
                found.append(done)
                wish.tell(done)
    return found


# -- telling ---------------------------------------------------------------------------------------


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share does not exceed; of few values the largest stands for the rest."""
    ranked = sorted(values)
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)]


def cell(rounds: Sequence[Round]) -> dict[str, Any]:
    """What the rounds of one client in one situation come to; times in ms."""
    durable = [each.durable_ms for each in rounds if each.durable_ms is not None]
    entry = [each.entry_ms for each in rounds]
    return {
        "rounds": len(rounds),
        "entry_p50": quantile(entry, 0.5),
        "entry_p99": quantile(entry, 0.99),
        "entries": sum(each.entries for each in rounds),
        "durable_p50": quantile(durable, 0.5) if durable else None,
        "durable_p99": quantile(durable, 0.99) if durable else None,
        "sold": sum(each.sold_ms is not None for each in rounds),
        "frames_per_s": quantile([each.frames_per_s for each in rounds], 0.5),
        "wrong": [why for each in rounds for why in each.wrong],
    }


def cells(found: Sequence[Round]) -> dict[str, dict[str, dict[str, Any]]]:
    """By situation and client."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for situation in SITUATIONS:
        for name in clients.ALL:
            rounds = [r for r in found if (r.client, r.situation) == (name, situation.name)]
            if rounds:
                table.setdefault(situation.name, {})[name] = cell(rounds)
    return table


def page(found: Sequence[Round]) -> str:
    """The matrix as text: request to the last entry on the wire, and to the durable halt; p50/p99 in ms."""
    head = (
        f"{'situation':12} {'client':10} {'n':>3}  {'last entry':>13}  {'durable halt':>13}  exits  frames/s"
    )
    lines = [head]
    for situation, row in cells(found).items():
        for name, each in row.items():
            entry = f"{each['entry_p50']:,.0f}/{each['entry_p99']:,.0f}"
            durable = f"{each['durable_p50']:,.0f}/{each['durable_p99']:,.0f}" if each["durable_p50"] else "-"
            sold = f"{each['sold']}/{each['rounds']}"
            lines.append(
                f"{situation:12} {name:10} {each['rounds']:3}  {entry:>13}  {durable:>13}  {sold:>5}  "
                f"{each['frames_per_s']:8,.0f}"
            )
    wrong = [f"{r.situation}, {r.client}: {why}" for r in found for why in r.wrong]
    every = [each.entry_ms for each in found]
    total = (
        f"{len(found)} halts; request to the last entry: p99 {quantile(every, 0.99):,.0f} ms" if every else ""
    )
    return "\n".join([*lines, "", *wrong, total])


def as_json(found: Sequence[Round]) -> dict[str, Any]:
    return {"within_ms": WITHIN_MS, "cells": cells(found), "rounds": [asdict(each) for each in found]}
