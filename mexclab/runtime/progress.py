"""How far long work has come, on a bar that a person sees."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tqdm import tqdm

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


@contextmanager
def progress_bar(unit: str, what: str | None = None) -> Iterator[Progress]:
    """A bar on standard error, where that is a terminal; call it with (done, in all)."""
    from tqdm import tqdm  # most commands show none

    with told_to(tqdm(unit=unit, unit_scale=True, file=sys.stderr, disable=None, desc=what)) as progress:
        yield progress


@contextmanager
def told_to(bar: tqdm[Any]) -> Iterator[Progress]:
    """The way to say to ``bar`` how far the work is; the bar ends with the block."""
    with bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
