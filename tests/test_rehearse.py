"""`mexclab rehearse`: the emergency works, the evidence is whole, and a desk that runs keeps it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from mexclab.config import Settings
from mexclab.errors import ConfigError
from mexclab.rehearsal import STEPS, Rehearsal, Step, rehearse
from tests.daemon.conftest import Running, daemon

__all__ = ["daemon"]

pytestmark = pytest.mark.timeout(300)
SECOND_NS = 10**9


def test_a_rehearsal_halts_sells_and_resumes_for_real_and_the_running_desk_keeps_it(daemon: Running) -> None:
    daemon.start()
    before = sorted(each.name for each in daemon.data.iterdir())
    done = daemon.run("rehearse", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["passed"] is True
    assert [step["name"] for step in told["steps"]] == list(STEPS)
    assert 0 < told["halted_ns"] < SECOND_NS
    assert told["last_entry_ns"] < SECOND_NS
    assert min(told["flattened_ns"], told["resumed_ns"], told["file_halted_ns"]) > 0
    assert json.loads(Path(told["evidence"]).read_text()) == told
    _is_what_the_venue_saw(told)
    with daemon.client() as client:
        rows = client.get("/events", params={"limit": 1000}).json()["events"]
        halted = client.get("/snapshot").json()["halt"]
    kept = [row["body"] for row in rows if row["kind"] == "Rehearsed"]
    assert [(each["passed"], each["evidence"]) for each in kept] == [(True, told["evidence"])]
    assert halted is None, "the person's own desk was not touched"
    assert sorted(each.name for each in daemon.data.iterdir()) == sorted([*before, "rehearsals"])


def _is_what_the_venue_saw(told: dict[str, object]) -> None:
    orders, steps = told["orders"], {step["name"]: step for step in told["steps"]}  # type: ignore[attr-defined]
    assert isinstance(orders, list)
    bought = [each for each in orders if (each["method"], each["side"]) == ("POST", "BUY")]
    assert len({each["symbol"] for each in bought}) == 1, "the second listing was never bought"
    assert max(each["machine_ns"] for each in bought) < steps["halt"]["began_ns"]
    sold = [each["machine_ns"] for each in orders if (each["method"], each["side"]) == ("POST", "SELL")]
    assert any(steps["flatten"]["began_ns"] < at_ns < steps["flatten"]["ended_ns"] for at_ns in sold)
    kinds = [row["kind"] for row in told["events"]]  # type: ignore[attr-defined]
    assert kinds.count("Halted") == 2
    assert kinds.count("Resumed") == 2
    assert all(a["ended_ns"] <= b["began_ns"] for a, b in pairwise(told["steps"]))  # type: ignore[arg-type]


def test_a_rehearsal_that_cannot_keep_its_evidence_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "rehearsals").write_text("in the way")
    said: list[str] = []
    with pytest.raises(ConfigError, match="evidence"):
        rehearse(Settings(data=tmp_path), said.append)
    assert said == []


def test_a_step_that_fails_or_is_missing_fails_the_rehearsal() -> None:
    good = [Step(name, 1, 2, True, "") for name in STEPS]
    assert Rehearsal(1, good).passed
    assert not Rehearsal(1, good[:-1]).passed
    assert not Rehearsal(1, [*good[:-1], Step("stop", 1, 2, False, "it did not")]).passed
    assert Rehearsal(1, good, halted_ns=5).summary() == {
        "passed": True, "halted_ns": 5, "flattened_ns": 0, "resumed_ns": 0, "evidence": "",
    }  # fmt: skip
