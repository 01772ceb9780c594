"""Corporate facts: when a symbol was listed, delisted or renamed, since when we know, and who said so.

``<root>/facts.jsonl`` holds one fact a line in the order in which they were recorded. Nothing in it is
ever changed: a correction is a later fact. Each recording puts a longer file in the place of the old one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

import polars as pl

from mexclab.errors import DataError
from mexclab.store import lake_partition
from mexclab.store.lake_layout import UNFINISHED, folder_of
from mexclab.store.lake_months import Stamp, stamp_of

FILE_NAME = "facts.jsonl"
_NS = pl.Datetime("ns", "UTC")
_LATEST_NS = 2**63 - 1  # 2262-04-11: tables of times end there


class FactKind(StrEnum):
    """What can happen to a symbol."""

    LISTING = "listing"
    DELISTING = "delisting"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened to a symbol.

    Attributes:
        kind: listing, delisting or rename.
        symbol: in the lake's spelling; of a rename, the old name.
        at_ns: when it took effect, ns since the epoch UTC.
        known_ns: when it became known to us; a study as of an earlier time does not see it.
        source: who said so: an announcement's address, a file, a venue's answer.
        becomes: of a rename, the new name; else empty.
    """

    kind: FactKind
    symbol: str
    at_ns: int
    known_ns: int
    source: str
    becomes: str = ""

    def __post_init__(self) -> None:
        if self.kind not in set(FactKind):
            kinds = ", ".join(FactKind)
            raise DataError(f"{self.kind!r} is no kind of fact; choose one of {kinds}", symbol=self.symbol)
        object.__setattr__(self, "kind", FactKind(self.kind))
        for name in filter(None, (self.symbol, self.becomes)):
            folder_of(name)
        if type(self.at_ns) is not int or type(self.known_ns) is not int:
            raise DataError(
                f"{self.symbol}: times of a fact are whole ns since the epoch", symbol=self.symbol
            )
        if max(abs(self.at_ns), abs(self.known_ns)) > _LATEST_NS:
            raise DataError(
                f"{self.symbol}: times of a fact lie between the years 1678 and 2262", symbol=self.symbol
            )
        if not self.symbol or not self.source.strip():
            raise DataError("a fact needs a symbol and a source: say who told it", symbol=self.symbol)
        if (self.kind is FactKind.RENAME) != bool(self.becomes) or self.becomes == self.symbol:
            raise DataError(
                f"{self.symbol}: a rename, and nothing else, names what the symbol becomes (another name)",
                symbol=self.symbol,
            )


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, [start_ns, end_ns), in which a symbol was traded under a name; None is open.

    Attributes:
        symbol: the name it had.
        start_ns, end_ns: open where no fact says when it began or ended.
        began, ended: the fact at either end; None where it is open.
    """

    symbol: str
    start_ns: int | None = None
    end_ns: int | None = None
    began: Fact | None = None
    ended: Fact | None = None

    def cut(self, start_ns: int | None, end_ns: int | None) -> tuple[int | None, int | None]:
        """The part of [start_ns, end_ns) that lies in this span; it may end before it starts."""
        starts = [ns for ns in (start_ns, self.start_ns) if ns is not None]
        ends = [ns for ns in (end_ns, self.end_ns) if ns is not None]
        return max(starts, default=None), min(ends, default=None)


@dataclass(frozen=True, slots=True)
class _Read:
    """What the file held when it had this stamp: its facts, and by name those about it."""

    stamp: Stamp | None
    facts: Sequence[Fact]
    about: Mapping[str, Sequence[Fact]]


class Facts:
    """The facts of a lake: read at once, recorded for good."""

    def __init__(self, root: Path, lock_wait_s: float = 60.0) -> None:
        self.root = root
        self._path = root / FILE_NAME
        self._lock_wait_s = lock_wait_s
        self._seen = _Read(None, (), {})

    def all(self, as_of_ns: int | None = None) -> list[Fact]:
        """Every fact in the order of recording; with ``as_of_ns`` those that were known by then.

        Raises:
            DataError: the file is damaged; the sentence names the line.
        """
        return _known(self._read().facts, as_of_ns)

    def of(self, symbol: str, as_of_ns: int | None = None) -> list[Fact]:
        """The facts about one name, old or new, by the time at which they took effect."""
        about = _known(self._read().about.get(symbol, ()), as_of_ns)
        return sorted(about, key=lambda fact: (fact.at_ns, fact.known_ns))

    def frame(self) -> pl.DataFrame:
        """All facts as a table: kind, symbol, becomes (empty but for renames), at, known, source."""
        rows = [
            (str(fact.kind), fact.symbol, fact.becomes, fact.at_ns, fact.known_ns, fact.source)
            for fact in self.all()
        ]
        kinds = (pl.String, pl.String, pl.String, pl.Int64, pl.Int64, pl.String)
        names = ("kind", "symbol", "becomes", "at", "known", "source")
        table = pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")
        return table.with_columns(pl.col("at", "known").cast(_NS))

    def record(self, facts: Iterable[Fact]) -> int:
        """Add facts; those that the same source told before are left out. All of them go in, or none.

        Returns:
            How many were new.

        Raises:
            DataError: the file is damaged, the disk full, or another writer does not end.
        """
        wanted = list(facts)
        with lake_partition.locked(self.root, self._lock_wait_s):
            known = {_identity(fact) for fact in self.all()}
            new = list({_identity(fact): fact for fact in wanted if _identity(fact) not in known}.values())
            if new:
                old = self._path.read_bytes() if self._path.exists() else b""
                self._put(old + "".join(f"{_line(fact)}\n" for fact in new).encode())
        return len(new)

    def life(self, symbol: str, as_of_ns: int | None = None) -> list[Span]:
        """When ``symbol`` was traded under this very name, oldest first; one open span if nothing is known.

        Of two facts that open (or two that close) one and the same stretch, the one known last counts.
        """
        spans: list[Span] = []
        begun: Fact | None = None
        ended: Fact | None = None
        for fact in self.of(symbol, as_of_ns):
            opens = fact.kind is FactKind.LISTING or fact.becomes == symbol
            if not opens:
                ended = _later_known(ended, fact)
            elif ended is not None:
                spans.append(_span(symbol, begun, ended))
                begun, ended = fact, None
            else:
                begun = _later_known(begun, fact)
        return [*spans, _span(symbol, begun, ended)]

    def names(self, symbol: str, as_of_ns: int | None = None) -> list[Span]:
        """Under which names what is now ``symbol`` was traded, oldest first, cut at renames alone.

        A name that was given up by a rename and listed anew belongs to another coin: its earlier bars are
        left out. A coin that was delisted and came back under its name is one and the same.
        """
        chain: list[Span] = []
        life = self.life(symbol, as_of_ns)
        ending = len(life) - 1
        while True:
            first = ending
            while first > 0 and not _renamed(life[first].began) and not _renamed(life[first - 1].ended):
                first -= 1
            begun = life[first].began if first > 0 or _renamed(life[first].began) else None
            ended = life[ending].ended if _renamed(life[ending].ended) else None
            chain.insert(0, _span(life[ending].symbol, begun, ended))
            if (
                begun is None
                or not _renamed(begun)
                or (len(chain) > 1 and begun.at_ns >= (ended or begun).at_ns)
            ):
                return chain
            life = self.life(begun.symbol, as_of_ns)
            ending = next((n for n, span in enumerate(life) if span.ended == begun), -1)
            if ending < 0:
                return [_span(begun.symbol, None, begun), *chain]

    def _read(self) -> _Read:
        """The file's facts, read again when it was replaced."""
        try:
            stamp = stamp_of(self._path)
        except FileNotFoundError:
            return _Read(None, (), {})
        if self._seen.stamp != stamp:
            facts = _parsed(self._path)
            about: dict[str, list[Fact]] = {}
            for fact in facts:
                for name in filter(None, (fact.symbol, fact.becomes)):
                    about.setdefault(name, []).append(fact)
            self._seen = _Read(stamp, facts, about)
        return self._seen

    def _put(self, content: bytes) -> None:
        temporary = (
            self.root / UNFINISHED / f"facts.{os.getpid()}.{uuid4().hex[:8]}{lake_partition.TEMPORARY}"
        )
        try:
            temporary.parent.mkdir(exist_ok=True)
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
            lake_partition.sync_folder(self.root)
        except OSError as why:
            temporary.unlink(missing_ok=True)
            raise DataError(
                f"{self._path} could not be written ({why}); the facts are as they were. "
                "Make room or fix the permissions and record them again",
                path=str(self._path),
            ) from why


