"""One answer of ours for each of MEXC's endpoints, by the endpoint's name, as the bytes of the wire."""

from __future__ import annotations

from pathlib import Path

import msgspec

_TEXT = (Path(__file__).with_name("mexc_answers.json")).read_bytes()

ANSWERS: dict[str, bytes] = {
    name: bytes(raw) for name, raw in msgspec.json.decode(_TEXT, type=dict[str, msgspec.Raw]).items()
}
