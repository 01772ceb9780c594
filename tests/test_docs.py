"""What the documents say to type works: every command in them is run, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mexclab.venues.simulator.fault_plan import parse_plan
from mexclab.venues.simulator.terms import PAPER_ACCOUNT
from tests.daemon.conftest import Running

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# these stay up until they are stopped; other tests start them for real
STAY_UP = {"trade", "demo", "lab", "dash", "simulate", "watch"}
ASKS_THE_REAL_VENUE = (["vault", "test"], ["fetch", "bars"], ["fetch", "follow"])
ASKS_A_PERSON = ["risk", "confirm"]


def commands(path: Path) -> list[list[str]]:
    """The ``mexclab ...`` lines of a document's shell blocks, without their comments."""
    found = []
    for kind, body in FENCE.findall(path.read_text(encoding="utf-8")):
        if kind in ("", "sh", "bash"):
            for line in body.replace("\\\n", " ").splitlines():
                words = (
                    shlex.split(line.strip(), comments=True) if line.strip().startswith("mexclab ") else []
                )
                if words:
                    found.append(words[1:])
    return found


@pytest.fixture(scope="module")
def desk() -> Iterator[tuple[Running, Path]]:
    """A running paper desk, and a working folder with the files that the documents speak of."""
    data = Path(tempfile.mkdtemp(prefix="mexclab-docs-"))
    work = data / "work"
    (work / "downloads").mkdir(parents=True)
    for name in ("notebooks", "pipelines", "dashboards"):
        (work / name).symlink_to(ROOT / name)
    lines = [f"{1_780_000_020 + 60 * n},1,2,0.9,{1 + n % 7 / 10},10" for n in range(600)]
    bars = "\n".join(["ts,open,high,low,close,volume", *lines]) + "\n"
    (work / "downloads" / "ETHUSDT.csv").write_text(bars)
    running = Running(data)
    try:
        running.start()
        yield running, work
    finally:
        running.stop()
        shutil.rmtree(data, ignore_errors=True)


def named_files(words: list[str], work: Path) -> None:
    """The CSV files that a command names are made, so that it has something to read."""
    for word in words[1:]:
        path = work / word
        if word.endswith((".csv", ".csv.gz")) and not path.exists():
            shutil.copy(work / "downloads" / "ETHUSDT.csv", path)


def all_commands() -> Iterator[tuple[Path, list[str]]]:
    """Each where it stands; the same run of a notebook, which depends on nothing before it, only once."""
    runs: list[list[str]] = []
    for path in DOCUMENTS:
        for words in commands(path):
            if words[0] == "run" and words in runs:
                continue
            runs.append(words)
            yield path, words


ALL = list(all_commands())


@pytest.mark.parametrize(
    ("path", "words"), ALL, ids=[f"{path.stem}: {' '.join(words)[:60]}" for path, words in ALL]
)
def test_a_documented_command_works(path: Path, words: list[str], desk: tuple[Running, Path]) -> None:
    running, work = desk
    named_files(words, work)
    words = ["--help" if word == "ID" else word for word in words]
    if words[0] in STAY_UP or words[:2] in (*ASKS_THE_REAL_VENUE, ASKS_A_PERSON):
        words = [*words, "--help"]
    secret = work / "passphrase"
    secret.write_text("correct horse battery staple")
    secret.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "mexclab.cli", *words],
        input="a-key\na-secret\n",  # what a person would type
        cwd=work, env=running.environment(MEXCLAB_VAULT__PASSPHRASE_FILE=str(secret)),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    may_say_no = words[0] == "preflight" or words[:2] in (["risk", "check"], ["reconcile", "--accept"])
    honest = (0, 5, 6) if may_say_no else (0,)  # and then it must say why
    assert done.returncode in honest, f"{path.name}: mexclab {' '.join(words)}\n{done.stderr[-1500:]}"


def test_the_readme_session_runs_as_written(data_folder: Path) -> None:
    code = next(body for kind, body in FENCE.findall((ROOT / "README.md").read_text()) if kind == "python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "edge" in done.stdout


def blocks(name: str, kind: str) -> list[str]:
    text = (ROOT / "docs" / "guides" / name).read_text(encoding="utf-8")
    return [body for found, body in FENCE.findall(text) if found == kind]


def test_the_fault_plan_of_the_simulator_guide_is_one() -> None:
    plan = next(body for body in blocks("simulator.md", "toml") if "[[rule]]" in body)
    assert [rule.fault for rule in parse_plan(plan, "the guide", is_toml=True).rules] == ["lose_reply", "gap"]


def test_the_ccxt_client_of_the_simulator_guide_points_at_the_simulator() -> None:
    names: dict[str, Any] = {}
    exec(blocks("simulator.md", "python")[0], names)
    assert names["exchange"].urls["api"]["spot"]["private"] == "http://127.0.0.1:8790"
    assert names["exchange"].apiKey == PAPER_ACCOUNT.key


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), f"{path.name}: {target}"


def test_no_document_holds_a_placeholder() -> None:
    for path in DOCUMENTS:
        assert "{{" not in path.read_text(encoding="utf-8"), path.name
