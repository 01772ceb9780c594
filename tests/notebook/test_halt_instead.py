"""A halt that nobody answers leaves the halt file; one that was refused or carried out does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from mexclab import Lab, Settings
from mexclab.errors import DaemonUnreachable, DeskError, NotAuthorised
from mexclab.notebook.desk import DeskClient
from mexclab.runtime.halt_file import reason_in
from tests.notebook.station import served


def leave_address(folder: Path, url: str) -> None:
    (folder / "daemon.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))
    (folder / "daemon.token").write_text("a-token")


def says(status: int, **body: object) -> FastAPI:
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def answer(path: str) -> JSONResponse:
        return JSONResponse(body, status)

    return app


def test_the_lab_and_its_magic_leave_the_file_too(tmp_path: Path, shell: InteractiveShell) -> None:
    lab = Lab(Settings(data=tmp_path))
    with lab.desk as desk, pytest.raises(DaemonUnreachable, match="HALT was left"):
        desk.halt("looks odd")
    (tmp_path / "HALT").unlink()
    shell.user_ns["lab"] = lab
    shell.extension_manager.load_extension("mexclab")
    with pytest.raises(UsageError, match="HALT was left"):
        shell.run_line_magic("halt", "looks odd")
    assert (reason_in(tmp_path / "HALT") or "").endswith(": looks odd")


def test_where_no_desk_runs_the_file_is_left_and_the_sentence_says_where(tmp_path: Path) -> None:
    with DeskClient.on(tmp_path) as client, pytest.raises(DaemonUnreachable, match="HALT was left") as told:
        client.halt("looks odd")
    assert str(tmp_path / "HALT") in told.value.message
    assert (reason_in(tmp_path / "HALT") or "").endswith(": looks odd")


def test_a_halt_without_words_is_a_halt(tmp_path: Path) -> None:
    with DeskClient.on(tmp_path) as client, pytest.raises(DaemonUnreachable, match="HALT was left"):
        client.halt()
    assert (reason_in(tmp_path / "HALT") or "").endswith(": no reason given")


def test_where_nobody_listens_any_more_the_file_is_left(tmp_path: Path) -> None:
    leave_address(tmp_path, "http://127.0.0.1:9")
    with DeskClient.on(tmp_path) as client, pytest.raises(DaemonUnreachable, match="HALT was left"):
        client.halt("looks odd")
    assert reason_in(tmp_path / "HALT") is not None


def test_a_desk_that_cannot_write_it_down_gets_the_file(tmp_path: Path) -> None:
    with served(says(503, error="LedgerUnavailable", message="the ledger takes nothing more")) as url:
        leave_address(tmp_path, url)
        with (
            DeskClient.on(tmp_path) as client,
            pytest.raises(DeskError, match=r"takes nothing more.*was left"),
        ):
            client.halt("looks odd")
    assert reason_in(tmp_path / "HALT") is not None


def test_a_demo_that_hangs_gets_the_file_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    leave_address(tmp_path / "demo", "http://127.0.0.1:9")
    with DeskClient.on(tmp_path) as client, pytest.raises(DaemonUnreachable, match="HALT was left"):
        client.halt("looks odd")
    assert reason_in(tmp_path / "demo" / "HALT") is not None
    assert reason_in(tmp_path / "HALT") is None


@pytest.mark.parametrize(("status", "kind"), [(401, NotAuthorised), (422, DeskError), (409, DeskError)])
def test_a_refusal_leaves_no_file(tmp_path: Path, status: int, kind: type[DeskError]) -> None:
    with served(says(status, error="X", message="no")) as url:
        leave_address(tmp_path, url)
        with DeskClient.on(tmp_path) as client, pytest.raises(kind):
            client.halt("looks odd")
    assert reason_in(tmp_path / "HALT") is None


def test_a_desk_that_halted_leaves_no_file(tmp_path: Path) -> None:
    with served(says(200, seq=3, halted=True, message="halted")) as url:
        leave_address(tmp_path, url)
        with DeskClient.on(tmp_path) as client:
            assert client.halt("looks odd").halted
    assert reason_in(tmp_path / "HALT") is None


def test_no_other_wish_leaves_a_file(tmp_path: Path) -> None:
    with DeskClient.on(tmp_path) as client, pytest.raises(DaemonUnreachable):
        client.flatten("looks odd")
    assert reason_in(tmp_path / "HALT") is None


def test_the_files_name_is_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEXCLAB_HALT__FILE", "stop.now")
    with DeskClient.on(tmp_path) as client, pytest.raises(DaemonUnreachable, match=r"stop\.now was left"):
        client.halt("looks odd")


def test_a_folder_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with DeskClient.on(nowhere) as client, pytest.raises(DaemonUnreachable, match="could not be left either"):
        client.halt("looks odd")
    assert not nowhere.exists()
