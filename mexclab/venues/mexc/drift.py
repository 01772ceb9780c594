"""What the venue sends that its description does not know: told once, counted always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from mexclab.domain.reports import DriftSeen

Tell: TypeAlias = Callable[[DriftSeen], None]
Kind: TypeAlias = tuple[str, str, str]  # endpoint, field, what

MOST_KINDS = 200  # of one endpoint: beyond it the payload is something else altogether
LONGEST = 120  # characters of a field's name that an alarm repeats


class Drift:
    """Alarms about payloads, one per endpoint, field and difference.

    Args:
        tell: called with each alarm, the first time it is seen.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._seen: Counter[Kind] = Counter()
        self._kinds: Counter[str] = Counter()

    def see(self, endpoint: str, field: str, what: str, at_ns: int) -> None:
        """Count a difference, and tell it when it is new.

        Args:
            endpoint: the name of the endpoint or channel.
            field: the path of the field, without positions in lists: ``symbols[].baseAsset``.
            what: the difference in a sentence without values of the payload, so that it stays one kind.
            at_ns: when the payload came.
        """
        kind = (endpoint, _short(field), _short(what))
        if kind not in self._seen:
            if self._kinds[endpoint] >= MOST_KINDS:
                kind = (endpoint, "*", f"more than {MOST_KINDS} differences; the rest is only counted")
            self._kinds[endpoint] += kind not in self._seen
        self._seen[kind] += 1
        if self._seen[kind] == 1:
            self._tell(DriftSeen(*kind, at_ns))

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How often each difference was seen since the start."""
        return MappingProxyType(self._seen)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
