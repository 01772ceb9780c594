"""Events as canonical JSON and back, and the hash chain that seals them.

A body is JSON without blanks, keys sorted, ``Decimal`` written as a text digit for digit (``"1.10"``
stays ``"1.10"``). The same event always gives the same bytes, on any machine.

The chain, for entry ``seq`` (1, 2, 3, ...)::

    hash = SHA-256( prev_hash ‖ seq as 8 bytes, big-endian ‖ kind ‖ 0x00 ‖ correlation ‖ 0x00 ‖ body )

with texts in UTF-8 and 32 zero bytes before the first entry. The zero byte cannot occur in any of the
texts, so no two different entries are the same bytes. ``at_ns`` is inside the body and is compared with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import msgspec

from mexclab.domain.events import EVENT_TYPES, Event, SignalRaised, correlation
from mexclab.domain.listing import CalendarEntry, SymbolState
from mexclab.errors import DataError, DomainError, LedgerCorrupt, LedgerError, ParameterError

GENESIS = bytes(32)
STEP = 2_000  # entries between two words of progress
Progress: TypeAlias = Callable[[int], None]  # is told how many entries have been checked so far
_HEAD = re.compile(r"[0-9a-fA-F]{64}")
_BIGINT = range(-(2**63), 2**63)


def plain(value: object) -> object:
    """Read-only mappings are the one kind of value in an event that JSON has to be told about."""
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} has no place in a ledger")


_encoder = msgspec.json.Encoder(enc_hook=plain, decimal_format="string", order="sorted")
_decoders = {kind: msgspec.json.Decoder(type_) for kind, type_ in EVENT_TYPES.items()}
_FACTS: dict[str, type[CalendarEntry | SymbolState]] = {
    "CalendarEntry": CalendarEntry,
    "SymbolState": SymbolState,
}
_fact_decoders = {kind: msgspec.json.Decoder(type_) for kind, type_ in _FACTS.items()}
_UNWRITABLE = (msgspec.MsgspecError, NotImplementedError, TypeError, ValueError, OverflowError)
_UNREADABLE = (msgspec.MsgspecError, DomainError, ValueError)


class Entry(NamedTuple):
    """An event as it is written, before it has a place in the chain."""

    at_ns: int
    kind: str
    correlation: str
    body: str


class Row(NamedTuple):
    """An event in its place in the chain."""

    seq: int
    at_ns: int
    kind: str
    correlation: str
    body: str
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """The chain holds: how many entries, and the hash of the last one (hex), which stands for them all.

    Keep ``head`` elsewhere to notice even a ledger whose newest entries were cut off.
    """

    events: int
    head: str


def encode(event: Event) -> Entry:
    """The event as it will be written.

    What cannot be read back is not written: the body is decoded and encoded once more, and must be the same.

    Raises:
        LedgerError: the event holds something that a ledger cannot give back as it was.
    """
    kind = type(event).__name__
    if kind not in _decoders:
        raise LedgerError(f"{kind} is not an event that a ledger knows", kind=kind)
    try:
        body = _encoder.encode(event)
        again = _encoder.encode(_decoders[kind].decode(body))
        tie = correlation(event)
        tie.encode()
    except (*_UNWRITABLE, *_UNREADABLE) as error:
        raise LedgerError(f"{kind} cannot be written to the ledger: {error}", kind=kind) from error
    if again != body:
        raise LedgerError(f"{kind} would not be read back as it is: {body.decode()}", kind=kind)
    if event.at_ns not in _BIGINT or "\0" in tie:
        raise LedgerError(
            f"{kind} cannot be written: at_ns must fit 64 bits, and a correlation holds no zero byte",
            kind=kind,
        )
    return Entry(event.at_ns, kind, tie, body.decode())


def decode(kind: str, body: str) -> Event:
    """The event behind a kind and a body. Fields that a body lacks take their defaults.

    Raises:
        LedgerCorrupt: no such kind is known, or the body is not one of that kind.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        raise LedgerCorrupt(
            f"the ledger holds an event of the unknown kind {kind!r}; a newer mexclab may have written it",
            kind=kind,
        )
    try:
        event = decoder.decode(body)
    except _UNREADABLE as error:
        raise LedgerCorrupt(f"the ledger holds a {kind} that cannot be read: {error}", kind=kind) from error
    if isinstance(event, SignalRaised):  # JSON knows no read-only mapping
        evidence = MappingProxyType(dict(event.signal.evidence))
        return replace(event, signal=replace(event.signal, evidence=evidence))
    return event


