"""``python -m tests.halt``: halt a desk again and again, and print how long it took."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.scene import Databases
from tests.halt import clients, matrix
from tests.halt.situations import BY_NAME


def main() -> int:
    """The matrix, or a part of it; 1 when anything took too long or went wrong."""
    asked = _arguments()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="mexclab-halt-ledgers-"))
    folder.chmod(0o755)
    try:
        with Databases.up(folder) as databases:
            chosen = [BY_NAME[name] for name in asked.situation or BY_NAME]
            names = asked.client or list(clients.HALTING)
            found = matrix.played_out(
                databases, names, chosen, matrix.Wish(asked.rounds, _tell, asked.stride_ms)
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _say(f"\n{matrix.page(found)}\n{time.monotonic() - began:,.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps(matrix.as_json(found), indent=1) + "\n")
    return int(any(each.wrong for each in found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.halt", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="halts by each client in each situation")
    parser.add_argument(
        "--client", action="append", choices=tuple(clients.ALL), help="only this one; repeatable"
    )
    parser.add_argument(
        "--situation", action="append", choices=tuple(BY_NAME), help="only this one; repeatable"
    )
    parser.add_argument(
        "--stride-ms", type=int, default=matrix.STRIDE_MS, help="between two requotes of a listing under load"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    return parser.parse_args()


def _tell(done: matrix.Round) -> None:
    durable = "never" if done.durable_ms is None else f"{done.durable_ms:,.0f} ms"
    entry = f"{done.entries} entries, the last after {done.entry_ms:,.0f} ms" if done.entries else "no entry"
    _say(
        f"{done.situation:12} {done.client:10} durable {durable:>9}; {entry}; {'; '.join(done.wrong) or 'ok'}"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
