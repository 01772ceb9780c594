"""A venue's journal: what was written is read again, from any place, after any cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import VenueUnavailable
from mexclab.venues.simulator.journal import Journal

TERMS = {"seed": 7}

entries = st.lists(
    st.fixed_dictionaries({"do": st.text(), "at_ns": st.integers(), "why": st.none() | st.text()}), max_size=8
)


def kept(folder: Path, written: list[dict[str, Any]], is_durable: bool = False) -> list[int]:
    """Write a journal; where each entry ends, in bytes."""
    journal = Journal(folder, TERMS, "the test's", survives_power_loss=is_durable)
    ends = []
    for entry in written:
        journal.write(entry)
        ends.append(journal.size)
    journal.close()
    return ends


def read(folder: Path, after: int | None = None) -> list[dict[str, Any]]:
    journal = Journal(folder, {"seed": 8}, "the test's")
    assert journal.terms == TERMS
    found = list(journal.read(after))
    assert journal.size == journal.path.stat().st_size
    journal.close()
    return found


@given(entries, st.data(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_journal_cut_anywhere_holds_every_entry_that_was_whole(
    tmp_path_factory: pytest.TempPathFactory,
    written: list[dict[str, Any]],
    data: st.DataObject,
    is_durable: bool,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    ends = kept(folder, written, is_durable)
    assert read(folder) == written
    path = folder / "journal.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for place, end in enumerate(ends):
        assert read(folder, end) == written[place + 1 :]
    cut = data.draw(st.integers(first, len(whole)))
    path.write_bytes(whole[:cut])
    left = [entry for entry, end in zip(written, ends, strict=True) if end - 1 <= cut]
    assert read(folder) == left
    assert path.read_bytes() == whole[: ends[len(left) - 1]] if left else whole[:first]


def test_a_journal_can_be_written_on_after_a_cut(tmp_path: Path) -> None:
    kept(tmp_path, [{"do": "a", "at_ns": 1}])
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"do": "b", "at')
    journal = Journal(tmp_path, TERMS, "the test's")
    assert [entry["do"] for entry in journal.read()] == ["a"]
    journal.write({"do": "c", "at_ns": 3})
    journal.close()
    assert [json.loads(line).get("do") for line in path.read_text().splitlines()] == [None, "a", "c"]


@pytest.mark.parametrize("first", ["", "[1]", '{"other": 1}', "{"])
def test_a_journal_of_other_terms_is_left_as_it_is(tmp_path: Path, first: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(first + "\n")
    with pytest.raises(VenueUnavailable, match=r"the test's memory .* cannot be read; move it away"):
        Journal(tmp_path, TERMS, "the test's")
    assert path.read_text() == first + "\n"
