"""The vault: keys go in sealed and come out unchanged, or not at all, and nothing ever shows them."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.errors
import pytest

from mexclab.errors import ConfigError, VaultCorrupt, VaultError, VaultLocked
from mexclab.store import vault_file
from mexclab.store.vault import Credential, Keyring, Passphrase, Secret, Vault
from tests.store.vault_samples import CHEAP, KEY, OTHER_WORDS, SECRET, WORDS, credential


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault" / "credentials.vault"


@pytest.fixture
def vault(path: Path) -> Vault:
    vault = Vault.create(path, WORDS)
    vault.add(credential(), now_ns=100)
    return vault


class MemoryKeyring(keyring.backend.KeyringBackend):
    """An operating system's keyring, as far as the library asks of one."""

    priority = -1  # type: ignore[assignment]  # found by the library, never chosen by it

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def _shut(self) -> None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("locked")

    def get_password(self, service: str, username: str) -> str | None:
        self._shut()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._shut()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._shut()
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("not there")


@pytest.fixture
def os_keyring() -> Iterator[MemoryKeyring]:
    before, backend = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.fixture
def no_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    yield
    keyring.set_keyring(before)


def test_what_was_added_is_read_back_by_another_process_with_the_passphrase(path: Path, vault: Vault) -> None:
    found = Vault.open(path, WORDS).read("main")
    assert (found.key.reveal(), found.secret.reveal()) == (KEY, SECRET)
    assert (found.venue, found.account, found.created_ns, found.rotated_ns) == ("mexc", "main", 100, 0)


def test_the_list_shows_names_and_times_and_a_hint_of_the_key(vault: Vault) -> None:
    vault.add(Credential("a", Secret("short"), Secret("x"), "gate", "second"), now_ns=200)
    first, second = vault.list()
    assert (first.name, first.venue, first.account, first.created_ns) == ("a", "gate", "second", 200)
    assert first.key_hint == "********"
    assert second.key_hint == "mx0v********"


def test_rotating_a_credential_keeps_its_time_of_creation(path: Path, vault: Vault) -> None:
    vault.rotate("main", Secret("mx0newKey"), Secret("newSecret"), now_ns=500)
    found = Vault.open(path, WORDS).read("main")
    assert (found.key.reveal(), found.secret.reveal()) == ("mx0newKey", "newSecret")
    assert (found.created_ns, found.rotated_ns) == (100, 500)


def test_a_removed_credential_is_gone_and_the_others_stay(path: Path, vault: Vault) -> None:
    vault.add(credential("second"), now_ns=1)
    vault.remove("main")
    assert [row.name for row in Vault.open(path, WORDS).list()] == ["second"]


@pytest.mark.parametrize("act", ["read", "remove", "rotate"])
def test_a_name_that_is_not_there_is_answered_with_the_nearest(vault: Vault, act: str) -> None:
    rest = (Secret("k"), Secret("s"), 1) if act == "rotate" else ()
    with pytest.raises(ConfigError, match="did you mean 'main'"):
        getattr(vault, act)("mian", *rest)


def test_a_name_is_given_once(vault: Vault) -> None:
    with pytest.raises(ConfigError, match="already"):
        vault.add(credential(), now_ns=2)


@pytest.mark.parametrize("wrong", ["", "has space", "line\nbreak", "ключ", "x" * 513])
def test_a_key_that_no_venue_gives_out_is_refused_without_being_told(wrong: str) -> None:
    with pytest.raises(ConfigError) as told:
        Credential("main", Secret(KEY), Secret(wrong))
    assert not wrong or wrong not in str(told.value)


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "x" * 65])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(ConfigError):
        credential(name)


def test_a_wrong_passphrase_is_told_from_a_damaged_file(path: Path, vault: Vault) -> None:
    with pytest.raises(VaultLocked):
        Vault.open(path, OTHER_WORDS)
    path.write_bytes(path.read_bytes().replace(b"sealed_body", b"sealed_bodx"))
    for words in (WORDS, OTHER_WORDS):
        with pytest.raises(VaultCorrupt):
            Vault.open(path, words)


def test_letters_open_it_however_they_are_composed(path: Path) -> None:
    Vault.create(path, Passphrase(Secret("gr\u00fcn gr\u00fcn gr\u00fcn"), CHEAP))
    Vault.open(path, Passphrase(Secret("gru\u0308n gru\u0308n gru\u0308n")))


def test_a_new_passphrase_opens_it_and_the_old_one_no_more(path: Path, vault: Vault) -> None:
    before = json.loads(path.read_bytes())
    vault.rekey(OTHER_WORDS)
    assert vault.key_version == 2
    assert vault.read("main").secret.reveal() == SECRET
    assert Vault.open(path, OTHER_WORDS).read("main").created_ns == 100
    with pytest.raises(VaultLocked):
        Vault.open(path, WORDS)
    after = json.loads(path.read_bytes())
    assert before["header"]["lock"]["salt"] != after["header"]["lock"]["salt"]
    assert before["header"]["id"] == after["header"]["id"]


