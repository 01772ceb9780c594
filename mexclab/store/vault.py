"""The vault: where the keys of accounts lie, sealed. Only the trading process and `mexclab vault` open it.

Nothing of it is kept in an environment variable, which a kernel would inherit. A vault in Postgres is left
out: the file needs no server to be up before the keys are, and one machine trades.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from mexclab.errors import ConfigError, VaultCorrupt, VaultError, VaultLocked
from mexclab.store import vault_file
from mexclab.store.secret import Secret
from mexclab.store.vault_file import Envelope, Header, SealingKey, bound_by, locked, wipe
from mexclab.store.vault_lock import KdfCost, Keyring, Passphrase, Unlock, derived, forget, new_lock

__all__ = [
    "VAULT_FILE",
    "Credential",
    "CredentialRow",
    "KdfCost",
    "Keyring",
    "Passphrase",
    "Secret",
    "Unlock",
    "Vault",
]

VAULT_FILE = Path("vault") / "credentials.vault"  # below the data folder
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KEY = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class Credential:
    """The key of one account. ``rotated_ns`` is when key and secret were last replaced; 0: never."""

    name: str
    key: Secret
    secret: Secret
    venue: str = "mexc"
    account: str = "main"
    created_ns: int = 0
    rotated_ns: int = 0

    def __post_init__(self) -> None:
        for field, value in (("name", self.name), ("venue", self.venue), ("account", self.account)):
            if not _NAME.fullmatch(value):
                raise ConfigError(
                    f"a credential's {field} is 1 to 64 letters, digits, '-', '_' or '.'", field=field
                )
        for field, secret in (("key", self.key), ("secret", self.secret)):
            if not _KEY.fullmatch(secret.reveal()):
                raise ConfigError(
                    f"the {field} of {self.name} must be 1 to 512 visible ASCII characters without spaces",
                    field=field,
                )


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """What may be shown of a credential."""

    name: str
    venue: str
    account: str
    key_hint: str
    created_ns: int
    rotated_ns: int


class _Body(msgspec.Struct, frozen=True):
    credentials: tuple[Credential, ...] = ()


class Vault:
    """An open vault. It keeps the data key, no credential: each question reads the file anew.

    Raises, in every method that touches the file:
        VaultError: the file is missing, in use, or not private.
        VaultLocked: it was given another key since it was opened.
        VaultCorrupt: it was damaged or altered.
    """

    def __init__(self, path: Path, header: Header, key: SealingKey) -> None:
        self.path = path
        self._header = header
        self._key = key
        self._is_open = True

    @classmethod
    def create(cls, path: Path, unlock: Unlock) -> Vault:
        """A new, empty vault.

        Raises:
            VaultError: there is one already, or the folder is open to others.
            ConfigError: the passphrase is too short, or there is no keyring.
        """
        vault_file.make_folder(path.parent)
        with locked(path):
            if path.exists() or path.is_symlink():
                raise VaultError(f"there is a vault at {path} already; it was not touched", path=str(path))
            header, wrapping = new_lock(unlock, os.urandom(8).hex(), 1)
            return cls._written(path, header, wrapping, _Body())

    @classmethod
    def open(cls, path: Path, unlock: Unlock) -> Vault:
        """Open the vault and check all of it.

        Raises:
            ConfigError: it is locked in the other way, or there is no keyring.
        """
        envelope = vault_file.load(path)
        wrapping = derived(envelope.header.lock, unlock)
        key = wrapping.unwrap(envelope.sealed_key, envelope.header)
        wrapping.wipe()
        if key is None:
            what = "passphrase" if isinstance(unlock, Passphrase) else "key in the keyring"
            raise VaultLocked(
                f"the {what} does not open {path}. Is it the right one? (Who alters the lock on purpose "
                "causes this, too.)",
                path=str(path),
            )
        vault = cls(path, envelope.header, key)
        vault._opened(envelope)
        return vault

    @property
    def key_version(self) -> int:
        """How often the vault's own key was made; rises with :meth:`rekey`."""
        return self._header.key_version

    def list(self) -> tuple[CredentialRow, ...]:
        """What is in it, by name; no secret."""
        return tuple(
            CredentialRow(c.name, c.venue, c.account, c.key.hint(), c.created_ns, c.rotated_ns)
            for c in sorted(self._body().credentials, key=lambda c: c.name)
        )

    def read(self, name: str) -> Credential:
        """The credential of that name.

        Raises:
            ConfigError: there is none.
        """
        return _named(name, self._body().credentials)

    def add(self, credential: Credential, now_ns: int) -> None:
        """Keep a new credential.

        Raises:
            ConfigError: the name is taken.
        """

        def added(old: tuple[Credential, ...]) -> Iterable[Credential]:
            if any(c.name == credential.name for c in old):
                raise ConfigError(
                    f"there is a credential {credential.name!r} already. Replace its key with "
                    f"`mexclab vault rotate {credential.name}`, or choose another name",
                    name=credential.name,
                )
            return (*old, replace(credential, created_ns=now_ns, rotated_ns=0))

        self._change(added)

    def rotate(self, name: str, key: Secret, secret: Secret, now_ns: int) -> None:
        """Replace key and secret; name, labels and the time of creation stay.

        Raises:
            ConfigError: there is none of that name.
        """

        def rotated(old: tuple[Credential, ...]) -> Iterable[Credential]:
            new = replace(_named(name, old), key=key, secret=secret, rotated_ns=now_ns)
            return (new if c.name == name else c for c in old)

        self._change(rotated)

    def remove(self, name: str) -> None:
        """Forget a credential. It stays valid at the venue: delete it there, too.

        Raises:
            ConfigError: there is none of that name.
        """

        def removed(old: tuple[Credential, ...]) -> Iterable[Credential]:
            gone = _named(name, old)
            return (c for c in old if c is not gone)

        self._change(removed)

    def rekey(self, unlock: Unlock) -> None:
        """Lock it anew: another passphrase, the keyring instead, or the same with a fresh key.

        Copies of the old file still open in the old way: who fears for the passphrase replaces the keys at
        the venue, too (:meth:`rotate`).

        Raises:
            ConfigError: the passphrase is too short, or there is no keyring.
        """
        with locked(self.path):
            body = self._body()
            header, wrapping = new_lock(unlock, self._header.id, self._header.key_version + 1)
            new = self._written(self.path, header, wrapping, body)
        old = self._header.lock
        self.close()
        self._header, self._key, self._is_open = new._header, new._key, True
        forget(old)

    def close(self) -> None:
        """Wipe the data key; nothing can be read any more."""
        self._key.wipe()
        self._is_open = False

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *_ended: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Vault({str(self.path)!r}, {'open' if self._is_open else 'closed'})"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Vault is never pickled")

    @classmethod
    def _written(cls, path: Path, header: Header, wrapping: SealingKey, body: _Body) -> Vault:
        key = SealingKey.random()
        envelope = Envelope(header, wrapping.wrap(key, header), _sealed(key, header, body))
        wrapping.wipe()
        vault_file.save(path, envelope)
        return cls(path, header, key)

    def _change(self, change: Callable[[tuple[Credential, ...]], Iterable[Credential]]) -> None:
        with locked(self.path):
            envelope = self._envelope()
            body = _Body(tuple(change(self._opened(envelope).credentials)))
            sealed = _sealed(self._key, self._header, body)
            vault_file.save(self.path, msgspec.structs.replace(envelope, sealed_body=sealed))

    def _body(self) -> _Body:
        return self._opened(self._envelope())

    def _envelope(self) -> Envelope:
        if not self._is_open:
            raise VaultLocked(f"{self.path} was closed; open it again", path=str(self.path))
        envelope = vault_file.load(self.path)
        if envelope.header != self._header:
            raise VaultLocked(
                f"{self.path} was locked anew since it was opened; open it again", path=str(self.path)
            )
        return envelope

    def _opened(self, envelope: Envelope) -> _Body:
        body = _unsealed(self._key, envelope)
        if body is None:
            raise VaultCorrupt(
                f"the credentials in {self.path} were damaged or altered: none is believed. Restore the file "
                "from a copy, or delete it and add them again",
                path=str(self.path),
            )
        return body


def _named(name: str, credentials: tuple[Credential, ...]) -> Credential:
    for credential in credentials:
        if credential.name == name:
            return credential
    names = sorted(c.name for c in credentials)
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
    raise ConfigError(f"there is no credential {name!r}; {hint}", name=name)


def _sealed(key: SealingKey, header: Header, body: _Body) -> bytes:
    plain = bytearray()
    try:
        msgspec.json.Encoder(enc_hook=_told).encode_into(body, plain)
        return key.seal(plain, bound_by(header, "body"))
    finally:
        wipe(plain)


def _unsealed(key: SealingKey, envelope: Envelope) -> _Body | None:
    plain = key.open(envelope.sealed_body, bound_by(envelope.header, "body"))
    if plain is None:
        return None
    try:
        return msgspec.json.decode(plain, type=_Body, dec_hook=_kept)
    except (msgspec.MsgspecError, ConfigError, ValueError):
        return None
    finally:
        wipe(plain)


def _told(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(type(value).__name__)


def _kept(wanted: type, value: Any) -> Secret:
    if wanted is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(wanted.__name__)
