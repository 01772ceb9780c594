"""Accounts of a simulated venue from a file or from a word of the command line.

A file is TOML, and nobody but its owner may read it::

    [[account]]
    name = "ann"            # what the venue's books call it, over restarts too
    key = "mx0AnnsKey"
    secret = "AnnsSecret"
    can_trade = true        # unless told otherwise
    [account.balances]
    USDT = "1000"           # paid in when the venue has never seen the name

A key on the command line shows in ``ps`` for everybody on the machine. That is good enough for one that was
made up for a trial, and for no other.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tomllib
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mexclab.errors import ConfigError
from mexclab.venues.simulator.terms import Account

_Name = Annotated[str, Meta(pattern=r"^[0-9a-zA-Z_-]{1,32}$")]
_Asset = Annotated[str, Meta(pattern=r"^[0-9A-Z]{1,20}$")]
_Visible = Annotated[str, Meta(pattern=r"^[!-~]{1,512}$")]


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    name: _Name
    key: _Visible
    secret: _Visible
    balances: dict[_Asset, Decimal] = {}
    can_trade: bool = True


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    account: tuple[_Row, ...]


def accounts_in(path: Path) -> tuple[Account, ...]:
    """The accounts that a file names.

    Raises:
        ConfigError: it cannot be read, others may read it, or a part of it cannot be used; no secret is told.
    """
    try:
        with path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigError(f"others may read {path}: chmod 600 it, then try again", path=str(path))
            rows = msgspec.convert(tomllib.load(file), _File).account
    except OSError as error:
        raise ConfigError(f"--accounts {path} cannot be read: {error.strerror}", path=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--accounts {path} is not TOML: {error}", path=str(path)) from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"--accounts {path}: {error}", path=str(path)) from None
    for row in rows:
        if any(not (amount.is_finite() and amount >= 0) for amount in row.balances.values()):
            raise ConfigError(f"--accounts {path}: a balance of {row.name} is below zero or no number")
    return tuple(
        Account(row.name, row.key, row.secret, row.balances, row.can_trade, uid=_uid(row.name))
        for row in rows
    )


def account_of(text: str) -> Account:
    """``KEY:SECRET:AMOUNT``: an account with that much USDT.

    The venue's books call it by a digest of the key: the key itself is written nowhere.

    Raises:
        ConfigError: the text is not of that form; it is not repeated.
    """
    key, _, rest = text.partition(":")
    secret, _, amount = rest.partition(":")
    owner = f"key-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    balance = _amount(amount)
    if not (key and secret) or balance is None:
        raise ConfigError("--account wants KEY:SECRET:AMOUNT, such as mykey:mysecret:1000")
    return Account(owner, key, secret, {"USDT": balance}, uid=_uid(owner))


def distinct(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """The accounts, none of which shares its name or its key with another.

    Raises:
        ConfigError: two do; the name is told.
    """
    found: list[Account] = []
    for account in accounts:
        if any(account.owner == other.owner or account.key == other.key for other in found):
            raise ConfigError(f"the account {account.owner} has the name or the key of another; give its own")
        found.append(account)
    return tuple(found)


def _amount(text: str) -> Decimal | None:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _uid(owner: str) -> str:
    """Eight digits, the same for the same account."""
    return str(2 * 10**7 + int(hashlib.sha256(owner.encode()).hexdigest(), 16) % 10**7)
