"""The one error tree of mexclab.

::

    MexclabError
    ├── ConfigError            settings or command line: what a person typed
    │   └── PortInUse          another process listens where we were told to
    ├── DataError              bars, files, the lake
    │   ├── ImportRefused      a file could not be taken in; nothing was written
    │   └── NotEnoughData      a question that this much history cannot answer
    ├── ParameterError         a notebook, pipeline or API parameter
    ├── LedgerError
    │   ├── LedgerUnavailable  cannot be reached: nothing may trade
    │   ├── LedgerInUse        another daemon holds the pen
    │   └── LedgerCorrupt      the hash chain does not hold
    ├── IllegalTransition      an order or a snipe was asked to do what its table forbids
    ├── DomainError            a price, quantity, symbol or plan that must not exist
    ├── RiskRefused            a person asked for something that the limits forbid
    ├── VenueError
    │   ├── VenueUnavailable   nothing was sent; safe to try again
    │   ├── VenueRejected      the venue said no; the code and its words are in the data
    │   └── OrderUnknown       it may have happened: reconcile, never resend
    ├── DeskError              a client could not be served by the daemon
    │   ├── DaemonUnreachable
    │   └── NotAuthorised
    ├── JobFailed              a pipeline run ended badly; its output was kept
    └── VaultError             the file of credentials cannot be used
        ├── VaultLocked        it does not open with this passphrase or key
        └── VaultCorrupt       it was damaged or altered: nothing in it is believed

An error holds its facts as data (``error.data``) beside a sentence that says what happened and
what to do next. ``str(error)`` is that sentence and never holds a secret.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MexclabError(Exception):
    """The root. Catch it to catch everything that mexclab raises on purpose.

    Args:
        message: one sentence: what is wrong, and what to do.
        data: the facts behind it, kept for logs and for callers.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ConfigError(MexclabError):
    """A setting, an option or an environment variable that cannot be used."""

    exit_code = 2


class PortInUse(ConfigError):
    """Another process listens on the address that this one was told to use."""


class DataError(MexclabError):
    """Bars, files or the lake hold something that cannot be used."""

    exit_code = 3


class ImportRefused(DataError):
    """A file could not be taken in; the lake is as it was."""


class NotEnoughData(DataError):
    """The history at hand is too short for the question."""


class ParameterError(MexclabError):
    """A parameter of a notebook, a pipeline or an API call is unknown or of the wrong type."""

    exit_code = 2


class LedgerError(MexclabError):
    """The ledger cannot do what was asked of it."""

    exit_code = 4


class LedgerUnavailable(LedgerError):
    """The ledger cannot be reached. Nothing may trade without it."""


class LedgerInUse(LedgerError):
    """Another daemon writes to this ledger. There is only ever one pen."""


class LedgerCorrupt(LedgerError):
    """An entry was torn out or edited: the hash chain does not hold at ``data["seq"]``."""


class DomainError(MexclabError):
    """A value that must not exist: a wrong price, quantity, symbol, ladder or plan."""


class IllegalTransition(DomainError):
    """A state machine was asked for a step that its table does not have; names both states."""


class RiskRefused(MexclabError):
    """The limits forbid it; ``data["breaches"]`` lists every broken one."""


class VenueError(MexclabError):
    """Something about the exchange."""

    exit_code = 5


class VenueUnavailable(VenueError):
    """The venue could not be asked; nothing was sent, so it is safe to try again."""


class VenueRejected(VenueError):
    """The venue refused; ``data["code"]`` is its code and ``data["words"]`` are its words."""


class OrderUnknown(VenueError):
    """The order may exist. Reconcile; never resend."""


class DeskError(MexclabError):
    """A client could not be served by the trading daemon."""

    exit_code = 6


class DaemonUnreachable(DeskError):
    """No trading daemon answers. Start one with ``mexclab trade`` or ``mexclab demo``."""


class NotAuthorised(DeskError):
    """The token is missing or wrong."""


class JobFailed(MexclabError):
    """A pipeline run ended badly; ``data["output"]`` is the notebook that was kept."""

    exit_code = 7


class VaultError(MexclabError):
    """The vault cannot be used: it is missing, in use, or open to other people's eyes."""

    exit_code = 8


class VaultLocked(VaultError):
    """The passphrase or the keyring's key does not open the vault."""


class VaultCorrupt(VaultError):
    """The vault was damaged or altered. Nothing in it is believed; restore it from a copy."""
