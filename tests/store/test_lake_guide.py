from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.store.bar_samples import ROOT

GUIDE = ROOT / "docs" / "guides" / "lake.md"


def test_the_guides_python_runs_from_top_to_bottom_and_says_what_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    lake = names["lake"]
    assert [span.symbol for span in lake.facts.names("BTCUSDT")] == ["OLDUSDT", "BTCUSDT"]
    assert lake.facts.of("OLDUSDT", as_of_ns=names["start_ns"]) == []
    assert lake.history("BTCUSDT").is_empty()
    reasons = lake.gaps("BTCUSDT", start_ns=names["start_ns"] - 60 * 10**9)["reason"].to_list()
    assert reasons == ["under another name"]
