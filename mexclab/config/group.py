"""What every group of settings is, and the types that several groups share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def absolute(value: Any) -> Any:
    """Text as an absolute path: a kernel and the daemon do not share a working folder."""
    if isinstance(value, str):
        try:
            value = Path(value).expanduser()
        except RuntimeError:
            raise ValueError("must be a folder: there is no home folder that '~' could stand for") from None
    return Path(os.path.abspath(value)) if isinstance(value, Path) else value


Folder = Annotated[Path, BeforeValidator(absolute)]


class Group(BaseModel):
    """Settings that belong together. Frozen; an unknown name is an error; no type is guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)
