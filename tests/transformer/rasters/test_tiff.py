from __future__ import annotations

import io
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from serving.errors import MalformedRequestError, ServingError, TooLargeError, UnsupportedMediaError
from transformer.rasters.raster import RasterLimits
from transformer.rasters.tiff import TiffRaster

LIMITS = RasterLimits(4_000_000, 100_000, 4_000_000, 64 << 20)
HEIGHT, WIDTH = 103, 77

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{NotGeoreferencedWarning.__module__}.{NotGeoreferencedWarning.__name__}"
)


def picture(dtype: str, bands: int = 3) -> NDArray[Any]:
    random = np.random.default_rng(1)
    steps = random.integers(-3, 4, (bands, HEIGHT, WIDTH)).cumsum(axis=2)
    return (steps * (0.37 if dtype.startswith("f") else 1)).astype(dtype)


def encoded(values: NDArray[Any], **options: Any) -> bytes:
    """A TIFF as GDAL writes it."""
    bands, height, width = values.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=height,
            width=width,
            count=bands,
            dtype=values.dtype.name,
            **options,
        ) as file:
            file.write(values)
        return bytes(memory.read())


def read(data: bytes, step: int = 17) -> NDArray[Any]:
    raster = TiffRaster(data, LIMITS)
    height = raster.layout.height
    parts = [raster.rows(i, min(height, i + step)) for i in range(0, height, step)]
    return np.concatenate(parts)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"compress": "lzw"},
        {"compress": "lzw", "predictor": 2},
        {"compress": "deflate", "predictor": 2},
        {"compress": "packbits"},
        {"compress": "zstd"},
        {"compress": "lzw", "interleave": "band", "predictor": 2},
        {"compress": "deflate", "tiled": True, "blockxsize": 32, "blockysize": 48},
        {"tiled": True, "blockxsize": 64, "blockysize": 16, "interleave": "band"},
        {"BIGTIFF": "YES", "compress": "deflate", "ENDIANNESS": "BIG", "predictor": 2},
    ],
    ids=lambda storage: "-".join(str(v) for v in storage.values()) or "plain",
)
def test_what_gdal_writes_is_read_to_the_last_bit(dtype: str, storage: dict[str, Any]) -> None:
    values = picture(dtype)
    found = read(encoded(values, **storage))
    assert found.dtype == values.dtype
    assert (found == values.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("tiled", [False, True])
def test_differences_of_floats(tiled: bool) -> None:
    values = picture("float32", 2)
    options = {"tiled": True, "blockxsize": 32, "blockysize": 32} if tiled else {}
    found = read(encoded(values, compress="deflate", predictor=3, **options))
    assert (found == values.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("photometric", ["RGB", "YCBCR"])
def test_jpeg_strips(photometric: str) -> None:
    values = np.tile(np.arange(64, 192, dtype=np.uint8), (3, HEIGHT, 1))
    data = encoded(values, compress="jpeg", photometric=photometric)
    found = read(data).astype(int)
    assert np.abs(found - values.transpose(1, 2, 0)).max() <= 4


def test_real_files_as_rasterio_reads_them(data: Path) -> None:
    for path in sorted((data / "geotiff").glob("*.tif")):
        with rasterio.open(path) as file:
            expected, nodata, alpha = file.read(), file.nodata, "alpha" in path.name
        raster = TiffRaster(path.read_bytes(), LIMITS)
        layout = raster.layout
        assert (layout.bands + layout.alpha, layout.height, layout.width) == expected.shape
        assert (layout.nodata, layout.alpha) == (nodata, alpha)
        assert layout.geography
        assert (raster.rows(0, layout.height) == expected.transpose(1, 2, 0)).all(), path.name


def test_rows_in_any_step_are_the_same_rows() -> None:
    data = encoded(picture("uint8"), compress="lzw")
    assert (read(data, 1) == read(data, HEIGHT)).all()


def test_a_declared_size_over_the_limit_is_refused_before_it_is_read() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((8, 8), np.uint8), metadata=None)
    data = bytearray(buffer.getvalue())
    at = struct.unpack_from("<I", data, 4)[0] + 2
    for entry in range(struct.unpack_from("<H", data, at - 2)[0]):
        code = struct.unpack_from("<H", data, at + 12 * entry)[0]
        if code in (256, 257):
            struct.pack_into("<HII", data, at + 12 * entry + 2, 4, 1, 2_000_000_000)
    with pytest.raises(TooLargeError, match="the limit is 4000000 pixels"):
        TiffRaster(bytes(data), LIMITS)


@pytest.mark.parametrize("length", [0, 8, 60, 300, 4000])
def test_a_cut_off_file_is_refused(length: int) -> None:
    data = encoded(picture("uint8"))[:length]
    with pytest.raises(MalformedRequestError, match="damaged or cut off"):
        read(data)


def test_a_file_that_points_to_itself_ends() -> None:
    data = b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8)
    with pytest.raises(MalformedRequestError):
        TiffRaster(data, LIMITS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compress": "lzma"}, "compression 34925 is not read"),
        ({"nbits": 4}, "packed or reversed bits"),
        ({"photometric": "CMYK"}, "colour space 5"),
    ],
)
def test_what_is_not_read_is_named(options: dict[str, Any], message: str) -> None:
    bands = 4 if "photometric" in options else 3
    with pytest.raises(UnsupportedMediaError, match=message):
        TiffRaster(encoded(picture("uint8", bands) & 15, **options), LIMITS)


@pytest.mark.parametrize("seed", range(6))
def test_changed_bytes_are_refused_in_good_time(seed: int) -> None:
    """Real structures with random damage: an answer or a 4xx, never anything else."""
    random = np.random.default_rng(seed)
    options: list[dict[str, Any]] = [
        {},
        {"compress": "lzw", "predictor": 2},
        {"compress": "deflate", "tiled": True, "blockxsize": 32, "blockysize": 32},
        {"compress": "jpeg"},
        {"BIGTIFF": "YES"},
        {"compress": "packbits", "interleave": "band"},
    ]
    whole = encoded(picture("uint8"), **options[seed])
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        reach = len(data) if random.random() < 0.5 else min(len(data), 400)
        for place in random.integers(0, reach, random.integers(1, 6)):
            data[place] = random.integers(256)
        started = time.process_time()
        try:
            read(bytes(data), HEIGHT)
        except ServingError as error:
            assert 400 <= error.status < 500
            refused += 1
        assert time.process_time() - started < 5
    assert refused
