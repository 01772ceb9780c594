"""Listen keys: what opens an account's private stream without its secret."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from mexclab.errors import VenueRejected

LIFE_S = 3_600.0
KEYS_PER_OWNER = 60
CONNECTIONS_PER_KEY = 5
# MEXC documents the limit and no answer to the key beyond it; 26 is its "operation not allowed"
TOO_MANY_CODE, TOO_MANY_WORDS = 26, "operation not allowed"


@dataclass(slots=True)
class _Key:
    owner: str
    until: float  # on the clock that ``now`` tells
    connections: int = 0


class ListenKeys:
    """The valid keys of all accounts; each lives an hour from its making or its latest extension.

    Args:
        life_s: how long a key lives, in seconds of ``now``.
        now: any clock in seconds that never goes back.
        draw: makes a new key.
    """

    def __init__(
        self,
        life_s: float = LIFE_S,
        now: Callable[[], float] = time.monotonic,
        draw: Callable[[], str] = lambda: secrets.token_hex(32),
    ) -> None:
        self._life_s = life_s
        self._now = now
        self._draw = draw
        self._keys: dict[str, _Key] = {}

    def create(self, owner: str) -> str:
        """A new key of the owner.

        Raises:
            VenueRejected: the owner has 60 already; delete one, or wait.
        """
        if len(self.keys(owner)) >= KEYS_PER_OWNER:
            raise VenueRejected(
                f"{owner} has {KEYS_PER_OWNER} listen keys: delete one, or wait until one expires",
                code=TOO_MANY_CODE,
                words=TOO_MANY_WORDS,
            )
        key = self._draw()
        self._keys[key] = _Key(owner, self._now() + self._life_s)
        return key

    def extend(self, owner: str, key: str) -> bool:
        """Another hour from now; False: the owner has no such key."""
        if self.owner_of(key) != owner:
            return False
        self._keys[key].until = self._now() + self._life_s
        return True

    def delete(self, owner: str, key: str) -> bool:
        """End a key, and with it the connections that it opened; False: the owner has no such key."""
        if self.owner_of(key) != owner:
            return False
        del self._keys[key]
        return True

    def keys(self, owner: str) -> list[str]:
        """The owner's valid keys, oldest first."""
        now = self._now()
        for key in [key for key, known in self._keys.items() if known.until <= now]:
            del self._keys[key]
        return [key for key, known in self._keys.items() if known.owner == owner]

    def owner_of(self, key: str) -> str | None:
        """Whose key it is; None: nobody's, or no longer."""
        known = self._keys.get(key)
        return None if known is None or known.until <= self._now() else known.owner

    def attach(self, key: str) -> bool:
        """Count one more connection of a valid key; False: it has its five, or is not valid."""
        if self.owner_of(key) is None or self._keys[key].connections >= CONNECTIONS_PER_KEY:
            return False
        self._keys[key].connections += 1
        return True

    def detach(self, key: str) -> None:
        """One connection less."""
        if key in self._keys:
            self._keys[key].connections -= 1
