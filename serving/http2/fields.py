"""Header fields: written without state, read from anybody (RFC 7541).

Every field is written as a literal that enters no table, so a block means the same on every
connection and may be kept. Peers are asked for the same (``HEADER_TABLE_SIZE`` 0), and blocks of
such literals are read here; whatever else a peer sends, the library hpack reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from hpack import Decoder, HPACKError

from serving.http2.frames import ConnectionFault, ErrorCode

Fields = tuple[tuple[str, str], ...]
"""Names, lower-case, and values, in order."""

MOST_BYTES = 32 << 10
"""Of one list of fields that is taken, as RFC 9113 counts them: 32 for each beside its text."""

MOST_READ_BYTES = 64 << 10
"""Of one that is read. A gateway passes on what its callers send, some 60 KiB by default, and many
calls share its connection: too large a list ends its own call, and only one like no other ends
them all."""

NO_TABLE = b"\x20"
"""What the first block of a connection begins with: the table has no bytes from here on. A peer
that allows a smaller one than the usual 4096 bytes waits for this."""

_FIELD_BYTES = 32

_LITERAL = 0x00
_HUFFMAN = 0x80
_SHORT = 0x7F
"""Lengths below this fit into one byte."""

_SHORT_BLOCK = 2048
"""Bytes of a block whose fields are less than ``MOST_BYTES`` however many they are: three bytes
each are the least."""

_KEPT = 512


def write_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """One block of ``fields``; characters must be those of latin-1."""
    parts = bytearray()
    for name, value in fields:
        parts.append(_LITERAL)
        for text in (name, value):
            raw = text.encode("latin-1")
            if len(raw) < _SHORT:
                parts.append(len(raw))
            else:
                parts += _long_length(len(raw))
            parts += raw
    return bytes(parts)


write_same_fields = lru_cache(maxsize=_KEPT)(write_fields)
"""For fields that come again and again; takes a tuple."""


class TooManyFields(Exception):
    """A list of fields is larger than what is taken; the next ones can be read."""


class FieldReader:
    """Reads the blocks of one connection, in the order in which they come."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MOST_READ_BYTES)
        self._known: dict[bytes, Fields] = {}

    def read(self, block: bytes) -> Fields:
        """The fields of a block.

        Raises:
            TooManyFields: they are more than ``MOST_BYTES``.
            ConnectionFault: it cannot be read, which leaves the connection without a common
                state.
        """
        found = self._known.get(block)
        if found is None:
            found = read_literals(block)
        if found is None:
            found = self._decode(block)
        return found

    def _decode(self, block: bytes) -> Fields:
        table = self._decoder.header_table
        size = table.maxsize
        alone = not table.dynamic_entries
        try:
            raw = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)) from None
        # What is kept means the same only while the table is empty and of this size.
        if table.dynamic_entries or table.maxsize != size:
            self._known.clear()
            alone = False
        found = tuple((bytes(k).decode("latin-1"), bytes(v).decode("latin-1")) for k, v in raw)
        if sum(len(k) + len(v) + _FIELD_BYTES for k, v in found) > MOST_BYTES:
            raise TooManyFields
        if alone and len(self._known) < _KEPT:
            self._known[block] = found
        return found


def read_literals(block: bytes) -> Fields | None:
    """The fields of a block as ``write_fields`` writes them; None for any other."""
    fields = []
    at, size = 0, len(block)
    if size > _SHORT_BLOCK:
        return None
    while at < size:
        if block[at] != _LITERAL:
            return None
        at += 1
        pair = []
        for _ in range(2):
            if at >= size:
                return None
            length = block[at]
            at += 1
            if length & _HUFFMAN:
                return None
            if length == _SHORT:
                rest, at = _read_rest(block, at)
                length += rest
            if at + length > size:
                return None
            pair.append(block[at : at + length].decode("latin-1"))
            at += length
        fields.append((pair[0], pair[1]))
    return tuple(fields)


def _read_rest(block: bytes, at: int) -> tuple[int, int]:
    """What a long length has beyond its first byte, and where it ends; more than the block if
    it does not end.
    """
    value = shift = 0
    while at < len(block):
        value += (block[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not block[at - 1] & 0x80:
            return value, at
    return len(block), at


def _long_length(value: int) -> bytes:
    """A length from 127 on (RFC 7541, section 5.1, with a prefix of seven bits)."""
    parts = [_SHORT]
    value -= _SHORT
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
