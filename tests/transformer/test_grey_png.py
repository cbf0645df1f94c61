from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serving.errors import ServingError
from tests.transformer.decode import decode_image
from tests.transformer.images import encode, noise, png_chunk, png_claiming, seven
from transformer.grey_png import grey_png
from transformer.image import ImageLimits

LIMITS = ImageLimits(1 << 20, 1 << 20)
SEVEN = encode(seven())


def filtered(kind: int, rows: NDArray[np.uint8]) -> bytes:
    """A PNG of 28×28 whose rows all use one filter type; the pixels follow from it."""
    raw = b"".join(bytes([kind]) + row.tobytes() for row in rows)
    return SEVEN[:33] + png_chunk(b"IDAT", zlib.compress(raw)) + png_chunk(b"IEND", b"")


def test_pixels_are_those_of_pillow(random: np.random.Generator) -> None:
    for picture in (seven(), Image.new("L", (28, 28), 7), Image.fromarray(noise(random, 28, 28))):
        for level in (0, 1, 9):
            data = encode(picture, compress_level=level)
            assert grey_png(data, 28, 28) == picture.tobytes()


@pytest.mark.parametrize("kind", range(5))
def test_every_filter(kind: int, random: np.random.Generator) -> None:
    data = filtered(kind, noise(random, 28, 28))
    assert grey_png(data, 28, 28) == decode_image(data, LIMITS).tobytes()


def test_missing_rows_are_what_pillow_makes_of_them() -> None:
    data = filtered(0, np.full((27, 28), 9, np.uint8))
    assert grey_png(data, 28, 28) == decode_image(data, LIMITS).tobytes()


def test_a_size_of_its_own() -> None:
    picture = seven(40, 20)
    assert grey_png(encode(picture), 40, 20) == picture.tobytes()
    assert grey_png(encode(picture), 28, 28) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SEVEN[:33],
        encode(seven(), "BMP"),
        encode(seven().convert("RGB")),
        encode(seven().convert("1")),
        encode(seven().convert("P")),
        encode(seven().convert("LA")),
        encode(seven(), transparency=0),
        encode(seven(), dpi=(72, 72)),
        encode(seven(27, 28)),
        png_claiming(60_000, 60_000),
    ],
)
def test_every_other_picture_is_left_to_the_long_way(data: bytes) -> None:
    assert grey_png(data, 28, 28) is None


@given(place=st.integers(0, len(SEVEN) - 1), value=st.integers(0, 255))
def test_a_damaged_picture_is_read_as_the_long_way_reads_it(place: int, value: int) -> None:
    data = bytearray(SEVEN)
    data[place] = value
    found = grey_png(bytes(data), 28, 28)
    if found is None:
        return
    try:
        expected = decode_image(bytes(data), LIMITS).tobytes()
    except ServingError:
        raise AssertionError("the long way refuses it") from None
    assert found == expected


@given(pixels=st.binary(min_size=784, max_size=784))
def test_any_pixels(pixels: bytes) -> None:
    picture = Image.frombytes("L", (28, 28), pixels)
    assert grey_png(encode(picture), 28, 28) == pixels
