"""Encoded bytes to an upright Pillow image, within limits."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from serving.errors import MalformedRequest, TooLarge, UnsupportedMedia

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff")

_MAGIC = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)

# Pillow's own bomb check is a warning at some size and an error at twice that; ours is exact.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageLimits:
    max_bytes: int
    max_pixels: int


def looks_encoded(data: bytes) -> bool:
    """Whether the bytes begin like one of the formats that are read."""
    return data.startswith(_MAGIC)


def decode_image(data: bytes, limits: ImageLimits, instance: int | None = None) -> Image.Image:
    """Decode the first frame of an image and turn it upright (EXIF).

    Args:
        instance: its place in the request, for the error's sake.

    Raises:
        TooLarge: over a limit; found before anything is decompressed.
        UnsupportedMedia: not an image of a format that is read.
        MalformedRequest: it is one, but damaged or cut off.
    """
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"the image has {len(data)} bytes; the limit is {limits.max_bytes}",
            instance=instance,
            code="image_too_large",
        )
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata that it then ignores, and so do we.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > limits.max_pixels:
                raise TooLarge(
                    f"the image is {image.width} × {image.height} pixels; "
                    f"the limit is {limits.max_pixels}",
                    instance=instance,
                    code="image_too_large",
                )
            image.load()
            # EXIF of a damaged file can fail in as many ways as the picture itself.
            return ImageOps.exif_transpose(image)
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
    except TooLarge:
        raise
    except MemoryError:
        raise TooLarge(
            "the image is too large", instance=instance, code="image_too_large"
        ) from None
    except Exception:
        # Pillow's decoders raise whatever their parsers do: OSError, SyntaxError, struct.error,
        # IndexError, ValueError and more. All mean that these bytes are no readable image.
        raise MalformedRequest(
            "the image is damaged or cut off", instance=instance, code="image_damaged"
        ) from None
