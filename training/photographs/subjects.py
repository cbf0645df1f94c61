"""Digits on paper and boards, garments laid out or cut out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.photographs.scene import Photograph, choose_view, encode, expose, light, texture
from training.photographs.strokes import SCALE, draw
from transformer.frames.subject.regions import find_regions

PENS = {"pen": (0.9, 1.7), "marker": (2.0, 3.4), "pencil": (0.9, 2.0), "chalk": (1.4, 3.0)}
"""Width of the line, in pixels of the data set's 28, by what it is drawn with."""

QUALITIES = (40, 96)
DEGREES = 15.0
TILT = 0.06

GAP = 12
"""Pixels of the data set from which on nothing inside a garment is its background, not white."""


def photograph_digit(
    digit: NDArray[np.uint8], kind: str, share: float, random: np.random.Generator
) -> Photograph:
    """A digit drawn by hand.

    Args:
        digit: ``(28, 28)`` intensities, light on dark.
        kind: a key of ``PENS``.
        share: of the digit's longest side in the frame's shorter side.
    """
    drawing = draw(digit, random.uniform(*PENS[kind]))
    inner = drawing.point(lambda v: 255 if v > 64 else 0).getbbox() or (0, 0, *drawing.size)
    view = choose_view(random, inner, share, DEGREES, TILT)
    cover = np.asarray(view.project(drawing), np.float32) / 255
    if kind in ("pencil", "chalk"):  # what rubs off on the grain of the ground
        cover = cover * np.clip(texture(random, view.size, 0.12), 0, 1)
    ground, ink = _tones(kind, random)
    ground_plane = ground * texture(random, view.size, random.uniform(0, 0.02))
    scene = ground_plane * (1 - cover) + ink * cover
    scene = scene * light(random, view.size, 0.55)
    line = min(view.box[2] - view.box[0], view.box[3] - view.box[1]) / 20
    blur = random.uniform(0, 1) * min(1.6, 0.6 + line / 8)
    picture = expose(
        random,
        scene,
        [(1 - cover, _tint(random, 0.06)), (cover, _tint(random, 0.25))],
        blur,
        random.uniform(0.004, 0.035),
    )
    return Photograph(encode(picture, int(random.integers(*QUALITIES))), view.box, share)


def photograph_garment(
    garment: NDArray[np.uint8], kind: str, share: float, random: np.random.Generator
) -> Photograph:
    """A garment on a plain background; the data set has the negatives of such pictures.

    Args:
        garment: ``(28, 28)`` intensities, 0 around it.
        kind: ``flat-lay`` or ``cut-out``, and ``light`` or ``dark``, the background.
        share: of the garment's longest side in the frame's shorter side.
    """
    manner, ground_kind = kind.split(", ")
    outline = outline_of(garment)
    size = (garment.shape[1] * SCALE, garment.shape[0] * SCALE)
    shape = Image.fromarray(outline.astype(np.uint8) * 255).resize(size, Image.Resampling.BICUBIC)
    shape = shape.filter(ImageFilter.GaussianBlur(SCALE / 3)).point(_sharpened)
    fabric = unmixed(garment, outline)
    # Of each garment there is a light and a dark one: the data set's and its negative.
    tone = float(np.median(fabric[outline])) / 255 if outline.any() else 0.5
    if (tone < 0.5) == (ground_kind == "dark"):
        fabric, tone = 255 - fabric, 1 - tone
    if 0.35 < tone < 0.65 and random.random() < 0.5:
        fabric, tone = 255 - fabric, 1 - tone
    tones = Image.fromarray(fabric).resize(size, Image.Resampling.BICUBIC)
    inner = shape.point(lambda v: 255 if v > 127 else 0).getbbox() or (0, 0, *shape.size)
    flat = manner == "flat-lay"
    view = choose_view(random, inner, share, DEGREES if flat else 5.0, TILT if flat else 0.0)
    cover = np.asarray(view.project(shape), np.float32) / 255
    cloth = 0.04 + 0.92 * np.asarray(view.project(tones), np.float32) / 255
    ground = _ground(ground_kind, tone, random)
    if not flat:
        # As shops cut them out: an even background, no shadow.
        ground = 1.0 if ground_kind == "light" and random.random() < 0.5 else ground
        scene = np.clip(ground * (1 - cover) + cloth * cover, 0, 1)
        picture = Image.fromarray((scene * 255 + 0.5).astype(np.uint8)).convert("RGB")
        quality = None if random.random() < 0.3 else int(random.integers(70, 96))
        return Photograph(encode(picture, quality), view.box, share)
    shadow = Image.fromarray((cover * 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(max(2.0, 0.02 * min(view.size)))
    )
    dimmed = 1 - random.uniform(0, 0.35) * np.asarray(shadow, np.float32) / 255
    weave = texture(random, view.size, random.uniform(0, 0.02))
    scene = ground * weave * dimmed * (1 - cover) + cloth * cover
    picture = expose(
        random,
        scene * light(random, view.size, 0.4),
        [(1 - cover, _tint(random, 0.1)), (cover, _tint(random, 0.25))],
        random.uniform(0, 1.5),
        random.uniform(0.004, 0.03),
    )
    return Photograph(encode(picture, int(random.integers(*QUALITIES))), view.box, share)


def outline_of(garment: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the garment is: all that cannot be reached from the edge over the background.

    A large gap in it, as under the handle of a bag, is background as well.
    """
    free = np.pad(garment < 6, 1, constant_values=True)
    reached = np.zeros_like(free)
    reached[0] = reached[-1] = reached[:, 0] = reached[:, -1] = True
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= free
        if (grown == reached).all():
            return ~(reached | _large(free & ~reached))[1:-1, 1:-1]
        reached = grown


def _large(gaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    regions = find_regions(gaps, gaps.astype(np.float32))
    return np.isin(regions.labels, 1 + np.flatnonzero(np.array(regions.masses) >= GAP))


def unmixed(garment: NDArray[np.uint8], outline: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The garment without what its edge has of the white ground that it was photographed on."""
    inside = np.pad(outline, 1)
    inside = inside[1:-1, 2:] & inside[1:-1, :-2] & inside[2:, 1:-1] & inside[:-2, 1:-1]
    grown = np.asarray(Image.fromarray(garment * inside).filter(ImageFilter.MaxFilter(3)))
    return np.where(inside, garment, np.maximum(garment, grown))


def _sharpened(value: int) -> int:
    return max(0, min(255, round((value - 127.5) * 3 + 127.5)))


def _tones(kind: str, random: np.random.Generator) -> tuple[float, float]:
    """Reflectance of ground and ink."""
    if kind == "chalk":
        ground = random.uniform(0.08, 0.25)
        return ground, random.uniform(ground + 0.35, 0.95)
    ground = random.uniform(0.6, 0.98)
    darkness = (0.3, 0.6) if kind == "pencil" else (0.55, 0.95)
    return ground, ground * (1 - random.uniform(*darkness))


def _ground(kind: str, tone: float, random: np.random.Generator) -> float:
    """Reflectance of a background that a garment of that tone is seen on."""
    low, high = (0.7, 0.97) if kind == "light" else (0.03, 0.3)
    tries = random.uniform(low, high, 8)
    return float(tries[np.argmax(np.abs(tries - tone) >= min(0.25, abs(tries - tone).max()))])


def _tint(random: np.random.Generator, depth: float) -> tuple[float, float, float]:
    red, green, blue = random.uniform(1 - depth, 1 + depth, 3)
    return float(red), float(green), float(blue)
