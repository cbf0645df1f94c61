"""TIFFs as GDAL writes them, beside what rasterio reads: each stands for its kind."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.rpc import RPC
from rasterio.windows import Window

from artifact import RasterInput
from serving.errors import InvalidRequestError, UnsupportedMediaError
from tests.conftest import make_segmentation_contract
from transformer.rasters.raster import Raster, RasterLimits
from transformer.rasters.tiff import TiffRaster
from transformer.segmentation.answers import mask_as_tiff
from transformer.segmentation.bands import BandReader, Choice
from transformer.segmentation.model import open_raster

LIMITS = RasterLimits(1 << 22, 4096, 1 << 22, 1 << 24)
CONTRACT = make_segmentation_contract(reduction=1)
SPEC = CONTRACT.input_as(RasterInput)
HEIGHT, WIDTH = 48, 64

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def smooth(bands: int, dtype: str = "uint8", top: float = 255) -> NDArray[Any]:
    """``(bands, height, width)`` that a JPEG hardly changes, each band another."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [np.sin(x / (9 + 2 * band)) + np.cos(y / (7 + band)) + 2 for band in range(bands)]
    return (np.stack(planes) / 4 * top).astype(dtype)


def gdal(pixels: NDArray[Any], mask: NDArray[np.bool_] | None = None, **options: Any) -> bytes:
    """A file that rasterio writes."""
    apart = ("gcps", "rpcs", "scales", "offsets")
    later = {name: options.pop(name) for name in apart if name in options}
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "count": len(pixels)}
    profile |= {"height": pixels.shape[1], "width": pixels.shape[2]}
    with (
        warnings.catch_warnings(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        MemoryFile() as memory,
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**{**profile, **options}) as target:
            target.write(pixels)
            for name, value in later.items():
                setattr(target, name, value)
            if mask is not None:
                target.write_mask(mask)
        return bytes(memory.read())


def expected(data: bytes) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """``(height, width, bands)`` and what has data, by the oracle."""
    with MemoryFile(data) as memory, memory.open() as source:
        return source.read().transpose(1, 2, 0), source.dataset_mask() != 0


def rows_of(raster: Raster, step: int = 7) -> NDArray[Any]:
    height = raster.layout.height
    parts = [raster.rows(start, min(start + step, height)) for start in range(0, height, step)]
    return np.concatenate(parts)


def read(data: bytes, **choice: Any) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """What the network gets, and which pixels have data."""
    raster = open_raster(data, LIMITS)
    bands = BandReader(raster, SPEC, Choice(**choice))
    strip = bands.read(0, bands.height)
    valid = strip.valid
    if valid is None:
        valid = np.ones(strip.pixels.shape[1:], np.bool_)
    return strip.pixels.transpose(1, 2, 0), valid


LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {},
    "strips of an odd length": {"blockysize": 16},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 16},
    "large tiles": {"tiled": True, "blockxsize": 128, "blockysize": 128},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_jpeg_of_any_bands_is_what_gdal_reads(bands: int, interleave: str, layout: str) -> None:
    options = {"compress": "jpeg", "jpeg_quality": 90, "interleave": interleave}
    options |= {"photometric": "minisblack"}
    data = gdal(smooth(bands), **options, **LAYOUTS[layout])
    found, (right, _) = rows_of(TiffRaster(data, LIMITS)), expected(data)
    assert np.abs(found.astype(int) - right).max() <= 1


