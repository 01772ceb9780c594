"""Depth frames cut by hand, because they are nearly all of the traffic.

Measured on frames of 1 to 20 levels, cutting and applying them costs about a sixth of what it takes to read
the same values out of protobuf's own C objects, whose every attribute is a look-up. What is laid out in any
other way than MEXC's is left to ``frames.Decoder``.
"""

from __future__ import annotations

import re

from mexclab.errors import DomainError
from mexclab.venues.mexc.wire_types import LATEST_MS, ns

_VARINT = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_TIMES = re.compile(
    rb'(?:"\x20[ -~]{32})?(?:\(' + _VARINT + rb")?(?:0(" + _VARINT + rb"))?\xca\x13", re.DOTALL
).match
_LAST_ORDER = re.compile(rb"0" + _VARINT, re.DOTALL).fullmatch
_EVENT, _FIRST, _SENT = 0x1A, 0x22, 0x30  # tags of the event type, the first version and the time
_LATER_MS = 4  # bytes of a time that stay the same for 16 s, of six


def channel_of(frame: bytes) -> bytes:
    """The channel that a frame names first of all; b"" where it names none, or is cut off in it."""
    if len(frame) < 2 or frame[0] != 0x0A:
        return b""
    stop = 2 + frame[1]
    return frame[2:stop] if frame[1] < 0x80 and stop <= len(frame) else b""


class DepthCut:
    """Finds versions and levels in the depth frames of one channel, laid out as MEXC lays them out.

    The layout: channel, symbol, times, then the body (field 313) up to the frame's end: asks, bids, event
    type, the two versions, and possibly the time of the last order. Any other layout is not refused, only
    left to the schema.

    Args:
        channel: ``spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT``.
        wire_name: ``BTCUSDT``.
    """

    def __init__(self, channel: str, wire_name: str) -> None:
        self._front = _text_field(1, channel) + _text_field(3, wire_name)
        self._head = self._front + bytes((_SENT,))
        self._event = _text_field(_EVENT >> 3, channel.removesuffix(f"@{wire_name}")) + bytes((_FIRST,))
        self._behind = len(self._front)
        self._event_size = len(self._event)
        self._usual = b"\x00"  # what lies behind the first bytes of the time, up to the body's size

    def cut(self, frame: bytes) -> tuple[int, int, int, int] | None:
        """First and last version, and where the levels begin and end; None: laid out in another way.

        The levels are not looked at: only who walks them from begin to end knows that they are levels.
        """
        at = self._behind
        # the time that a frame was sent hardly changes: where it lies as it did before, it need not be read
        if frame.startswith(self._usual, at + 3) and frame.startswith(self._head) and frame[at + 1] > 0x7F:
            begin = at + 9
            if frame[at + 2] < 0x80:
                return None
        else:
            begin = self._look(frame)
            if not begin:
                return None
        whole = len(frame)
        end = frame.find(self._event, begin)
        size = frame[begin]
        begin += 1
        if size > 0x7F:
            size = size & 0x7F | frame[begin] << 7
            begin += 1
        at = end + self._event_size
        if begin + size != whole or end < begin or at >= whole:
            return None
        stop = at + 1 + frame[at]
        first = frame[at + 1 : stop]
        if frame[stop : stop + 1] != b"*":
            return None
        at = stop + 2
        stop = at + frame[stop + 1]
        last = frame[at:stop]
        if stop != whole and (stop > whole or not _LAST_ORDER(frame, stop)):
            return None
        if first.isdigit() and last.isdigit():
            return int(first), int(last), begin, end
        return None

    def _look(self, frame: bytes) -> int:
        """Where the body's size lies, by reading all that comes before it; 0: laid out in another way."""
        found = _TIMES(frame, self._behind) if frame.startswith(self._front) else None
        if found is None or found.end() + 2 > len(frame):
            return 0
        sent = found[1]
        if sent is not None and len(sent) == _LATER_MS + 2 and found.end() - self._behind == len(sent) + 3:
            self._usual = sent[2:] + b"\xca\x13"
        return found.end()

    def sent_ns(self, frame: bytes) -> int | None:
        """When the venue sent a frame, by its own word, in nanoseconds; None where it does not say."""
        found = _TIMES(frame, self._behind)
        if found is None or found[1] is None:
            return None
        at_ms = 0
        for place, byte in enumerate(found[1]):
            at_ms |= (byte & 0x7F) << 7 * place
        return ns(at_ms) if 0 < at_ms <= LATEST_MS else None


def _text_field(number: int, text: str) -> bytes:
    """A protobuf field of text that is shorter than 128 bytes.

    Raises:
        DomainError: it is longer.
    """
    data = text.encode()
    if len(data) > 127:
        raise DomainError(f"{text!r} is too long for the name of a channel", text=text)
    return bytes((number << 3 | 2, len(data))) + data
