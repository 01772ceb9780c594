"""A laboratory and trading desk for the MEXC exchange.

::

    from mexclab import Lab
    lab = Lab()

or ``%load_ext mexclab`` in a notebook. Names are looked up when they are first asked for, so
``import mexclab`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mexclab.config import Settings
    from mexclab.domain.market import Symbol
    from mexclab.errors import MexclabError
    from mexclab.notebook.lab import Lab

__all__ = ["Lab", "MexclabError", "Settings", "Symbol", "__version__"]
__version__ = "0.5.0"

_HOMES = {
    "Lab": "mexclab.notebook.lab",
    "MexclabError": "mexclab.errors",
    "Settings": "mexclab.config",
    "Symbol": "mexclab.domain.market",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mexclab' has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """What ``%load_ext mexclab`` does: the name ``lab``, the magics, rich display."""
    import_module("mexclab.notebook.magics").load(ipython)
