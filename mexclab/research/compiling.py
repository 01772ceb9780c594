"""How kernels are compiled: by numba, without the GIL, and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# For kernels in which no NaN can arise, which lets a maximum use SIMD. Sums are never reassociated and
# denormals never flushed.
BOUNDED = {"contract", "nnan", "nsz"}

# Kernels in these files call each other, and a compiled one holds the code of those that it calls.
TOGETHER = ("activity", "lanes", "prepared_kernels", "refine", "scan", "simd", "tile_kernels")


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit without the GIL, cached on disk where any cache folder can be written.

    numba caches beside the module or, when that folder is read-only, in the user's cache folder.
    Where neither can be written it refuses to compile at all; then we compile once per process.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        try:
            kernel = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, error_model="numpy", **options)(function)
        if function.__module__.rpartition(".")[2] in TOGETHER:
            _forget_when_another_changes(kernel)
        return kernel

    return wrap


def _forget_when_another_changes(kernel: Any) -> None:
    """Let what is cached count as out of date when any file of TOGETHER changes.

    numba itself looks at the kernel's own file alone, and would go on with what it once inlined.
    """
    cached = kernel._cache._cache_file
    stats = [Path(__file__).with_name(f"{name}.py").stat() for name in TOGETHER]
    cached._source_stamp = (cached._source_stamp, *((stat.st_mtime_ns, stat.st_size) for stat in stats))
