"""Sums by which a file is known to be what was written: cut short, foreign or altered, it is not read.

CRC-32 finds what disks, copies and editors do by accident; it is no protection against malice.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_PIECE = 1 << 22


def seal_of(path: Path) -> str:
    """Size and sum of the file's content.

    Raises:
        OSError: it cannot be read.
    """
    size, total = 0, 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            size, total = size + len(piece), zlib.crc32(piece, total)
    return f"{size}-{total:08x}"


def check_seal(path: Path, seal: str) -> None:
    """Raises:
    OSError: the file cannot be read.
    ValueError: it is not what was written.
    """
    if seal_of(path) != seal:
        raise ValueError("it is not what was written")


def arrays_in(path: Path, seal: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these names in an .npz.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not what was written.
    """
    check_seal(path, seal)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as why:
        raise ValueError(f"it holds no such arrays ({why})") from why


def sealed(content: bytes) -> bytes:
    """``content``, one line of text, with its sum on a line of its own below."""
    return b"%s\n%08x\n" % (content, zlib.crc32(content))


def unsealed(text: bytes) -> bytes | None:
    """What `sealed` was given; None where anything of it is missing or altered."""
    content = text[:-10]
    return content if sealed(content) == text else None
