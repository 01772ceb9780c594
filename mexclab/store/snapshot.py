"""Snapshots of the desk: a cache of the fold over the ledger, never a truth.

A snapshot is believed only when all of this holds; otherwise it is passed over, and the ledger is folded::

    chain_hash = the hash of the ledger's entry ``seq``, as it stands in the ledger now
    code       = SHA-256 over the source of everything that folds and of what writes a snapshot down
    seal       = SHA-256( seq as 8 bytes, big-endian ‖ chain_hash ‖ code ‖ state )

The state is JSON by columns (by rows it is three times as much text and takes three times as long to read),
compressed at zlib's quickest level, which makes it a sixth in less time than the rest would travel. What a
million events add up to is 7 MB.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import sqlalchemy as sa
import structlog

from mexclab.domain.desk import Desk
from mexclab.domain.desk_state import DeskState, put, require_empty
from mexclab.errors import DomainError, LedgerCorrupt
from mexclab.store import columns
from mexclab.store.postgres import Postgres, reaching
from mexclab.store.tables import event, snapshot

KEPT = 2  # the newest, and the one before it should the newest be damaged
_QUICKEST = 1  # zlib's level
_FOLDING = ("domain/*.py", "store/codec.py", "store/columns.py", "store/snapshot.py")

log = structlog.get_logger("mexclab.store")


def digest(root: Path) -> bytes:
    """SHA-256 over the names and the bytes of the sources below ``root`` (the package) that make a desk.

    Empty where the sources are not all at hand (an archive, compiled files alone): nothing is kept then.
    """
    whole = sha256()
    for pattern in _FOLDING:
        found = sorted(root.glob(pattern))
        if not found:
            return b""
        for file in found:
            source = file.read_bytes()
            whole.update(f"{file.relative_to(root).as_posix()}\0{len(source)}\0".encode())
            whole.update(source)
    return whole.digest()


# now, not when it is needed: by then the files may have been replaced under a running process
CODE = digest(Path(__file__).resolve().parents[1])


def pack(state: DeskState) -> bytes:
    """The state as bytes."""
    return zlib.compress(columns.write(DeskState, [state]), _QUICKEST)


def unpack(data: bytes) -> DeskState:
    """The state behind ``pack``'s bytes, equal to it digit for digit.

    Raises:
        LedgerCorrupt: they are not the bytes of a state.
    """
    try:
        (state,) = columns.read(DeskState, zlib.decompress(data))
        return replace(state)  # asks the state's own rules
    except (zlib.error, msgspec.MsgspecError, DomainError, LookupError, ValueError) as error:
        raise LedgerCorrupt(f"a snapshot of the desk cannot be read: {error}") from error


def seal(seq: int, chain_hash: bytes, code: bytes, state: bytes) -> bytes:
    """The seal of a snapshot (32 bytes); the recipe heads this module."""
    return sha256(seq.to_bytes(8, "big", signed=True) + chain_hash + code + state).digest()


def recall(postgres: Postgres, desk: Desk) -> int:
    """Bring an empty desk to the newest snapshot that can be believed.

    Returns:
        The sequence number of the last entry in it; 0 when there is none, and the desk is still empty.

    Raises:
        DomainError: the desk is not empty.
        LedgerUnavailable: the database cannot be read.
    """
    require_empty(desk)
    if not CODE:
        return 0
    entry = sa.select(event.c.hash).where(event.c.seq == snapshot.c.seq).scalar_subquery()
    labels = sa.select(snapshot.c.seq, snapshot.c.chain_hash, snapshot.c.code, entry.label("entry"))
    with _no_collection(), reaching(postgres.where), postgres.engine.connect() as session:
        for found in session.execute(labels.order_by(snapshot.c.seq.desc())).all():
            if found.code != CODE:
                log.info("a snapshot of another version is passed over", seq=found.seq)
                continue
            if found.chain_hash != found.entry:
                log.warning("a snapshot that is not of this ledger is passed over", seq=found.seq)
                continue
            state = _state(session, found.seq, found.chain_hash)
            if state is not None:
                put(desk, state)
                return int(found.seq)
    return 0


def remember(postgres: Postgres, desk: Desk, seq: int) -> None:
    """Keep the desk as the fold of every entry up to ``seq``; older snapshots beyond ``KEPT`` go.

    A snapshot that claims a later entry goes too: whoever writes the ledger knows how far it has come.
    An entry that is not in the ledger gives no snapshot, only a warning.

    Raises:
        LedgerUnavailable: the database cannot be written.
    """
    if not CODE:
        return
    state = pack(DeskState.of(desk))
    with reaching(postgres.where), postgres.engine.begin() as session:
        chain_hash = session.execute(sa.select(event.c.hash).where(event.c.seq == seq)).scalar()
        if chain_hash is None:
            log.warning("no snapshot of an entry that the ledger does not hold", seq=seq)
            return
        session.execute(sa.delete(snapshot).where(snapshot.c.seq >= seq))
        row = {"seq": seq, "chain_hash": chain_hash, "code": CODE, "state": state}
        session.execute(sa.insert(snapshot).values(**row, seal=seal(seq, chain_hash, CODE, state)))
        newest = sa.select(snapshot.c.seq).order_by(snapshot.c.seq.desc()).limit(KEPT)
        session.execute(sa.delete(snapshot).where(snapshot.c.seq.not_in(newest)))
    log.info("a snapshot was kept", seq=seq, bytes=len(state))


def _state(session: sa.Connection, seq: int, chain_hash: bytes) -> DeskState | None:
    """The state of a snapshot whose labels fit, if it is whole."""
    query = sa.select(snapshot.c.state, snapshot.c.seal).where(snapshot.c.seq == seq)
    found = session.execute(query).first()
    if found is None:  # a newer one has just displaced it
        return None
    if seal(seq, chain_hash, CODE, found.state) != found.seal:
        log.warning("a damaged snapshot is passed over", seq=seq)
        return None
    try:
        return unpack(found.state)
    except LedgerCorrupt as error:
        log.warning("a snapshot that cannot be read is passed over", seq=seq, why=str(error))
        return None


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage is made here, and looking for it among half a million new values doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
