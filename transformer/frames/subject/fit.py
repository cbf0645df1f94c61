"""A subject in the frame that a network was trained on, light on black."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from artifact import SubjectFrame
from transformer.frames.subject.ground import Plane

FINE = 4
"""Times the frame's resolution in which strokes are fitted and placed."""

STEP_DEGREES = 1.5
CLEARLY_LESS = 0.93
"""Share of its box's area below which a solid is taken to lie askew."""

SHARPENED = ImageFilter.UnsharpMask(radius=0.5, percent=50, threshold=0)
MOST_GAIN = 1.2
"""Of a solid's tones, up to full: what light and shade took. A grey garment stays grey."""

INK_FROM, INK_TO = 0.2, 0.9
"""Shares of a line's usual contrast that become black and full ink: noise and soft edges go."""


def fit(contrast: Plane, frame: SubjectFrame, size: tuple[int, int]) -> Image.Image:
    """The subject in its box.

    Args:
        contrast: ``(h, w)``, 0 where the subject is not, up to 1.
        size: width and height of the frame.
    """
    if frame.stroke is None:
        solid = _resized(_picture(upright(contrast, frame.upright)), frame.box)
        return _placed(_crisp(solid), size, frame.centre)
    picture = _picture(_even(contrast))
    bounds = picture.point(lambda level: 255 if level > 76 else 0).getbbox()
    if bounds is None:
        return Image.new("L", size)
    fine = _resized(picture.crop(bounds), FINE * frame.box)
    missing = FINE * frame.stroke - stroke_width(np.asarray(fine, np.float32))
    if missing > 0.5:
        fine = _resized(_thickened(fine, missing / 2), FINE * frame.box)
    return _placed(fine, (FINE * size[0], FINE * size[1]), frame.centre).reduce(FINE)


def upright(tone: Plane, degrees: float) -> Plane:
    """A solid turned by up to ``degrees`` to where its box is least, if that is clearly less."""
    mask = tone > 0
    rows = np.flatnonzero(mask.any(axis=1))
    if degrees == 0 or len(rows) == 0:
        return tone
    # The ends of its rows are enough to know its box by.
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    x, y = np.concatenate([left, right]), np.concatenate([rows, rows])
    angles = np.linspace(-degrees, degrees, 2 * round(degrees / STEP_DEGREES) + 1)
    cos, sin = np.cos(np.radians(angles))[:, None], np.sin(np.radians(angles))[:, None]
    areas = (np.ptp(cos * x - sin * y, axis=1) + 1) * (np.ptp(sin * x + cos * y, axis=1) + 1)
    best = int(areas.argmin())
    if areas[best] >= CLEARLY_LESS * areas[len(angles) // 2]:
        return tone
    picture = Image.fromarray(tone.astype(np.float32))
    turned = np.asarray(picture.rotate(-angles[best], Image.Resampling.BILINEAR, expand=True))
    ys, xs = np.nonzero(turned > 0)
    return turned[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def stroke_width(ink: Plane) -> float:
    """Of lines, in pixels: twice their area by the length of their edges."""
    dy, dx = np.gradient(np.pad(ink, 2))
    edges = float(np.hypot(dy, dx).sum())
    return 2 * float(ink.sum()) / edges if edges else 0.0


def _picture(share: Plane) -> Image.Image:
    return Image.fromarray((np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8))


def _even(contrast: Plane) -> Plane:
    """Full ink to 1, noise beside it to 0."""
    usual = float(np.median(contrast[contrast > 0.5 * float(contrast.max())]))
    return (contrast / usual - INK_FROM) / (INK_TO - INK_FROM)


def _crisp(solid: Image.Image) -> Image.Image:
    """A solid as FashionMNIST has them: sharpened after it was made small, its tones brought up."""
    sharp = np.asarray(solid.filter(SHARPENED), np.float32)
    gain = min(255 / max(float(sharp.max()), 1), MOST_GAIN)
    inside = np.asarray(solid) > 0
    return Image.fromarray((np.maximum(sharp * gain, 5) * inside + 0.5).astype(np.uint8))


def _resized(picture: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    method = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC
    return picture.resize((width, height), method)


def _thickened(picture: Image.Image, radius: float) -> Image.Image:
    """Lines wider by ``radius`` on each side."""
    margin = int(radius) + 2
    wide = Image.new("L", (picture.width + 2 * margin, picture.height + 2 * margin))
    wide.paste(picture, (margin, margin))
    for _ in range(int(radius)):
        wide = wide.filter(ImageFilter.MaxFilter(3))
    rest = radius % 1
    if rest > 0.1:
        wide = Image.blend(wide, wide.filter(ImageFilter.MaxFilter(3)), rest)
    return wide.crop(wide.getbbox())


def _placed(picture: Image.Image, size: tuple[int, int], centre: str) -> Image.Image:
    """The picture on black, as far in the middle as it can be without losing anything."""
    corner = []
    weights = np.asarray(picture, np.float64)
    total = float(weights.sum())
    for axis, (length, room) in enumerate(zip(picture.size, size, strict=True)):
        middle = length / 2
        if centre == "mass" and total:
            middle = float(weights.sum(axis=axis) @ (np.arange(length) + 0.5)) / total
        corner.append(min(max(round(room / 2 - middle), 0), room - length))
    canvas = Image.new("L", size)
    canvas.paste(picture, (corner[0], corner[1]))
    return canvas
