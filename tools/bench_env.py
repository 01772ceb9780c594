"""The peers' own environment: ``.venv-bench``, made from ``benchmarks/requirements.txt`` by uv.

``python tools/bench_env.py`` makes it where it is missing or out of date and prints its Python. The packages
come from wherever pip and uv are told to get theirs on this machine.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "requirements.txt"
VENV = ROOT / ".venv-bench"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "peers.sha256"
PATIENCE_S = 900


class NoEnvironment(Exception):
    """It cannot be made; the sentence says why."""


def peers_python() -> Path:
    """The Python that the peers are installed for.

    Raises:
        NoEnvironment: uv is missing, or the packages cannot be installed here.
    """
    wanted = hashlib.sha256(PEERS.read_bytes() + sys.version.encode()).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return PYTHON
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise NoEnvironment("uv is not installed: run make setup")
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV))
    _run(uv, "pip", "install", "--quiet", "--python", str(PYTHON), "--requirement", str(PEERS))
    STAMP.write_text(wanted)
    return PYTHON


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        raise NoEnvironment(f"{Path(command[0]).name} {command[1]} took longer than {PATIENCE_S} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no word of why"]
        raise NoEnvironment(f"{Path(command[0]).name} {command[1]} failed: {words[-1].strip()}")


def main() -> int:
    try:
        python = peers_python()
    except NoEnvironment as error:
        sys.stderr.write(f"bench_env: {error}\n")
        return 1
    sys.stdout.write(f"{python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
