"""Sample pictures, as the transformer would prepare them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from artifact import ImageInput
from common.processes import ROOT
from training.importing.errors import ImportRefusedError
from transformer.pictures.preprocess import prepare

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""What a file of samples may end in."""

MOST_PIXELS = 64_000_000


def samples(folder: Path | None) -> list[Path]:
    """Pictures to ask both networks: the user's, or those that are shipped.

    Raises:
        ImportRefusedError: the folder has none.
    """
    where = (folder or ROOT / "samples").resolve()
    found = sorted(p for p in where.rglob("*") if p.suffix.lower() in PICTURES)
    if folder and not found:
        raise ImportRefusedError(f"--samples {folder}: no pictures in it ({', '.join(PICTURES)})")
    return found


def tensors(paths: Iterable[str | Path], spec: ImageInput) -> NDArray[Any]:
    """A batch of the contract's shape, one instance a picture.

    Raises:
        ImportRefusedError: a file is no picture.
    """
    found = [prepare(read_picture(Path(path)), spec).tensor for path in paths]
    return np.stack(found) if found else np.zeros((0, *spec.shape), np.float32)


def read_picture(path: Path) -> Image.Image:
    """Decoded, upright; raises ImportRefusedError."""
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ImportRefusedError(f"{path.name} has more than {MOST_PIXELS} pixels")
            opened.load()
            return ImageOps.exif_transpose(opened)
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise ImportRefusedError(f"the picture {path.name} cannot be read: {error}") from None


def random_pictures(height: int, width: int, count: int) -> list[Image.Image]:
    """Random patches of light, the same ones each time."""
    random = np.random.default_rng(0)
    shape = (count, -(-height // 4), -(-width // 4), 3)
    coarse = random.integers(0, 256, shape, np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    return [Image.fromarray(patches[:height, :width]) for patches in coarse]


def random_tensors(spec: ImageInput, count: int) -> NDArray[Any]:
    """Instances of random patches of light, prepared as pictures of the network's size are."""
    pictures = random_pictures(spec.height, spec.width, count)
    return np.stack([prepare(picture, spec).tensor for picture in pictures])
