"""Encoded bytes to an upright Pillow image, within limits."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from serving.errors import MalformedRequest, TooLarge, UnsupportedMedia

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff")

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
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
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "L" or image.size != (width, height) or image.info:
                return None
            pixels = image.tobytes()
            # What stands behind the pixels is known only now.
            return None if image.info else pixels
    except Exception:
        return None


def open_image(
    data: bytes | memoryview, limits: ImageLimits, instance: int | None = None
) -> Image.Image:
    """Read an image's header; its pixels are not decompressed yet.

    Args:
        instance: its place in the request, for the error's sake.

    Raises:
        TooLarge: over a limit.
        UnsupportedMedia: not an image of a format that is read.
        MalformedRequest: it is one, but damaged.
    """
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"the image has {len(data)} bytes; the limit is {limits.max_bytes}",
            instance=instance,
            code="image_too_large",
        )
    with refused_if_damaged(data, instance):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > limits.max_pixels:
        raise TooLarge(
            f"the image is {image.width} × {image.height} pixels; the limit is {limits.max_pixels}",
            instance=instance,
            code="image_too_large",
        )
    return image


def load_image(
    image: Image.Image, instance: int | None = None, enough: tuple[int, int] | None = None
) -> Image.Image:
    """Decompress the first frame of an opened image and turn it upright (EXIF).

    Args:
        enough: width and height above which a JPEG may be decoded at an eighth, a quarter or
            half of its size, which takes that much less time and memory.

    Raises:
        MalformedRequest: damaged or cut off.
    """
    with refused_if_damaged(b"", instance):
        if enough is not None and image.format == "JPEG":
            image.draft(None, enough)
        image.load()
        return ImageOps.exif_transpose(image)


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
    except UnidentifiedImageError:
        if looks_encoded(data):
            raise MalformedRequest(
                "the image is damaged", instance=instance, code="image_damaged"
            ) from None
        raise UnsupportedMedia(
            f"not an image; {', '.join(FORMATS)} are read",
            instance=instance,
            code="not_an_image",
        ) from None
    except MemoryError:
        raise TooLarge(
            "the image is too large", instance=instance, code="image_too_large"
        ) from None
    except Exception:
        raise MalformedRequest(
            "the image is damaged or cut off", instance=instance, code="image_damaged"
        ) from None
