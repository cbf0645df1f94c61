"""Grey PNGs of a contract's own size, as data sets and canvases send them, read the fast way."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

from transformer.formats import PNG_MAGIC

_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def grey_png(data: bytes | memoryview, width: int, height: int) -> bytes | None:
    """``height * width`` intensities of a grey 8-bit PNG of this very size, row by row.

    None for any other picture, and for one that says anything else of itself (orientation,
    transparency, …), is damaged or is no picture: ``open_image`` and ``load_image`` read those.
    What data sets and canvases send needs nothing of what these two do for arbitrary pictures.
    """
    if bytes(data[:8]) != PNG_MAGIC:
        return None
    try:
        rows = _only_rows(data, width, height)
        if rows is not None:
            return Image.frombytes("L", (width, height), rows, "zip", "L", 0).tobytes()
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "L" or image.size != (width, height) or image.info:
                return None
            pixels = image.tobytes()
            # What stands behind the pixels is known only now.
            return None if image.info else pixels
    except Exception:
        return None


def _only_rows(data: bytes | memoryview, width: int, height: int) -> bytes | None:
    """The compressed rows of a grey 8-bit PNG of this size that has nothing but one block of them.

    None for any other file. Pillow decodes the rows; what is saved is its search for formats,
    chunks and metadata, which takes longer than all else that is done for a small picture.
    """
    header = struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 0, 0, 0, 0)
    end = len(data) - len(_PNG_END)
    if bytes(data[8:33]) != header + struct.pack(">I", zlib.crc32(header[4:])) or end < 45:
        return None
    length, name = struct.unpack_from(">I4s", data, 33)
    if name != b"IDAT" or 41 + length + 4 != end or bytes(data[end:]) != _PNG_END:
        return None
    if zlib.crc32(data[37 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
        return None
    return bytes(data[41 : end - 4])
