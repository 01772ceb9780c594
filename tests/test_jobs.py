"""Notebooks as jobs: what is refused before a kernel starts, what is kept when a run ends badly."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from mexclab import Settings, jobs
from mexclab.errors import ConfigError, JobFailed, ParameterError
from mexclab.jobs.run import JobRun, _environment

PARAMETERS = (
    "k: int = 3  # how many\n"
    'name: str = ""  # whose\n'
    "share: float = 0.5  # of all\n"
    "deep: bool = False  # or not\n"
    "plain = 7"
)


def notebook(folder: Path, *cells: str, name: str = "essay") -> Path:
    """A notebook of a ``parameters`` cell and these cells."""
    sources = [(PARAMETERS, {"tags": ["parameters"]}), *((cell, {}) for cell in cells)]
    body: dict[str, Any] = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{number}",
                "metadata": metadata,
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for number, (source, metadata) in enumerate(sources)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    file = folder / f"{name}.ipynb"
    file.write_text(json.dumps(body))
    return file


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


def texts(output: Path) -> str:
    cells = json.loads(output.read_text())["cells"]
    return "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", ()))


@dataclass
class Whole:
    """A run that went well, and what was told of its progress."""

    done: JobRun
    settings: Settings
    seen: list[tuple[int, int]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, seen = tmp_path_factory.mktemp("whole"), list[tuple[int, int]]()
    settings = Settings(data=folder / "data")
    file = notebook(folder, "print(repr((k, name, share, deep, plain)))", "import os; print(os.getcwd())")
    words = {"k": "12", "name": "BTC'USDT", "share": "0.25", "deep": "yes", "plain": "8"}
    done = jobs.run(file, words, settings, lambda ended, cells: seen.append((ended, cells)))
    return Whole(done, settings, seen)


def test_parameters_are_read_as_annotated_and_the_output_is_moved_in_whole(whole: Whole) -> None:
    done, settings, seen = whole.done, whole.settings, whole.seen
    assert """(12, "BTC'USDT", 0.25, True, 8)""" in texts(done.output)
    assert sorted(path.name for path in done.output.parent.iterdir()) == ["essay.html", "essay.ipynb"]
    assert done.output.is_relative_to(settings.data / "runs" / "essay")
    assert "BTC&#39;USDT" in done.html.read_text() or "BTC'USDT" in done.html.read_text()
    assert seen[0] == (0, 4)
    assert seen[-1] == (4, 4)
    assert done.seconds > 0


def test_a_failing_cell_keeps_the_notebook_and_is_told_in_one_sentence(
    tmp_path: Path, settings: Settings
) -> None:
    file = notebook(tmp_path, "print('before')", "raise ValueError('the moon is\\nfull')", "print('after')")
    with pytest.raises(JobFailed) as failed:
        jobs.run(file, {}, settings)
    error = failed.value
    kept = Path(error.data["output"])
    assert kept.name == "essay.failed.ipynb"
    assert str(kept) in str(error)
    assert "cell [3] (ValueError: the moon is)" in str(error)
    assert "\n" not in str(error)
    assert "before" in texts(kept)
    assert "after" not in texts(kept)
    assert [path.name for path in kept.parent.iterdir()] == ["essay.failed.ipynb"]


def test_a_run_past_its_deadline_is_killed_with_its_kernel_and_kept(
    tmp_path: Path, settings: Settings, whole: Whole
) -> None:
    enough_s = 4 + 2 * whole.done.seconds  # for a kernel to start and to come to the second cell
    mark = tmp_path / "kernel.pid"
    slow = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); print('here', flush=True)"
    file = notebook(tmp_path, slow, "time.sleep(600)")
    began = time.monotonic()
    with pytest.raises(JobFailed, match="was stopped after") as failed:
        jobs.run(jobs.Pipeline("slow", "Slow", file, timeout_s=enough_s), {}, settings)
    assert time.monotonic() - began < enough_s + 120
    assert failed.value.data["late"]
    assert "here" in texts(Path(failed.value.data["output"]))
    deadline = time.monotonic() + 60
    while psutil.pid_exists(int(mark.read_text())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(mark.read_text()))


def test_a_kernel_that_dies_is_told(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(JobFailed, match="kernel died"):
        jobs.run(notebook(tmp_path, "import os; os._exit(1)"), {}, settings)


def test_the_run_sees_our_settings_and_no_key(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXCHANGE_API_SECRET", "not for kernels")
    monkeypatch.setenv("MEXCLAB_MODE", "paper")
    seen = _environment(settings)
    assert "EXCHANGE_API_SECRET" not in seen
    assert seen["MEXCLAB_MODE"] == "paper"
    assert seen["MEXCLAB_DATA"] == str(settings.data)
    assert seen["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kk": "3"}, "no parameter 'kk'; did you mean k?"),
        ({"k": "three"}, "k = 'three': expected a whole number (how many)"),
        ({"k": "3.5"}, "expected a whole number"),
        ({"k": True}, "expected a whole number"),
        ({"k": ""}, "expected a whole number"),
        ({"share": "nan"}, "expected a number (of all)"),
        ({"deep": "perhaps"}, "expected true or false"),
        ({"name": 5}, "expected text"),
        ({"plain": "seven"}, "expected a whole number"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_starts(
    tmp_path: Path, settings: Settings, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ParameterError) as refused:
        jobs.run(notebook(tmp_path, "print(k)"), given, settings)
    assert said in str(refused.value)
    assert not settings.data.exists()


@pytest.mark.parametrize("word", ["k", "=3", "k=3 k"])
def test_a_word_that_is_not_name_equals_value_is_refused(
    tmp_path: Path, settings: Settings, word: str
) -> None:
    with pytest.raises(ParameterError):
        jobs.run_from_words(str(notebook(tmp_path, "print(k)")), [word], settings)


def test_a_parameter_that_is_given_twice_is_refused(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ParameterError, match="once"):
        jobs.run_from_words(str(notebook(tmp_path)), ["k=1", "k=2"], settings)


def test_the_declared_pipelines_can_be_used() -> None:
    names = [pipeline.name for pipeline in jobs.pipelines()]
    assert "snipe_post_mortem" in names
    for pipeline in jobs.pipelines():
        kinds = {parameter.name for parameter in jobs.parameters_of(pipeline.notebook)}
        assert set(pipeline.parameters) <= kinds


def test_an_unknown_pipeline_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean snipe_post_mortem"):
        jobs.find("snipe_postmortem")


def test_a_notebook_that_is_not_there_or_is_none_is_refused(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match="no notebook"):
        jobs.run(tmp_path / "nowhere.ipynb", {}, settings)
    (tmp_path / "torn.ipynb").write_text('{"cells": [')
    with pytest.raises(ConfigError, match="not a notebook"):
        jobs.run(tmp_path / "torn.ipynb", {}, settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('title = "x"', "notebook"),
        ('notebook = "essay.ipynb"\nretries = 3', "retries"),
        ('notebook = "essay.ipynb"\noutput = "../out/{started}"', "output"),
        ('notebook = "essay.ipynb"\noutput = "out/{name}"', "output"),
        ('notebook = "essay.ipynb"\noutput = "/out/{started}"', "output"),
        ('notebook = "essay.ipynb"\noutput = "{what}/{started}"', "cannot be used"),
        ('notebook = "essay.ipynb"\ntimeout_s = 0', "timeout_s"),
        ('notebook = "essay.ipynb"\nparameters = 3', "parameters"),
        ('notebook = "other.ipynb"', "does not exist"),
        ("notebook = ", "cannot be read"),
    ],
)
def test_a_declaration_that_cannot_be_used_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    notebook(tmp_path)
    (tmp_path / "pipelines").mkdir()
    file = tmp_path / "pipelines" / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        jobs.declared(file)
    assert str(file) in str(refused.value)


def test_a_declared_parameter_counts_unless_another_is_given(tmp_path: Path) -> None:
    notebook(tmp_path)
    (tmp_path / "pipelines").mkdir()
    file = tmp_path / "pipelines" / "good.toml"
    file.write_text('notebook = "essay.ipynb"\n[parameters]\nk = 9\n')
    pipeline = jobs.declared(file)
    assert (pipeline.name, pipeline.parameters) == ("good", {"k": 9})
    assert pipeline.notebook == tmp_path / "essay.ipynb"


def test_away_from_a_clone_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mexclab.jobs.pipeline.CHECKOUT", tmp_path / "site-packages")
    with pytest.raises(ConfigError, match="clone of the project"):
        jobs.pipelines()
