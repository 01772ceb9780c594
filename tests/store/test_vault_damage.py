"""A vault that was damaged or altered: refused with an error of its own, never believed in part."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexclab.errors import VaultCorrupt, VaultError, VaultLocked
from mexclab.store import vault_file
from mexclab.store.vault import Vault
from tests.store.vault_samples import OTHER_WORDS, SECRET, WORDS, credential


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault" / "credentials.vault"


@pytest.fixture
def vault(path: Path) -> Vault:
    vault = Vault.create(path, WORDS)
    vault.add(credential(), now_ns=100)
    return vault


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("fuzz") / "vault" / "credentials.vault"
    vault = Vault.create(path, WORDS)
    vault.add(credential(), now_ns=100)
    vault.add(credential("second", "othersecret"), now_ns=200)
    return path, path.read_bytes()


def opened_or_refused(path: Path, raw: bytes) -> None:
    """A file is either what it was or refused with an error of the vault's own; nothing lies between."""
    path.write_bytes(raw)
    try:
        vault = Vault.open(path, WORDS)
    except VaultError:
        return
    assert [(c.name, c.created_ns) for c in vault.list()] == [("main", 100), ("second", 200)]
    assert vault.read("main").secret.reveal() == SECRET
    assert vault.read("second").secret.reveal() == "othersecret"


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_file_never_yields_other_credentials(
    data: st.DataObject, sound: tuple[Path, bytes]
) -> None:
    path, raw = sound
    begin = data.draw(st.integers(0, len(raw)))
    length = data.draw(st.integers(0, 40))
    opened_or_refused(path, raw[:begin] + data.draw(st.binary(max_size=40)) + raw[begin + length :])


@given(raw=st.binary(max_size=2000))
def test_any_bytes_are_refused_with_a_typed_error(raw: bytes, sound: tuple[Path, bytes]) -> None:
    path, _ = sound
    path.write_bytes(raw)
    with pytest.raises(VaultCorrupt):
        Vault.open(path, WORDS)


LOCK = st.fixed_dictionaries(
    {},
    optional={
        "memory_kib": st.one_of(st.integers(8, 64), st.sampled_from([0, 1 << 21, 10**12])),
        "time_cost": st.one_of(st.integers(1, 3), st.sampled_from([0, 10**9])),
        "lanes": st.one_of(st.integers(1, 4), st.just(1000)),
        "salt": st.binary(max_size=20).map(lambda salt: base64.b64encode(salt).decode()),
    },
)
HEADER = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=20),
        "key_version": st.integers(-1, 5),
        "version": st.integers(0, 2),
        "cipher": st.sampled_from(["AES-128-GCM", "none"]),
    },
)


@settings(max_examples=200)
@given(lock=LOCK, header=HEADER, body=st.binary(max_size=60))
def test_who_alters_the_file_and_mends_the_checksum_gains_nothing(
    lock: dict[str, object], header: dict[str, object], body: bytes, sound: tuple[Path, bytes]
) -> None:
    path, raw = sound
    content = json.loads(raw)
    content["header"]["lock"] |= lock
    content["header"] |= header
    if body:
        content["sealed_body"] = base64.b64encode(body).decode()
    envelope = msgspec.convert(content, vault_file.Envelope)
    content["checksum"] = envelope.summed()
    opened_or_refused(path, json.dumps(content).encode())


def test_a_body_under_another_header_is_corrupt(path: Path, vault: Vault, tmp_path: Path) -> None:
    other = Vault.create(tmp_path / "other" / "v", WORDS)
    mine, others = vault_file.load(path), vault_file.load(other.path)
    vault_file.save(path, msgspec.structs.replace(mine, sealed_body=others.sealed_body))
    with pytest.raises(VaultCorrupt):
        Vault.open(path, WORDS)
    with pytest.raises(VaultCorrupt):
        vault.read("main")


def test_a_vault_of_a_newer_mexclab_is_not_called_damaged(path: Path, vault: Vault) -> None:
    content = json.loads(path.read_bytes())
    content["header"] |= {"version": 2, "new": True}
    path.write_text(json.dumps(content))
    with pytest.raises(VaultError, match="newer mexclab") as told:
        Vault.open(path, WORDS)
    assert not isinstance(told.value, VaultCorrupt)


def test_two_vaults_of_the_same_content_have_nothing_in_common(path: Path, tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        vault = Vault.create(tmp_path / name / "v", WORDS)
        vault.add(credential(), now_ns=1)
        files.append(json.loads(vault.path.read_bytes()))
    one, two = files
    for field in ("sealed_key", "sealed_body", "checksum"):
        assert one[field] != two[field]
    assert one["header"]["lock"]["salt"] != two["header"]["lock"]["salt"]


@pytest.mark.parametrize("change", [{"key_version": 7}, {"id": "somebody else's"}])
def test_no_word_of_the_header_can_be_exchanged(path: Path, vault: Vault, change: dict[str, object]) -> None:
    envelope = vault_file.load(path)
    header = msgspec.structs.replace(envelope.header, **change)
    vault_file.save(path, msgspec.structs.replace(envelope, header=header))
    with pytest.raises(VaultLocked):
        Vault.open(path, WORDS)


def test_damage_to_the_lock_is_called_damage_and_not_a_wrong_passphrase(path: Path, vault: Vault) -> None:
    content = json.loads(path.read_bytes())
    sealed = bytearray(base64.b64decode(content["sealed_key"]))
    sealed[20] ^= 1
    path.write_text(json.dumps(content | {"sealed_key": base64.b64encode(sealed).decode()}))
    for words in (WORDS, OTHER_WORDS):
        with pytest.raises(VaultCorrupt):
            Vault.open(path, words)
