"""A look at a TIFF's directory, before a parser makes objects of all that it names.

A tag says how many values it has and where they lie, and tags may share that place: a small file
can name gigabytes of values.
"""

from __future__ import annotations

import struct

MAX_TAGS = 512
MAX_VALUES = 1 << 21
"""Numbers of all tags together, some 40 bytes each once they are read: offsets and lengths of a
million strips."""

MAX_BYTES = 64 << 20
"""Of all tags together, texts and profiles included."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
BIG_SIZES = {**SIZES, 16: 8, 17: 8, 18: 8}
TEXTS = (2, 7)
"""Types whose values stay bytes: ASCII and undefined."""

CLASSIC, BIG = 42, 43


def check_directory(data: memoryview, place: int | None = None) -> int:
    """See that a directory names no more than a real one does.

    Args:
        place: of the directory; None for the first.

    Returns:
        The next one's place; 0 where there is none.

    Raises:
        ValueError: it does, or lies outside of the file.
    """
    order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version == CLASSIC:
        place = place or struct.unpack_from(order + "I", data, 4)[0]
        (count,) = struct.unpack_from(order + "H", data, place)
        first, entry, sizes = place + 2, struct.Struct(order + "HHI4x"), SIZES
        link = order + "I"
    elif version == BIG:
        place = place or struct.unpack_from(order + "Q", data, 8)[0]
        (count,) = struct.unpack_from(order + "Q", data, place)
        first, entry, sizes = place + 8, struct.Struct(order + "HHQ8x"), BIG_SIZES
        link = order + "Q"
    else:
        raise ValueError("no TIFF")
    if count > MAX_TAGS:
        raise ValueError(f"{count} tags")
    values = size = 0
    for number in range(count):
        _, kind, length = entry.unpack_from(data, first + number * entry.size)
        values += 0 if kind in TEXTS else length
        size += length * sizes.get(kind, 1)
    if values > MAX_VALUES or size > MAX_BYTES:
        raise ValueError(f"tags of {values} values and {size} bytes")
    following: int = struct.unpack_from(link, data, first + count * entry.size)[0]
    return following
