"""Frames: the units of a connection (RFC 9113, sections 4 and 6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its first frame."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = range(1, 5)
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 5, 6

DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384
LARGEST_FRAME = 2**24 - 1
LARGEST_WINDOW = 2**31 - 1

_SIZES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_OF_THE_CONNECTION = {SETTINGS: True, PING: True, GOAWAY: True, PRIORITY: False, RST_STREAM: False}
"""Whether a kind of frame is of no stream or of one; WINDOW_UPDATE is of either."""

_HEAD = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")
_WORD = struct.Struct(">L")


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class ConnectionFault(Exception):
    """The peer broke the protocol in a way that ends the connection."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Frame(NamedTuple):
    """One frame as it came; ``payload`` is a view that the next read invalidates."""

    kind: int
    flags: int
    stream: int
    payload: memoryview

    def content(self) -> memoryview:
        """The payload of DATA or HEADERS without padding and priority.

        Raises:
            ConnectionFault: it is padded with more than there is.
        """
        found = self.payload
        padding = 0
        try:
            if self.flags & PADDED:
                padding, found = found[0], found[1:]
            if self.kind == HEADERS and self.flags & WITH_PRIORITY:
                if len(found) < 5:
                    raise IndexError
                found = found[5:]
        except IndexError:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is too short") from None
        if padding > len(found):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame is all padding")
        return found[: len(found) - padding]

    def check(self) -> None:
        """See that a frame of a fixed form has it.

        Raises:
            ConnectionFault: it is of another length, or on the wrong stream.
        """
        size = len(self.payload)
        if size != _SIZES.get(self.kind, size) or (self.kind == GOAWAY and size < 8):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame of an odd length")
        if _OF_THE_CONNECTION.get(self.kind, not self.stream) != (not self.stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame on the wrong stream")


class FrameReader:
    """Cuts what arrives into frames.

    Args:
        most_bytes: of one payload; what has been announced as ``MAX_FRAME_SIZE``.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes.

        Raises:
            ConnectionFault: one is larger than allowed.
        """
        if self._kept:
            data = self._kept + data
        view = memoryview(data)
        start, size = 0, len(data)
        while size - start >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(view, start)
            length = high << 8 | low
            if length > self._most_bytes:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is too large")
            end = start + 9 + length
            if end > size:
                break
            yield Frame(kind, flags, stream & LARGEST_WINDOW, view[start + 9 : end])
            start = end
        self._kept = data[start:] if start else data


def head(kind: int, flags: int, stream: int, size: int) -> bytes:
    """The nine bytes before a payload of ``size`` bytes."""
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return head(kind, flags, stream, len(payload)) + payload


def settings(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def read_settings(payload: memoryview) -> Iterator[tuple[int, int]]:
    """Identifier and value of every setting.

    Raises:
        ConnectionFault: the length is no multiple of six.
    """
    if len(payload) % 6:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of an odd length")
    return _SETTING.iter_unpack(payload)


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(increment))


def rst_stream(stream: int, code: ErrorCode) -> bytes:
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def goaway(last_stream: int, code: ErrorCode, text: str = "") -> bytes:
    payload = _WORD.pack(last_stream) + _WORD.pack(code) + text.encode()[:256]
    return frame(GOAWAY, 0, 0, payload)


def read_word(payload: memoryview, at: int = 0) -> int:
    """A whole number of four bytes.

    Raises:
        ConnectionFault: there are fewer.
    """
    if len(payload) < at + 4:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is too short")
    value: int = _WORD.unpack_from(payload, at)[0]
    return value
