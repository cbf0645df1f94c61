"""What a picture's background would look like without its subject."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE = 44
"""Pixels of the shorter side in which light is estimated: it changes slowly."""

MEDIAN_SHARE = 0.4
"""Side of the window whose median is the paper: strokes fill less than half of it."""

NEAR = 0.06
"""Relative difference from the background up to which a point is part of it."""

MOST = 0.6
"""Share of points that are near a plain background where it is one."""

APART = 0.75
"""Share of the variance that lies between two tones where a picture has two."""

FILLED, AT_EDGE = (0.15, 0.65), 0.6
"""Shares of a picture that strokes cover where they nearly fill it; of its edge they cover less."""

LEAST_POINTS = 24
"""That a surface is fitted through."""

BETWEEN = 0.08
"""Share of points up to which neither background nor subject may be."""


class Paper(NamedTuple):
    """What strokes were drawn on.

    Attributes:
        light: on it, ``(h, w)``, at least 1.
        bare: share of the picture in which there are surely no strokes.
    """

    light: Plane
    bare: float = 0.5


def paper_under(grey: Image.Image) -> Paper:
    """The paper, as large as ``grey``.

    A smooth surface where one explains the picture, however thick the strokes. Else, as where a
    shadow falls, a median that no stroke can fill, then the mean of what is near it.
    """
    small = _small(grey)
    seen = np.asarray(small, np.float32)
    surface = _surface(seen)
    distance = np.abs(seen - surface) / np.maximum(surface, 20)
    near = distance <= NEAR
    between = ~near & (distance < 0.4 * float(distance.max()))
    if near.mean() >= MOST and between.mean() <= BETWEEN:
        return Paper(_enlarged(surface, grey.size))
    if (ground := _around_what_fills(seen)) is not None:
        light = _through(seen, ground, _terms(seen.shape)[..., :3])
        return Paper(_enlarged(light, grey.size), float(ground.mean()) / 2)
    window = int(MEDIAN_SHARE * min(small.size)) // 2 * 2 + 1
    reach = window // 2
    light = seen
    if reach:
        wide = Image.fromarray(np.pad(np.asarray(small), reach, "symmetric"))
        median = np.asarray(wide.filter(ImageFilter.MedianFilter(window)), np.float32)
        light = median[reach:-reach, reach:-reach]
    for spread in (2.5, 1.5):
        away = np.abs(seen - light) > np.maximum(NEAR * light, 3)
        light = _mean_of(seen, ~_grown(away), light, spread)
    return Paper(_enlarged(light, grey.size))


def plain_behind(grey: Image.Image) -> Plane:
    """The light on a plain background whose edge shows around the subject.

    ``(h, w)`` of ``grey``, at least 1.
    """
    return _enlarged(_surface(np.asarray(_small(grey), np.float32)), grey.size)


def _around_what_fills(seen: Plane) -> Mask | None:
    """The ground of a picture that its strokes nearly fill, where a median would take them for it.

    Of two tones that are far apart, one is seldom at the picture's edge. A shadow's edge parts a
    picture, too, but reaches its edge as often as its inside.
    """
    levels = np.arange(256)
    shares = np.bincount(seen.astype(np.intp).ravel(), minlength=256) / seen.size
    below, sums = np.cumsum(shares), np.cumsum(shares * levels)
    spread = (sums[-1] * below - sums) ** 2 / np.maximum(below * (1 - below), 1e-9)  # Otsu, 1979
    variance = float(shares @ (levels - sums[-1]) ** 2)
    level = int(spread.argmax())
    if spread[level] < APART * variance:
        return None
    dark = seen <= level
    edge = np.ones(seen.shape, bool)
    edge[1:-1, 1:-1] = False
    subject = dark if dark[edge].mean() < 0.5 else ~dark
    area = float(subject.mean())
    fills = FILLED[0] <= area <= FILLED[1] and subject[edge].mean() <= AT_EDGE * area
    ground = ~_grown(subject)
    return ground if fills and ground.sum() >= LEAST_POINTS else None


def _terms(shape: tuple[int, ...]) -> Plane:
    """``(h, w, 6)``: of a surface of second order."""
    height, width = shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _through(seen: Plane, near: Mask, terms: Plane) -> Plane:
    # By their products: of thousands of rows lstsq starts a thread a processor, which spins.
    chosen = terms[near].astype(np.float64)
    products, values = chosen.T @ chosen, chosen.T @ seen[near].astype(np.float64)
    factors = np.linalg.lstsq(products, values, rcond=None)[0]
    # Under a subject that reaches over the edge it is a guess: kept within what is seen.
    low, high = float(seen[near].min()), float(seen[near].max())
    return np.clip(terms @ factors, low, high).astype(np.float32)


def _surface(seen: Plane) -> Plane:
    """Of second order, through the frame's edge, then through all that is near it."""
    terms = _terms(seen.shape)
    margin = max(1, round(0.04 * min(seen.shape)))
    edge = np.ones(seen.shape, bool)
    edge[margin:-margin, margin:-margin] = False
    light = np.full(seen.shape, np.median(seen[edge]), np.float32)
    before = None
    for step in range(8):
        difference = np.abs(seen - light)
        mean = float(light.mean())
        usual = min(3 * float(np.median(difference[edge])), 0.2 * mean)
        near = difference <= max(3.0, usual, NEAR * mean)
        if step < 4:
            near &= edge
        if near.sum() < LEAST_POINTS:
            break
        if before is not None and (near == before).all():
            if step > 4:
                break
            continue
        before = near
        light = _through(seen, near, terms)
    return light


def _small(grey: Image.Image) -> Image.Image:
    factor = max(1, min(grey.size) // SIDE)
    return grey.reduce(factor) if factor > 1 else grey


def _grown(mask: Mask) -> Mask:
    grown = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    return np.asarray(grown) > 0


def _mean_of(values: Plane, chosen: Mask, other: Plane, spread: float) -> Plane:
    """Mean of the chosen values nearby, and ``other`` where there are none."""
    blur = ImageFilter.GaussianBlur(spread)
    weight = np.asarray(Image.fromarray((chosen * 255).astype(np.uint8)).filter(blur), np.float32)
    kept = np.where(chosen, values, 0).astype(np.uint8)
    total = np.asarray(Image.fromarray(kept).filter(blur), np.float32)
    return np.where(weight > 25, total * 255 / np.maximum(weight, 1), other)


def _enlarged(light: Plane, size: tuple[int, int]) -> Plane:
    smooth = Image.fromarray(light).resize(size, Image.Resampling.BICUBIC)
    return np.maximum(np.asarray(smooth, np.float32), 1)
