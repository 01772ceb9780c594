"""Pipelines: what is declared, and where it is found."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mexclab.errors import ConfigError
from mexclab.jobs.parameters import nearest

DEFAULT_TIMEOUT_S = 900.0
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What runs, with what, and where the output goes.

    Attributes:
        notebook: the file.
        parameters: values that differ from the notebook's own defaults.
        output: folder of a run below the data folder; ``{name}`` and ``{started}`` are filled in.
        timeout_s: seconds for the whole run.
    """

    name: str
    title: str
    notebook: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    output: str = "runs/{name}/{started}"
    timeout_s: float = DEFAULT_TIMEOUT_S


def home() -> Path:
    """The folder that holds ``pipelines`` and ``notebooks``: the working folder, or the checkout.

    Raises:
        ConfigError: neither does; the notebooks come with a clone of the project, not with the package.
    """
    for place in (Path.cwd(), CHECKOUT):
        if (place / "pipelines").is_dir() and (place / "notebooks").is_dir():
            return place
    raise ConfigError(
        "There are no folders `pipelines` and `notebooks` here: they come with a clone of the project. "
        "Run this in its folder, or give the path of a notebook."
    )


def pipelines() -> list[Pipeline]:
    """Every declared pipeline, by name.

    Raises:
        ConfigError: there is no folder of them, or one cannot be used.
    """
    return [declared(file) for file in sorted((home() / "pipelines").glob("*.toml"))]


def find(pipeline: Path | str) -> Pipeline:
    """The pipeline of that name, declaration or notebook.

    Raises:
        ConfigError: there is none; the nearest name is in the sentence.
    """
    path = Path(pipeline).expanduser()
    if path.suffix == ".ipynb":
        places = (path, *([] if path.is_absolute() else [_home_or_here() / path]))
        found = next((place.resolve() for place in places if place.is_file()), None)
        if found is None:
            raise ConfigError(f"There is no notebook {path}.", notebook=str(path))
        return Pipeline(found.stem, found.stem.replace("_", " "), found)
    if path.suffix == ".toml":
        return declared(path)
    known = {each.name: each for each in pipelines()}
    if str(pipeline) not in known:
        raise ConfigError(
            f"There is no pipeline {str(pipeline)!r}{nearest(str(pipeline), known)} "
            "The path of a notebook runs too.",
            pipeline=str(pipeline),
        )
    return known[str(pipeline)]


def _home_or_here() -> Path:
    try:
        return home()
    except ConfigError:
        return Path.cwd()


def declared(file: Path) -> Pipeline:
    """The pipeline that a TOML file declares; its ``notebook`` is relative to the folder above it.

    Raises:
        ConfigError: the file cannot be read, or what it says cannot be used; the sentence names it.
    """
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
        notebook = (file.resolve().parents[1] / said.pop("notebook")).resolve()
        pipeline = Pipeline(said.pop("name", file.stem), said.pop("title", file.stem), notebook, **said)
        folder_name(pipeline, "")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise ConfigError(f"The pipeline {file} cannot be read: {wrong}.", file=str(file)) from None
    except (KeyError, TypeError, ValueError, IndexError) as wrong:
        raise ConfigError(
            f"The pipeline {file} cannot be used ({wrong}): it says notebook, and may say name, title, "
            "output (with {name} and {started}), timeout_s and a table of parameters.",
            file=str(file),
        ) from None
    if not notebook.is_file():
        raise ConfigError(f"The pipeline {file} names {notebook}, which does not exist.", file=str(file))
    if not isinstance(pipeline.parameters, dict) or not _is_positive(pipeline.timeout_s):
        raise ConfigError(
            f"The pipeline {file}: parameters is a table, timeout_s a number above 0.", file=str(file)
        )
    return pipeline


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def folder_name(pipeline: Pipeline, started: str) -> Path:
    """The folder of a run below the data folder; ValueError where ``output`` does not name one."""
    known = {"name", "started"}
    asked = {name for _, name, _, _ in string.Formatter().parse(pipeline.output) if name is not None}
    path = Path(pipeline.output.format(name=pipeline.name, started=started))
    if asked - known or path.is_absolute() or ".." in path.parts or "started" not in asked:
        raise ValueError(f"output {pipeline.output!r}")
    return path
