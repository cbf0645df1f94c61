"""Photographs of numbers on paper, drawn: shaded, grainy, a little out of focus, as JPEG."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

STROKES = {
    "0": "50,0 15,20 5,70 20,120 50,140 82,118 94,70 80,20 50,0",
    "1": "50,0 46,140",
    "2": "8,35 25,6 60,0 88,25 75,65 40,100 5,138 95,134",
    "3": "10,10 50,0 84,22 72,54 40,66 82,80 92,112 58,140 8,128",
    "4": "30,0 8,80 92,76 / 72,30 66,140",
    "5": "88,0 22,4 14,60 55,52 90,84 76,126 40,140 6,124",
    "6": "74,0 30,40 8,92 24,132 60,140 88,112 70,80 32,84 10,104",
    "7": "6,4 92,0 60,60 38,140",
    "8": "84,18 50,0 18,20 34,54 76,84 84,120 50,140 14,122 / 14,122 22,88 68,54 84,18",
    "9": "88,34 60,2 18,16 12,52 44,70 84,50 88,34 80,90 62,140",
}
"""Where each digit's pen goes, in a cell of 100 × 140; it is lifted at a slash."""


def photograph(
    path: Path, text: str, size: tuple[int, int] = (1600, 700), pen: int = 14, seed: int = 1
) -> tuple[int, int]:
    """Write ``text`` on paper and photograph it; where its first digit begins."""
    random = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[:height, :width]
    paper = 215 - 50 * x / width - 25 * y / height + random.normal(0, 3, (height, width))
    ink = Image.new("L", size, 0)
    draw = ImageDraw.Draw(ink)
    step = 145
    left = (width - step * len(text)) // 2
    top = (height - 140) // 2
    for number, digit in enumerate(text):
        for stroke in STROKES[digit].split("/"):
            shift = (left + step * number, top + int(random.integers(-12, 13)))
            points = [(px + shift[0], py + shift[1]) for px, py in _rounded(stroke)]
            draw.line(points, fill=255, width=pen, joint="curve")
            for px, py in (points[0], points[-1]):
                half = pen / 2 - 1
                draw.ellipse((px - half, py - half, px + half, py + half), fill=255)
    covered = np.asarray(ink.filter(ImageFilter.GaussianBlur(1.5)), float) / 255
    seen = paper * (1 - covered) + 45 * covered
    Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8)).convert("RGB").save(path, quality=80)
    return left, top


def _rounded(stroke: str) -> list[tuple[float, float]]:
    """Its points, corners cut twice (Chaikin), as a hand does."""
    line = [(float(x), float(y)) for x, y in (point.split(",") for point in stroke.split())]
    for _ in range(2):
        cut = [line[0]]
        for (ax, ay), (bx, by) in pairwise(line):
            cut += [(0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by)]
            cut += [(0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by)]
        line = [*cut, line[-1]]
    return line
