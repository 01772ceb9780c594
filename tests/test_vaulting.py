"""`mexclab vault` as people and scripts use it: processes, with keys and passphrases piped in."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mexclab.store.vault import VAULT_FILE
from tests.processes import environment, one_line, run, simulator

PHRASE, NEW_PHRASE = "planted passphrase 77", "another passphrase 88"
KEY, SECRET = "mx0plantedKey0123456789", "planted5ecret0123456789abcdef"
NEW_KEY, NEW_SECRET = "mx0secondKey0123456789", "second5ecret0123456789abcdef"


def lines(*words: str) -> str:
    return "".join(f"{word}\n" for word in words)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose vault holds ``mexc``."""
    data = tmp_path_factory.mktemp("vaulting") / "data"
    data.mkdir()
    done = run(data, "vault", "add", "mexc", "--account", "desk", stdin=lines(PHRASE, KEY, SECRET))
    assert done.returncode == 0, done.stderr
    assert "`mexclab vault test mexc`" in done.stdout
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    copy = tmp_path / "data"
    shutil.copytree(filled, copy)
    return copy


def names(data: Path, phrase: str = PHRASE) -> list[str]:
    done = run(data, "vault", "list", "--json", stdin=lines(phrase))
    assert done.returncode == 0, done.stderr
    return [row["name"] for row in json.loads(done.stdout)]


def passphrase_file(data: Path, text: str | bytes = PHRASE + "\n", mode: int = 0o600) -> dict[str, str]:
    file = data / "passphrase"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(mode)
    return {"MEXCLAB_VAULT__PASSPHRASE_FILE": str(file)}


# -- what there is -------------------------------------------------------------------------------


def test_the_list_shows_what_is_there_and_nothing_secret(filled: Path) -> None:
    done = run(filled, "vault", "list", stdin=lines(PHRASE))
    assert done.returncode == 0
    assert "name mexc" in done.stdout
    assert "account desk" in done.stdout
    assert "rotated never" in done.stdout
    assert KEY[:4] in done.stdout
    assert not any(word in done.stdout + done.stderr for word in (KEY, SECRET, PHRASE))


def test_a_vault_is_for_its_owner_alone_even_where_it_makes_the_data_folder(tmp_path: Path) -> None:
    fresh = tmp_path / "below" / "data"
    before = os.umask(0o022)
    try:
        stdin = lines(PHRASE, KEY, SECRET)
        done = run(tmp_path, "vault", "add", "mexc", stdin=stdin, MEXCLAB_DATA=str(fresh))
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    modes = [stat.S_IMODE((fresh / part).stat().st_mode) for part in (".", VAULT_FILE.parent, VAULT_FILE)]
    assert modes == [0o700, 0o700, 0o600]


def test_the_help_says_which_lines_are_read_in_which_order(filled: Path) -> None:
    said = " ".join(run(filled, "vault", "add", "--help").stdout.split())
    assert "the vault's passphrase (not with vault.passphrase_file or the keyring), the API key, the" in said
    said = " ".join(run(filled, "vault", "rekey", "--help").stdout.split())
    assert "the old passphrase (not with vault.passphrase_file or the keyring), then the new one" in said


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["list", "rekey", "test mexc"])
def test_no_vault_is_one_clear_line_and_makes_nothing(command: str, tmp_path: Path) -> None:
    done = run(tmp_path, "vault", *command.split(), stdin=lines(PHRASE))
    assert "there is no vault" in (said := one_line(done, 2))
    assert "`mexclab vault add`" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stdin", "missing"),
    [("", "new passphrase"), (lines(PHRASE, KEY), "API secret"), (b"\xff\xfe\n", "new passphrase")],
    ids=["nothing", "no secret", "no text"],
)
def test_input_that_ends_too_soon_writes_nothing(stdin: str | bytes, missing: str, tmp_path: Path) -> None:
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    said = one_line(run(tmp_path, "vault", "add", "mexc", stdin=stdin, **strict), 2)
    assert said.startswith(f"the {missing} ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (("a/b",), lines(PHRASE, KEY, SECRET), "a credential's name is"),
        (("mexc",), lines(PHRASE, KEY, "two words"), "the secret of mexc must be"),
        (("mexc",), lines("short", KEY, SECRET), "at least 8 characters"),
    ],
    ids=["name", "secret", "short passphrase"],
)
def test_what_cannot_be_a_credential_leaves_no_vault_behind(
    words: tuple[str, ...], stdin: str, told: str, tmp_path: Path
) -> None:
    said = one_line(run(tmp_path, "vault", "add", *words, stdin=stdin), 2)
    assert told in said
    assert "two words" not in said
    assert not list(tmp_path.rglob("*.vault"))


def test_a_wrong_passphrase_opens_nothing_and_changes_nothing(data: Path) -> None:
    before = (data / VAULT_FILE).read_bytes()
    for command in (("list",), ("add", "second")):
        stdin = lines("a wrong passphrase", NEW_KEY, NEW_SECRET)
        said = one_line(run(data, "vault", *command, stdin=stdin), 8)
        assert "the passphrase does not open" in said
        assert "a wrong passphrase" not in said
    assert (data / VAULT_FILE).read_bytes() == before


def test_names_that_are_taken_or_unknown_are_told_before_any_key_is_read(data: Path) -> None:
    before = (data / VAULT_FILE).read_bytes()
    assert "`mexclab vault rotate mexc`" in one_line(
        run(data, "vault", "add", "mexc", stdin=lines(PHRASE)), 2
    )
    assert "did you mean 'mexc'?" in one_line(run(data, "vault", "rotate", "mexd", stdin=lines(PHRASE)), 2)
    assert (data / VAULT_FILE).read_bytes() == before


