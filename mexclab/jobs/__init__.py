"""Notebooks as jobs: parameters checked first, a deadline for the whole run, the output kept either way.

A pipeline is a notebook with parameters and a place for its output, declared in ``pipelines/NAME.toml``;
a bare notebook runs too. Each run has a folder of its own, in which the notebook and an HTML page that
needs no network appear once they are whole; a run that failed leaves ``NAME.failed.ipynb``.

The run is a process of its own, so that it can be stopped. It is given named environment variables
only: no exchange key can be in reach of its kernel.
"""

from __future__ import annotations

import sys

# Before papermill: jsonschema imports this grammar (about 2 CPU seconds) for a format that no notebook uses.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from mexclab.jobs.parameters import Parameter, parameters_of  # noqa: E402
from mexclab.jobs.pipeline import Pipeline, declared, find, pipelines  # noqa: E402
from mexclab.jobs.run import JobRun, Progress, run, run_from_words  # noqa: E402

__all__ = [
    "JobRun",
    "Parameter",
    "Pipeline",
    "Progress",
    "declared",
    "find",
    "parameters_of",
    "pipelines",
    "run",
    "run_from_words",
]
