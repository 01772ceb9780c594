"""The engine's benchmark measures what it says: equal trades are found equal, and others are not."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from benchmarks.engine import agrees, our_run
from benchmarks.engine_rule import Task, expected, task
from tools.bench_env import NoEnvironment, _run

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("bundle", [1, 60])
async def test_our_engine_makes_the_trades_of_the_plain_loop(bundle: int) -> None:
    job = task(6_000, seed=2)
    run, _ = await our_run(job, bundle)
    trades = expected(job)
    assert len(trades) > 5
    assert agrees(run, trades)


async def test_one_tick_or_a_hundredth_of_a_cent_beside_is_seen() -> None:
    job = task(3_000, seed=2)
    run, _ = await our_run(job)
    trades = expected(job)
    moved = [trades[0]._replace(exit_ticks=trades[0].exit_ticks + 1), *trades[1:]]
    assert not agrees(run, moved)
    assert not agrees(run, trades[:-1])
    assert not agrees(replace(run, profit=run.profit + Decimal("0.0001")), trades)


def test_a_task_is_read_back_by_a_peer_as_it_was_written(tmp_path: Path) -> None:
    job = task(2_000, seed=4)
    job.write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"ticks.npy", "signals.npy", "rule.json"}
    assert expected(Task(job.ticks, job.signals[:0])) == []


def test_every_peer_is_pinned_and_none_is_a_dependency_of_mexclab() -> None:
    lines = (ROOT / "benchmarks" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+]+", pin) for pin in pins)
    ours = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for peer in ("backtesting", "nautilus-trader"):
        assert any(pin.startswith(f"{peer}==") for pin in pins)
        assert f'"{peer}' not in ours


def test_a_step_that_fails_is_told_in_its_own_last_words() -> None:
    with pytest.raises(NoEnvironment, match="failed: there is no such package"):
        _run(sys.executable, "-c", "import sys; sys.exit('first words\\nthere is no such package')")
