"""A mask on its way out: GeoTIFF, numpy file, PNG, picture with a legend."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from artifact import PhotographContract, SegmentationContract
from transformer.rasters.raster import GeoTag

GDAL_NODATA = 42113
BIG_BYTES = 4 << 30
STRIP_BYTES = 256 << 10
OPACITY = 0.5
"""Of the colours over the image in an overlay."""

OVERLAY_SIDE = 2048
"""Longest side of an overlay: it is for looking at."""


def npy_of(array: NDArray[np.uint8]) -> tuple[bytes, memoryview]:
    """What ``numpy.load`` reads: its header, and after it the array itself, not copied.

    Args:
        array: in C order.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue(), array.data.cast("B")


MaskContract = SegmentationContract | PhotographContract
"""A contract of masks: with labels, their colours, and what is left as it is."""


class Mask(NamedTuple):
    """A finished mask.

    Attributes:
        mask: ``(height, width)`` class indices, ``nodata`` where there is no data.
        nodata: that value; None where all pixels have data and the raster names none.
        pixels: of each class, in the order of the labels.
        levels: ``(classes, height, width)`` probabilities in 255ths, where they were asked for.
    """

    mask: NDArray[np.uint8]
    nodata: int | None
    pixels: list[int]
    levels: NDArray[np.uint8] | None = None


def mask_prediction(found: Mask, contract: MaskContract, encoding: str) -> dict[str, Any]:
    """A mask as JSON has it: how many pixels each label has, and the mask itself.

    Args:
        encoding: ``png``, ``npy`` or ``none``, of the mask.
    """
    left_out = contract.void if isinstance(contract, SegmentationContract) else None
    shares = shares_of(found.pixels)
    classes = [
        {
            "label": label,
            "class_id": index,
            "pixels": found.pixels[index],
            "share": round(shares[index], 6),
        }
        for index, label in enumerate(contract.labels)
        if index != left_out
    ]
    prediction: dict[str, Any] = {
        "width": found.mask.shape[1],
        "height": found.mask.shape[0],
        "classes": sorted(classes, key=lambda item: -item["pixels"]),
        "nodata": found.nodata,
    }
    if encoding != "none":
        data = (
            b"".join(npy_of(found.mask)) if encoding == "npy" else mask_as_png(found.mask, contract)
        )
        text = base64.b64encode(data).decode()
        prediction["mask"] = {"encoding": encoding, "base64": text}
    return prediction


def shares_of(pixels: Sequence[int]) -> list[float]:
    """Of all pixels together."""
    total = max(1, sum(pixels))
    return [count / total for count in pixels]


def mask_as_png(mask: NDArray[np.uint8], contract: MaskContract) -> bytes:
    """A paletted PNG whose pixel values are the class indices."""
    image = Image.fromarray(mask)
    image.putpalette([level for colour in contract.colours for level in colour])
    return as_png(image)


def mask_as_tiff(
    mask: NDArray[np.uint8],
    contract: SegmentationContract,
    geography: Sequence[GeoTag],
    nodata: int | None,
) -> bytes:
    """A GeoTIFF that lies exactly where the input did: its tags of place are copied as they are."""
    palette = np.zeros((3, 256), np.uint16)
    for index, colour in enumerate(contract.colours):
        palette[:, index] = [257 * level for level in colour]
    tags = [(tag.code, tag.kind, tag.length, tag.value, True) for tag in geography]
    if nodata is not None:
        tags.append((GDAL_NODATA, 2, 0, str(nodata), True))
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=mask.nbytes > BIG_BYTES // 2) as file:
        file.write(
            mask,
            photometric="palette",
            colormap=palette,
            compression="zlib",
            compressionargs={"level": 4},
            rowsperstrip=max(1, STRIP_BYTES // mask.shape[1]),
            extratags=tags,
            metadata=None,
            software=False,
        )
    return buffer.getvalue()


def overlay(
    picture: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    contract: MaskContract,
    shares: Sequence[float],
) -> Image.Image:
    """The image with its classes' colours over it, and a legend below.

    Args:
        picture: ``(h, w, 3)``, at most ``OVERLAY_SIDE`` a side.
        mask: ``(h, w)``, of the same size; ``contract.void``, and what is no label, leave the
            image as it is.
        shares: of the pixels with data, one per label.
    """
    count = len(contract.labels)
    palette = np.zeros((256, 3), np.float32)
    palette[:count] = contract.colours
    colours = palette[mask]
    seen = ((mask < count) & (mask != contract.void))[..., np.newaxis]
    mixed = np.where(seen, picture * (1 - OPACITY) + colours * OPACITY, picture)
    legend = _legend(contract, shares, picture.shape[1])
    height = picture.shape[0] + legend.height
    canvas = Image.new("RGB", (max(picture.shape[1], legend.width), height), "white")
    canvas.paste(Image.fromarray(np.rint(mixed).astype(np.uint8)), (0, 0))
    canvas.paste(legend, (0, picture.shape[0]))
    return canvas


def as_png(image: Image.Image) -> bytes:
    """An encoded picture; a fast one, as its pixels are looked at once."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def overlay_step(height: int, width: int) -> int:
    """Every how many pixels an overlay takes one."""
    return math.ceil(max(height, width) / OVERLAY_SIDE)


def _legend(contract: MaskContract, shares: Sequence[float], width: int) -> Image.Image:
    """A square and a share a class, in as many rows as the width asks for."""
    font = ImageFont.load_default(14)
    entries = [
        (f"{label}  {share:.1%}", colour)
        for index, (label, share, colour) in enumerate(
            zip(contract.labels, shares, contract.colours, strict=True)
        )
        if index != contract.void
    ]
    cell = 44 + max(int(font.getlength(text)) for text, _ in entries)
    columns = max(1, width // cell)
    rows = math.ceil(len(entries) / columns)
    image = Image.new("RGB", (max(cell, min(width, columns * cell)), 12 + 24 * rows), "white")
    draw = ImageDraw.Draw(image)
    for number, (text, colour) in enumerate(entries):
        x, y = number % columns * cell + 12, number // columns * 24 + 10
        draw.rectangle((x, y, x + 16, y + 14), fill=colour, outline="black")
        draw.text((x + 24, y - 2), text, fill="black", font=font)
    return image
