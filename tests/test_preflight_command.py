"""`mexclab preflight` on paper, and who may answer it; with a live desk see tests/daemon/test_live.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

from mexclab.daemon import api
from tests.notebook.station import TOKEN, Desk, served
from tests.processes import gone, one_line, run


def test_on_paper_without_a_desk_a_simulator_of_ones_own_answers_and_is_gone_afterwards(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, "preflight", "MXUSDT", "--json", MEXCLAB_SNIPE__CAP_MULTIPLE="1.2")
    told = json.loads(done.stdout)
    assert (done.returncode, told["green"], told["symbol"]) == (0, True, "MXUSDT"), done.stdout + done.stderr
    assert (told["mode"], told["by_desk"]) == ("paper", False)
    assert "simulated" in told["venue"]
    assert gone(int((tmp_path / "paper" / "lock").read_text()), within_s=5)


def test_a_desk_that_trades_on_a_simulator_is_not_asked_about_real_money(tmp_path: Path) -> None:
    with served(api.build(Desk())) as url:
        (tmp_path / "daemon.json").write_text(json.dumps({"url": url, "pid": os.getpid(), "mode": "demo"}))
        (tmp_path / "daemon.token").write_text(TOKEN)
        said = one_line(run(tmp_path, "preflight", MEXCLAB_MODE="live"), 2)
    assert "there is no vault" in said
