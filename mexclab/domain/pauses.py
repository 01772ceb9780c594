"""Pauses of entries, as a fold: which protections are in force, and which were and are not raised again."""

from __future__ import annotations

from mexclab.domain.protection import Protection
from mexclab.domain.risk_events import ProtectionRaised, ProtectionReleased
from mexclab.errors import DomainError


def fold(
    protections: dict[str, Protection], spent: dict[str, int], event: ProtectionRaised | ProtectionReleased
) -> None:
    """Take one event in.

    Args:
        protections: by id; those that ended are let go in time.
        spent: protections that are over, and until when their cause might be seen.

    Raises:
        DomainError: a protection is released that is not there.
    """
    new = event.protection if isinstance(event, ProtectionRaised) else None
    if new is not None:
        over = [key for key, each in protections.items() if each.gives_way(new, event.at_ns)]
    elif isinstance(event, ProtectionReleased):
        over = [event.protection_id]
        if over[0] not in protections:
            raise DomainError(f"there is no protection {over[0]!r}", protection_id=over[0])
    for key in over:  # remembered, so that the same cause does not raise it again
        spent[key] = protections.pop(key).forgotten_ns
    for key in [key for key, until_ns in spent.items() if until_ns <= event.at_ns]:
        del spent[key]
    if new is not None:
        protections[new.protection_id] = new
