"""What opens the vault: a passphrase, or a key in the operating system's keyring.

Failures are returned from where a secret has a name and raised where none has: a traceback that prints names
then shows none.
"""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import keyring
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from keyring.errors import KeyringError, NoKeyringError

from mexclab.errors import ConfigError, MexclabError, VaultError, VaultLocked
from mexclab.store.secret import Secret
from mexclab.store.vault_file import (
    CIPHER,
    FORMAT,
    KEY_BYTES,
    VERSION,
    Header,
    KeyringLock,
    PassphraseLock,
    SealingKey,
)

SHORTEST_PASSPHRASE = 8


@dataclass(frozen=True, slots=True)
class KdfCost:
    """The price of one try at the passphrase: argon2id, by default RFC 9106's for limited memory."""

    memory_kib: int = 65_536
    time_cost: int = 3
    lanes: int = 4


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Opens the vault by what a person knows. ``cost`` is for new locks; a file brings its own."""

    secret: Secret
    cost: KdfCost = KdfCost()


@dataclass(frozen=True, slots=True)
class Keyring:
    """Opens the vault by a random key in the operating system's keyring."""

    service: str = "mexclab"


Unlock: TypeAlias = Passphrase | Keyring


def new_lock(unlock: Unlock, vault_id: str, key_version: int) -> tuple[Header, SealingKey]:
    """A fresh lock as ``unlock`` wants it, and the key that wraps under it.

    Raises:
        ConfigError: the passphrase is too short, its cost is beyond reason, or there is no keyring.
        VaultLocked: the keyring does not open.
    """
    lock: PassphraseLock | KeyringLock
    if isinstance(unlock, Passphrase):
        if len(unlock.secret.reveal()) < SHORTEST_PASSPHRASE:
            raise ConfigError(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters")
        cost = unlock.cost
        lock = PassphraseLock(cost.memory_kib, cost.time_cost, cost.lanes, os.urandom(16))
        if not lock.is_sound():
            raise ConfigError(f"{cost} is outside what the vault takes", cost=str(cost))
        wrapping = derived(lock, unlock)
    else:
        lock = KeyringLock(unlock.service, f"vault {vault_id} {key_version}")
        wrapping = _new_in_keyring(lock)
    return Header(FORMAT, VERSION, CIPHER, vault_id, key_version, lock), wrapping


def derived(lock: PassphraseLock | KeyringLock, unlock: Unlock) -> SealingKey:
    """The key that wraps under ``lock``.

    Raises:
        ConfigError: it is locked in the other way, or there is no keyring.
        VaultLocked: the keyring does not open, or does not have the key.
        VaultError: there is too little memory.
    """
    if isinstance(lock, PassphraseLock) and isinstance(unlock, Passphrase):
        key = _from_passphrase(lock, unlock.secret)
        if key is None:
            raise VaultError(
                f"there is not enough memory to open the vault: it takes {lock.memory_kib >> 10} MiB. "
                "Close something and try again"
            )
        return key
    if isinstance(lock, KeyringLock) and isinstance(unlock, Keyring):
        return _from_keyring(lock)
    way = "by a passphrase" if isinstance(lock, PassphraseLock) else "by the operating system's keyring"
    raise ConfigError(f"this vault is locked {way}; open it that way")


def _from_passphrase(lock: PassphraseLock, passphrase: Secret) -> SealingKey | None:
    try:
        return SealingKey(
            hash_secret_raw(
                # the same letters typed on another machine may come in another composition
                unicodedata.normalize("NFC", passphrase.reveal()).encode("utf-8", "surrogatepass"),
                lock.salt,
                time_cost=lock.time_cost,
                memory_cost=lock.memory_kib,
                parallelism=lock.lanes,
                hash_len=KEY_BYTES,
                type=Type.ID,
            )
        )
    except (HashingError, MemoryError):
        return None


def _no_keyring() -> ConfigError:
    return ConfigError(
        "this machine has no keyring that mexclab can use (none is installed or none is running). "
        "Lock the vault with a passphrase instead"
    )


def _keyring_shut() -> VaultLocked:
    return VaultLocked("the operating system's keyring did not open; unlock it and try again")


def _new_in_keyring(lock: KeyringLock) -> SealingKey:
    key = SealingKey.random()
    fault = _put_in_keyring(lock, key)
    if fault is not None:
        raise fault
    return key


def _put_in_keyring(lock: KeyringLock, key: SealingKey) -> MexclabError | None:
    try:
        keyring.set_password(lock.service, lock.entry, key.text().reveal())
    except NoKeyringError:
        return _no_keyring()
    except KeyringError:
        return _keyring_shut()
    return None


def _from_keyring(lock: KeyringLock) -> SealingKey:
    kept = _kept_in_keyring(lock)
    if isinstance(kept, MexclabError):
        raise kept
    key = None if kept is None else SealingKey.from_text(kept)
    if key is None:
        what = "nothing" if kept is None else "something else"
        raise VaultLocked(
            f"the operating system's keyring holds {what} under {lock.service!r}, {lock.entry!r}: was this "
            "vault locked on another machine or by another user?"
        )
    return key


def _kept_in_keyring(lock: KeyringLock) -> Secret | MexclabError | None:
    try:
        kept = keyring.get_password(lock.service, lock.entry)
    except NoKeyringError:
        return _no_keyring()
    except KeyringError:
        return _keyring_shut()
    return None if kept is None else Secret(kept)


def forget(lock: PassphraseLock | KeyringLock) -> None:
    """Clean up behind a lock that opens nothing any more."""
    if isinstance(lock, KeyringLock):
        with suppress(KeyringError):
            keyring.delete_password(lock.service, lock.entry)
