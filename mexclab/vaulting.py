"""The vault at the command line: keys are typed or piped in, never given as arguments or variables.

What comes through a pipe is read line by line, in the order in which a person would be asked:
the passphrase of the vault (none with ``vault.passphrase_file`` or the keyring), then what the command
itself wants. Everything is read and looked at before anything is written.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from mexclab.config import Settings
from mexclab.domain.clock import written
from mexclab.errors import ConfigError, VaultError
from mexclab.store.secret import Secret
from mexclab.store.vault import VAULT_FILE, Credential, Keyring, Passphrase, Unlock, Vault


def unlock_by(settings: Settings, asks: str = "vault passphrase: ") -> Unlock:
    """What opens the vault, as the settings say: the keyring, a private file, or what a person types.

    Raises:
        ConfigError: nobody is there to type it, or the file is not private or holds no passphrase.
    """
    if settings.vault.unlock == "keyring":
        return Keyring()
    if settings.vault.passphrase_file is not None:
        return Passphrase(_private_line(settings.vault.passphrase_file))
    return Passphrase(_typed(asks, "; vault.passphrase_file names a file that holds it"))


@contextmanager
def opened(settings: Settings) -> Iterator[Vault]:
    """The vault of the data folder, open; closed again afterwards.

    Raises:
        ConfigError: there is none.
        VaultError: see ``mexclab.store.vault``.
    """
    path = settings.data / VAULT_FILE
    if not path.exists():
        raise ConfigError(f"there is no vault at {path}; `mexclab vault add` makes one", path=str(path))
    with Vault.open(path, unlock_by(settings)) as vault:
        yield vault


def credential(settings: Settings) -> Credential:
    """The credential that the settings name. Only the trading process and ``vault test`` ask for it."""
    if settings.mode == "live" and _is_terminal():  # a person is about to open the way to real money
        sys.stderr.write("*** LIVE: REAL MONEY ***\n")
    with opened(settings) as vault:
        return vault.read(settings.venue.credential)


def add(settings: Settings, name: str, account: str) -> str:
    """Take a new key in; the first one makes the vault.

    Raises:
        ConfigError: a name that cannot be or is taken, or nothing to read; nothing was written.
        VaultError: see ``mexclab.store.vault``.
    """
    label = Credential(name, Secret("-"), Secret("-"), account=account)  # a wrong name is told before typing
    path = settings.data / VAULT_FILE
    if path.exists():
        with opened(settings) as vault:
            _must_be_free(vault, name)
            vault.add(_with_key(label), time.time_ns())
    else:
        unlock = _new_lock(settings)
        new = _with_key(label)
        _make_private(settings.data)
        with Vault.create(path, unlock) as vault:
            vault.add(new, time.time_ns())
    return f"{name} is in the vault; `mexclab vault test {name}` asks the venue what it may do"


def rotate(settings: Settings, name: str) -> str:
    """Replace a key by a new one."""
    with opened(settings) as vault:
        vault.read(name)  # says that it is not there before anything is typed
        vault.rotate(name, *_key_and_secret(), time.time_ns())
    return f"{name} was replaced; delete the old key at the venue"


def rekey(settings: Settings, to: str = "") -> str:
    """Lock the whole vault anew.

    Args:
        to: ``passphrase`` or ``keyring``; empty: as the settings say that it is locked now.
    """
    way = to or settings.vault.unlock
    with opened(settings) as vault:
        vault.rekey(Keyring() if way == "keyring" else _new_passphrase())
        version = vault.key_version
    words = f"the vault is locked anew (key version {version}); old copies open in the old way"
    if way != settings.vault.unlock:
        words += f'; set vault.unlock = "{way}"'
    if way == "passphrase" and settings.vault.passphrase_file is not None:
        words += f"; write the new passphrase to {settings.vault.passphrase_file}"
    return words


def remove(settings: Settings, name: str) -> str:
    """Forget a key."""
    with opened(settings) as vault:
        vault.remove(name)
    return f"{name} is forgotten here; it works until you delete it at the venue"


def listed(settings: Settings) -> list[dict[str, str]]:
    """What is in the vault, without anything secret."""
    with opened(settings) as vault:
        return [
            {
                "name": row.name,
                "venue": row.venue,
                "account": row.account,
                "key": row.key_hint,
                "created": written(row.created_ns),
                "rotated": written(row.rotated_ns) if row.rotated_ns else "never",
            }
            for row in vault.list()
        ]


def _new_lock(settings: Settings) -> Unlock:
    """What will open a vault that is not there yet; a typing error must not lock its owner out."""
    is_typed = settings.vault.unlock == "passphrase" and settings.vault.passphrase_file is None
    return _new_passphrase() if is_typed else unlock_by(settings)


def _new_passphrase() -> Passphrase:
    first = _typed("new passphrase: ")
    if _is_terminal() and first != _typed("the same again: "):
        raise ConfigError("the two passphrases differ; the vault is as it was")
    return Passphrase(first)


def _must_be_free(vault: Vault, name: str) -> None:
    if any(row.name == name for row in vault.list()):
        raise ConfigError(
            f"there is a credential {name!r} already; `mexclab vault rotate {name}` replaces its key"
        )


def _with_key(label: Credential) -> Credential:
    key, secret = _key_and_secret()
    return replace(label, key=key, secret=secret)


def _key_and_secret() -> tuple[Secret, Secret]:
    return _typed("API key: "), _typed("API secret: ")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _typed(asks: str, hint: str = "") -> Secret:
    """A line that nobody sees: typed at a terminal, or the next line of a pipe.

    Raises:
        ConfigError: there is nothing to read, or it is no text.
    """
    line = _line(asks)
    if line is None:
        raise ConfigError(f"the {asks.strip(': ')} on standard input is not UTF-8 text")
    if not line.strip():
        raise ConfigError(f"the {asks.strip(': ')} is wanted on standard input, and nothing came{hint}")
    return Secret(line.rstrip("\r\n"))


def _line(asks: str) -> str | None:
    """Empty at the end, None for what is no text: no error is raised where a secret has a name."""
    try:
        return getpass.getpass(asks) if _is_terminal() else sys.stdin.readline() if sys.stdin else ""
    except EOFError:
        return ""
    except UnicodeDecodeError:
        return None


def _private_line(path: Path) -> Secret:
    """The one line of a file that nobody else may read.

    Raises:
        ConfigError: it cannot be read, others may read it, or it is not one line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            is_open = os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            held = None if is_open else _held(file)
    except OSError as error:
        why = error.strerror
        raise ConfigError(f"vault.passphrase_file {path} cannot be read: {why}", path=str(path)) from error
    if is_open:
        raise ConfigError(f"others may read {path}: chmod 600 it, then try again", path=str(path))
    if held is None or not held.reveal().strip() or "\n" in held.reveal():
        raise ConfigError(f"vault.passphrase_file {path} must hold one line of text, the passphrase")
    return held


def _held(file: TextIO) -> Secret | None:
    try:
        return Secret(file.read().rstrip("\r\n"))
    except UnicodeDecodeError:
        return None


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise VaultError(f"the data folder {folder} cannot be made: {error.strerror}") from error
