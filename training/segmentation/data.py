"""Aerial images with a mask each: reading, their split, and batches of augmented crops."""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from artifact import RasterInput
from training.segmentation.settings import SegmentationSettings

VOID = 0
"""The class of pixels that nobody annotated: neither trained on nor counted."""

LABELS = ("unlabelled", "building", "land", "road", "vegetation", "water")

COLOURS = (
    (155, 155, 155),
    (60, 16, 152),
    (132, 41, 246),
    (110, 193, 228),
    (254, 221, 58),
    (226, 169, 41),
)
"""Of the masks, in the order of ``LABELS``; black is no annotation at all."""

VALIDATION_PARTS = (9,)
TEST_PARTS = (3, 8)
"""Of every scene. Parts are neighbours: the splits share the scene, but no pixel."""

_MEMBER = re.compile(r"Tile (\d+)/images/image_part_(\d+)\.jpg")
_POINTS = 256
"""Pixels of each class of each image that a crop may be centred on."""


@dataclass(frozen=True)
class AnnotatedImage:
    """``image``: (h, w, 3) uint8; ``mask``: (h, w) uint8, an index of ``LABELS`` a pixel."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class AerialData:
    """A data set in its three parts; ``digest`` is over all pixels and masks."""

    name: str
    train: tuple[AnnotatedImage, ...]
    validation: tuple[AnnotatedImage, ...]
    test: tuple[AnnotatedImage, ...]
    digest: str


def load_aerial(folder: Path) -> AerialData:
    """Read ``segmentation/dubai-aerial/originals.zip`` of the data folder.

    Raises:
        ValueError: it is not there, or a mask has a colour that is no class's.
    """
    path = folder / "segmentation" / "dubai-aerial" / "originals.zip"
    if not path.exists():
        raise ValueError(f"{path} is missing; say where the data folder is with DATA=…")
    parts: dict[str, list[AnnotatedImage]] = {"train": [], "validation": [], "test": []}
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        names = [(m, name) for name in archive.namelist() if (m := _MEMBER.fullmatch(name))]
        for match, name in sorted(names, key=lambda item: (int(item[0][1]), int(item[0][2]))):
            part = int(match[2])
            mask_name = name.replace("/images/", "/masks/").replace(".jpg", ".png")
            image = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            mask = read_mask(archive.read(mask_name))
            digest.update(image.tobytes())
            digest.update(mask.tobytes())
            split = "train"
            if part in VALIDATION_PARTS:
                split = "validation"
            elif part in TEST_PARTS:
                split = "test"
            parts[split].append(AnnotatedImage(f"t{match[1]}_p{part:03}", image, mask))
    return AerialData(
        "dubai-aerial",
        tuple(parts["train"]),
        tuple(parts["validation"]),
        tuple(parts["test"]),
        "sha256:" + digest.hexdigest(),
    )


def read_mask(data: bytes) -> NDArray[np.uint8]:
    """A coloured mask as class indices; black becomes ``VOID``.

    Raises:
        ValueError: a colour is no class's.
    """
    colours = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int32)
    codes = (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]
    mask = np.full(codes.shape, 255, np.uint8)
    mask[codes == 0] = VOID
    for index, (red, green, blue) in enumerate(COLOURS):
        mask[codes == (red << 16) | (green << 8) | blue] = index
    if (mask == 255).any():
        wrong = colours[mask == 255][0]
        raise ValueError(f"a mask has the colour {tuple(wrong.tolist())}, which is no class's")
    return mask


def mean_and_std(images: tuple[AnnotatedImage, ...]) -> tuple[list[float], list[float]]:
    """A band each, over all pixels, in units of full intensity, to four decimals."""
    count = sum(item.mask.size for item in images)
    total = sum(item.image.sum((0, 1), dtype=np.float64) for item in images)
    squares = sum(np.square(item.image, dtype=np.float64).sum((0, 1)) for item in images)
    mean = total / count
    std = np.sqrt(squares / count - mean**2)
    return [round(float(v) / 255, 4) for v in mean], [round(float(v) / 255, 4) for v in std]


def class_shares(images: tuple[AnnotatedImage, ...]) -> NDArray[np.float64]:
    """Share of each class among the annotated pixels; 0 for ``VOID``."""
    counts = sum(np.bincount(item.mask.ravel(), minlength=len(LABELS)) for item in images)
    shares = np.asarray(counts, np.float64)
    shares[VOID] = 0
    shares /= shares.sum()
    return shares


def reduced(item: AnnotatedImage, factor: int) -> AnnotatedImage:
    """The image with ``factor`` × ``factor`` pixels averaged into one, as serving does.

    Of the mask, every block's middle pixel is kept.
    """
    if factor == 1:
        return item
    image = np.asarray(Image.fromarray(item.image).reduce(factor))
    mask = item.mask[factor // 2 :: factor, factor // 2 :: factor]
    height, width = mask.shape
    return AnnotatedImage(item.name, image[:height, :width], np.ascontiguousarray(mask))


def tile_of(item: AnnotatedImage, spec: RasterInput) -> NDArray[np.uint8]:
    """The largest tile from an image's upper left corner, ``(1, bands, h, w)``."""
    pixels = reduced(item, spec.reduction).image
    height, width = (
        min(side // spec.multiple * spec.multiple, spec.tile) for side in pixels.shape[:2]
    )
    return np.ascontiguousarray(pixels[:height, :width].transpose(2, 0, 1)[None])


Batch = tuple[Tensor, Tensor]
"""Crops ``(n, 3, crop, crop)`` float32 in units of full intensity, masks ``(n, crop, crop)``."""


class RandomCrops:
    """An epoch of crops, as many as cover the training images once.

    Every crop is turned by any angle, mirrored, scaled and recoloured; what lies outside of the
    picture is ``VOID``. All of it follows from ``generator``, so a run can be resumed.
    """

    def __init__(
        self,
        images: tuple[AnnotatedImage, ...],
        settings: SegmentationSettings,
        generator: torch.Generator,
    ) -> None:
        images = tuple(reduced(item, settings.reduction) for item in images)
        self._pictures = [Image.fromarray(item.image) for item in images]
        self._masks = [Image.fromarray(item.mask) for item in images]
        self._settings = settings
        self._generator = generator
        areas = np.array([item.mask.size for item in images], np.float64)
        # Between every image alike and every pixel alike: they differ by a factor of 13.
        self._chances = np.sqrt(areas) / np.sqrt(areas).sum()
        self._steps = max(1, int(areas.sum() / settings.crop**2 / settings.batch_size))
        random = np.random.default_rng(0)
        self._points: list[list[NDArray[np.int64]]] = []
        for item in images:
            found = [np.argwhere(item.mask == index) for index in range(1, len(LABELS))]
            self._points.append(
                [random.choice(p, _POINTS) for p in found if len(p)]
                or [np.array([[item.mask.shape[0] // 2, item.mask.shape[1] // 2]])]
            )

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        seed = int(torch.randint(2**62, (), generator=self._generator))
        random = np.random.default_rng(seed)
        for _ in range(self._steps):
            pairs = [self._crop(random) for _ in range(self._settings.batch_size)]
            images = torch.stack([image for image, _ in pairs])
            yield (
                images.contiguous(memory_format=torch.channels_last),
                torch.stack([mask for _, mask in pairs]),
            )

    def _crop(self, random: np.random.Generator) -> Batch:
        settings = self._settings
        index = int(random.choice(len(self._pictures), p=self._chances))
        picture, mask = self._pictures[index], self._masks[index]
        if random.random() < settings.centred:
            points = self._points[index]
            of_class = points[random.integers(len(points))]
            y, x = of_class[random.integers(len(of_class))]
        else:
            y, x = random.integers(picture.height), random.integers(picture.width)
        scale = settings.zoom ** random.uniform(-1, 1)
        half = 0.35 * settings.crop * scale
        cx = _inwards(float(x), half, picture.width)
        cy = _inwards(float(y), half, picture.height)
        angle = random.uniform(0, 2 * math.pi)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        mirror = -1.0 if random.random() < 0.5 else 1.0
        # From a pixel of the crop to one of the picture, as Pillow wants it.
        centre = settings.crop / 2
        a, b, d, e = cos * mirror, -sin, sin * mirror, cos
        matrix = (a, b, cx - (a + b) * centre, d, e, cy - (d + e) * centre)
        size = (settings.crop, settings.crop)
        cut = picture.transform(
            size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=0
        )
        classes = mask.transform(
            size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=VOID
        )
        image = torch.from_numpy(np.array(cut)).permute(2, 0, 1).float() / 255
        return _recolour(image, settings.colour, random), torch.from_numpy(np.array(classes)).long()


def _inwards(centre: float, half: float, size: int) -> float:
    """``centre`` moved so far from the border that most of the crop lies in the picture."""
    if 2 * half >= size:
        return size / 2
    return min(max(centre, half), size - half)


def _recolour(image: Tensor, strength: float, random: np.random.Generator) -> Tensor:
    if not strength:
        return image
    gains = 1 + random.uniform(-strength, strength) + random.uniform(-0.3, 0.3, 3) * strength
    contrast = 1 + random.uniform(-strength, strength)
    shift = random.uniform(-0.5, 0.5) * strength
    middle = float(image.mean())
    factor = torch.from_numpy(gains * contrast).float()[:, None, None]
    return (image * factor + (middle * (1 - contrast) + shift)).clamp_(0, 1)
