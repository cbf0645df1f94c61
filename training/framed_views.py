"""What is left of photographs in the frame ``subject``, drawn directly.

To photograph and to find every image anew would take longer than to learn from it: turned, leaning,
smoothed, its tones moved, and fitted into the box again.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from artifact import SubjectFrame


def framed(images: Tensor, frame: SubjectFrame) -> Tensor:
    """Of ``(n, 1, h, w)`` images in 0 to 1, as many."""
    turned = refitted(images, frame.box, frame.centre == "mass")
    return worn(turned, strokes=frame.stroke is not None)


def refitted(images: Tensor, box: int, by_mass: bool) -> Tensor:
    """Turned by up to 17°, seen at an angle, and fitted into the box and its middle again."""
    count, _, height, width = images.shape
    angle = (torch.rand(count) * 2 - 1) * torch.deg2rad(torch.tensor(17.0))
    angle *= (torch.rand(count) < 0.75).float()
    lean, aspect = (torch.rand(count) - 0.5) * 0.2, 1 + (torch.rand(count) - 0.5) * 0.16
    cos, sin = angle.cos(), angle.sin()
    forward = torch.stack(
        [torch.stack([cos * aspect, lean - sin], 1), torch.stack([sin, cos / aspect], 1)], 1
    )
    inside = images[:, 0] > 0.2
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float32) - (width - 1) / 2,
        indexing="ij",
    )
    points = torch.stack([x.flatten(), y.flatten()])
    moved = forward @ points  # (n, 2, h * w)
    hidden = ~inside.flatten(1)[:, None]
    low = moved.masked_fill(hidden, 1e6).amin(2)
    high = moved.masked_fill(hidden, -1e6).amax(2)
    empty = ~inside.flatten(1).any(1)
    low[empty], high[empty] = -box / 2, box / 2
    scale = (box / ((high - low).amax(1) + 1)) * (1 + (torch.rand(count) - 0.5) * 0.06)
    if by_mass:
        weight = images.flatten(1)[:, None] + 1e-6
        middle = (moved * weight).sum(2) / weight.sum(2)
    else:
        middle = (low + high) / 2
    middle = middle + (torch.rand(count, 2) - 0.5) / scale[:, None]
    # From the frame's points back to the image's.
    back = torch.linalg.inv(forward) / scale[:, None, None]
    shift = (torch.linalg.inv(forward) @ middle[:, :, None])[:, :, 0]
    source = back @ points + shift[:, :, None]
    grid = source.transpose(1, 2).reshape(count, height, width, 2)
    grid = grid / torch.tensor([(width - 1) / 2, (height - 1) / 2])
    return functional.grid_sample(images, grid, "bilinear", "zeros", align_corners=True)


def worn(images: Tensor, strokes: bool) -> Tensor:
    """Smoothed, sharpened, thickened or thinned, its tones moved, with a little grain."""
    count = len(images)

    def each() -> Tensor:
        return torch.rand(count, 1, 1, 1)

    inside = (images > 0.04).float()
    smooth = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1)), 3, 1)
    images = torch.lerp(images, smooth, each() * 1.1 - 0.4).clamp(0, 1)
    if strokes:
        thick = functional.max_pool2d(functional.pad(images, (1, 1, 1, 1)), 3, 1)
        images = torch.lerp(images, thick, (each() - 0.3).clamp(0, 0.6))
        gain = 1 + each() * 0.8
        return ((images - 0.12 * each()) * gain).clamp(0, 1)
    twin = (each() < 0.15).float()
    images = torch.lerp(images, (1.05 - images) * inside, twin)
    images = images.clamp(1e-4, 1) ** torch.exp((each() - 0.5) * 0.9)
    images = images * (0.55 + 0.6 * each()) + (each() - 0.6) * 0.25
    images = images + torch.randn_like(images) * 0.03 * each()
    return (images.clamp(0.02, 1) * inside).clamp(0, 1)
