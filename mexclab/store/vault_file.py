"""The vault's file: how it is sealed, how it is read and written, and who may see it.

Envelope encryption with AES-256-GCM. A key made of the passphrase by argon2id (RFC 9106), or one that the
operating system's keyring holds, seals a random data key; the data key seals the credentials. Both seals
bind the header (format, version, cipher, id, key version, how it is locked) as associated data, so none of it
can be exchanged. A plain checksum over everything tells damage from a wrong passphrase: the cipher alone
says for both only that it does not fit. Who alters the file on purpose and mends the checksum is found out
by the seals: in the body as VaultCorrupt; in what wraps the data key as VaultLocked, since a seal that does
not open looks the same whichever side is wrong. Nothing here can tell that an old copy was put in its place.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mexclab.errors import VaultCorrupt, VaultError
from mexclab.store.secret import Secret

FORMAT, VERSION, CIPHER = "mexclab vault", 1, "AES-256-GCM"
KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
LARGEST_FILE = 1 << 20
LOCK_WAIT_S = 10.0
_LEFTOVER = ".new"


class PassphraseLock(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="passphrase", tag_field="by"
):
    """The cost and the salt of argon2id (version 1.3, 32 bytes out)."""

    memory_kib: int
    time_cost: int
    lanes: int
    salt: bytes

    def is_sound(self) -> bool:
        """Whether the costs are within reason, so that an altered file cannot eat the machine."""
        return (
            8 * self.lanes <= self.memory_kib <= 1 << 20
            and 1 <= self.time_cost <= 64
            and 1 <= self.lanes <= 16
            and 8 <= len(self.salt) <= 64
        )


class KeyringLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="keyring", tag_field="by"):
    """Where in the operating system's keyring the key lies."""

    service: str
    entry: str


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is readable without a key, and bound by both seals."""

    format: str
    version: int
    cipher: str
    id: str
    key_version: int
    lock: PassphraseLock | KeyringLock


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. A seal is nonce and ciphertext with its tag."""

    header: Header
    sealed_key: bytes
    sealed_body: bytes
    checksum: str = ""

    def summed(self) -> str:
        """The checksum that this content should have."""
        content = msgspec.json.encode((self.header, self.sealed_key, self.sealed_body))
        return hashlib.sha256(content).hexdigest()


class _Stamp(msgspec.Struct):
    format: str = ""
    version: int = 0


class _Stamped(msgspec.Struct):
    header: _Stamp


