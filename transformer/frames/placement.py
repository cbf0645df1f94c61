"""Where what a network was shown lies in the picture: the way back from every kind of frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artifact import CardError, Frame, ImageInput, Resize, Whole
from transformer.frames.resize import start_of
from transformer.frames.whole import fitted, reduction

Size = tuple[int, int]
"""Width and height."""

Floats = NDArray[np.float64]


class Placement(NamedTuple):
    """The network's pixels as places in a picture: ``place = pixel * step + start``.

    Attributes:
        size: of the picture as it was sent, upright.
        step, start: in its pixels, along x and along y. A pixel's place is its corner's, so 0 is
            the left or upper edge and the network's width the right one.
    """

    size: Size
    step: tuple[float, float]
    start: tuple[float, float]

    def points(self, pixels: NDArray[np.floating]) -> Floats:
        """``(..., 2)`` x and y of the network's pixels to places in the picture, inside it."""
        places = pixels.astype(np.float64) * np.array(self.step) + np.array(self.start)
        inside: Floats = np.clip(places, 0, np.array(self.size, np.float64))
        return inside

    def boxes(self, corners: NDArray[np.floating]) -> Floats:
        """Likewise ``(n, 4)`` corners."""
        return self.points(corners.reshape(-1, 2, 2)).reshape(-1, 4)


Placing = Callable[[Size, Size], Placement]
"""Of a picture, by its size upright and by the size at which it was decoded."""


def placing_for(spec: ImageInput) -> Placing:
    """How pictures lie in one contract's frame.

    Raises:
        CardError: a frame of this kind does not say.
    """
    for kind, placed in PLACED.items():
        if isinstance(spec.frame, kind):
            return lambda picture, decoded: placed(spec, picture, decoded)
    raise CardError(
        "contract.input.frame.kind", f"{spec.frame.kind!r} does not say where things are"
    )


def _in_whole(spec: ImageInput, picture: Size, decoded: Size) -> Placement:
    wanted = (spec.width, spec.height)
    factor = reduction(decoded, spec)
    # Blocks at the right and lower edges are whole ones as far as their places are concerned.
    reduced = tuple(-(-length // factor) for length in decoded)
    size = fitted((reduced[0], reduced[1]), spec)
    steps, starts = [], []
    for axis in (0, 1):
        pixels = factor * round(picture[axis] / decoded[axis])
        step = pixels * reduced[axis] / size[axis]
        steps.append(step)
        starts.append(-((wanted[axis] - size[axis]) // 2) * step)
    return Placement(picture, (steps[0], steps[1]), (starts[0], starts[1]))


def _in_resized(spec: ImageInput, picture: Size, decoded: Size) -> Placement:
    frame = spec.frame
    assert isinstance(frame, Resize)
    height, width = frame.resize.of(decoded[1], decoded[0])
    steps = (picture[0] / width, picture[1] / height)
    starts = (
        start_of(frame, width, spec.width) * steps[0],
        start_of(frame, height, spec.height) * steps[1],
    )
    return Placement(picture, steps, starts)


PLACED: dict[type[Frame], Callable[[ImageInput, Size, Size], Placement]] = {
    Whole: _in_whole,
    Resize: _in_resized,
}
