"""`mexclab halt` the short way: only what is plain goes it, and nothing is claimed that was not heard."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mexclab.hurry import hurried

TOKEN = "a-token"


@contextmanager
def answering(folder: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Something that listens where the desk should, and what it heard."""
    heard: list[bytes] = []
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        address = {"url": f"http://127.0.0.1:{door.getsockname()[1]}", "pid": 1}
        (folder / "daemon.json").write_text(json.dumps(address))
        (folder / "daemon.token").write_text(f"{TOKEN}\n")

        def serve() -> None:
            line, _ = door.accept()
            with line:
                line.settimeout(60)
                while not (b"\r\n\r\n" in b"".join(heard) and b"}" in heard[-1]):
                    heard.append(line.recv(65_536))
                line.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield heard
        thread.join(60)


def reply(status: int, **body: object) -> bytes:
    text = json.dumps(body)
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()


def test_a_plain_halt_is_sent_with_the_token_the_reason_and_who_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"MEXCLAB_DATA": str(tmp_path), "LOGNAME": "ada"}
    with answering(tmp_path, reply(200, seq=7, halted=True, message="halted: exits go on")) as heard:
        assert hurried(["halt", 'looks "odd" ä'], environ) == 0
    head, _, body = b"".join(heard).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /halt HTTP/1.1\r\n")
    assert b"Authorization: Bearer a-token" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"by": "ada", "why": 'looks "odd" ä'}
    assert capsys.readouterr().out == "halted: exits go on\n"


@pytest.mark.parametrize(
    "answer",
    [
        reply(401, error="NotAuthorised", message="no"),
        reply(503, error="LedgerUnavailable", message="no"),
        reply(200, seq=7, halted=False, message="no"),
        reply(200, message="no word of a halt"),
        b"HTTP/1.1 200 OK\r\n\r\nnot json",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello",
        b"garbage",
        b"",
    ],
)
def test_whatever_is_no_halt_goes_the_long_way(
    tmp_path: Path, answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(tmp_path, answer):
        assert hurried(["halt", "why"], {"MEXCLAB_DATA": str(tmp_path), "LOGNAME": "ada"}) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["halt"], "no reason given"),
        (["halt", " "], "no reason given"),
        (["halt", "looks", "odd"], "looks odd"),
    ],
)
def test_a_halt_is_never_refused_for_want_of_words_or_of_quotes(
    tmp_path: Path, words: list[str], why: str
) -> None:
    with answering(tmp_path, reply(200, halted=True, message="halted")) as heard:
        assert hurried(words, {"MEXCLAB_DATA": str(tmp_path), "LOGNAME": "ada"}) == 0
    assert json.loads(b"".join(heard).partition(b"\r\n\r\n")[2]) == {"by": "ada", "why": why}


@pytest.mark.parametrize(
    "words",
    [[], ["halt", "--help"], ["halt", "why", "--config", "x"], ["resume", "why"]],
)
def test_other_words_go_the_long_way(tmp_path: Path, words: list[str]) -> None:
    assert hurried(words, {"MEXCLAB_DATA": str(tmp_path)}) is None


@pytest.mark.parametrize(
    "told", ["{", "[]", '{"url": "nowhere"}', '{"url": "http://127.0.0.1:notaport"}', "{}"]
)
def test_an_address_that_cannot_be_used_goes_the_long_way(tmp_path: Path, told: str) -> None:
    (tmp_path / "daemon.json").write_text(told)
    (tmp_path / "daemon.token").write_text(TOKEN)
    assert hurried(["halt", "why"], {"MEXCLAB_DATA": str(tmp_path)}) is None


def test_the_data_folder_of_a_settings_file_is_used(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'data = "{tmp_path}"\n[api]\nport = 0\n')
    with answering(tmp_path, reply(200, halted=True, message="halted")):
        assert hurried(["halt", "why"], {"MEXCLAB_CONFIG": str(file), "LOGNAME": "ada"}) == 0
    file.write_text("data = ")
    assert hurried(["halt", "why"], {"MEXCLAB_CONFIG": str(file)}) is None


def test_the_whole_command_line_is_behind_the_short_way() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mexclab", "halt", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "Stop every new entry" in done.stdout
