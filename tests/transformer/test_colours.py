from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transformer import colours
from transformer.colours import in_mode


def pictures(random: np.random.Generator) -> dict[str, Image.Image]:
    """150 × 90 pixels in modes that have to be converted, full of noise."""
    bytes_ = random.integers(0, 256, (90, 150, 4), dtype=np.uint8)
    deep = random.integers(0, 65536, (90, 150), dtype=np.uint16)
    colour = Image.fromarray(bytes_)
    palette = colour.convert("RGB").quantize(20)
    palette.info["transparency"] = 3
    return {
        "RGBA": colour,
        "LA": colour.convert("LA"),
        "P": palette,
        "I;16": Image.fromarray(deep),
        "I": Image.fromarray(deep.astype(np.int32)),
        "F": Image.fromarray(deep.astype(np.float32) / 65535),
        "CMYK": colour.convert("RGB").convert("CMYK"),
        "1": colour.convert("1"),
    }


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "I;16", "I", "F", "CMYK", "1"])
def test_large_pictures_become_the_same_strip_by_strip(
    kind: str, mode: str, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = pictures(random)[kind]
    whole = in_mode(picture, mode)
    monkeypatch.setattr(colours, "LARGE", 7 * picture.width)
    found = in_mode(picture, mode)
    assert found.mode == whole.mode == mode
    assert np.array_equal(np.asarray(found), np.asarray(whole))


def test_what_is_in_the_mode_already_is_taken_as_it_is(random: np.random.Generator) -> None:
    picture = pictures(random)["RGBA"].convert("RGB")
    assert in_mode(picture, "RGB") is picture


def test_levels_that_are_not_finite_are_black() -> None:
    levels = np.array([[np.nan, np.inf], [0.5, 1.0]], np.float32)
    assert np.asarray(in_mode(Image.fromarray(levels), "L")).tolist() == [[0, 0], [128, 255]]
