"""Encoded bytes to an upright Pillow image, within limits."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import COMPRESSION_INFO, TiffImageFile

from serving.errors import MalformedRequestError, ServingError, TooLargeError, UnsupportedMediaError
from transformer.tiff_directory import check_directory

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff")

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_MAGIC = (
    PNG_MAGIC,
    b"\xff\xd8\xff",
    b"RIFF",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)
TIFF_MAGIC = _MAGIC[-4:]
BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339
SIGNED = 2
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""EXIF's tag, and its values that exchange width and height."""
TIFF_COMPRESSIONS = tuple(COMPRESSION_INFO)
LONGEST_MAGIC = max(map(len, _MAGIC))

# Pillow's own bomb check is a warning at some size and an error at twice that; ours is exact.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageLimits:
    max_bytes: int
    max_pixels: int


def looks_encoded(data: bytes | memoryview) -> bool:
    """Whether the bytes begin like one of the formats that are read."""
    return bytes(data[:LONGEST_MAGIC]).startswith(_MAGIC)


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


def open_image(
    data: bytes | memoryview, limits: ImageLimits, instance: int | None = None
) -> Image.Image:
    """Read an image's header; its pixels are not decompressed yet.

    Args:
        instance: its place in the request, for the error's sake.

    Raises:
        TooLargeError: over a limit.
        UnsupportedMediaError: not an image of a format that is read.
        MalformedRequestError: it is one, but damaged.
    """
    if len(data) > limits.max_bytes:
        raise TooLargeError(
            f"the image has {len(data)} bytes; the limit is {limits.max_bytes}",
            instance=instance,
            code="image_too_large",
        )
    with refused_if_damaged(data, instance):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if isinstance(image, TiffImageFile) and SIGNED in image.tag_v2.get(SAMPLE_FORMAT, ()):
            raise _unread_tiff("of signed numbers", instance)
    if image.width * image.height > limits.max_pixels:
        raise TooLargeError(
            f"the image is {image.width} × {image.height} pixels; the limit is {limits.max_pixels}",
            instance=instance,
            code="image_too_large",
        )
    return image


def upright_size(image: Image.Image, instance: int | None = None) -> tuple[int, int]:
    """Width and height of an opened image as ``load_image`` would turn it, at its full size.

    Raises:
        MalformedRequestError: damaged.
    """
    with refused_if_damaged(b"", instance):
        turned = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
    return (image.height, image.width) if turned else image.size


def load_image(
    image: Image.Image, instance: int | None = None, enough: tuple[int, int] | None = None
) -> Image.Image:
    """Decompress the first frame of an opened image and turn it upright (EXIF).

    Args:
        enough: width and height above which a JPEG may be decoded at an eighth, a quarter or
            half of its size, which takes that much less time and memory.

    Raises:
        MalformedRequestError: damaged or cut off.
    """
    with refused_if_damaged(b"", instance):
        if enough is not None and image.format == "JPEG":
            image.draft(None, enough)
        image.load()
        bits = image.tag_v2.get(BITS_PER_SAMPLE) if isinstance(image, TiffImageFile) else None
        upright = ImageOps.exif_transpose(image)
        if bits == (12,):
            # Pillow gives the numbers as they are, in 16 bits.
            scaled = np.asarray(upright).astype(np.uint32) * 65535 // 4095
            return Image.fromarray(scaled.astype(np.uint16))
        return upright


def _unread_tiff(kind: str, instance: int | None) -> UnsupportedMediaError:
    return UnsupportedMediaError(
        f"a TIFF {kind} is not read here; up to 4 bands of 8 or 16 bits are",
        instance=instance,
        code="unsupported_tiff",
    )


def _kind_of_tiff(data: bytes | memoryview) -> str:
    """What a TIFF is that Pillow does not read; empty where nothing speaks for a kind of its own.

    By its first directory; its pixels are not looked at.
    """
    if bytes(data[:4]) not in TIFF_MAGIC:
        return ""
    import tifffile  # only here: a classifier starts without it

    try:
        check_directory(memoryview(data))
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            assert isinstance(page, tifffile.TiffPage)
            compression = int(page.compression)
            if compression not in TIFF_COMPRESSIONS:
                return f"of compression {compression}"
            if page.samplesperpixel > 4:
                return f"of {page.samplesperpixel} bands"
            number = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(int(page.sampleformat))
            if page.bitspersample > 32 or number is None:
                return f"of {page.bitspersample}-bit {number or 'complex'} numbers"
    except Exception:
        return ""
    return ""


@contextlib.contextmanager
def refused_if_damaged(data: bytes | memoryview, instance: int | None) -> Iterator[None]:
    """Turn whatever a decoder raises into an error that a client may see.

    Pillow's parsers raise OSError, SyntaxError, struct.error, IndexError, ValueError and more; all
    mean that these bytes are no readable image.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata that it then ignores, and so do we.
            warnings.simplefilter("ignore")
            yield
    except ServingError:
        raise
    except UnidentifiedImageError:
        if kind := _kind_of_tiff(data):
            raise _unread_tiff(kind, instance) from None
        if looks_encoded(data):
            raise MalformedRequestError(
                "the image is damaged", instance=instance, code="image_damaged"
            ) from None
        raise UnsupportedMediaError(
            f"not an image; {', '.join(FORMATS)} are read",
            instance=instance,
            code="not_an_image",
        ) from None
    except MemoryError:
        raise TooLargeError(
            "the image is too large", instance=instance, code="image_too_large"
        ) from None
    except Exception:
        raise MalformedRequestError(
            "the image is damaged or cut off", instance=instance, code="image_damaged"
        ) from None