@final
class SealingKey:
    """32 bytes that seal and open; wiped on demand, never shown."""

    __slots__ = ("_bytes",)

    def __init__(self, key: bytes | bytearray) -> None:
        self._bytes = bytearray(key)
        if len(self._bytes) != KEY_BYTES:
            raise VaultCorrupt("the vault's key has the wrong length; restore the vault from a copy")

    @classmethod
    def random(cls) -> SealingKey:
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def from_text(cls, text: Secret) -> SealingKey | None:
        """The key that :meth:`text` wrote; None for anything else."""
        try:
            return cls(base64.b64decode(text.reveal(), validate=True))
        except (ValueError, VaultCorrupt):
            return None

    def text(self) -> Secret:
        """The key in base64, for a keyring."""
        return Secret(base64.b64encode(self._bytes).decode())

    def seal(self, plain: bytes | bytearray, bound: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)  # 2**32 writes under one key until two nonces may well meet
        return nonce + AESGCM(self._bytes).encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytearray | None:
        """The plain text, for the caller to wipe; None when the seal does not hold."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            return None
        plain = bytearray(len(sealed) - NONCE_BYTES - TAG_BYTES)
        try:
            AESGCM(self._bytes).decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound, plain)
        except InvalidTag:
            wipe(plain)
            return None
        return plain

    def wrap(self, inner: SealingKey, header: Header) -> bytes:
        """``inner`` sealed by this key."""
        return self.seal(inner._bytes, bound_by(header, "key"))

    def unwrap(self, sealed: bytes, header: Header) -> SealingKey | None:
        """The key that was sealed by this one; None when this one is not the right one."""
        plain = self.open(sealed, bound_by(header, "key"))
        if plain is None:
            return None
        try:
            return SealingKey(plain)
        finally:
            wipe(plain)

    def wipe(self) -> None:
        wipe(self._bytes)

    def __repr__(self) -> str:
        return "SealingKey(********)"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a SealingKey is never pickled")


def wipe(plain: bytearray) -> None:
    """Zeros in its place. Copies that Python or a library made are out of reach."""
    plain[:] = bytes(len(plain))


def bound_by(header: Header, purpose: str) -> bytes:
    """The associated data of a seal."""
    return f"{FORMAT} {purpose}\0".encode() + msgspec.json.encode(header)


def load(path: Path) -> Envelope:
    """The file, checked for damage and for other people's access; nothing in it is authenticated yet.

    Raises:
        VaultError: it is missing, not private, or of a newer mexclab.
        VaultCorrupt: it is damaged.
    """
    raw = _read_private(path)
    envelope = _parsed(raw)
    if envelope is None:
        stamp = _stamp(raw)
        if stamp is not None and stamp.format == FORMAT and stamp.version > VERSION:
            raise VaultError(
                f"{path} was written by a newer mexclab (vault version {stamp.version}); update mexclab",
                path=str(path),
            )
        raise _corrupt(path)
    header = envelope.header
    sound = (header.format, header.version, header.cipher) == (FORMAT, VERSION, CIPHER)
    sound = sound and header.key_version >= 1 and envelope.checksum == envelope.summed()
    if not sound or (isinstance(header.lock, PassphraseLock) and not header.lock.is_sound()):
        raise _corrupt(path)
    return envelope


def _parsed(raw: bytes) -> Envelope | None:
    try:
        return msgspec.json.decode(raw, type=Envelope)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _stamp(raw: bytes) -> _Stamp | None:
    try:
        return msgspec.json.decode(raw, type=_Stamped).header
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _corrupt(path: Path) -> VaultCorrupt:
    return VaultCorrupt(
        f"{path} is damaged or was altered: nothing in it is believed. Restore it from a copy, or delete it "
        "and add the credentials again",
        path=str(path),
    )


def save(path: Path, envelope: Envelope) -> None:
    """Put it in the place of ``path``, whole and durable; call it under :func:`locked`.

    Raises:
        VaultError: it cannot be written; the old file is as it was.
    """
    summed = msgspec.structs.replace(envelope, checksum=envelope.summed())
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{_LEFTOVER}")
    try:
        for leftover in path.parent.glob(f".{path.name}.*{_LEFTOVER}"):  # of one that died while it wrote
            leftover.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(summed)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as why:
        raise VaultError(
            f"{path} could not be written ({why.strerror}); it is as it was", path=str(path)
        ) from why


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the vault's folder against other writers.

    Raises:
        VaultError: somebody else writes, for longer than ``LOCK_WAIT_S``; or the folder is not private.
    """
    folder = _private(path.parent, os.O_RDONLY | os.O_DIRECTORY, 0o700)
    try:
        patience = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > patience:
                    raise VaultError(
                        f"{path} is in use by another command; try again", path=str(path)
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(folder)


def make_folder(folder: Path) -> None:
    """A folder for its owner alone; one that exists must be so already."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as why:
        raise VaultError(f"{folder} could not be made ({why.strerror})", path=str(folder)) from why
    os.close(_private(folder, os.O_RDONLY | os.O_DIRECTORY, 0o700))


def _read_private(path: Path) -> bytes:
    os.close(_private(path.parent, os.O_RDONLY | os.O_DIRECTORY, 0o700))
    with os.fdopen(_private(path, os.O_RDONLY | os.O_NONBLOCK, 0o600), "rb") as file:
        try:
            raw = file.read(LARGEST_FILE + 1)
        except OSError as why:
            raise VaultError(f"{path} could not be read ({why.strerror})", path=str(path)) from why
    if len(raw) > LARGEST_FILE:
        raise _corrupt(path)
    return raw


def _private(path: Path, flags: int, mode: int) -> int:
    """Open what belongs to us and is closed to all others; the descriptor is what was checked."""
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise VaultError(
            f"there is no vault at {path}. Add a credential with `mexclab vault add`", path=str(path)
        ) from None
    except OSError as why:
        raise VaultError(f"{path} cannot be opened ({why.strerror})", path=str(path)) from why
    found = os.fstat(handle)
    wanted = stat.S_ISDIR if mode == 0o700 else stat.S_ISREG
    if not wanted(found.st_mode):
        fault = f"{path} is not a {'folder' if mode == 0o700 else 'file'}"
    elif found.st_uid != os.geteuid():
        fault = f"{path} belongs to somebody else. Use a vault of your own"
    elif found.st_mode & 0o077:
        fault = f"{path} is open to other people. Close it: chmod {mode:o} {path}"
    else:
        return handle
    os.close(handle)
    raise VaultError(fault, path=str(path))
