"""What every test shares: one seed for the whole run, hypothesis profiles, a data folder of one's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import hypothesis
import pytest

from tests.patient import PatientLoop

SEED_VARIABLE = "MEXCLAB_TEST_SEED"

# neither an example nor the drawing of it is timed: the machine may have other things to do
hypothesis.settings.register_profile(
    "mexclab",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
    derandomize=False,
)
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


def pytest_asyncio_loop_factories() -> Mapping[str, type[PatientLoop]]:
    """Every asynchronous test runs on a loop that a stalled machine cannot hurry."""
    return {"patient": PatientLoop}


# what takes minutes; begun last, one of them would keep a worker busy while the other has nothing left to do,
# and side by side they would be in each other's way
LONG = (
    "test_crash_sample", "test_demo", "test_watch", "test_engine", "test_live", "test_sagas_dying",
    "test_docs", "test_soak", "test_halt_file", "test_api_fuzz", "test_notebooks", "test_storm",
    "test_orders_api", "test_stopping", "test_planted_secrets", "test_halt_sample", "test_rehearse",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin what takes longest first, and with it what was planned by the hour; the order in a file stays."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


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
