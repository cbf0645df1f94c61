"""Encoded bytes to an upright Pillow image, within limits."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import COMPRESSION_INFO, TiffImageFile

from serving.errors import MalformedRequestError, ServingError, TooLargeError, UnsupportedMediaError
from transformer.deep_png import is_deep_png, load_deep
from transformer.deep_tiff import deep_picture, is_deep
from transformer.depth import eight_bits
from transformer.formats import NAMES, TIFF, decoder_of, format_of, not_read, readable_formats
from transformer.tiff_directory import check_directory

BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339
SIGNED = 2
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""EXIF's tag, and its values that exchange width and height."""
TIFF_COMPRESSIONS = tuple(COMPRESSION_INFO)

SMALLEST_JPEG = 8
"""libjpeg decodes at a half, a quarter or an eighth of the size."""

PROGRESSIVE_SHARE = 2
"""Times the limit of pixels that a progressive JPEG may have: all its coefficients are in memory
whatever it is decoded to, at six bytes a pixel."""

LIMIT_SHARES = {"JPEG2000": 0.5, "HEIF": 1.25}
"""Of the limit of pixels. OpenJPEG takes 18 bytes a pixel, others about ten, and HEIC eight: so the
48 megapixels of a telephone fit."""

# Pillow's own bomb check is a warning at some size and an error at twice that; ours is exact.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageLimits:
    max_bytes: int
    max_pixels: int


def open_image(
    data: bytes | memoryview,
    limits: ImageLimits,
    instance: int | None = None,
    enough: tuple[int, int] | None = None,
) -> Image.Image:
    """Read an image's header; its pixels are not decompressed yet.

    Args:
        instance: its place in the request, for the error's sake.
        enough: as ``load_image`` will be told it. A JPEG is decoded at a part of its size, so that
            the limit is one of what it is decoded to, not of what its header says.

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
    image = identify(data, instance)
    with refused_if_damaged(data, instance):
        if isinstance(image, TiffImageFile) and SIGNED in image.tag_v2.get(SAMPLE_FORMAT, ()):
            raise _unread_tiff("of signed numbers", instance)
    pixels, limit = image.width * image.height, limits.max_pixels
    if isinstance(image, JpegImageFile):
        divisor = _divisor(image, enough, limit)
        if image.info.get("progressive"):
            pixels = max(pixels // divisor**2, pixels // PROGRESSIVE_SHARE)
        else:
            pixels //= divisor**2
    else:
        limit = pixel_limit(image, limit)
    if pixels > limit:
        raise TooLargeError(
            f"the image is {image.width} × {image.height} pixels; the limit is {limit}"
            + (f", once it is decoded at 1/{SMALLEST_JPEG}" if image.format == "JPEG" else ""),
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


def pixel_limit(image: Image.Image, max_pixels: int) -> int:
    """Most pixels of an image of this format, where ``max_pixels`` is the limit of most."""
    return int(max_pixels * LIMIT_SHARES.get(image.format or "", 1))


def identify(data: bytes | memoryview, instance: int | None = None) -> Image.Image:
    """Open an image of any format that is read, whatever its size.

    Raises:
        As ``open_image``, but for the limits.
    """
    name = format_of(data)
    if name is None:
        raise not_read(data, instance)
    decoder = decoder_of(name)
    if not decoder.there:
        raise UnsupportedMediaError(
            f"{NAMES.get(name, name)} is not read by this server, which has no {decoder.name}",
            instance=instance,
            code="unsupported_format",
        )
    with refused_if_damaged(data, instance):
        return Image.open(io.BytesIO(data), formats=readable_formats(name))


def load_image(
    image: Image.Image,
    instance: int | None = None,
    enough: tuple[int, int] | None = None,
    max_pixels: int | None = None,
) -> Image.Image:
    """Decompress the first frame of an opened image and turn it upright (EXIF).

    Args:
        enough: width and height above which a JPEG may be decoded at an eighth, a quarter or
            half of its size, which takes that much less time and memory.
        max_pixels: above which a JPEG is decoded smaller even so.

    Raises:
        MalformedRequestError: damaged or cut off.
    """
    with refused_if_damaged(b"", instance):
        if isinstance(image, JpegImageFile):
            divisor = _divisor(image, enough, max_pixels)
            if divisor > 1:
                size = (max(1, image.width // divisor), max(1, image.height // divisor))
                image.draft(None, size)
        bits = image.tag_v2.get(BITS_PER_SAMPLE) if isinstance(image, TiffImageFile) else None
        if is_deep(image):
            image = deep_picture(image)
        elif is_deep_png(image):
            image = load_deep(image)
        else:
            image.load()
        ImageOps.exif_transpose(image, in_place=True)  # else it copies what is upright already
        # Twelve bits are said to be that; Pillow gives the numbers as they are.
        return eight_bits(image, 4095.0) if bits == (12,) else image


def _divisor(image: JpegImageFile, enough: tuple[int, int] | None, max_pixels: int | None) -> int:
    """What the sides of a JPEG are divided by while it is decoded: 1, 2, 4 or 8."""
    divisor = 1
    while divisor < SMALLEST_JPEG:
        width, height = image.width // (2 * divisor), image.height // (2 * divisor)
        large = max_pixels is not None and image.width * image.height > max_pixels * divisor**2
        if not (large or (enough is not None and width >= enough[0] and height >= enough[1])):
            break
        divisor *= 2
    return divisor


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
    if format_of(data) != TIFF:
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
            if min(page.imagewidth, page.imagelength, len(page.dataoffsets)) < 1:
                return ""
            if page.samplesperpixel > 4:
                return f"of {page.samplesperpixel} bands"
            number = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(int(page.sampleformat))
            bands = f" in {page.samplesperpixel} bands" if page.samplesperpixel > 1 else ""
            return f"of {page.bitspersample}-bit {number or 'complex'} numbers{bands}"
    except Exception:
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
        raise MalformedRequestError(
            "the image is damaged", instance=instance, code="image_damaged"
        ) from None
    except MemoryError:
        raise TooLargeError(
            "the image is too large", instance=instance, code="image_too_large"
        ) from None
    except Exception:
        raise MalformedRequestError(
            "the image is damaged or cut off", instance=instance, code="image_damaged"
        ) from None