def test_a_closed_standard_input_is_one_clear_line(filled: Path) -> None:
    command = f'exec "{sys.executable}" -m mexclab.cli vault list <&-'
    done = subprocess.run(
        ["sh", "-c", command], env=environment(filled), capture_output=True, text=True, timeout=60, cwd=filled
    )
    assert "vault passphrase is wanted on standard input" in (said := one_line(done, 2))
    assert "vault.passphrase_file" in said


# -- the passphrase in a file --------------------------------------------------------------------


def test_a_file_of_the_passphrase_takes_its_place_and_its_line(data: Path) -> None:
    named = passphrase_file(data)
    done = run(data, "vault", "add", "second", stdin=lines(NEW_KEY, NEW_SECRET), **named)
    assert done.returncode == 0, done.stderr
    assert names(data) == ["mexc", "second"]


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (PHRASE, 0o640, "chmod 600"),
        ("", 0o600, "must hold one line"),
        (lines(PHRASE, "more"), 0o600, "must hold one line"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_by_its_name(
    text: str | bytes, mode: int, told: str, data: Path
) -> None:
    said = one_line(run(data, "vault", "list", **passphrase_file(data, text, mode)), 2)
    assert told in said
    assert str(data / "passphrase") in said
    assert PHRASE not in said


def test_a_file_that_is_not_there_says_so(data: Path) -> None:
    named = {"MEXCLAB_VAULT__PASSPHRASE_FILE": str(data / "nowhere")}
    assert "No such file" in one_line(run(data, "vault", "list", **named), 2)


# -- what changes --------------------------------------------------------------------------------


def test_rotate_replaces_the_key_under_its_name(data: Path) -> None:
    done = run(data, "vault", "rotate", "mexc", stdin=lines(PHRASE, NEW_KEY, NEW_SECRET))
    assert done.returncode == 0, done.stderr
    assert "delete the old key at the venue" in done.stdout
    row = json.loads(run(data, "vault", "list", "--json", stdin=lines(PHRASE)).stdout)[0]
    assert (row["name"], row["account"]) == ("mexc", "desk")
    assert row["rotated"] != "never"


def test_rotate_without_a_key_leaves_the_old_one(data: Path) -> None:
    before = (data / VAULT_FILE).read_bytes()
    said = one_line(run(data, "vault", "rotate", "mexc", stdin=lines(PHRASE, NEW_KEY)), 2)
    assert said.startswith("the API secret is wanted")
    assert (data / VAULT_FILE).read_bytes() == before


def test_rekey_takes_the_new_passphrase_and_reminds_of_the_file_that_holds_the_old_one(data: Path) -> None:
    done = run(data, "vault", "rekey", stdin=lines(NEW_PHRASE), **passphrase_file(data))
    assert done.returncode == 0, done.stderr
    assert "key version 2" in done.stdout
    assert f"write the new passphrase to {data / 'passphrase'}" in done.stdout
    assert names(data, NEW_PHRASE) == ["mexc"]
    one_line(run(data, "vault", "list", stdin=lines(PHRASE)), 8)


def test_a_rekey_that_fails_leaves_the_old_lock(data: Path) -> None:
    before = (data / VAULT_FILE).read_bytes()
    assert "new passphrase is wanted" in one_line(run(data, "vault", "rekey", stdin=lines(PHRASE)), 2)
    stdin = lines(PHRASE)
    none = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    said = one_line(run(data, "vault", "rekey", "--to", "keyring", stdin=stdin, **none), 2)
    assert "no keyring" in said
    assert (data / VAULT_FILE).read_bytes() == before


def test_remove_forgets_it_here_and_says_that_it_works_elsewhere(data: Path) -> None:
    done = run(data, "vault", "remove", "mexc", stdin=lines(PHRASE))
    assert done.returncode == 0, done.stderr
    assert "until you delete it at the venue" in done.stdout
    empty = run(data, "vault", "list", stdin=lines(PHRASE))
    assert "the vault is empty" in empty.stdout


# -- what the venue says of it -------------------------------------------------------------------


def test_the_venue_is_asked_what_a_key_may_do_whatever_the_mode(data: Path) -> None:
    with simulator(data, "--quiet", "--pair", "MXUSDT", "--account", f"{KEY}:{SECRET}:60") as venue:
        stdin = lines(PHRASE, NEW_KEY, NEW_SECRET)
        assert run(data, "vault", "add", "unknown", stdin=stdin).returncode == 0
        asked = {"MEXCLAB_VENUE__REST_URL": venue.url}
        good = run(data, "vault", "test", "mexc", "--json", stdin=lines(PHRASE), **asked)
        bad = run(data, "vault", "test", "unknown", stdin=lines(PHRASE), **asked)
        assert venue.orders_received == 0
    assert good.returncode == 0, good.stdout + good.stderr
    told = json.loads(good.stdout)
    assert (told["green"], told["mode"], told["venue"]) == (True, "live", "MEXC, account desk")
    assert bad.returncode == 5
    assert "API key" in bad.stdout
    assert "not green" in bad.stdout
    shown = good.stdout + good.stderr + bad.stdout + bad.stderr
    assert not any(word in shown for word in (SECRET, NEW_SECRET, PHRASE))
