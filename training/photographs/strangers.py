"""Pictures of none of the classes: blank, noise, textures, letters, and the other data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIDE = 28
FINE = 8

Picture = NDArray[np.uint8]

# Strokes of letters on a grid of 4 × 6, from the top left: none that could be taken for a digit.
LETTERS = {
    "A": ("06 20 46", "14 34"),
    "C": ("41 30 10 01 05 16 36 45",),
    "E": ("40 00 06 46", "03 33"),
    "F": ("40 00 06", "03 33"),
    "G": ("41 30 10 01 05 16 36 45 43 23",),
    "H": ("00 06", "40 46", "03 43"),
    "K": ("00 06", "40 03 46"),
    "M": ("06 00 23 40 46",),
    "N": ("06 00 46 40",),
    "P": ("06 00 30 41 42 33 03",),
    "R": ("06 00 30 41 42 33 03", "23 46"),
    "U": ("00 05 16 36 45 40",),
    "W": ("00 16 22 36 40",),
    "X": ("00 46", "40 06"),
    "h": ("00 06", "03 12 32 43 46"),
    "k": ("00 06", "31 04 36"),
    "m": ("06 02", "03 12 23 26", "23 32 43 46"),
    "w": ("02 16 23 36 42",),
    "x": ("02 46", "42 06"),
    "#": ("10 16", "30 36", "02 42", "04 44"),
    "*": ("20 26", "01 45", "41 05"),
    "?": ("01 10 30 41 42 23 24", "26 26"),
    "&": ("46 01 10 21 04 05 16 26 44",),
}


def blank(random: np.random.Generator) -> Picture:
    """One intensity, or a slope so slight that it is none."""
    level = random.uniform(0, 255)
    slope = np.linspace(-1, 1, SIDE) * random.uniform(0, 6)
    return np.clip(np.tile(level + slope[:, None], SIDE), 0, 255).astype(np.uint8)


def noise(random: np.random.Generator) -> Picture:
    """Points without a pattern, of one of four distributions, sharp or smooth."""
    kind = int(random.integers(4))
    if kind == 0:
        values: NDArray[Any] = random.uniform(0, 255, (SIDE, SIDE))
    elif kind == 1:
        values = random.normal(random.uniform(40, 215), random.uniform(15, 70), (SIDE, SIDE))
    elif kind == 2:
        values = 255.0 * (random.random((SIDE, SIDE)) < random.uniform(0.05, 0.5))
    else:
        values = random.uniform(0, 1, (SIDE, SIDE)) ** random.uniform(2, 8) * 255
    picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if random.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 1.5)))
        return _stretched(np.asarray(picture, float))
    return np.asarray(picture)


def _stretched(values: NDArray[np.float64]) -> Picture:
    low, high = float(values.min()), float(values.max())
    return ((values - low) * (255 / max(1.0, high - low))).astype(np.uint8)


def texture(random: np.random.Generator) -> Picture:
    """Stripes, checks, dots, rings or clouds over the whole frame."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    angle, count = random.uniform(0, np.pi), random.uniform(3, 10)
    u = x * np.cos(angle) + y * np.sin(angle)
    v = y * np.cos(angle) - x * np.sin(angle)
    phase = random.uniform(0, 2 * np.pi, 2)
    kind = int(random.integers(5))
    if kind == 0:
        wave = np.sin(2 * np.pi * count * u + phase[0])
    elif kind == 1:
        wave = np.sin(2 * np.pi * count * u + phase[0]) * np.sin(2 * np.pi * count * v + phase[1])
    elif kind == 2:
        wave = np.sin(2 * np.pi * count * u) + np.sin(2 * np.pi * count * v) - 0.7
    elif kind == 3:
        centre = random.uniform(0, 1, 2)
        wave = np.sin(2 * np.pi * count * np.hypot(x - centre[0], y - centre[1]) + phase[0])
    else:
        coarse = Image.fromarray(random.standard_normal((7, 7)).astype(np.float32))
        wave = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    if random.random() < 0.5:
        wave = np.sign(wave)
    spread = random.uniform(60, 127)
    found: Picture = np.clip(127 + spread * wave, 0, 255).astype(np.uint8)
    return found


def letter(random: np.random.Generator) -> Picture:
    """A letter or sign drawn by an unsteady hand, fitted as the digits of MNIST are."""
    strokes = LETTERS[str(random.choice(sorted(LETTERS)))]
    lean = random.uniform(-0.25, 0.25)
    size = random.uniform(0.8, 1.2, 2)
    picture = Image.new("L", (SIDE * FINE, SIDE * FINE))
    brush = ImageDraw.Draw(picture)
    radius = random.uniform(0.9, 1.8) * FINE
    for stroke in strokes:
        points = np.array([[int(digit) for digit in place] for place in stroke.split()], np.float64)
        points += random.normal(0, 0.15, points.shape)
        points = (points - np.array([2.0, 3.0])) * size
        points[:, 0] -= lean * points[:, 1]
        points = points * 3.2 * FINE + SIDE * FINE / 2
        # A curve through the corners, as a hand draws it.
        steps = np.linspace(0, len(points) - 1, 24 * len(points))
        line = np.stack([np.interp(steps, range(len(points)), c) for c in points.T], axis=1)
        window = int(random.integers(1, 12))
        kernel = np.ones(window) / window
        padded = np.pad(line, ((window // 2, window - 1 - window // 2), (0, 0)), "edge")
        for px, py in np.stack([np.convolve(c, kernel, "valid") for c in padded.T], axis=1):
            brush.ellipse((px - radius, py - radius, px + radius, py + radius), 255)
    bounds = picture.getbbox() or (0, 0, *picture.size)
    part = picture.crop(bounds)
    scale = 20 / max(part.size)
    small = part.resize(
        (max(1, round(part.width * scale)), max(1, round(part.height * scale))),
        Image.Resampling.BOX,
    )
    weight = np.asarray(small, float)
    centre = [
        float((weight.sum(axis=a) * (np.arange(weight.shape[1 - a]) + 0.5)).sum() / weight.sum())
        for a in (0, 1)
    ]
    frame = Image.new("L", (SIDE, SIDE))
    frame.paste(small, (round(SIDE / 2 - centre[0]), round(SIDE / 2 - centre[1])))
    return np.asarray(frame)


STRANGERS: dict[str, Callable[[np.random.Generator], Picture]] = {
    "blank": blank,
    "noise": noise,
    "texture": texture,
    "letter": letter,
}


def strangers(kind: str, count: int, seed: int) -> NDArray[np.uint8]:
    """``(count, 28, 28)`` pictures of one kind."""
    random = np.random.default_rng([seed, sorted(STRANGERS).index(kind)])
    return np.stack([STRANGERS[kind](random) for _ in range(count)])
