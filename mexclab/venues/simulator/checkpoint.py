"""A state written to a file whole, so that a restart need not live through everything again.

The journal stays the truth. A checkpoint that is missing, torn, of another version of the code or not of
this journal is as good as none.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_OURS = ("mexclab.domain.", "mexclab.venues.", "mexclab.research.listing_day")
_OTHERS = frozenset(
    {
        ("builtins", "set"),
        ("builtins", "slice"),
        ("collections", "deque"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("random", "Random"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pcg64", "PCG64"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
        ("numpy.random.bit_generator", "SeedSequence"),
    }
)


class _Reader(pickle.Unpickler):
    """Builds our own values and the few others that they are made of, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if _is_known(module, name) else None
        if found is None or (module.startswith("mexclab.") and not isinstance(found, type)):
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")
        return found


def _is_known(module: str, name: str) -> bool:
    return (module, name) in _OTHERS or (module.startswith(_OURS) and "." not in name)


def save(path: Path, state: object, position: int) -> None:
    """Write ``state``, which is that of the journal's first ``position`` bytes."""
    payload = pickle.dumps(state, protocol=5)
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(_seal(payload, position) + payload)
    os.replace(fresh, path)


def load(path: Path, size: int) -> tuple[Any, int] | None:
    """The state and its position in a journal of ``size`` bytes, or None when there is none to be used."""
    try:
        with path.open("rb") as file:
            seal, payload = file.readline(), file.read()
        position = int(seal.split(b" ")[0])
        if seal != _seal(payload, position) or position > size:
            return None
        return _Reader(io.BytesIO(payload)).load(), position
    except (OSError, ValueError, IndexError, EOFError, ImportError, AttributeError, pickle.PickleError):
        return None


def _seal(payload: bytes, position: int) -> bytes:
    return f"{position} {_code()} {hashlib.sha256(payload).hexdigest()}\n".encode()


@cache
def _code() -> str:
    """A digest of everything that gives a state its meaning: our sources, Python and numpy."""
    root = Path(__file__).resolve().parents[2]
    folders = ("domain", "venues", "venues/simulator", "research")
    digest = hashlib.sha256(f"{sys.version} {np.__version__}".encode())
    for file in sorted(file for folder in folders for file in (root / folder).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
