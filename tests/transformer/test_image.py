from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile, TiffImagePlugin

from artifact import ImageInput
from serving.errors import MalformedRequestError, ServingError, TooLargeError, UnsupportedMediaError
from tests.conftest import ROOT, make_contract
from tests.transformer.decode import decode_image
from tests.transformer.images import BOMBS, encode, noise, png_chunk, seven
from transformer.formats import format_of
from transformer.image import ImageLimits, load_image, open_image
from transformer.pictures.preprocess import prepare

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1_000_000)
SPEC = make_contract().input

ENCODINGS: dict[str, tuple[str, dict[str, object]]] = {
    "png": ("PNG", {}),
    "jpeg": ("JPEG", {"quality": 95}),
    "jpeg-progressive": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {}),
    "webp-lossless": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_deflate"}),
    "tiff-jpeg": ("TIFF", {"compression": "jpeg"}),
    "gif": ("GIF", {}),
    "avif": ("AVIF", {}),
    "heic": ("HEIC", {}),
    "jpeg2000": ("JPEG2000", {}),
    "jpeg2000-codestream": ("JPEG2000", {"no_jp2": True}),
}
LOSSY = ("jpeg", "jpeg-progressive", "webp", "tiff-jpeg", "avif", "heic")
LOSSLESS = [name for name in ENCODINGS if name not in LOSSY]


def picture(random: np.random.Generator, size: int = 24) -> Image.Image:
    return Image.fromarray(noise(random, size, size, 3))