def test_one_who_opened_it_before_the_new_passphrase_must_open_it_again(path: Path, vault: Vault) -> None:
    stale = Vault.open(path, WORDS)
    vault.rekey(OTHER_WORDS)
    with pytest.raises(VaultLocked, match="open it again"):
        stale.read("main")
    with pytest.raises(VaultLocked, match="open it again"):
        stale.add(credential("second"), now_ns=1)


def test_a_short_passphrase_is_refused_and_nothing_is_made(path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 8"):
        Vault.create(path, Passphrase(Secret("1234567"), CHEAP))
    assert not path.exists()


def test_a_vault_is_not_made_over_another(path: Path, vault: Vault) -> None:
    with pytest.raises(VaultError, match="already"):
        Vault.create(path, OTHER_WORDS)
    assert Vault.open(path, WORDS).read("main")


def test_a_vault_that_is_not_there_is_an_error_that_says_what_to_do(path: Path) -> None:
    with pytest.raises(VaultError, match="mexclab vault add"):
        Vault.open(path, WORDS)


def test_the_file_and_its_folder_are_for_the_owner_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        Vault.create(path, WORDS).add(credential(), now_ns=1)
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(path: Path, vault: Vault, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(VaultError, match="chmod 600"):
        Vault.open(path, WORDS)
    with pytest.raises(VaultError, match="chmod 600"):
        vault.add(credential("second"), now_ns=1)


def test_a_folder_that_others_can_look_into_is_refused(path: Path, vault: Vault) -> None:
    path.parent.chmod(0o755)
    with pytest.raises(VaultError, match="chmod 700"):
        Vault.open(path, WORDS)


def test_a_link_in_the_place_of_the_file_is_not_followed(path: Path, vault: Vault) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(VaultError, match="cannot be opened"):
        Vault.open(path, WORDS)


def test_a_writer_that_died_leaves_the_old_file_and_its_scraps_are_swept(path: Path, vault: Vault) -> None:
    scrap = path.with_name(f".{path.name}.dead.new")
    scrap.write_bytes(b"half a vault")
    assert Vault.open(path, WORDS).read("main")
    vault.add(credential("second"), now_ns=1)
    assert not scrap.exists()


def test_a_disk_that_takes_nothing_leaves_the_old_file(path: Path, vault: Vault) -> None:
    taken = path.with_name("taken")
    path.rename(taken)
    path.mkdir(mode=0o700)
    with pytest.raises(VaultError):
        vault_file.save(path, vault_file.load(taken))
    path.rmdir()
    taken.rename(path)
    assert Vault.open(path, WORDS).read("main")


def add_many(path: Path, whose: int) -> None:
    vault = Vault.open(path, WORDS)
    for number in range(5):
        vault.add(credential(f"w{whose}-{number}"), now_ns=number)


def test_two_writers_at_once_lose_nothing(path: Path, vault: Vault) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=add_many, args=(path, whose)) for whose in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(Vault.open(path, WORDS).list()) == 11


def test_a_closed_vault_reads_nothing(vault: Vault) -> None:
    with vault:
        assert vault.read("main")
    with pytest.raises(VaultLocked, match="closed"):
        vault.read("main")


# the keyring


def test_the_keyring_opens_it_without_a_passphrase(path: Path, os_keyring: MemoryKeyring) -> None:
    Vault.create(path, Keyring()).add(credential(), now_ns=1)
    assert Vault.open(path, Keyring()).read("main").secret.reveal() == SECRET


def test_a_new_key_replaces_the_one_in_the_keyring(path: Path, os_keyring: MemoryKeyring) -> None:
    vault = Vault.create(path, Keyring())
    vault.add(credential(), now_ns=1)
    first = dict(os_keyring.kept)
    vault.rekey(Keyring())
    assert len(os_keyring.kept) == 1
    assert os_keyring.kept != first
    assert Vault.open(path, Keyring()).read("main")
    vault.rekey(WORDS)
    assert not os_keyring.kept
    assert Vault.open(path, WORDS).read("main")


def test_a_machine_without_a_keyring_says_so_in_one_sentence(path: Path, no_keyring: None) -> None:
    with pytest.raises(ConfigError, match="no keyring"):
        Vault.create(path, Keyring())
    assert not path.exists()


def test_a_vault_opens_only_in_the_way_it_was_locked(path: Path, vault: Vault) -> None:
    with pytest.raises(ConfigError, match="by a passphrase"):
        Vault.open(path, Keyring())


@pytest.mark.parametrize("kept", [None, "not base64!", base64.b64encode(b"too short").decode()])
def test_a_keyring_without_the_right_key_is_a_locked_vault(
    path: Path, os_keyring: MemoryKeyring, kept: str | None
) -> None:
    Vault.create(path, Keyring())
    (entry,) = os_keyring.kept
    os_keyring.kept.clear()
    if kept is not None:
        os_keyring.kept[entry] = kept
    with pytest.raises(VaultLocked):
        Vault.open(path, Keyring())


def test_a_locked_keyring_is_a_locked_vault(path: Path, os_keyring: MemoryKeyring) -> None:
    Vault.create(path, Keyring())
    os_keyring.is_locked = True
    with pytest.raises(VaultLocked, match="unlock it"):
        Vault.open(path, Keyring())
