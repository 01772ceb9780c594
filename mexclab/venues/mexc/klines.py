"""MEXC's kline channel: the bars that are growing, told about once a second while a pair trades.

What is told of a bar before its end is not its last word: the trades of its final second may be missing, and
nothing says which push was the last. So a listener may show these bars, and hold them against the day that
the venue's history cannot be asked; the history decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from mexclab.domain.market import Symbol
from mexclab.errors import ParameterError
from mexclab.venues.mexc.connection import Connection, Word
from mexclab.venues.mexc.frames import channel_of
from mexclab.venues.mexc.line import Line, LineHooks, LineTerms
from mexclab.venues.mexc.wire_types import number
from mexclab.venues.proto import PushData
from mexclab.venues.raw_bars import RawBar

# the history's name of an interval -> the stream's
INTERVALS: Mapping[str, str] = MappingProxyType(
    {
        "1m": "Min1",
        "5m": "Min5",
        "15m": "Min15",
        "30m": "Min30",
        "1h": "Min60",
        "4h": "Hour4",
        "8h": "Hour8",
        "1d": "Day1",
    }
)
_LATEST_S = 4_102_444_800  # 2100-01-01


@dataclass(frozen=True, slots=True)
class KlineTerms:
    """Where the stream is and how it is kept up.

    Attributes:
        url: ``wss://wbs-api.mexc.com/ws``.
        interval: of the bars, as the history names it: ``1m``.
        most_connections: pairs beyond what these carry are not listened to (30 a connection).
        seed: of the pauses before reconnecting; None: drawn.
    """

    url: str
    interval: str = "1m"
    most_connections: int = 10
    seed: int | None = None
    line: LineTerms = field(default_factory=LineTerms)


class KlineStream:
    """Listens to the growing bars of some pairs.

    Args:
        tell: called with the pair and its bar, on the event loop; must not wait.

    Attributes:
        listened: the pairs that the connections carry.
        refused: channels that the venue does not give.
        frames, malformed: how many pushes came, and how many of them could not be read.

    Raises:
        ParameterError: the channel has no such interval.
    """

    def __init__(
        self, terms: KlineTerms, symbols: Iterable[Symbol], tell: Callable[[Symbol, RawBar], None]
    ) -> None:
        if terms.interval not in INTERVALS:
            raise ParameterError(
                f"the stream has no {terms.interval} bars; choose one of {', '.join(INTERVALS)}",
                interval=terms.interval,
            )
        self.terms = terms
        self._tell = tell
        self._chance = random.Random(terms.seed)
        self._word = INTERVALS[terms.interval]
        most = terms.most_connections * terms.line.most_channels
        self.listened: tuple[Symbol, ...] = tuple(dict.fromkeys(symbols))[:most]
        self._by_channel = {self._channel(symbol).encode(): symbol for symbol in self.listened}
        self._lines = [self._line(first) for first in range(0, len(self.listened), terms.line.most_channels)]
        self.refused: set[str] = set()
        self.frames = self.malformed = 0

    def _channel(self, symbol: Symbol) -> str:
        return f"spot@public.kline.v3.api.pb@{symbol}@{self._word}"

    def _line(self, first: int) -> Line:
        line = Line(
            LineHooks(self._address, self._heard, self._said, _nothing, _nothing),
            self.terms.line,
            self._chance,
        )
        line.want(*(self._channel(s) for s in self.listened[first : first + self.terms.line.most_channels]))
        return line

    @property
    def open_connections(self) -> int:
        """How many connections are up now."""
        return sum(len(line.open_connections) for line in self._lines)

    @property
    def connections(self) -> int:
        """How many there should be."""
        return len(self._lines)

    async def run(self) -> None:
        """Listen until cancelled; lost connections are made again by themselves."""
        async with asyncio.TaskGroup() as tasks:
            for line in self._lines:
                tasks.create_task(line.run())

    async def _address(self) -> str:
        return self.terms.url

    def _said(self, connection: Connection, word: Word, about: str) -> None:
        if word is Word.REFUSED:
            self.refused.add(about)
        elif word is Word.GIVEN:
            self.refused.discard(about)

    def _heard(self, connection: Connection, frame: bytes) -> None:
        symbol = self._by_channel.get(channel_of(frame))
        if symbol is None:
            return
        self.frames += 1
        bar = self._read(frame)
        if bar is None:
            self.malformed += 1
        else:
            self._tell(symbol, bar)

    def _read(self, frame: bytes) -> RawBar | None:
        """The bar of a frame (protobuf, body 308: the window is in seconds); None where it is none."""
        message = PushData()
        try:
            message.ParseFromString(frame)
        except DecodeError:
            return None
        if message.WhichOneof("body") != "publicSpotKline":
            return None
        body = message.publicSpotKline
        numbers = (
            body.openingPrice,
            body.highestPrice,
            body.lowestPrice,
            body.closingPrice,
            body.volume,
        )
        if body.interval != self._word or not 0 < body.windowStart < _LATEST_S:
            return None
        try:
            for text in numbers:
                number(text)
        except ValueError:
            return None
        return RawBar(body.windowStart * 1000, *numbers)


def _nothing(*_: object) -> None:
    """The line looks after itself."""
