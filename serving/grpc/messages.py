"""gRPC's messages, status and deadlines as they stand in HTTP/2.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from urllib.parse import unquote

from grpc import StatusCode

CONTENT_TYPE = "application/grpc"
COMPRESSIONS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Of messages that are read, with zlib's name of their container; none is written."""

ERROR_CODE = "x-error-code"
"""Trailing metadata that marks an error text as ours and names its code."""

CODES = {str(code.value[0]): code for code in StatusCode}
"""By what a ``grpc-status`` says."""

_PREFIX = struct.Struct(">BL")
_SMALL = 32 << 10
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PLAIN = re.compile(r"[\x20-\x24\x26-\x7e]*")


class RpcError(Exception):
    """A call that ended with another status than OK.

    Attributes:
        trailing: the metadata that came with the status; names are lower-case.
    """

    def __init__(
        self, code: StatusCode, details: str = "", trailing: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details
        self.trailing = trailing or {}


def write_message(message: bytes) -> list[memoryview]:
    """A message with its prefix; a large one is not copied."""
    prefix = _PREFIX.pack(0, len(message))
    if len(message) <= _SMALL:
        return [memoryview(prefix + message)]
    return [memoryview(prefix), memoryview(message)]


class MessageReader:
    """Puts the one message of a unary call together.

    Args:
        most_bytes: of the message, uncompressed.
        encoding: the call's ``grpc-encoding``.
    """

    def __init__(self, most_bytes: int, encoding: str = "identity") -> None:
        self._most_bytes = most_bytes
        self._encoding = encoding
        self._data = bytearray()
        self._end: int | None = None

    def feed(self, content: memoryview) -> None:
        """Take content as it comes.

        Raises:
            RpcError: the message is larger than allowed, or there is more than one.
        """
        self._data += content
        if self._end is None and len(self._data) >= _PREFIX.size:
            length = _PREFIX.unpack_from(self._data)[1]
            if length > self._most_bytes:
                raise RpcError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"the message has {length} bytes; the limit is {self._most_bytes}",
                )
            self._end = _PREFIX.size + length
        if self._end is not None and len(self._data) > self._end:
            raise RpcError(StatusCode.INTERNAL, "a unary call has one message")

    def finish(self) -> memoryview:
        """The message, when all has come.

        Raises:
            RpcError: it is not whole, or cannot be decompressed.
        """
        if len(self._data) != self._end:
            raise RpcError(StatusCode.INTERNAL, "the message is not whole")
        message = memoryview(self._data)[_PREFIX.size :]
        return self._decompress(message) if self._data[0] else message

    def _decompress(self, message: memoryview) -> memoryview:
        if self._data[0] != 1 or self._encoding == "identity":
            raise RpcError(StatusCode.INTERNAL, "the message's prefix is damaged")
        if self._encoding not in COMPRESSIONS:
            raise RpcError(
                StatusCode.UNIMPLEMENTED, f"messages in {self._encoding!r} are not read here"
            )
        work = zlib.decompressobj(COMPRESSIONS[self._encoding])
        try:
            found = work.decompress(message, self._most_bytes + 1)
        except zlib.error as error:
            raise RpcError(StatusCode.INTERNAL, f"the message is damaged: {error}") from None
        if len(found) > self._most_bytes:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"the message has more than {self._most_bytes} bytes uncompressed",
            )
        if not work.eof or work.unused_data:
            raise RpcError(StatusCode.INTERNAL, "the message is damaged: it ends elsewhere")
        return memoryview(found)


def write_timeout(seconds: float) -> str:
    """Of a header ``grpc-timeout``: in milliseconds, as far as eight digits reach."""
    milliseconds = max(1, round(seconds * 1000))
    return f"{milliseconds}m" if milliseconds < 10**8 else f"{min(10**8 - 1, int(seconds))}S"


def read_timeout(text: str) -> float | None:
    """Seconds; None where the text is no timeout."""
    found = _TIMEOUT.fullmatch(text)
    return None if found is None else int(found[1]) * _UNITS[found[2]]


def write_details(text: str) -> str:
    """A status message in ASCII: all else is percent-encoded UTF-8."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}"
        for byte in text.encode(errors="replace")
    )


def read_details(text: str) -> str:
    """The reverse; what is no UTF-8 is replaced."""
    return unquote(text)
