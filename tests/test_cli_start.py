"""Every command answers ``--help`` at once: a skin that loads the whole house is no skin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from mexclab import __version__
from mexclab.cli import app

BUDGET_CPU_S = 0.6


def commands() -> Iterator[tuple[str, ...]]:
    """``mexclab`` itself and every command and group below it."""
    waiting = [((), typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop(0)
        yield path
        waiting += [((*path, name), each) for name, each in getattr(command, "commands", {}).items()]


def cpu_of(arguments: tuple[str, ...]) -> float:
    """CPU seconds, user and system, of one run that must succeed."""
    program = Path(sys.executable).with_name("mexclab")
    assert program.exists(), "mexclab is not installed beside this Python: run make setup"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [program, *arguments, "--help"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process.stderr as stream:
        words = stream.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return usage.ru_utime + usage.ru_stime


def test_the_version_is_told() -> None:
    program = Path(sys.executable).with_name("mexclab")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"mexclab {__version__}\n"


@pytest.mark.parametrize("path", list(commands()), ids=lambda path: " ".join(("mexclab", *path)))
def test_help_takes_less_than_six_tenths_of_a_second_of_cpu(path: tuple[str, ...]) -> None:
    runs: list[float] = []
    while len(runs) < 3 and (not runs or min(runs) >= BUDGET_CPU_S):
        runs.append(cpu_of(path))
    assert min(runs) < BUDGET_CPU_S, f"{min(runs):.2f} CPU s at best; look with -X importtime"
