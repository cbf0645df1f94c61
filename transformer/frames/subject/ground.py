"""What a picture's background would look like without its subject."""

from __future__ import annotations

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

BETWEEN = 0.08
"""Share of points up to which neither background nor subject may be."""


def paper_under(grey: Image.Image) -> Plane:
    """The light on what strokes were drawn on, ``(h, w)`` of ``grey``, at least 1.

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
        return _enlarged(surface, grey.size)
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
    return _enlarged(light, grey.size)


def plain_behind(grey: Image.Image) -> Plane:
    """The light on a plain background whose edge shows around the subject, as ``paper_under``."""
    return _enlarged(_surface(np.asarray(_small(grey), np.float32)), grey.size)


def _surface(seen: Plane) -> Plane:
    """Of second order, through the frame's edge, then through all that is near it."""
    height, width = seen.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
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
        if near.sum() < 24:
            break
        if before is not None and (near == before).all():
            if step > 4:
                break
            continue
        before = near
        # By their products: of thousands of rows lstsq starts a thread a processor, which spins.
        chosen = terms[near].astype(np.float64)
        products, values = chosen.T @ chosen, chosen.T @ seen[near].astype(np.float64)
        factors = np.linalg.lstsq(products, values, rcond=None)[0]
        # Under a subject that reaches over the edge it is a guess: kept within what is seen.
        low, high = float(seen[near].min()), float(seen[near].max())
        light = np.clip(terms @ factors, low, high).astype(np.float32)
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
