"""Decompression of one strip or tile of a TIFF.

Pillow's libtiff and libjpeg do it, byte by byte as if each were a picture of its own: Pillow alone
reads no TIFF of six bands or of 16 bits in three, and the library of all codecs weighs as much as
the rest of the transformer.
"""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD = 1, 5, 7, 8, 32946, 32773, 50000

_NEEDED = 8
"""Tags of the smallest TIFF that libtiff takes."""


class DamagedError(ValueError):
    """The bytes cannot be decompressed to what they should be."""


def decompress(data: memoryview, compression: int, rows: int, row_bytes: int) -> bytes | memoryview:
    """``rows * row_bytes`` bytes.

    Never more are made, whatever the data say.

    Raises:
        DamagedError: there are fewer.
    """
    size = rows * row_bytes
    found: bytes | memoryview
    if compression == NONE:
        found = data[:size]
    elif compression in (DEFLATE, OLD_DEFLATE):
        found = zlib.decompressobj().decompress(data, size)
    else:
        found = _through_libtiff(data, compression, rows, row_bytes)
    if len(found) < size:
        raise DamagedError(f"{len(found)} bytes where {size} should be")
    return found


def decompress_jpeg(data: memoryview, tables: bytes | None, ycbcr: bool) -> Image.Image:
    """A strip or tile that is a JPEG of its own but for its tables (TIFF Technical Note 2).

    Args:
        ycbcr: what the TIFF says of the colours; a JPEG inside of one does not.
    """
    if bytes(data[:2]) != b"\xff\xd8":
        raise DamagedError("no JPEG")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + (b"\x01" if ycbcr else b"\x00")
    # The tables are a JPEG without a picture: its end and the picture's beginning go.
    shared = bytes(tables[2:-2]) if tables else b""
    stream = b"".join([b"\xff\xd8", adobe, shared, data[2:]])
    image = Image.open(io.BytesIO(stream), formats=("JPEG",))
    return image


def _through_libtiff(data: memoryview, compression: int, rows: int, row_bytes: int) -> bytes:
    """The bytes as the pixels of a grey picture, which they are to libtiff."""
    short, long = 3, 4
    start = 8 + 2 + _NEEDED * 12 + 4
    entries = [
        (256, long, row_bytes),
        (257, long, rows),
        (258, short, 8),
        (259, short, compression),
        (262, short, 1),
        (273, long, start),
        (278, long, rows),
        (279, long, len(data)),
    ]
    header = [b"II*\x00", struct.pack("<IH", 8, len(entries))]
    header += [
        struct.pack("<HHIHH", code, kind, 1, value, 0)
        if kind == short
        else struct.pack("<HHII", code, kind, 1, value)
        for code, kind, value in entries
    ]
    header.append(struct.pack("<I", 0))
    with Image.open(io.BytesIO(b"".join([*header, data])), formats=("TIFF",)) as image:
        return image.tobytes()
