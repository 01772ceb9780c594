"""The halt file: its mere presence halts, whatever it is and whatever is in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.runtime.halt_file import REASON_BYTES, leave, reason_in


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "HALT"


def test_where_no_file_is_nothing_halts(file: Path) -> None:
    assert reason_in(file) is None
    assert reason_in(file / "not" / "even" / "a" / "folder") is None


def test_the_content_is_the_reason_in_one_line(file: Path) -> None:
    file.write_text("  looks odd\n\tto me \x00\x1b[31m now\n")
    assert reason_in(file) == "looks odd to me [31m now"


def test_an_empty_file_halts(file: Path) -> None:
    file.touch()
    assert reason_in(file) == "HALT is there, and gives no reason"


@given(content=st.binary(max_size=4000))
def test_any_bytes_are_a_reason_that_can_be_written_down(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "HALT"
    file.write_bytes(content)
    why = reason_in(file)
    assert why
    assert len(why.splitlines()) == 1
    assert "\0" not in why
    assert len(why) <= REASON_BYTES
    why.encode()


def test_a_huge_file_is_read_only_so_far(file: Path) -> None:
    with file.open("wb") as huge:
        huge.write(b"why " * 100)
        huge.truncate(10**12)
    assert (reason_in(file) or "").startswith("why why")


def test_a_folder_of_that_name_halts(file: Path) -> None:
    file.mkdir()
    assert reason_in(file) == "HALT is there"


def test_a_pipe_halts_and_is_not_waited_for(file: Path) -> None:
    os.mkfifo(file)
    assert reason_in(file) == "HALT is there"


def test_a_link_to_nowhere_halts(file: Path) -> None:
    file.symlink_to(file.parent / "nowhere")
    assert "cannot be read" in (reason_in(file) or "")


def test_a_link_to_a_pipe_is_not_waited_for(file: Path) -> None:
    os.mkfifo(file.parent / "pipe")
    file.symlink_to(file.parent / "pipe")
    assert reason_in(file) is not None


def test_a_place_that_cannot_be_looked_at_counts_as_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be looked at" in (reason_in(tmp_path / "file" / "HALT") or "")


def test_a_file_is_left_whole_and_one_that_is_there_stays(file: Path) -> None:
    leave(file, "the first reason \udcff")
    leave(file, "another reason")
    assert reason_in(file) == "the first reason ?"
    assert [each.name for each in file.parent.iterdir()] == ["HALT"]


def test_a_file_that_cannot_be_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        leave(tmp_path / "missing" / "HALT", "why")
