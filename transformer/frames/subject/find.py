"""Where the subjects of a picture are, and how much of each point they are."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from transformer.frames.subject.ground import Mask, Plane, paper_under, plain_behind
from transformer.frames.subject.grouping import around, subjects_of
from transformer.frames.subject.regions import Box, Regions, find_regions

SIDE = 400
"""Pixels of the shorter side in which subjects are looked for, or up to twice as many."""

NOISE = 5.0
"""Standard deviations of the noise that a subject stands out by."""

VISIBLE = 6.0
"""Levels of 255 that a stroke differs by at least: in the dark, less is a large share of light."""

DARKEST = 16.0
"""Light that a ground has at least: of less, a share is mostly the camera's noise."""

STROKE_EDGE, SOLID_EDGE = 0.35, 0.15
"""Share of the strongest contrast from which on a point is part of strokes, or of a solid."""

SOLID_GAP = 0.015
"""Share of the picture up to which gaps in a solid subject's outline are closed."""

STRONGEST = 24
"""Points whose mean counts as the strongest contrast: one alone may be a speck."""


class Subject(NamedTuple):
    """One subject.

    Attributes:
        contrast: ``(h, w)`` of its part of the picture: relative difference from the background,
            0 where the subject is not.
        box: of the subject, in the picture's pixels.
        dark: whether it is darker than its background.
    """

    contrast: Plane
    box: Box
    dark: bool


def find_strokes(grey: Image.Image, least: float, dark: bool | None = None) -> list[Subject]:
    """What is drawn with a pen, in reading order; empty where nothing is.

    Args:
        grey: of mode ``L``, with about ``SIDE`` pixels a side.
        least: contrast that a subject has.
        dark: whether ink is darker than its ground; None to find out.
    """
    paper = paper_under(grey)
    levels = paper.light - _smooth(grey)
    ground: Plane = np.maximum(paper.light, DARKEST)
    difference: Plane = levels / ground
    threshold = max(least, NOISE * _deviation(difference, paper.bare))
    difference[np.abs(levels) < VISIBLE] = 0
    if dark is None:
        dark = _is_dark(difference, threshold)
    contrast = difference if dark else -difference
    strongest = _strongest(contrast, threshold)
    if strongest < threshold:
        return []
    regions = find_regions(contrast > max(threshold, STROKE_EDGE * strongest), contrast)
    found = []
    for numbers in subjects_of(regions.boxes, regions.masses):
        box = around([regions.boxes[n] for n in numbers])
        # With the soft edges of the strokes around it.
        part = np.s_[max(0, box[1] - 2) : box[3] + 2, max(0, box[0] - 2) : box[2] + 2]
        own = spread(_owned(regions, numbers, part), 2)
        found.append(Subject(np.where(own, contrast[part], 0), box, dark))
    return found


def find_solids(grey: Image.Image, least: float, dark: bool | None = None) -> list[Subject]:
    """What stands on a plain background, holes and all, as ``find_strokes``."""
    light = plain_behind(grey)
    difference = light - _smooth(grey)
    relative = np.abs(difference) / np.maximum(light, 60)
    threshold = max(least, NOISE * _deviation(relative[relative < 0.1]))
    strongest = _strongest(relative, threshold)
    if strongest < threshold:
        return []
    mask = relative > max(threshold, SOLID_EDGE * strongest)
    solid = _closed(mask, max(1, round(SOLID_GAP * min(grey.size))))
    regions = find_regions(solid, relative)
    found = []
    for numbers in subjects_of(regions.boxes, regions.masses):
        box = around([regions.boxes[n] for n in numbers])
        part = np.s_[box[1] : box[3], box[0] : box[2]]
        own = _owned(regions, numbers, part)
        darker = bool(np.median(difference[part][own]) >= 0) if dark is None else dark
        tone = _tone(difference[part], light[part], darker)
        found.append(Subject(np.where(own, tone, 0), box, darker))
    return found


def _tone(difference: Plane, light: Plane, dark: bool) -> Plane:
    """From the background's intensity to black, or to white, as 0 to 1; never quite 0."""
    tone = difference / light if dark else -difference / np.maximum(255 - light, 1)
    return np.maximum(tone, 0.02)


def _smooth(grey: Image.Image) -> Plane:
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(0.7)), np.float32)


def _deviation(difference: Plane, bare: float = 0.5) -> float:
    """Standard deviation of noise, by a quantile of a few thousand points.

    Args:
        bare: which one: the share of the picture that is surely noise alone.
    """
    some = difference.ravel()[:: max(1, difference.size // 20_000)]
    usual = NormalDist().inv_cdf((1 + bare) / 2)
    return float(np.quantile(np.abs(some), bare)) / usual if some.size else 0.0


def _is_dark(difference: Plane, threshold: float) -> bool:
    darker = float(difference[difference > threshold].sum())
    lighter = float(-difference[difference < -threshold].sum())
    return darker >= lighter


def _strongest(contrast: Plane, threshold: float) -> float:
    values = contrast[contrast > threshold]
    if values.size <= STRONGEST:
        return float(values.sum()) / STRONGEST
    return float(np.partition(values, -STRONGEST)[-STRONGEST:].mean())


def _owned(regions: Regions, numbers: list[int], part: tuple[slice, slice]) -> Mask:
    return np.isin(regions.labels[part], [n + 1 for n in numbers])


def _closed(mask: Mask, gap: int) -> Mask:
    """The mask with gaps and holes closed, and without what is one point wide."""
    wide = np.pad(mask, gap + 1)
    outside = find_regions(~spread(wide, gap), np.ones(wide.shape, np.float32)).labels
    filled = outside != outside[0, 0]
    closed = (~spread(~filled, gap) | wide)[gap + 1 : -gap - 1, gap + 1 : -gap - 1]
    return spread(~spread(~closed, 1), 1)


def spread(mask: Mask, reach: int) -> Mask:
    """All within a square of that reach around the mask."""
    found = mask.copy()
    for axis in (0, 1):
        line = np.moveaxis(found, axis, 0)  # a view
        done = 0
        while done < reach:
            # What has spread by so much spreads as much again, at most.
            step = min(done or 1, reach - done)
            before = line.copy("K")  # in the memory layout of the view
            line[step:] |= before[:-step]
            line[:-step] |= before[step:]
            done += step
    return found