def test_jpeg_of_colours_and_opacity_is_what_gdal_reads() -> None:
    pixels = smooth(4)
    pixels[3] = np.where(np.arange(WIDTH) < WIDTH // 2, 255, 0)
    data = gdal(pixels, compress="jpeg", jpeg_quality=95, photometric="rgb", alpha="yes")
    found, valid = read(data)
    assert np.abs(found[valid].astype(int) - pixels.transpose(1, 2, 0)[valid][:, :3]).mean() < 4
    assert (valid[:, : WIDTH // 2 - 8]).all()
    assert not valid[:, WIDTH // 2 + 8 :].any()


def test_a_jpeg_of_more_bands_is_named() -> None:
    data = gdal(smooth(5), compress="jpeg", interleave="band")
    assert rows_of(TiffRaster(data, LIMITS)).shape == (HEIGHT, WIDTH, 5)
    plain = io.BytesIO()
    tifffile.imwrite(plain, smooth(5).transpose(1, 2, 0), planarconfig="contig")
    with tifffile.TiffFile(io.BytesIO(plain.getvalue())) as file:
        place = file.pages.first.tags[259].valueoffset
    claimed = bytearray(plain.getvalue())
    claimed[place : place + 2] = (7).to_bytes(2, "little")
    with pytest.raises(UnsupportedMediaError, match="JPEG of 5 bands"):
        TiffRaster(bytes(claimed), LIMITS)


@pytest.mark.parametrize("options", [{"nodata": 7}, {"nodata": 0}, {}])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_were_never_written_have_no_data(
    interleave: str, options: dict[str, Any]
) -> None:
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": HEIGHT, "width": WIDTH}
    profile |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": interleave}
    with MemoryFile() as memory:
        with memory.open(**profile, sparse_ok=True, **options) as target:
            target.write(np.full((3, 16, 32), 99, np.uint8), window=Window(16, 16, 32, 16))
        data = bytes(memory.read())
    raster = TiffRaster(data, LIMITS)
    right, seen = expected(data)
    assert (rows_of(raster) == right).all()
    there = np.zeros((HEIGHT, WIDTH), np.bool_)
    there[16:32, 16:48] = True
    _, valid = read(data)
    assert (valid == there).all()
    if options:
        assert (valid == seen).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compress", ["none", "deflate", "jpeg"])
def test_masks_within_the_file_are_gdals(
    compress: str, layout: str, random: np.random.Generator
) -> None:
    mask = random.integers(0, 2, (HEIGHT, WIDTH), np.uint8).astype(np.bool_)
    options = {} if compress == "none" else {"compress": compress}
    data = gdal(smooth(3), mask, **options, **LAYOUTS[layout])
    with MemoryFile(data) as memory, memory.open() as source:
        assert source.mask_flag_enums[0] == [MaskFlags.per_dataset]
    assert (read(data)[1] == mask).all()
    assert (expected(data)[1] == mask).all()


def test_a_mask_is_found_behind_smaller_versions() -> None:
    mask = np.tri(256, 256, dtype=np.bool_)
    pixels = np.zeros((3, 256, 256), np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 256, "width": 256}
        with memory.open(**profile, tiled=True) as target:
            target.write(pixels)
            target.write_mask(mask)
            target.build_overviews([2, 4])
        data = bytes(memory.read())
    assert (read(data)[1] == mask).all()


def test_scale_and_offset_are_undone() -> None:
    reflectance = smooth(3, "float64", 0.9)
    scales, offsets = (0.0001, 0.0002, 0.0001), (-0.1, 0.0, -0.05)
    columns = np.array(scales)[:, None, None], np.array(offsets)[:, None, None]
    stored = np.rint((reflectance - columns[1]) / columns[0]).clip(0, 65535).astype(np.uint16)
    data = gdal(stored, scales=scales, offsets=offsets)
    right = np.rint(255 * reflectance).transpose(1, 2, 0)
    for dtype in ("uint16", "int32", "float32"):
        data = gdal(stored.astype(dtype), scales=scales, offsets=offsets)
        assert np.abs(read(data)[0] - right).max() <= 1
    # As people name full intensity: in the numbers of the file.
    data = gdal(stored[:1].repeat(3, 0), scales=scales[:1] * 3, offsets=offsets[:1] * 3)
    found = read(data, full_scale=10_000.0)[0]
    assert np.abs(found[..., 0] - right[..., 0]).max() <= 1


def test_a_scale_that_is_none_is_ignored() -> None:
    pixels = smooth(3)
    for scales in ((1.0, 1.0, 1.0), (0.0, 1.0, 1.0)):
        data = gdal(pixels, scales=scales)
        assert (read(data)[0] == pixels.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("driver", ["GTiff", "PNG"])
@pytest.mark.parametrize("bands", [3, 4])
def test_full_scale_is_of_the_files_own_depth(driver: str, bands: int) -> None:
    pixels = smooth(bands, "uint16", 2047)
    pixels[3:] = 65535
    data = gdal(pixels, driver=driver)
    right = np.rint(pixels[:3] * (255 / 2047)).transpose(1, 2, 0)
    assert np.abs(read(data, full_scale=2047.0, bands=(1, 2, 3))[0] - right).max() <= 1
    # Without it, sixteen bits are sixteen bits.
    assert read(data, bands=(1, 2, 3))[0].max() <= 8


def test_a_band_that_gdal_calls_opacity_is_one_by_its_number() -> None:
    pixels = smooth(4)
    pixels[3, :, 20:] = 0
    data = gdal(pixels)
    assert TiffRaster(data, LIMITS).layout.alpha
    found, valid = read(data, bands=(4, 1, 2))
    assert (found == pixels.transpose(1, 2, 0)[..., [3, 0, 1]]).all()
    assert valid.all()
    assert not read(data)[1][:, 20:].any()
    assert read(data, bands=(1, 2, 3), alpha=False)[1].all()
    with pytest.raises(InvalidRequestError, match="has 4 bands"):
        read(data, alpha=False)
    with pytest.raises(InvalidRequestError, match="names band 5; the image has 4"):
        read(data, bands=(5, 1, 2))


def answered(data: bytes) -> bytes:
    layout = TiffRaster(data, LIMITS).layout
    mask = np.zeros((layout.height, layout.width), np.uint8)
    return mask_as_tiff(mask, CONTRACT, layout.geography, None)


def test_ground_control_points_of_any_number_are_kept() -> None:
    points = [
        GroundControlPoint(row, column, 50 + column / 100, 40 - row / 100, 0.0)
        for row in range(0, HEIGHT)
        for column in range(0, WIDTH, 2)
    ]
    crs = rasterio.crs.CRS.from_epsg(4326)
    data = gdal(smooth(3), gcps=(points, crs))
    with MemoryFile(answered(data)) as memory, memory.open() as found:
        kept, kept_crs = found.gcps
    assert kept_crs == crs
    assert len(kept) == 1536
    places = [[(p.row, p.col, p.x, p.y) for p in some] for some in (kept, points)]
    assert places[0] == places[1]


def test_the_coefficients_of_a_camera_are_kept() -> None:
    some = [n / 7 for n in range(20)]
    rpc = RPC(1.5, 2.5, 40.0, 3.5, some, some[::-1], 4.5, 5.5, 50.0, 6.5, some, some, 7, 8)
    data = gdal(smooth(3), rpcs=rpc)
    kept = []
    for content in (data, answered(data)):
        with MemoryFile(content) as memory, memory.open() as found:
            kept.append(found.rpcs.to_dict())
    assert kept[0] == kept[1]
