"""Decompression of one strip or tile of a TIFF.

Pillow's libtiff and libjpeg do it, byte by byte as if each were a picture of its own: Pillow alone
reads no TIFF of six bands or of 16 bits in three, and the library of all codecs weighs as much as
the rest of the transformer.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD = 1, 5, 7, 8, 32946, 32773, 50000


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


def decompress_jpeg(
    data: memoryview,
    tables: bytes | None,
    ycbcr: bool,
    shape: tuple[int, int, int],
    longest: int,
) -> NDArray[np.uint8]:
    """A strip or tile that is a JPEG of its own but for its tables (TIFF Technical Note 2).

    Args:
        ycbcr: what the TIFF says of the colours; a JPEG inside of one does not.
        shape: rows at least, width, and bands, of which there are no more than four.
        longest: rows at most: encoders may make the last strip as long as the others.

    Raises:
        DamagedError: it is none, or of another shape.
    """
    rows, width, bands = shape
    if bytes(data[:2]) != b"\xff\xd8":
        raise DamagedError("no JPEG")
    if bands == 2:
        # A picture of two bands is none to libjpeg's usual callers.
        raw = _through_libtiff(data, JPEG, rows, width, bands, tables)
        return np.frombuffer(raw, np.uint8).reshape(rows, width, bands)
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + (b"\x01" if ycbcr else b"\x00")
    # The tables are a JPEG without a picture: its end and the picture's beginning go.
    shared = bytes(tables[2:-2]) if tables else b""
    stream = b"".join([b"\xff\xd8", adobe, shared, data[2:]])
    with Image.open(io.BytesIO(stream), formats=("JPEG",)) as image:
        size = image.width == width and rows <= image.height <= longest
        if not size or len(image.getbands()) != bands:
            raise DamagedError("a JPEG of another size or of other bands")
        found = np.asarray(image).reshape(image.height, width, bands)
    # Pillow takes four bands for inks, which Adobe's programs write inverted, and turns them over.
    return 255 - found if bands == 4 else found


def _through_libtiff(
    data: memoryview,
    compression: int,
    rows: int,
    row_bytes: int,
    samples: int = 1,
    tables: bytes | None = None,
) -> bytes:
    """The bytes as the pixels of a grey picture, which they are to libtiff.

    Args:
        samples: 2 for a picture of ``row_bytes`` pixels a row, grey and opacity.
        tables: of a JPEG.
    """
    short, long, undefined = 3, 4, 7
    entries = [
        (256, long, 1, row_bytes),
        (257, long, 1, rows),
        (258, short, samples, 8 if samples == 1 else 8 << 16 | 8),
        (259, short, 1, compression),
        (262, short, 1, 1),
        (273, long, 1, 0),
        (277, short, 1, samples),
        (278, long, 1, rows),
        (279, long, 1, len(data)),
    ]
    if samples == 2:
        entries.append((338, short, 1, 2))
    if tables:
        entries.append((347, undefined, len(tables), 0))
    behind = 8 + 2 + len(entries) * 12 + 4
    places = {273: behind + len(tables or b""), 347: behind}
    header = [b"II*\x00", struct.pack("<IH", 8, len(entries))]
    header += [
        struct.pack("<HHII", code, kind, count, places.get(code, value))
        for code, kind, count, value in entries
    ]
    header += [struct.pack("<I", 0), tables or b""]
    with Image.open(io.BytesIO(b"".join([*header, data])), formats=("TIFF",)) as image:
        return image.tobytes()
