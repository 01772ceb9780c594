"""``%load_ext mexclab``: the name ``lab``, rich display, and a few magics.

::

    %mexclab            what the lab has and what the desk is doing
    %mexclab header     version, commit, data range, time
    %similar BTCUSDT --end 2026-06-01T12:00 --length 60 -k 10
    %halt WHY           enter nothing new; %resume WHY lifts it; %flatten WHY sells everything
    %arm SNIPE          let a planned snipe fire; %disarm SNIPE takes it back

A refusal is one sentence, not a traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from mexclab.errors import DaemonUnreachable, MexclabError
from mexclab.notebook.desk import Answer, DeskClient
from mexclab.notebook.display import register
from mexclab.notebook.header import Header
from mexclab.notebook.lab import Lab
from mexclab.notebook.status import sentences
from mexclab.research.similarity import Matches


@magics_class
class LabMagics(Magics):
    """The magics, on the notebook's ``lab``."""

    @property
    def lab(self) -> Lab:
        """The ``lab`` of the notebook: whatever it was replaced with counts."""
        lab = self.shell.user_ns.get("lab")
        if not isinstance(lab, Lab):
            raise UsageError("The name lab is no Lab any more: run lab = mexclab.Lab() first.")
        return lab

    @line_magic
    def mexclab(self, line: str) -> Header:
        """``%mexclab [status | header]``: what the lab has, and what the desk is doing."""
        word = line.strip() or "status"
        if word == "header":
            return _told(self.lab.header)
        if word != "status":
            raise UsageError(f"%mexclab knows status and header, not {word!r}.")
        return Header((("lab", repr(self.lab)), *(("desk", sentence) for sentence in _told(self._status))))

    def _status(self) -> list[str]:
        try:
            with self.lab.desk as desk:
                return sentences(desk.snapshot())
        except DaemonUnreachable as error:
            return [error.message]

    @magic_arguments()
    @argument("symbol", nargs="?", default="", help="whose window to ask about; none: the most active")
    @argument("--end", default=None, help="when it closes, ISO, UTC; without it: with the data")
    @argument("--length", type=int, default=60, help="bars in the window")
    @argument("-k", type=int, default=10, help="how many matches")
    @argument("--horizon", type=int, default=240, help="bars after a match that must lie before the window")
    @argument("--per-symbol", type=int, default=None, help="the most matches from one symbol")
    @line_magic
    def similar(self, line: str) -> Matches:
        """The windows of history most like this one; the result is also the name ``matches``."""
        asked = parse_argstring(self.similar, line)
        matches = _told(
            lambda: self.lab.similar(
                asked.symbol or self.lab.most_active(),
                asked.end,
                asked.length,
                asked.k,
                asked.horizon,
                per_symbol=asked.per_symbol,
            )
        )
        self.shell.user_ns["matches"] = matches
        return matches

    @line_magic
    def halt(self, line: str) -> Answer:
        """``%halt WHY``: enter nothing new from now on; the reason may wait. Exits go on."""
        return self._ask(DeskClient.halt, line)

    @line_magic
    def resume(self, line: str) -> Answer:
        """``%resume WHY``: allow entries again."""
        return self._ask(DeskClient.resume, _given("resume", line))

    @line_magic
    def flatten(self, line: str) -> Answer:
        """``%flatten WHY``: sell everything that is held."""
        return self._ask(DeskClient.flatten, _given("flatten", line))

    @line_magic
    def arm(self, line: str) -> Answer:
        """``%arm SNIPE``: let a planned snipe fire at its opening."""
        return self._ask(DeskClient.arm, _given("arm", line, "the snipe's id"))

    @line_magic
    def disarm(self, line: str) -> Answer:
        """``%disarm SNIPE``: take that permission back."""
        return self._ask(DeskClient.disarm, _given("disarm", line, "the snipe's id"))

    def _ask(self, act: Callable[[DeskClient, str], Answer], words: str) -> Answer:
        with _told(lambda: self.lab.desk) as desk:
            return _told(lambda: act(desk, words))


def load(ipython: Any) -> None:
    """Give this kernel ``lab``, the magics and rich display; a ``lab`` that is there stays."""
    register(ipython)
    if not isinstance(ipython.user_ns.get("lab"), Lab):
        ipython.push({"lab": _told(Lab)})
    ipython.register_magics(LabMagics)


def _given(name: str, line: str, what: str = "why, in a few words") -> str:
    text = line.strip()
    if not text:
        raise UsageError(f"%{name} wants to know {what}.")
    return text


def _told(work: Callable[[], Any]) -> Any:
    """What ``work`` returns; an error of ours as one sentence."""
    try:
        return work()
    except MexclabError as error:
        raise UsageError(f"{type(error).__name__}: {error}") from None
