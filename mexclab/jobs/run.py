"""Running a pipeline in a process of its own, with a deadline; keeping what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psutil

from mexclab.config import Settings, load_settings
from mexclab.errors import ConfigError, JobFailed, ParameterError
from mexclab.jobs.parameters import checked, parameters_of
from mexclab.jobs.pipeline import CHECKOUT, Pipeline, find, folder_name

Progress = Callable[[int, int], None]
STOP_S = 5.0  # what a run is given to end by itself before it is killed
PASSED_ON = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TEMP", "TMP",
    "VIRTUAL_ENV",
    "CONDA_PREFIX", "LD_LIBRARY_PATH", "PYTHONPATH", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME", "SYSTEMROOT", "WINDIR", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "OMP_NUM_THREADS",
    "POLARS_MAX_THREADS", "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "JUPYTER_PATH", "JUPYTER_DATA_DIR",
    "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
})  # fmt: skip
"""What a run may see of the environment, beside ``MEXCLAB_*``; keys live in the vault, never there."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """A run that ended well: where its notebook and its page are, and how long it took."""

    name: str
    title: str
    output: Path
    html: Path
    seconds: float
    parameters: Mapping[str, Any]


def run(
    pipeline: Path | str | Pipeline,
    parameters: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> JobRun:
    """Run a pipeline or a notebook to its end; blocks meanwhile.

    Args:
        pipeline: a pipeline's name, the path of a declaration or of a notebook, or a declaration.
        parameters: by name; text is read as the type that the notebook annotates.
        settings: where the data lies; None reads file and environment.
        progress: called with (cells done, cells in all), first with none done.

    Raises:
        ConfigError: there is no such pipeline, or its declaration cannot be used.
        ParameterError: a parameter is unknown or of the wrong type; nothing was started.
        JobFailed: a cell failed or the deadline passed; ``data["output"]`` is what was kept.
    """
    chosen = pipeline if isinstance(pipeline, Pipeline) else find(pipeline)
    settings = settings or load_settings().settings
    values = checked({**chosen.parameters, **(parameters or {})}, parameters_of(chosen.notebook), chosen.name)
    folder = _run_folder(chosen, settings)
    part = folder / f"{chosen.notebook.stem}.running.ipynb"
    task = {
        "notebook": str(chosen.notebook),
        "output": str(part),
        "title": chosen.title,
        "parameters": values,
    }
    began = time.monotonic()
    said = _work(task, settings, chosen.timeout_s, progress or (lambda done, cells: None))
    seconds = time.monotonic() - began
    if said.get("done"):
        output, page = folder / f"{chosen.notebook.stem}.ipynb", folder / f"{chosen.notebook.stem}.html"
        part.replace(output)
        part.with_suffix(".html").replace(page)
        return JobRun(chosen.name, chosen.title, output, page, seconds, values)
    raise _failure(chosen, part, said, seconds)


def run_from_words(pipeline: str, words: Sequence[str], settings: Settings | None = None) -> JobRun:
    """``run`` for a command line: parameters as ``NAME=VALUE``.

    Raises:
        ParameterError: a word that is not ``NAME=VALUE``, or given twice; and what ``run`` raises.
    """
    parameters: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip() or name.strip() in parameters:
            raise ParameterError(
                f"{word!r}: give each parameter once, as NAME=VALUE, such as k=20.", word=word
            )
        parameters[name.strip()] = value
    return run(pipeline, parameters, settings)


def _run_folder(pipeline: Pipeline, settings: Settings) -> Path:
    """A new folder for this run; two that start in the same second get one each."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for again in range(1, 1000):
        folder = settings.data / folder_name(pipeline, started if again == 1 else f"{started}-{again}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as wrong:
            raise ConfigError(
                f"The run's folder {folder} cannot be made: {wrong.strerror}.", folder=str(folder)
            ) from None
        return folder
    raise ConfigError(f"Too many runs started at {started}.", pipeline=pipeline.name)


def _failure(pipeline: Pipeline, part: Path, said: Mapping[str, Any], seconds: float) -> JobFailed:
    """Keep what there is, and say in one sentence what went wrong and where it is."""
    kept = part.with_name(f"{pipeline.notebook.stem}.failed.ipynb")
    if part.exists():
        part.replace(kept)
        where = f"its notebook was kept: {kept}"
    else:
        where = "it ended before it had a notebook"
    cell = said.get("cell")
    if said.get("late"):
        what = f"was stopped after {seconds:.0f} s, its limit being {pipeline.timeout_s:g} s"
    elif cell is not None:
        what = f"failed in cell [{cell}] ({said['error']})"
    else:
        what = f"failed ({said.get('error', 'the process ended without a word')})"
    output = str(kept) if kept.exists() else None
    return JobFailed(
        f"{pipeline.name} {what}; {where}",
        output=output,
        cell=cell,
        error=said.get("error"),
        late=bool(said.get("late")),
    )


def _environment(settings: Settings) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("MEXCLAB_")
    }
    if (CHECKOUT / "pyproject.toml").exists():  # the run uses the very package that started it
        kept["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "MEXCLAB_DATA": str(settings.data)}


def _work(
    task: Mapping[str, Any], settings: Settings, timeout_s: float, progress: Progress
) -> dict[str, Any]:
    """Let a worker carry the task out; its last word, or that it was late."""
    heard: dict[str, Any] = {}
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "mexclab.jobs.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True,
            env=_environment(settings), start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        ear = threading.Thread(target=_listen, args=(process.stdout, heard, progress), daemon=True)
        ear.start()
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()  # and stays open: its end tells the worker that nobody waits any more
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            heard["late"] = True
        except BrokenPipeError:
            process.wait()
        finally:
            _stop(process)
            ear.join(STOP_S)
            process.stdout.close()
        complaints.seek(0)
        words = [line.strip() for line in complaints.read().splitlines() if line.strip()]
    if not heard.keys() & {"done", "error", "late"} and words:
        heard["error"] = words[-1][:300]
    return heard


def _listen(lines: IO[str], heard: dict[str, Any], progress: Progress) -> None:
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue  # something else that a library printed
        if "cells" in said:
            progress(said["ended"], said["cells"])
        else:
            heard.update(said)


def _stop(process: subprocess.Popen[str]) -> None:
    """End the worker and its kernel: by asking, then by force."""
    if process.poll() is None:
        try:
            family = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for kernel in family:  # a kernel has a session of its own and would stay
            try:
                kernel.kill()
            except psutil.NoSuchProcess:
                continue
    if process.stdin is not None:
        try:
            process.stdin.close()
        except BrokenPipeError:
            return
