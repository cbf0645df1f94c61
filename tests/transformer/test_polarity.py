from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

import training.torchvision_ops  # noqa: F401  (before torchvision)
from tests.transformer.images import seven
from transformer.pictures.polarity import RING_SHARE, Polarity, find_polarity

SIZE = 28
FRAME = 4 * (SIZE - 1)
SAMPLE = 2000
LIGHT, DARK = Polarity.LIGHT_ON_DARK, Polarity.DARK_ON_LIGHT


def restated(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``(n, 28, 28)`` are dark on light, by the rule as the module describes it."""
    frame = np.ones((SIZE, SIZE), bool)
    frame[1:-1, 1:-1] = False
    flat = images.reshape(len(images), -1)
    middle = (flat.min(1).astype(np.float32) + flat.max(1)) / 2
    share = (images[:, frame] > middle[:, np.newaxis]).mean(1)
    found: NDArray[np.bool_] = share > RING_SHARE
    return found


def with_frame(light: int) -> Image.Image:
    """A picture with ``light`` white pixels on its frame, clockwise, and a grey inside."""
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[1:-1, 1:-1] = 50
    pixels[5, 5] = 255
    last = SIZE - 1
    places = [(0, x) for x in range(last)] + [(y, last) for y in range(last)]
    places += [(last, x) for x in range(last, 0, -1)] + [(y, 0) for y in range(last, 0, -1)]
    assert len(set(places)) == FRAME
    for place in places[:light]:
        pixels[place] = 255
    return Image.fromarray(pixels)


def test_the_frame_is_counted_once_a_pixel_and_wholly() -> None:
    enough = int(RING_SHARE * FRAME) + 1
    for turn in (None, *Image.Transpose):
        for light, expected in ((enough - 1, LIGHT), (enough, DARK)):
            image = with_frame(light)
            if turn is not None:
                image = image.transpose(turn)
            assert find_polarity(image, SIZE, SIZE) is expected


@pytest.mark.parametrize("size", [(28, 28), (300, 300), (40, 200), (9, 9)])
def test_a_digit_and_its_negative(size: tuple[int, int]) -> None:
    assert find_polarity(seven(*size), SIZE, SIZE) is LIGHT
    assert find_polarity(ImageOps.invert(seven(*size)), SIZE, SIZE) is DARK


@pytest.mark.parametrize("value", [0, 127, 128, 255])
@pytest.mark.parametrize("size", [(28, 28), (1, 1), (5000, 1)])
def test_one_intensity_has_no_subject(value: int, size: tuple[int, int]) -> None:
    assert find_polarity(Image.new("L", size, value), SIZE, SIZE) is LIGHT


def test_grey_ink_on_grey_paper() -> None:
    image = Image.new("L", (80, 80), 140)
    ImageDraw.Draw(image).line([(30, 20), (50, 60)], fill=120, width=8)
    assert find_polarity(image, SIZE, SIZE) is DARK
    assert find_polarity(ImageOps.invert(image), SIZE, SIZE) is LIGHT


def test_a_subject_that_reaches_over_two_edges_is_still_light_on_dark() -> None:
    image = Image.new("L", (28, 28), 0)
    image.paste(255, (0, 6, 28, 22))
    assert find_polarity(image, SIZE, SIZE) is LIGHT


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (9, 1), (2, 2), (40, 10)])
def test_any_size_of_contract(width: int, height: int) -> None:
    assert find_polarity(Image.new("L", (64, 64), 7), width, height) is LIGHT
    image = ImageOps.invert(seven(400, 400))
    assert find_polarity(image, width, height) in (LIGHT, DARK)


def test_what_a_request_may_ask_for() -> None:
    assert [p.value for p in Polarity] == ["auto", "light-on-dark", "dark-on-light"]


@pytest.fixture(scope="module")
def all_images(data: Path) -> NDArray[np.uint8]:
    from training.data import load_data

    sets = [load_data(name, data) for name in ("MNIST", "FashionMNIST")]
    return np.concatenate([part.images for found in sets for part in (found.train, found.test)])


def test_no_real_picture_is_taken_for_a_negative(all_images: NDArray[np.uint8]) -> None:
    assert len(all_images) == 140_000
    assert not restated(all_images).any()


def test_hardly_a_negative_is_missed(all_images: NDArray[np.uint8]) -> None:
    missed = sum(int((~restated(255 - part)).sum()) for part in np.array_split(all_images, 14))
    assert missed <= 5


def test_the_rule_as_restated_is_the_one_that_serves(all_images: NDArray[np.uint8]) -> None:
    picked = np.linspace(0, len(all_images) - 1, SAMPLE, dtype=int)
    both = np.concatenate([all_images[picked], 255 - all_images[picked]])
    expected = restated(both)
    assert expected[:SAMPLE].sum() == 0
    assert expected[SAMPLE:].sum() >= SAMPLE - 5
    for pixels, dark in zip(both, expected, strict=True):
        assert find_polarity(Image.fromarray(pixels), SIZE, SIZE) is (DARK if dark else LIGHT)
