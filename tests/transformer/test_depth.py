"""Pictures of more than eight bits: what a person sees, whatever their size and their file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from rasterio.io import MemoryFile

from artifact import ImageInput
from serving.errors import UnsupportedMediaError
from tests.conftest import make_contract
from tests.transformer.decode import decode_image
from tests.transformer.images import encode, seven
from transformer.colours import in_mode
from transformer.depth import DEPTHS, STRIP_PIXELS, levels_of
from transformer.image import ImageLimits
from transformer.pictures.preprocess import prepare

LIMITS = ImageLimits(1 << 24, 1 << 24)
SPEC = make_contract().input_as(ImageInput)
SIZES = (28, 60, 1200)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def tensor(data: bytes) -> NDArray[np.float32]:
    return prepare(decode_image(data, LIMITS), SPEC).tensor


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_that_uses_few_of_sixteen_bits_is_seen_as_in_eight(
    kind: str, bits: int, size: int
) -> None:
    grey = np.asarray(seven(size, size))
    deep = grey.astype(np.uint32) * ((1 << bits) - 1) // 255
    found = tensor(encode(Image.fromarray(deep.astype(np.uint16)), kind))
    assert np.abs(found - tensor(encode(Image.fromarray(grey)))).max() < 0.02


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("top", [0.5, 1.0, 255.0, 4095.0, 65535.0, 1e6])
def test_floats_are_seen_as_in_eight_bits(top: float, size: int) -> None:
    grey = np.asarray(seven(size, size))
    found = tensor(tiff((grey / 255 * top).astype(np.float32)))
    expected = grey if top != 0.5 else (grey // 2 + grey % 2)
    assert np.abs(found - tensor(encode(Image.fromarray(expected)))).max() < 0.02


GREY = np.asarray(seven(60, 50))
COLOURS = np.stack([GREY, 255 - GREY, np.full_like(GREY, 9)], 2)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bits_in_colour(bits: int, planar: str, alpha: bool) -> None:
    deep = (COLOURS.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    if alpha:
        deep = np.dstack([deep, np.full((50, 60), 65535, np.uint16)])
    data = tiff(
        deep if planar == "contig" else deep.transpose(2, 0, 1).copy(),
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["unassalpha"] if alpha else None,
    )
    found = np.asarray(in_mode(decode_image(data, LIMITS), "RGB"), int)
    assert np.abs(found - COLOURS).max() <= 1
    with MemoryFile() as memory:
        profile = {"driver": "PNG", "dtype": "uint16", "count": deep.shape[2]}
        with memory.open(**profile, height=50, width=60) as target:
            target.write(deep.transpose(2, 0, 1))
        data = bytes(memory.read())
    found = np.asarray(in_mode(decode_image(data, LIMITS), "RGB"), int)
    assert np.abs(found - COLOURS).max() <= 1


def test_deep_colours_stand_upright() -> None:
    data = tiff(
        COLOURS.astype(np.uint16) * 257, photometric="rgb", extratags=[(274, 3, 1, 6, True)]
    )
    found = np.asarray(decode_image(data, LIMITS))
    assert (found == np.rot90(COLOURS, -1)).all()


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        ((COLOURS / 255).astype(np.float32), "32-bit floating-point numbers in 3 bands"),
        ((COLOURS[..., 0] / 255).astype(np.float16), "16-bit floating-point numbers"),
        (COLOURS[..., 0].astype(np.int16), "signed numbers"),
    ],
)
def test_what_is_intact_is_never_called_damaged(pixels: NDArray[Any], kind: str) -> None:
    for options in ({}, {"compression": "zlib"}):
        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        with pytest.raises(UnsupportedMediaError, match=kind):
            decode_image(tiff(pixels, photometric=photometric, **options), LIMITS)


def test_strips_make_no_difference(random: np.random.Generator) -> None:
    pixels = random.integers(0, 4096, (3000, 700), np.uint16)
    assert pixels.size > STRIP_PIXELS
    found = levels_of(lambda start, stop: pixels[start:stop], *pixels.shape)
    expected = np.floor(pixels.astype(np.float32) * np.float32(255 / DEPTHS[2]) + np.float32(0.5))
    assert (found == expected).all()
