"""Pictures that the tests of this folder share."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIC":
        # Not by its plug-in for Pillow, which would decode in place of the transformer's library.
        import pillow_heif  # the transformer's own environment has none

        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, kind, **options)
    return buffer.getvalue()


def seven(width: int = 28, height: int = 28) -> Image.Image:
    """A white seven on black: two strokes of exactly 0 and 255, away from the edge."""
    image = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(image)
    stroke = max(1, width // 10)
    corner = (width * 7 // 10, height * 2 // 10)
    draw.line([(width * 3 // 10, corner[1]), corner], fill=255, width=stroke)
    draw.line([corner, (width * 4 // 10, height * 8 // 10)], fill=255, width=stroke)
    return image


def noise(random: np.random.Generator, *shape: int) -> NDArray[np.uint8]:
    return random.integers(0, 256, shape, np.uint8)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(bytes(1 << 20))),
            png_chunk(b"IEND", b""),
        ]
    )


def bmp_claiming(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + info + bytes(100)


def tiff_claiming(width: int, height: int) -> bytes:
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, 100),
    ]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\x00" + struct.pack("<I", 108) + bytes(100) + directory


def webp_claiming(width: int, height: int) -> bytes:
    data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(21)
    return (
        b"RIFF"
        + struct.pack("<I", 12 + len(data))
        + b"WEBPVP8L"
        + struct.pack("<I", len(data))
        + data
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    data = encode(Image.new("L", (16, 16)), "JPEG")
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


BOMBS = {
    "PNG": png_claiming(50_000, 50_000),
    "BMP": bmp_claiming(50_000, 50_000),
    "TIFF": tiff_claiming(50_000, 50_000),
    "WEBP": webp_claiming(16_383, 16_383),
    "JPEG": jpeg_claiming(65_000, 65_000),
}