def encode_fact(fact: CalendarEntry | SymbolState) -> tuple[str, str]:
    """The kind of a listing fact and its canonical JSON.

    Raises:
        DataError: the fact holds something that JSON cannot.
    """
    kind = type(fact).__name__
    try:
        return kind, _encoder.encode(fact).decode()
    except _UNWRITABLE as error:
        raise DataError(f"a listing fact cannot be recorded: {error}", kind=kind) from error


def decode_fact(kind: str, body: str) -> CalendarEntry | SymbolState:
    """The listing fact behind a recorded row.

    Raises:
        DataError: the row is not a fact that this version knows.
    """
    decoder = _fact_decoders.get(kind)
    if decoder is None:
        raise DataError(f"a recorded listing fact has the unknown kind {kind!r}", kind=kind)
    try:
        return decoder.decode(body)
    except _UNREADABLE as error:
        raise DataError(f"a recorded {kind} cannot be read: {error}", kind=kind) from error


def seal(prev_hash: bytes, seq: int, entry: Entry | Row) -> bytes:
    """The hash of an entry at its place in the chain (32 bytes); the recipe heads this module."""
    text = f"{entry.kind}\0{entry.correlation}\0{entry.body}"
    return sha256(prev_hash + seq.to_bytes(8, "big") + text.encode()).digest()


class Chain:
    """A place in the hash chain, and the step to the next: seals what is written, checks what is read."""

    def __init__(self, seq: int = 0, head: bytes = GENESIS) -> None:
        self.seq = seq
        self.head = head

    def extend(self, entries: Iterable[Entry]) -> Iterator[Row]:
        """The entries at their places, sealed."""
        for entry in entries:
            before, self.seq = self.head, self.seq + 1
            self.head = seal(before, self.seq, entry)
            yield Row(self.seq, *entry, before, self.head)

    def check(self, row: Row) -> Event:
        """Step over a row that was read, and the event in it.

        Raises:
            LedgerCorrupt: the row is not the one that was written here; ``data["seq"]`` says where.
        """
        expected = self.seq + 1
        if row.seq != expected:
            raise torn(expected, f"entry {expected} is missing (the next one found is {row.seq})")
        if row.prev_hash != self.head:
            raise torn(row.seq, f"entry {row.seq} does not follow from the entry before it")
        if seal(row.prev_hash, row.seq, row) != row.hash:
            raise torn(row.seq, f"entry {row.seq} ({row.kind}) was changed after it was written")
        try:
            event = decode(row.kind, row.body)
        except LedgerCorrupt as error:
            raise LedgerCorrupt(f"entry {row.seq}: {error}", seq=row.seq, **error.data) from error
        if event.at_ns != row.at_ns:
            raise torn(row.seq, f"entry {row.seq} ({row.kind}): its time was changed after it was written")
        self.seq, self.head = row.seq, row.hash
        return event

    def verified(self) -> Verified:
        """How far this chain has come."""
        return Verified(self.seq, self.head.hex())


def verified(
    rows: Iterable[Row], expected_head: str | None = None, progress: Progress | None = None
) -> Verified:
    """Check entries against the chain, from the first one on.

    Args:
        expected_head: a head (hex) that was kept elsewhere when the ledger ended there: some entry has it.
        progress: is called every ``STEP`` entries and at the end.

    Raises:
        LedgerCorrupt: names the first entry that does not hold, or the first one that is missing at the end.
        ParameterError: ``expected_head`` is not 64 hexadecimal digits.
    """
    expected = None if expected_head is None else head_of(expected_head)
    chain = Chain()
    is_met = expected in (None, GENESIS)
    for row in rows:
        chain.check(row)
        is_met = is_met or row.hash == expected
        if progress is not None and not chain.seq % STEP:
            progress(chain.seq)
    if progress is not None and (chain.seq % STEP or not chain.seq):
        progress(chain.seq)
    if not is_met:
        raise torn(
            chain.seq + 1,
            f"no entry has the expected hash {expected_head}. Either entry {chain.seq + 1} and later ones "
            "were cut off, or the whole history was written anew",
        )
    return chain.verified()


def head_of(text: str) -> bytes:
    """The hash that was written down as ``text`` (hex).

    Raises:
        ParameterError: it is not 64 hexadecimal digits.
    """
    if not _HEAD.fullmatch(text):
        raise ParameterError(f"{text!r} is not the hash of an entry: 64 hexadecimal digits", head=text)
    return bytes.fromhex(text)


def torn(seq: int, what: str, **data: Any) -> LedgerCorrupt:
    """The error that says at which entry the chain breaks."""
    return LedgerCorrupt(
        f"the ledger's hash chain does not hold: {what}. Trade on nothing until a backup has been compared",
        seq=seq,
        **data,
    )
