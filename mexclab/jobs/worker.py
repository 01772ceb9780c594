"""The process that executes one notebook: a task as a line on stdin, progress and outcome on stdout.

It ends itself when its stdin does: then whoever started it is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import papermill
import papermill.log
from nbclient.exceptions import DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillException, PapermillExecutionError
from traitlets.config import Config

from mexclab.jobs.page import page

KERNEL = "python3"
STARTS = 3  # a kernel that dies before its first cell is started again; ports can clash


def _tell(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


class TellingEngine(NBClientEngine):
    """Papermill's own engine, which also says how far it is."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        cells = sum(cell.cell_type == "code" for cell in nb_man.nb.cells)
        ended, complete = 0, nb_man.cell_complete

        def tell(cell: Any, *args: Any, **more: Any) -> None:
            nonlocal ended
            complete(cell, *args, **more)
            ended += cell.cell_type == "code"
            _tell(ended=ended, cells=cells)

        nb_man.cell_complete = tell
        _tell(ended=0, cells=cells)
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


def _execute(task: dict[str, Any], sockets: str) -> Any:
    options: dict[str, Any] = {}
    if sys.platform == "linux":  # files that only this user can open; elsewhere their paths grow too long
        options["config"] = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/k"}})
    return papermill.execute_notebook(
        task["notebook"],
        task["output"],
        parameters=task["parameters"],
        kernel_name=KERNEL,
        engine_name="telling",
        progress_bar=False,
        autosave_cell_every=5,
        **options,
    )


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Execute, write the page beside the notebook, and say how it ended."""
    papermill_engines.register("telling", TellingEngine)
    papermill.log.logger.setLevel("ERROR")
    for start in range(1, STARTS + 1):
        try:
            with tempfile.TemporaryDirectory(prefix="mexclab-") as sockets:
                executed = _execute(task, sockets)
        except PapermillExecutionError as failed:
            value = next(iter(str(failed.evalue).splitlines()), "").rstrip(".")
            return {"cell": failed.exec_count, "error": f"{failed.ename}: {value}"[:300]}
        except DeadKernelError:
            return {"error": "its kernel died; it may have run out of memory"}
        except (
            RuntimeError,
            TimeoutError,
        ) as unborn:  # what jupyter_client says of a kernel that never answered
            if start == STARTS:
                return {"error": f"its kernel did not start: {unborn}"}
        except (PapermillException, OSError, ValueError) as wrong:
            return {"error": f"{type(wrong).__name__}: {wrong}"[:300]}
        else:
            text = page(executed, task["title"])
            Path(task["output"]).with_suffix(".html").write_text(text, encoding="utf-8")
            return {"done": True}
    raise AssertionError("unreachable")


def _leave_with_the_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Take one task from stdin and carry it out."""
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    _tell(**work(task))


if __name__ == "__main__":
    main()
