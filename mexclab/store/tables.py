"""The tables as queries see them; ``migrations`` makes them (a test holds the two together)."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

event = sa.Table(
    "event",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # 1, 2, 3, ... without gaps
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("correlation", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # the very text that was hashed, so not jsonb
    sa.Column("prev_hash", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Index("event_correlation", "correlation", "seq"),
    sa.Index("event_kind", "kind", "seq"),
)

sighting = sa.Table(
    "sighting",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("previous", sa.BigInteger, nullable=False),  # seq of the fact that it replaced, or 0
    sa.Column("first_seen_ns", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("fact", sa.Text, nullable=False),  # canonical JSON; jsonb refuses zero bytes
    sa.UniqueConstraint("source", "key", "previous", name="sighting_one_successor"),
)

# a cache: rows come and go, and none is believed without a look at the entries
snapshot = sa.Table(
    "snapshot",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # the last entry folded
    sa.Column("chain_hash", sa.LargeBinary, nullable=False),  # the hash of that entry
    sa.Column("code", sa.LargeBinary, nullable=False),  # digest of the code that folded
    sa.Column("state", sa.LargeBinary, nullable=False),  # the desk: JSON, compressed
    sa.Column("seal", sa.LargeBinary, nullable=False),  # SHA-256 over all of the above
)

# how far each sink of alerts has come; the alerts themselves are entries of the ledger
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),  # everything up to here was delivered
    sa.Column("attempts", sa.BigInteger, nullable=False),  # how often the next one was refused
    sa.Column("again_ns", sa.BigInteger, nullable=False),  # when it is tried again, Unix time
    sa.Column("why", sa.Text, nullable=False),
)