def encoded(random: np.random.Generator, name: str) -> bytes:
    kind, options = ENCODINGS[name]
    return encode(picture(random), kind, **options)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_format_is_read(name: str, random: np.random.Generator) -> None:
    kind, options = ENCODINGS[name]
    original = seven(40, 30).convert("RGB")
    data = encode(original, kind, **options)
    assert format_of(data) is not None
    found = decode_image(data, LIMITS)
    assert found.size == (40, 30)
    difference = np.abs(np.asarray(found.convert("RGB"), int) - np.asarray(original, int))
    assert difference.mean() <= (0 if name in LOSSLESS else 8)


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_truncated_file_is_refused(name: str, random: np.random.Generator) -> None:
    data = encoded(random, name)
    assert decode_image(data, LIMITS).size == (24, 24)
    for length in sorted({*range(40), *np.linspace(0, len(data) - 1, 80, dtype=int).tolist()}):
        try:
            prepare(decode_image(data[:length], LIMITS), SPEC)
        except ServingError as error:
            assert error.status in (400, 413, 415)
    with pytest.raises(MalformedRequestError) as caught:
        decode_image(data[: len(data) // 2], LIMITS, instance=3)
    assert (caught.value.error_code, caught.value.instance) == ("image_damaged", 3)


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_damaged_file_raises_nothing_else(name: str, random: np.random.Generator) -> None:
    data = encoded(random, name)
    for _ in range(150):
        damaged = bytearray(data)
        for place in random.integers(0, min(len(data), 400), 3):
            damaged[place] = int(random.integers(0, 256))
        try:
            prepare(decode_image(bytes(damaged), LIMITS), SPEC)
        except ServingError as error:
            assert error.status in (400, 413, 415)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_it_is_decompressed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise AssertionError("decompressed")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", load)
    # Processor time: on a busy machine the clock says nothing of the work.
    started = time.thread_time()
    with pytest.raises(TooLargeError) as caught:
        decode_image(BOMBS[kind], ImageLimits(16 << 20, 40_000_000), instance=1)
    assert time.thread_time() - started < 0.5
    assert (caught.value.error_code, caught.value.instance) == ("image_too_large", 1)
    assert "×" in caught.value.message
    assert "40000000" in caught.value.message


def test_bombs_cost_little_memory() -> None:
    script = """
import resource
from serving.errors import ServingError
from tests.transformer.images import BOMBS
from tests.transformer.decode import decode_image
from transformer.image import ImageLimits

limits = ImageLimits(16 << 20, 40_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused = 0
for data in BOMBS.values():
    try:
        decode_image(data, limits)
    except ServingError:
        refused += 1
print(refused, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    refused, grown_kib = map(int, done.stdout.split())
    assert refused == len(BOMBS)
    assert grown_kib < 16 << 10


def test_a_compressed_text_bomb_is_refused() -> None:
    data = encode(seven())
    text = b"Comment\x00\x00" + zlib.compress(bytes(20 << 20))
    with pytest.raises(MalformedRequestError):
        decode_image(data[:33] + png_chunk(b"zTXt", text) + data[33:], LIMITS)


def test_the_limit_of_pixels_is_exact() -> None:
    data = encode(Image.new("L", (30, 20)))
    assert decode_image(data, ImageLimits(1 << 20, 600)).size == (30, 20)
    with pytest.raises(TooLargeError):
        decode_image(data, ImageLimits(1 << 20, 599))


def test_the_limit_of_bytes_is_exact() -> None:
    data = encode(seven())
    assert decode_image(data, ImageLimits(len(data), 1_000)).size == (28, 28)
    with pytest.raises(TooLargeError) as caught:
        decode_image(data, ImageLimits(len(data) - 1, 1_000), instance=2)
    assert (caught.value.status, caught.value.instance) == (413, 2)
    assert str(len(data)) in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        bytes(1000),
        b"PK\x03\x04" + bytes(50),
        encode(seven(), "PPM"),
        encode(seven(), "ICO", sizes=[(16, 16)]),
    ],
)
def test_what_is_no_image_of_ours_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedMediaError) as caught:
        decode_image(data, LIMITS, instance=4)
    assert (caught.value.status, caught.value.error_code) == (415, "not_an_image")
    assert caught.value.instance == 4
    assert "PNG" in caught.value.message


STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.T,
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].T,
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["png", "jpeg", "webp-lossless", "tiff"])
def test_exif_orientation_is_applied(name: str, orientation: int) -> None:
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255
    upright[:16, 16:] = 128
    kind, options = ENCODINGS[name]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright))).convert("RGB")
    found = decode_image(encode(stored, kind, exif=exif, **options), LIMITS)
    assert found.size == (48, 32)
    difference = np.abs(np.asarray(found.convert("L"), int) - upright)
    assert difference.max() <= (0 if name in LOSSLESS else 16)


@pytest.mark.parametrize("value", [0, 9, 60_000])
def test_a_senseless_orientation_is_ignored(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    data = encode(seven(20, 30), exif=exif)
    assert decode_image(data, LIMITS).size == (20, 30)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (16, 12), color) for color in ("red", "lime", "blue")]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    found = decode_image(data, LIMITS)
    assert found.size == (16, 12)
    assert found.convert("RGB").getextrema() == ((255, 255), (0, 0), (0, 0))


def test_the_damage_of_a_file_says_nothing_of_the_inside() -> None:
    with pytest.raises(MalformedRequestError) as caught:
        decode_image(encode(seven())[:-30], LIMITS)
    assert caught.value.message == "the image is damaged or cut off"
    assert caught.value.__suppress_context__


def tiff_of(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def tags_place(data: bytes, tag: int) -> int:
    """Where the value of a tag with one number stands in a little-endian TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, place) == (tag,):
            return place + 8
    raise AssertionError(f"no tag {tag}")


def tiff_with(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with another value of one tag."""
    place = tags_place(data, tag)
    return data[:place] + struct.pack("<H", value) + data[place + 2 :]


GREY = np.asarray(seven())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tiff_of(GREY.astype(np.int8)), "of signed numbers"),
        (tiff_of(GREY.astype(np.int16)), "of signed numbers"),
        (tiff_of(GREY.astype(np.int32)), "of signed numbers"),
        (tiff_of(GREY / 255.0), "of 64-bit floating-point numbers"),
        (
            tiff_of(np.stack([GREY] * 6, axis=2), photometric="minisblack", planarconfig="contig"),
            "of 6 bands",
        ),
        (tiff_with(tiff_of(GREY), 259, 34887), "of compression 34887"),
    ],
)
def test_a_tiff_of_another_kind_is_named(data: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedMediaError) as caught:
        load_image(open_image(data, ImageLimits(1 << 20, 1 << 20), 3), 3)
    assert (caught.value.error_code, caught.value.instance) == ("unsupported_tiff", 3)
    assert caught.value.message.startswith(f"a TIFF {kind} is not read here")


def test_a_damaged_tiff_stays_damaged() -> None:
    for data in (tiff_of(GREY)[:20], b"II*\0" + bytes(100), b"MM\0*" + b"\xff" * 100):
        with pytest.raises(MalformedRequestError):
            load_image(open_image(data, ImageLimits(1 << 20, 1 << 20)))


def test_twelve_bits_reach_to_full_intensity() -> None:
    """The same picture in 12 bits and in 16, as rows of packed pairs and of words."""
    levels = (GREY.astype(np.uint32) * 4095 // 255).ravel()
    first, second = levels[::2], levels[1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    strip = packed.astype(np.uint8).tobytes()
    data = tiff_of(np.zeros(len(strip), np.uint8).reshape(28, -1), photometric="minisblack")
    (place,) = struct.unpack_from("<I", data, tags_place(data, 273))
    data = data[:place] + strip + data[place + len(strip) :]
    data = tiff_with(data, 258, 12)
    width = data.index(struct.pack("<HH", 256, 4), 8) + 8
    data = data[:width] + struct.pack("<I", 28) + data[width + 4 :]
    spec = make_contract().input_as(ImageInput)
    limits = ImageLimits(1 << 20, 1 << 20)
    found = prepare(load_image(open_image(data, limits)), spec)
    expected = prepare(Image.fromarray(GREY), spec)
    assert found.polarity is expected.polarity
    assert np.abs(found.tensor - expected.tensor).max() < 0.02


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video"),
    ],
)
def test_what_is_known_not_to_be_read_is_named(data: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedMediaError, match=f"but a kind of {kind}"):
        open_image(data, LIMITS)


@pytest.mark.parametrize(
    ("kind", "library"), [("HEIC", "pi-heif"), ("AVIF", "libavif"), ("JPEG2000", "OpenJPEG")]
)
def test_a_missing_library_is_named(
    kind: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformer.formats.find_spec", lambda _: None)
    monkeypatch.setattr("transformer.formats.features.check", lambda _: False)
    with pytest.raises(UnsupportedMediaError, match=f"has no {library}") as caught:
        open_image(encode(seven(), kind), LIMITS, instance=1)
    assert (caught.value.error_code, caught.value.instance) == ("unsupported_format", 1)


def test_the_first_frame_of_an_animation_is_seen() -> None:
    frames = [seven(), Image.new("L", (28, 28), 255)]
    for kind in ("GIF", "WEBP", "AVIF", "PNG"):
        buffer = io.BytesIO()
        rest = {"save_all": True, "append_images": frames[1:]}
        frames[0].convert("RGB").save(buffer, kind, **rest, **LOSSLESS_OPTIONS.get(kind, {}))
        found = np.asarray(decode_image(buffer.getvalue(), LIMITS).convert("L"), int)
        assert np.abs(found - np.asarray(seven(), int)).mean() < 3


LOSSLESS_OPTIONS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}}


def photograph(width: int, height: int, kind: str = "JPEG", **options: object) -> bytes:
    """A seven in colour, as large as telephones make pictures."""
    return encode(
        seven(width // 8, height // 8).convert("RGB").resize((width, height)), kind, **options
    )


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_of_a_large_jpeg_what_is_decoded_is_limited(options: dict[str, object]) -> None:
    limits = ImageLimits(1 << 24, 1_000_000)
    data = photograph(1400, 1000, **options)
    with pytest.raises(TooLargeError):
        open_image(data, ImageLimits(1 << 24, 1400 * 1000 // 65), enough=(28, 28))
    opened = open_image(data, limits, enough=(28, 28))
    assert opened.size == (1400, 1000)
    assert load_image(opened, None, (28, 28), limits.max_pixels).size == (175, 125)
    whole = prepare(decode_image(data, LIMITS_OF_ALL), SPEC).tensor
    part = prepare(load_image(open_image(data, limits, None, (112, 112)), None, (112, 112)), SPEC)
    assert np.abs(whole - part.tensor).mean() < 0.02


LIMITS_OF_ALL = ImageLimits(1 << 24, 10_000_000)


def test_where_every_pixel_counts_only_what_would_be_refused_is_decoded_smaller() -> None:
    data = photograph(1400, 1000)
    for max_pixels, size in ((1_400_000, (1400, 1000)), (1_399_999, (700, 500))):
        opened = open_image(data, ImageLimits(1 << 24, max_pixels))
        assert load_image(opened, None, None, max_pixels).size == size


def test_a_progressive_jpeg_has_its_coefficients_in_memory() -> None:
    limits = ImageLimits(1 << 24, 500_000)
    open_image(photograph(1400, 1000), limits)
    with pytest.raises(TooLargeError):
        open_image(photograph(1400, 1000, progressive=True), limits)


def test_several_pictures_in_one_jpeg_are_decoded_smaller_as_well() -> None:
    buffer = io.BytesIO()
    frames = [Image.open(io.BytesIO(photograph(1400, 1000))) for _ in range(2)]
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    opened = open_image(buffer.getvalue(), ImageLimits(1 << 24, 1_000_000), enough=(28, 28))
    assert load_image(opened, None, (28, 28)).size == (175, 125)


def test_formats_have_limits_by_the_memory_that_they_take() -> None:
    picture = Image.new("RGB", (400, 300))
    for kind, share in (("HEIC", 1.25), ("JPEG2000", 0.5), ("AVIF", 1.0)):
        data = encode(picture, kind)
        open_image(data, ImageLimits(1 << 20, round(120_000 / share)))
        with pytest.raises(TooLargeError):
            open_image(data, ImageLimits(1 << 20, round(120_000 / share) - 1))


def test_a_picture_of_a_telephone_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(seven(60, 40).convert("RGB"), "HEIC", exif=exif.tobytes())
    assert decode_image(data, LIMITS).size == (40, 60)
