"""What a raster takes is bounded by the settings, whatever its file says of itself."""

from __future__ import annotations

import io
import math
import struct

import numpy as np
import pytest
import tifffile

from serving.errors import MalformedRequestError, TooLargeError
from tests.conftest import make_segmentation_contract
from tests.memory import peak_growth
from transformer.rasters.raster import RasterLimits
from transformer.rasters.tiff import TiffRaster
from transformer.rasters.tiff_parts import WINDOW_BYTES
from transformer.segmentation.bands import BandReader, Choice
from transformer.segmentation.model import open_raster

SETUP = """
import io
import math
import struct
import numpy as np
import tifffile
from PIL import Image
from serving.errors import ServingError
from tests.conftest import make_segmentation_contract
from tests.transformer.rasters.test_raster_memory import LIMITS, sparse, walk
"""
LIMITS = RasterLimits(160_000_000, 200_000, 40_000_000, 128 << 20)
"""The settings' defaults."""


def walk(data: bytes, choice: Choice) -> str:
    """Read a raster from top to bottom, or be refused."""
    spec = make_segmentation_contract().input
    try:
        bands = BandReader(open_raster(data, LIMITS), spec, choice)  # type: ignore[arg-type]
    except TooLargeError as error:
        return error.message
    step = bands.rows_per_chunk
    for start in range(0, bands.height, step):
        bands.read(start, min(start + step, bands.height))
    return "read"


def sparse(side: int, bands: int, bits: int, rows: int, tile: int = 0) -> bytes:
    """A TIFF of less than a KiB (but for its lists of offsets) without a single pixel in it."""
    parts = math.ceil(side / tile) ** 2 if tile else math.ceil(side / rows)
    place = 4096
    short, long = 3, 4
    lists = place + 2 * bands
    tags = [
        (256, long, 1, side),
        (257, long, 1, side),
        (258, short, bands, place if bands > 2 else bits | bits << 16),
        (259, short, 1, 1),
        (262, short, 1, 1),
        (277, short, 1, bands),
        (339, short, 1, 3 if bits > 16 else 1),
        (338, short, 1, 0),
    ]
    if tile:
        tags += [(322, long, 1, tile), (323, long, 1, tile)]
        codes = (324, 325)
    else:
        tags += [(278, long, 1, rows)]
        codes = (273, 279)
    for code, offset in zip(codes, (lists, lists + 4 * parts), strict=True):
        tags.append((code, long, parts, offset if parts > 1 else 0))
    tags.sort()
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    head += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return head.ljust(place, b"\0") + struct.pack("<H", bits) * bands + bytes(8 * parts)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("sparse(4000, 64, 64, 4000)", "the limit is 5120000000 bytes"),
        ("sparse(3000, 64, 64, 3000)", "read"),
        ("sparse(12_000, 3, 32, 12_000)", "read"),
        ("sparse(12_000, 64, 64, 16)", "the limit is 5120000000 bytes"),
        ("sparse(3000, 64, 64, 3000, tile=512)", "a row of tiles of the TIFF has"),
        ("sparse(3000, 64, 64, 3000, tile=16)", "read"),
    ],
)
def test_a_tiff_without_pixels_takes_no_more_than_a_window(data: str, answer: str) -> None:
    measured = "from transformer.segmentation.bands import Choice\n"
    measured += f"found = walk({data}, Choice((1, 2, 3), 1.0))\nassert {answer!r} in found, found\n"
    assert peak_growth(SETUP, measured) < 200


def test_a_compressed_strip_that_is_longer_than_the_limit_is_refused() -> None:
    """150 MB of zeros, in some kilobytes."""
    setup = SETUP + (
        "buffer = io.BytesIO()\n"
        "tifffile.imwrite(buffer, np.zeros((7000, 7000, 3), np.uint8), photometric='rgb',"
        " compression='zlib', rowsperstrip=7000)\n"
        "data = buffer.getvalue()\n"
        "del buffer\n"
    )
    measured = (
        "from transformer.segmentation.bands import Choice\n"
        "found = walk(data, Choice())\n"
        "assert 'a strip of the TIFF has 147000000 bytes' in found, found\n"
    )
    assert peak_growth(setup, measured) < 32


def test_a_picture_of_160_million_pixels_is_refused_by_its_header() -> None:
    setup = SETUP + (
        "buffer = io.BytesIO()\n"
        "Image.new('L', (16_000, 10_000)).save(buffer, 'PNG')\n"
        "data = buffer.getvalue()\n"
        "del buffer\n"
    )
    measured = (
        "from transformer.segmentation.bands import Choice\n"
        "found = walk(data, Choice((1, 1, 1)))\n"
        "assert 'the limit of such is 40000000 pixels' in found, found\n"
    )
    assert peak_growth(setup, measured) < 8


def test_the_largest_picture_is_in_memory_once() -> None:
    """40 million pixels, which Pillow holds in four bytes each."""
    setup = SETUP + (
        "buffer = io.BytesIO()\n"
        "Image.new('RGB', (8000, 5000), (1, 2, 3)).save(buffer, 'PNG')\n"
        "data = buffer.getvalue()\n"
        "del buffer\n"
    )
    measured = (
        "from transformer.segmentation.bands import Choice\nassert walk(data, Choice()) == 'read'\n"
    )
    assert peak_growth(setup, measured) < 160 + 80


@pytest.mark.parametrize("rows", [100, 37])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_uncompressed_strips_are_read_in_parts(
    rows: int, planar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    pixels = random.integers(0, 60_000, (100, 50, 3), np.uint16)
    shown = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        shown,
        byteorder=">",
        photometric="rgb",
        planarconfig=planar,
        rowsperstrip=rows,
    )
    monkeypatch.setattr("transformer.rasters.tiff_parts.WINDOW_BYTES", 50 * 3 * 2 * 7)
    raster = TiffRaster(buffer.getvalue(), LIMITS)
    assert raster._parts._part[0] <= 7
    found = np.concatenate([raster.rows(i, min(i + 9, 100)) for i in range(0, 100, 9)])
    assert (found == pixels).all()
    cut = buffer.getvalue()[:-40]
    with pytest.raises(MalformedRequestError):
        raster = TiffRaster(cut, LIMITS)
        raster.rows(90, 100)
    assert WINDOW_BYTES > 1 << 20


@pytest.mark.parametrize("big", [False, True])
def test_tags_that_share_their_values_are_refused(big: bool) -> None:
    """400 tags of a million numbers each, all in the same place: 16 GB once they are read."""
    count, values = 400, 1 << 20
    order = struct.Struct("<HHQQ" if big else "<HHII")
    place = 4096 * 4
    entries = b"".join(order.pack(1000 + n, 3, values, place) for n in range(count))
    head = (
        struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, count)
        if big
        else (struct.pack("<2sHIH", b"II", 42, 8, count))
    )
    data = (head + entries).ljust(place, b"\0") + bytes(2 * values)
    with pytest.raises(MalformedRequestError):
        TiffRaster(data, LIMITS)
