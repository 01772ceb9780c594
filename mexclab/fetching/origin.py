"""Whether a lake holds bars of real markets or of a simulator: never both under the same names.

A simulator's BTCUSDT looks like MEXC's, and a desk on paper often points at one. The first download into an
empty lake settles what the lake is, in ``<root>/origin``; imported bars count as real. Beside no bars at all
the mark says nothing: a download that brought none may have left it.
"""

from __future__ import annotations

import os

from mexclab.config.venue import is_loopback
from mexclab.errors import ParameterError
from mexclab.store.lake import Lake
from mexclab.store.lake_layout import INTERVAL_MS, ORIGIN

REAL, SIMULATED = "real", "simulated"


def settle(lake: Lake, url: str | None) -> None:
    """See that bars of this address may go into the lake, and remember it where the lake is new.

    Called when the address has answered: one that does not must leave no mark.

    Args:
        url: where the exchange is asked; None: at its own address.

    Raises:
        ParameterError: the lake holds bars of the other kind.
    """
    kind = SIMULATED if url is not None and is_loopback(url) else REAL
    held = origin_of(lake)
    if held is None:
        lake.root.mkdir(parents=True, exist_ok=True)
        temporary = lake.root / f".{ORIGIN}.{os.getpid()}"
        temporary.write_text(f"{kind}\n", encoding="utf-8")
        os.replace(temporary, lake.root / ORIGIN)
    elif held != kind:
        raise ParameterError(
            f"the lake {lake.root} holds {held} bars, and those of {url or 'the exchange'} are {kind}: name "
            "another data folder by MEXCLAB_DATA, or another address by --url",
            held=held,
            kind=kind,
        )


def origin_of(lake: Lake) -> str | None:
    """``real`` or ``simulated``; None while the lake is empty: then nothing is settled."""
    if not any(lake.symbols(interval) for interval in INTERVAL_MS):
        return None
    file = lake.root / ORIGIN
    return SIMULATED if file.is_file() and file.read_text(encoding="utf-8").strip() == SIMULATED else REAL
