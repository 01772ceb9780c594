"""Halting by a file: while it lies in the data folder the desk enters nothing.

Whoever can make a file can halt: a person without the API's token, ``mexclab watch`` of a desk that is
silent, a client whose desk does not answer. It is looked for beside the loop that trades, so it works
while that loop waits for something.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from mexclab.errors import LedgerError, RiskRefused
from mexclab.runtime.halt_file import reason_in
from mexclab.trading import safety
from mexclab.trading.engine import Engine

LOOK_S = 0.25
BY = "halt file"
log = structlog.get_logger("mexclab.daemon")


class HaltFile:
    """Looks for one file, and halts one engine.

    Args:
        path: where it would lie.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine
        self._seen = False
        self._asked: str | None = None  # a halt that is not durable yet

    def before_recovery(self) -> None:
        """Look for it before the desk decides anything: a start then begins halted."""
        self._look()
        if self._asked is not None:
            safety.halt_early(self._engine, BY, self._asked)

    async def watch(self) -> None:
        """Halt whenever it appears, and whenever the desk runs although it is there; until cancelled.

        To be called when the desk has recovered. A desk that was halted before stays so without a word.
        """
        if self._engine.desk.halt is not None:
            self._asked = None
        while True:
            self._look()
            if self._asked is not None:
                why, self._asked = self._asked, None
                log.warning("halted by file", file=str(self.path), why=why)
                # no ledger, no trading: that ends the desk by itself, and nothing leaves meanwhile
                with contextlib.suppress(LedgerError):
                    await safety.halt(self._engine, BY, why)
            await asyncio.sleep(LOOK_S)

    def refuse_resume(self) -> None:
        """Raises:
        RiskRefused: the file is there.
        """
        why = reason_in(self.path)
        if why is not None:
            raise RiskRefused(
                f"cannot resume: the halt file {self.path} is there ({why}); remove it first",
                file=str(self.path),
                breaches=[why],
            )

    def _look(self) -> None:
        """Look once; what is found stops shots from leaving before it is written down."""
        why = reason_in(self.path)
        if why is not None and (not self._seen or self._engine.desk.halt is None):
            self._engine.halting = True
            self._asked = why
        self._seen = why is not None
