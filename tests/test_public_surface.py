"""``import mexclab`` is light, and offers what is meant and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PUBLIC = ["Lab", "MexclabError", "Settings", "Symbol", "__version__"]
HEAVY = ["ccxt", "duckdb", "mlflow", "numba", "pandas", "plotly", "polars", "sqlalchemy"]
BUDGET_CPU_S = 0.3

IMPORT = """
import sys, time
before = time.process_time()
import mexclab
cpu = time.process_time() - before
import json
print(json.dumps({"cpu": cpu, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def in_a_fresh_process(code: str) -> dict:
    """What ``code`` prints as JSON. Bytecode may be written, as it is for any person."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs() -> list[dict]:
    return [in_a_fresh_process(IMPORT) for _ in range(5)]


def test_importing_mexclab_takes_less_than_a_third_of_a_second_of_cpu(runs: list[dict]) -> None:
    best = min(run["cpu"] for run in runs)
    assert best < BUDGET_CPU_S, f"import mexclab took {best:.3f} CPU s at best; look with -X importtime"


def test_importing_mexclab_loads_no_heavy_library(runs: list[dict]) -> None:
    assert not set(HEAVY) & set(runs[0]["modules"])


def test_the_public_surface_is_exactly_what_is_meant() -> None:
    import mexclab

    assert mexclab.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_and_is_listed(name: str) -> None:
    import mexclab

    assert getattr(mexclab, name)
    assert name in dir(mexclab)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    import mexclab

    with pytest.raises(AttributeError, match="helpers"):
        _ = mexclab.helpers


def test_the_version_is_the_one_that_is_installed() -> None:
    from importlib.metadata import version

    import mexclab

    assert mexclab.__version__ == version("mexclab")
