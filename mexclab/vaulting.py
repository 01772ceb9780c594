"""The vault at the command line: keys are typed or piped in, never given as arguments or variables."""

from __future__ import annotations

import getpass
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mexclab.config import Settings
from mexclab.domain.clock import written
from mexclab.errors import ConfigError
from mexclab.store.secret import Secret
from mexclab.store.vault import VAULT_FILE, Credential, Keyring, Passphrase, Unlock, Vault


def unlock_by(settings: Settings, asks: str = "vault passphrase: ") -> Unlock:
    """What opens the vault, as the settings say: the keyring, a private file, or what a person types.

    Raises:
        ConfigError: nobody is there to type it, or the file is not private.
    """
    if settings.vault.unlock == "keyring":
        return Keyring()
    if settings.vault.passphrase_file is not None:
        return Passphrase(_private_text(settings.vault.passphrase_file))
    return Passphrase(_typed(asks, "vault.passphrase_file"))


@contextmanager
def opened(settings: Settings, create: bool = False) -> Iterator[Vault]:
    """The vault of the data folder, open; closed again afterwards.

    Raises:
        VaultError: see ``mexclab.store.vault``.
    """
    path = settings.data / VAULT_FILE
    if not create and not path.exists():
        raise ConfigError(f"there is no vault at {path}; `mexclab vault add` makes one", path=str(path))
    unlock = unlock_by(settings)
    with Vault.open_or_create(path, unlock) if create else Vault.open(path, unlock) as vault:
        yield vault


def credential(settings: Settings) -> Credential:
    """The credential that the settings name. Only the trading process and ``vault test`` ask for it."""
    with opened(settings) as vault:
        return vault.read(settings.venue.credential)


def add(settings: Settings, name: str, account: str) -> str:
    """Take a new key in."""
    with opened(settings, create=True) as vault:
        key, secret = _key_and_secret()
        vault.add(Credential(name, key, secret, account=account), time.time_ns())
    return f"{name} is in the vault; `mexclab vault test {name}` asks the venue what it may do"


def rotate(settings: Settings, name: str) -> str:
    """Replace a key by a new one."""
    with opened(settings) as vault:
        vault.read(name)  # says that it is not there before anything is typed
        vault.rotate(name, *_key_and_secret(), time.time_ns())
    return f"{name} was replaced; delete the old key at the venue"


def rekey(settings: Settings) -> str:
    """Lock the whole vault anew."""
    with opened(settings) as vault:
        unlock = Keyring() if settings.vault.unlock == "keyring" else _new_passphrase()
        vault.rekey(unlock)
        return f"the vault is locked anew (key version {vault.key_version}); old copies open in the old way"


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


def _new_passphrase() -> Passphrase:
    first, again = _typed("new passphrase: ", ""), _typed("the same again: ", "")
    if first != again:
        raise ConfigError("the two passphrases differ; the vault is as it was")
    return Passphrase(first)


def _key_and_secret() -> tuple[Secret, Secret]:
    return _typed("API key: ", ""), _typed("API secret: ", "")


def _typed(asks: str, setting: str) -> Secret:
    """A line that nobody sees: typed at a terminal, or the next line of a pipe.

    Raises:
        ConfigError: there is nothing to read.
    """
    if sys.stdin.isatty():
        return Secret(getpass.getpass(asks))
    line = sys.stdin.readline()
    if not line.strip():
        hint = f"; {setting} names a file that holds it" if setting else ""
        raise ConfigError(f"{asks.strip(': ')} is wanted on standard input, and nothing came{hint}")
    return Secret(line.rstrip("\r\n"))


def _private_text(path: Path) -> Secret:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"vault.passphrase_file {path} cannot be read", path=str(path)) from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"others may read {path}: chmod 600 it, then try again", path=str(path))
    return Secret(text.rstrip("\r\n"))
