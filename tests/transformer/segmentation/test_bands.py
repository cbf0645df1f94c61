from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transformer.segmentation.bands import reduce


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("height", [1, 2, 7, 16])
@pytest.mark.parametrize("width", [1, 2, 5, 12])
def test_averages_are_pillows(height: int, width: int, bands: int, factor: int) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (height, width, bands), np.uint8)
    planes = [Image.fromarray(np.ascontiguousarray(pixels[..., i])) for i in range(bands)]
    expected = np.stack([np.asarray(plane.reduce(factor)) for plane in planes])
    assert (reduce(pixels, factor) == expected).all()
