from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from client.http import PredictClient, PredictError
from tests.conftest import make_card
from tests.training.synthetic import images
from training.over_http import agree, count_correct, encode_png


class Reader:
    """A service that finds the bar of the synthetic images; ``revision`` changes on the way."""

    def __init__(self, revisions: list[str], wrong: int = 0) -> None:
        self.revisions, self.wrong = revisions, wrong
        self.sizes: list[int] = []

    def predict(self, model: str, encoded: list[bytes]) -> dict[str, Any]:
        self.sizes.append(len(encoded))
        found = []
        for content in encoded:
            pixels = np.asarray(Image.open(io.BytesIO(content)))
            found.append(int(np.argmax(pixels[4:24:2, 8:20].min(1) == 255)))
        if len(self.sizes) == 1:
            found = [(c + 1) % 10 if i < self.wrong else c for i, c in enumerate(found)]
        revision = self.revisions[min(len(self.sizes), len(self.revisions)) - 1]
        return {
            "model_version": revision,
            "predictions": [{"class_id": class_id} for class_id in found],
        }


def count(service: Reader) -> int:
    return count_correct(cast(PredictClient, service), make_card(), images(25), batch=10)


def test_every_image_is_asked_about_once() -> None:
    service = Reader(["1"])
    assert count(service) == 25
    assert service.sizes == [10, 10, 5]


def test_wrong_answers_do_not_count() -> None:
    assert count(Reader(["1"], wrong=3)) == 22


def test_another_revision_in_between_is_refused() -> None:
    with pytest.raises(PredictError, match="revision 2 answered in between"):
        count(Reader(["1", "2"]))


def test_a_few_images_of_ten_thousand_may_fall_to_the_other_side() -> None:
    assert agree(9388, 9389, 10_000)
    assert agree(9394, 9389, 10_000)
    assert not agree(9383, 9389, 10_000)
    assert not agree(99, 100, 100)


def test_a_png_keeps_every_pixel() -> None:
    pixels = images(1).images[0]
    found = Image.open(io.BytesIO(encode_png(Image.fromarray(pixels))))
    np.testing.assert_array_equal(np.asarray(found), pixels)
