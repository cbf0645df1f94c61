"""The way to the resolution that a network works at, and back: patches of pixels as channels.

Both ways are what torch's own ``pixel_unshuffle`` and ``interpolate`` do, but straight from a
tile's bytes and in strips that stay in the processor's cache: a third of the time, of which a tile
would else spend as much there as in a quarter of its convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gather(
    pixels: Tensor, patch: int, factor: Tensor, offset: Tensor, dtype: torch.dtype
) -> Tensor:
    """``pixel_unshuffle(factor * pixels - offset, patch)``, in channels-last order.

    Args:
        pixels: ``(n, bands, h, w)`` bytes, ``h`` and ``w`` multiples of ``patch``.
        factor, offset: ``(bands, 1, 1)`` float32.

    Returns:
        ``(n, bands * patch * patch, h / patch, w / patch)`` of ``dtype``.
    """
    count, bands, height, width = pixels.shape
    shape = (count, bands, patch, patch, height // patch, width // patch)
    planes = torch.empty(shape, dtype=dtype, device=pixels.device)
    for row in range(patch):
        for column in range(patch):
            plane = pixels[:, :, row::patch, column::patch].to(torch.float32)
            planes[:, :, row, column] = plane.mul_(factor).sub_(offset)
    return planes.flatten(1, 3).contiguous(memory_format=torch.channels_last)


def framed(logits: Tensor) -> Tensor:
    """``(n, classes, h, w)`` of any type to ``(n, classes, h + 2, w + 2)`` float32.

    The border is repeated, and every class is a plane of its own.
    """
    count, classes, height, width = logits.shape
    padded = torch.empty((count, classes, height + 2, width + 2), device=logits.device)
    padded[:, :, 1:-1, 1:-1] = logits
    padded[:, :, 0, 1:-1] = padded[:, :, 1, 1:-1]
    padded[:, :, -1, 1:-1] = padded[:, :, -2, 1:-1]
    padded[:, :, :, 0] = padded[:, :, :, 1]
    padded[:, :, :, -1] = padded[:, :, :, -2]
    return padded


def enlarge(padded: Tensor, start: int, stop: int, patch: int) -> Tensor:
    """Rows of ``interpolate(logits, scale_factor=patch, mode="bilinear")``.

    Args:
        padded: the logits as ``framed`` gives them.
        start, stop: rows of the logits.

    Returns:
        ``(n, classes, (stop - start) * patch, w * patch)`` float32, which the caller may change.
    """
    rows = _between(padded[:, :, start : stop + 2], 2, patch)
    return _between(rows, 3, patch)


def _between(padded: Tensor, axis: int, patch: int) -> Tensor:
    """``patch`` values, evenly spaced, instead of each along ``axis`` but the first and last."""
    size = padded.shape[axis] - 2
    middle = padded.narrow(axis, 1, size)
    shape = list(padded.shape)
    shape[axis] = size * patch
    found = padded.new_empty(shape)
    for phase in range(patch):
        place = (phase + 0.5) / patch - 0.5
        neighbour = padded.narrow(axis, 0 if place < 0 else 2, size)
        target = found.unflatten(axis, (size, patch)).select(axis + 1, phase)
        torch.lerp(middle, neighbour, abs(place), out=target)
    return found
