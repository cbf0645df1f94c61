"""What a TIFF says beside its pixels: place, missing data, scale, opacity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree

import tifffile

from transformer.rasters.raster import GeoTag

GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 50844)
"""What a GeoTIFF says of its place (OGC 19-008r4): pixel scale, tie points or ground control
points, transformation, and the three tags of geo keys; and RPCs, the coefficients of a satellite's
camera."""

GDAL_METADATA, GDAL_NODATA = 42112, 42113
MAX_METADATA_BYTES = 1 << 18

OPACITIES = (1, 2)
"""ExtraSamples that are opacity: premultiplied or not."""


def geography(page: tifffile.TiffPage) -> Iterator[GeoTag]:
    """Tags that place the image on the ground, as they are."""
    for code in GEO_TAGS:
        tag = page.tags.get(code)
        if tag is not None:
            yield GeoTag(code, int(tag.dtype), tag.count, tag.value)


def nodata(page: tifffile.TiffPage) -> float | None:
    """GDAL's value of pixels without data."""
    tag = page.tags.get(GDAL_NODATA)
    if tag is None:
        return None
    try:
        return float(str(tag.value).strip().strip("\x00"))
    except ValueError:
        return None


def has_alpha(page: tifffile.TiffPage) -> bool:
    """Whether the last band is opacity."""
    extra = page.extrasamples
    return page.samplesperpixel > 1 and bool(extra) and int(extra[-1]) in OPACITIES


def scaling(page: tifffile.TiffPage) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """GDAL's scale and offset of each band; two empty tuples where none is other than 1 and 0."""
    tag = page.tags.get(GDAL_METADATA)
    bands = page.samplesperpixel
    scales, offsets = [1.0] * bands, [0.0] * bands
    # No entities: they can unfold.
    if tag is None or len(str(tag.value)) > MAX_METADATA_BYTES or "<!" in str(tag.value):
        return (), ()
    try:
        items = ElementTree.fromstring(str(tag.value).strip("\x00")).iter("Item")  # noqa: S314
        for item in items:
            target = {"scale": scales, "offset": offsets}.get(item.get("role", ""))
            band, number = int(item.get("sample", "-1")), float(item.text or "nan")
            if target is not None and 0 <= band < bands and math.isfinite(number):
                target[band] = number
    except (ElementTree.ParseError, ValueError):
        return (), ()
    if 0.0 in scales or (scales == [1.0] * bands and offsets == [0.0] * bands):
        return (), ()
    return tuple(scales), tuple(offsets)
