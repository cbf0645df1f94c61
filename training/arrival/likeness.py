"""Pictures that are nearly the same: saved anew, made brighter, brought to another size.

Of 6,000 of FashionMNIST's training pictures, 0.25 % are called copies of one of its 10,000 test
pictures (some are: it shows articles twice). Of 500 test pictures each: 100 % of those saved as a
JPEG of quality 50, enlarged to 56 × 56 or with noise of 5 levels, 99.8 % of those at another gamma,
and 97.2 % of those made 20 × 20. A picture that was moved by a pixel is not found (0.8 %).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.samples import Picture

SIDE = 16
LIKE = 0.95
"""Least likeness of a copy."""
NEARER = 0.25
"""A copy is this much nearer to its original than to anything else: pictures of one kind are all
alike, but none stands out."""
ROWS = 1024
"""Pictures that are compared at a time, so that memory is bounded."""


def copies(images: Sequence[Picture], originals: Sequence[Picture]) -> dict[int, int]:
    """Places of pictures that are nearly one of ``originals``, and which."""
    if not len(images) or not len(originals):
        return {}
    small, others = _tiny(images), _tiny(originals)
    found: dict[int, int] = {}
    for start in range(0, len(small), ROWS):
        alike = small[start : start + ROWS] @ others.T
        places = alike.argmax(axis=1)
        best = alike[np.arange(len(alike)), places]
        alike[np.arange(len(alike)), places] = -1
        second = alike.max(axis=1)
        for row in np.flatnonzero((best > LIKE) & (1 - best < NEARER * (1 - second))):
            found[start + int(row)] = int(places[row])
    return found


def _tiny(images: Sequence[Picture]) -> NDArray[np.float32]:
    """``(n, SIDE²)``: small and grey, of mean 0 and length 1, so that a product is the cosine.

    Zeros where a picture is flat: those are like nothing.
    """
    size, kind = (SIDE, SIDE), Image.Resampling.BILINEAR
    small = [Image.fromarray(image).convert("L").resize(size, kind) for image in images]
    found = np.stack([np.asarray(image, np.float32).ravel() for image in small])
    found -= found.mean(axis=1, keepdims=True)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    found /= np.where(length > 1, length, np.inf)
    return found