def _known(facts: Sequence[Fact], as_of_ns: int | None) -> list[Fact]:
    return [fact for fact in facts if as_of_ns is None or fact.known_ns <= as_of_ns]


def _span(symbol: str, begun: Fact | None, ended: Fact | None) -> Span:
    start, end = (None if fact is None else fact.at_ns for fact in (begun, ended))
    return Span(symbol, start, end, begun, ended)


def _renamed(fact: Fact | None) -> bool:
    return fact is not None and fact.kind is FactKind.RENAME


def _later_known(one: Fact | None, other: Fact) -> Fact:
    return other if one is None or other.known_ns >= one.known_ns else one


def _identity(fact: Fact) -> tuple[str, str, int, str, str]:
    return fact.kind, fact.symbol, fact.at_ns, fact.source, fact.becomes


def _line(fact: Fact) -> str:
    return json.dumps(asdict(fact), ensure_ascii=False)


def _parsed(path: Path) -> Sequence[Fact]:
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as why:
        raise DataError(f"{path} cannot be read ({why}); restore it from a copy", path=str(path)) from why
    facts = []
    for number, line in enumerate(lines, start=1):
        try:
            facts.append(Fact(**json.loads(line)))
        except (ValueError, TypeError, DataError) as why:
            raise DataError(
                f"line {number} of {path} is no fact ({why}); mend or delete that line",
                path=str(path),
                line=number,
            ) from why
    return facts
