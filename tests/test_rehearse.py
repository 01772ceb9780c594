"""`mexclab rehearse`: the emergency works, the evidence is whole, and a desk that runs keeps it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from mexclab.config import Settings
from mexclab.errors import ConfigError
from mexclab.rehearsal import STEPS, Rehearsal, Step, rehearse
from tests.daemon.conftest import Running, daemon

__all__ = ["daemon"]

SECOND_NS = 10**9
LATE_NS = SECOND_NS // 4  # an answer that comes so late leaves no room for what must follow within the second
TRIES = 4


def was_late(told: dict[str, Any]) -> bool:
    """Whether the rehearsal measured that the machine gave it no room for a promise about a second."""
    at = told["steps"][-1]["name"]
    asked_ns = {"halt": told["halted_ns"], "silence": told["halted_ns"], "halt by file": told["resumed_ns"]}
    return at == "load" or asked_ns.get(at, 0) > LATE_NS


def rehearsed(daemon: Running) -> dict[str, Any]:
    """A rehearsal that passed; one that failed because the machine had no room for it is held again."""
    for _ in range(TRIES):
        done = daemon.run("rehearse", "--json")
        told: dict[str, Any] = json.loads(done.stdout)
        if told["passed"]:
            assert done.returncode == 0, done.stderr
            return told
        assert done.returncode != 0
        assert was_late(told), done.stderr
    pytest.skip("other work on this machine leaves no room for a halt within a second")


def test_a_rehearsal_halts_sells_and_resumes_for_real_and_the_running_desk_keeps_it(daemon: Running) -> None:
    daemon.start()
    before = sorted(each.name for each in daemon.data.iterdir())
    told = rehearsed(daemon)
    assert [step["name"] for step in told["steps"]] == list(STEPS)
    assert 0 < told["halted_ns"] < SECOND_NS
    assert told["last_entry_ns"] < SECOND_NS
    assert min(told["flattened_ns"], told["resumed_ns"], told["file_halted_ns"]) > 0
    assert json.loads(Path(told["evidence"]).read_text()) == told
    _is_what_the_venue_saw(told)
    with daemon.client() as client:
        rows = client.get("/events", params={"limit": 1000}).json()["events"]
        halted = client.get("/snapshot").json()["halt"]
    *late, kept = [row["body"] for row in rows if row["kind"] == "Rehearsed"]
    assert (kept["passed"], kept["evidence"]) == (True, told["evidence"])
    assert not any(each["passed"] for each in late)
    assert halted is None, "the person's own desk was not touched"
    assert sorted(each.name for each in daemon.data.iterdir()) == sorted([*before, "rehearsals"])


def test_a_rehearsal_that_is_killed_leaves_no_desk_and_no_venue_behind(daemon: Running) -> None:
    with tempfile.TemporaryDirectory(prefix="mexclab-stages-") as stages:
        Path(stages).chmod(0o755)
        process = subprocess.Popen(
            [sys.executable, "-m", "mexclab.cli", "rehearse", "--json"],
            env=daemon.environment(TMPDIR=stages), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            ends_s = time.monotonic() + 120
            while not (found := list(Path(stages).glob("*/daemon.json"))):
                assert process.poll() is None
                assert time.monotonic() < ends_s
                time.sleep(0.05)
            desk = json.loads(found[0].read_text())["pid"]
            venue = json.loads((found[0].parent / "venue" / "simulator.json").read_text())["url"]
            assert _lives(desk)
        finally:
            process.kill()
            process.wait()
        ends_s = time.monotonic() + 120
        while _lives(desk) or _answers(venue):
            assert time.monotonic() < ends_s, "the stage goes on without its rehearsal"
            time.sleep(0.1)


def _lives(pid: int) -> bool:
    """Whether there is such a process; one that has ended and that nobody waits for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v3/ping", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


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
