from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from predictor.programs.patches import enlarge, framed, gather

PATCHES = [1, 2, 3, 4]


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_patches_are_normalised_pixels_as_channels(patch: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (2, 3, 24, 36), dtype=torch.uint8, generator=generator)
    factor, offset = torch.rand(3, 1, 1, generator=generator), torch.rand(3, 1, 1)
    found = gather(pixels, patch, factor, offset, dtype)
    expected = functional.pixel_unshuffle((pixels * factor - offset).to(dtype), patch)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 5)])
def test_all_rows_together_are_torchs_interpolation(patch: int, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 4, *size, generator=generator)
    logits = logits.contiguous(memory_format=torch.channels_last)
    padded = framed(logits)
    rows = size[0]
    parts = [enlarge(padded, i, min(i + 4, rows), patch) for i in range(0, rows, 4)]
    expected = functional.interpolate(
        logits, scale_factor=float(patch), mode="bilinear", align_corners=False
    )
    assert torch.allclose(torch.cat(parts, dim=2), expected, atol=1e-6)


def test_what_is_enlarged_may_be_changed() -> None:
    padded = framed(torch.ones(1, 2, 3, 3, dtype=torch.bfloat16))
    before = padded.clone()
    enlarge(padded, 0, 3, 1).zero_()
    assert torch.equal(padded, before)
