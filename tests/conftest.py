"""What every test shares: one seed for the whole run, hypothesis profiles, a data folder of one's own."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import hypothesis
import pytest

SEED_VARIABLE = "MEXCLAB_TEST_SEED"

hypothesis.settings.register_profile("mexclab", deadline=None, print_blob=True, derandomize=False)
hypothesis.settings.register_profile(
    "thorough", hypothesis.settings.get_profile("mexclab"), max_examples=1000
)
hypothesis.settings.load_profile("mexclab")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Fix the seed before hypothesis reads its own and before xdist starts workers that inherit it."""
    seed = os.environ.setdefault(SEED_VARIABLE, str(secrets.randbelow(2**32)))
    if not seed.isdecimal():
        raise pytest.UsageError(f"{SEED_VARIABLE} must be a whole number, not {seed!r}")
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = seed


# minutes in which one worker mostly waits: begun last they would keep the other one waiting, too
LONG = ("test_demo", "test_watch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin what takes longest first; the order within a file stays."""
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_report_header() -> str:
    return f"seed: {os.environ[SEED_VARIABLE]} (reproduce with {SEED_VARIABLE}={os.environ[SEED_VARIABLE]})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    if exitstatus:
        terminalreporter.write_line(f"reproduce with {SEED_VARIABLE}={os.environ[SEED_VARIABLE]}")


@pytest.fixture
def seed() -> int:
    """The run's seed: whatever a test draws, it draws from this."""
    return int(os.environ[SEED_VARIABLE])


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, which ``MEXCLAB_DATA`` names for the length of the test."""
    monkeypatch.setenv("MEXCLAB_DATA", str(tmp_path))
    return tmp_path
