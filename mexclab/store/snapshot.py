"""Snapshots: what the ledger adds up to at one entry, kept so that a start need not fold it all again.

A snapshot is a cache and never a truth. It counts only for the history that it was folded from (the hash of
its last entry stands for all before it), only for the code that folded it, and only whole (its own SHA-256
finds damage; like the chain, it does not stop somebody who can write the database and reckons it anew).
Anything else about it is a warning, and the ledger is folded from the first entry.
"""

from __future__ import annotations

import contextlib
import gc
import platform
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState, put, require_empty
from mexclab.errors import DomainError, LedgerUnavailable
from mexclab.store.postgres import Postgres, reaching
from mexclab.store.tables import event, snapshot

KEPT = 2  # the newest ones; the one before is for a newest one that was torn
LEVEL = 1  # of zlib: a tenth of the size; higher ones take longer than they save
_FOLDING = (("mexclab.domain", None), ("mexclab.store", ("codec.py", "snapshot.py")))
_UNREADABLE = (zlib.error, msgspec.MsgspecError, DomainError, ValueError, TypeError, LookupError)
_log = structlog.get_logger(__name__)


def _plain(value: object) -> object:
    """Read-only mappings are the one kind of value in a desk that JSON has to be told about."""
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} has no place in a snapshot")


_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="string")
_decoder = msgspec.json.Decoder(DeskState)


def _digest_of_code() -> bytes:
    """SHA-256 of everything that decides what events add up to; empty when the source is not at hand."""
    seal = sha256(f"{platform.python_version()} {msgspec.__version__}".encode())
    try:
        for package, names in _FOLDING:
            for file in sorted(files(package).iterdir(), key=lambda file: file.name):
                if file.name.endswith(".py") and (names is None or file.name in names):
                    seal.update(f"\0{file.name}\0".encode() + file.read_bytes())
    except OSError:
        return b""
    return seal.digest()


# read when the code is loaded: at the end of a long run the files may be those of a newer version
CODE = _digest_of_code()


class Snapshot(NamedTuple):
    """A snapshot as it is kept; the columns of its table."""

    seq: int
    head: bytes
    code: bytes
    body: bytes
    seal: bytes


def pack(state: DeskState, seq: int, head: bytes, code: bytes = CODE) -> Snapshot:
    """The state as of entry ``seq``, whose hash is ``head``, ready to be kept."""
    body = zlib.compress(_encoder.encode(state), LEVEL)
    return Snapshot(seq, head, code, body, _sealed(seq, head, code, body))


def unpack(kept: Snapshot) -> DeskState:
    """The state in a snapshot.

    Raises:
        ValueError, TypeError, LookupError, zlib.error, msgspec.MsgspecError, DomainError: it was damaged.
    """
    if _sealed(kept.seq, kept.head, kept.code, kept.body) != kept.seal:
        raise ValueError("its seal is broken: it was torn or edited")
    state = _decoder.decode(zlib.decompress(kept.body))
    signals = (replace(one, evidence=MappingProxyType(dict(one.evidence))) for one in state.signals)
    return replace(state, signals=tuple(signals))


def _sealed(seq: int, head: bytes, code: bytes, body: bytes) -> bytes:
    parts = (seq.to_bytes(8, "big", signed=True), head, code, body)
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


class Snapshots:
    """The snapshots beside a ledger on Postgres. What is wrong with one is logged, never raised."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def recall(self, desk: Desk) -> int:
        """Load the newest snapshot that can be trusted into an empty desk; the entry it is of, or 0.

        Raises:
            DomainError: the desk is not empty.
        """
        require_empty(desk)
        if not CODE:
            return 0
        try:
            for number in self._numbers():
                seq = self._load(number, desk)
                if seq:
                    return seq
        except LedgerUnavailable as error:
            _log.warning("snapshots cannot be read; the whole ledger is folded", why=str(error))
        return 0

    def remember(self, desk: Desk, seq: int) -> None:
        """Keep the desk as of entry ``seq``, and of the older ones all but the newest."""
        if not CODE or seq <= 0:
            return
        state = DeskState.of(desk)
        try:
            with reaching(self._postgres.where), self._postgres.engine.begin() as session:
                head = session.execute(sa.select(event.c.hash).where(event.c.seq == seq)).scalar()
                if head is None:
                    _log.warning("no snapshot is kept: the ledger has no such entry", seq=seq)
                    return
                kept = pack(state, seq, bytes(head))
                session.execute(sa.insert(snapshot).values(kept._asdict()))
                newest = sa.select(snapshot.c.number).order_by(snapshot.c.number.desc()).limit(KEPT)
                session.execute(sa.delete(snapshot).where(snapshot.c.number.not_in(newest)))
        except (LedgerUnavailable, NotImplementedError, *_UNREADABLE) as error:
            _log.warning("no snapshot is kept; the next start folds more", seq=seq, why=str(error))

    def _numbers(self) -> list[int]:
        """The snapshots of this code and of this history, the newest first."""
        here = (
            sa.select(snapshot.c.number, snapshot.c.seq, snapshot.c.code, snapshot.c.head, event.c.hash)
            .outerjoin(event, event.c.seq == snapshot.c.seq)
            .order_by(snapshot.c.number.desc())
        )
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            found = session.execute(here).all()
        numbers = []
        for number, seq, code, head, hash_ in found:
            if bytes(code) != CODE:
                _log.info("a snapshot of other code is not used", seq=seq)
            elif hash_ is None or bytes(head) != bytes(hash_):
                _log.warning("a snapshot of another history is not used", seq=seq)
            else:
                numbers.append(number)
        return numbers

    def _load(self, number: int, desk: Desk) -> int:
        columns = [snapshot.c[name] for name in Snapshot._fields]
        with reaching(self._postgres.where), self._postgres.engine.connect() as session:
            row = session.execute(sa.select(*columns).where(snapshot.c.number == number)).first()
        if row is None:  # another process has kept a newer one meanwhile
            return 0
        seq, *parts = row
        try:
            with collection_paused():
                put(desk, unpack(Snapshot(seq, *map(bytes, parts))))
        except _UNREADABLE as error:
            _log.warning("a damaged snapshot is not used", seq=seq, why=str(error))
            return 0
        return int(seq)


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """No search for cyclic garbage meanwhile: among a million values that stay it takes half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
