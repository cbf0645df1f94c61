"""Which image files are read, and what is known of any file by how it begins."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from PIL import Image, features

from serving.errors import UnsupportedMediaError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
HEAD_BYTES = 32
"""Of a file, by which its kind is known."""

TIFF, HEIF = "TIFF", "HEIF"

_MAGIC: dict[str, tuple[bytes, ...]] = {
    "PNG": (PNG_MAGIC,),
    "JPEG": (b"\xff\xd8\xff",),
    "WEBP": (b"RIFF",),
    "BMP": (b"BM",),
    TIFF: TIFF_MAGIC,
    "GIF": (b"GIF87a", b"GIF89a"),
    "JPEG2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_CONTAINER_BRANDS = (b"mif1", b"msf1", b"mif2", b"miaf")
"""Of either: which one it is stands among the compatible brands behind it."""

_IMAGE_BRANDS = (*_AVIF_BRANDS, *_HEIF_BRANDS, *_CONTAINER_BRANDS)

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", TIFF, "GIF", "AVIF", HEIF, "JPEG2000")
"""As Pillow names them."""

NAMES = {HEIF: "HEIC", "JPEG2000": "JPEG 2000", "WEBP": "WebP"}
"""As people do, where that is another name."""

_OTHERS: dict[str, tuple[bytes, ...]] = {
    "JPEG XL": (b"\xff\x0a", b"\x00\x00\x00\x0cJXL "),
    "PDF": (b"%PDF",),
    "PSD": (b"8BPS",),
    "SVG": (b"<svg", b"<?xml"),
    "ICO": (b"\x00\x00\x01\x00",),
    "ZIP": (b"PK\x03\x04",),
}


class Decoder(NamedTuple):
    """What a format needs that may be missing: its name, and whether it is there."""

    name: str
    there: bool


def format_of(data: bytes | memoryview) -> str | None:
    """The name of the format among ``FORMATS`` that a file begins like; None for any other."""
    head = bytes(data[:HEAD_BYTES])
    for name, beginnings in _MAGIC.items():
        if head.startswith(beginnings):
            return name
    if head[4:8] != b"ftyp":
        return None
    end = int.from_bytes(head[:4], "big")
    following = bytes(data[end + 4 : end + 8])
    if following and not following.isalnum():
        return None  # no box behind the first (ISO/IEC 14496-12)
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, HEAD_BYTES, 4))]
    if brands[0] in _AVIF_BRANDS:
        return "AVIF"
    if brands[0] in _HEIF_BRANDS:
        return HEIF
    if brands[0] in _CONTAINER_BRANDS:
        return "AVIF" if any(brand in _AVIF_BRANDS for brand in brands) else HEIF
    return None


def not_read(data: bytes | memoryview, instance: int | None = None) -> UnsupportedMediaError:
    """The refusal of a file of no format that is read; names its kind where that is known."""
    head = bytes(data[:HEAD_BYTES])
    kind = next((name for name, marks in _OTHERS.items() if head.startswith(marks)), "")
    if head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS:
        kind = "video"
    return UnsupportedMediaError(
        f"not an image of a format that is read{f', but a kind of {kind}' if kind else ''}; "
        f"there are: {', '.join(NAMES.get(name, name) for name in FORMATS)}",
        instance=instance,
        code="not_an_image",
    )


def decoder_of(name: str) -> Decoder:
    """The library that decodes a format of ``FORMATS``."""
    if name == HEIF:
        return Decoder("pi-heif", find_spec("pi_heif") is not None)
    if name == "AVIF":
        return Decoder("libavif", bool(features.check("avif")))
    if name == "JPEG2000":
        return Decoder("OpenJPEG", bool(features.check("jpg_2000")))
    return Decoder("Pillow", True)


def readable_formats(name: str) -> tuple[str, ...]:
    """What Pillow is to try for a file that begins like a format."""
    if name == HEIF and HEIF not in Image.OPEN:
        import pi_heif  # only here: it takes 50 ms, and most services never see one

        pi_heif.register_heif_opener(thumbnails=False)
    return (name,)
