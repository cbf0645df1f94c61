"""What is counted of pictures and their answers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from artifact import ImageInput
from tests.conftest import make_contract
from transformer.classification.statistics import AnswerStatistics
from transformer.pictures.polarity import Polarity
from transformer.pictures.statistics import LOOKED_AT, PictureStatistics
from transformer.pictures.tally import (
    ENOUGH_PICTURES,
    MOST_A_SECOND,
    Outputs,
    PictureMeter,
    PictureTally,
    Seen,
)

CONTRACT = replace(make_contract(), labels=("cat", "dog"), outputs=("probabilities", "familiarity"))
SPEC = CONTRACT.input_as(ImageInput)
LIGHT, DARK = Polarity.LIGHT_ON_DARK, Polarity.DARK_ON_LIGHT


def seen(planes: NDArray[np.uint8], outputs: Outputs, revision: str = "1") -> Seen:
    return Seen(revision, planes, outputs, [LIGHT] * len(planes), [784] * len(planes))


def pictures(count: int, level: int = 51) -> NDArray[np.uint8]:
    return np.full((count, *SPEC.shape), level, np.uint8)


def answers(
    count: int, sure: float = 0.9, familiar: float = 1.0
) -> tuple[NDArray[np.float32], ...]:
    probabilities = np.tile(np.array([sure, 1 - sure], np.float32), (count, 1))
    return probabilities, np.full(count, familiar, np.float32)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meter(registry: CollectorRegistry) -> PictureMeter:
    seconds = itertools.count(step=1000)
    return PictureTally(registry, lambda: next(seconds)).of("m", SPEC, AnswerStatistics(CONTRACT))


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, {"model_name": "m", "revision": "1", **labels})


def test_what_waits_is_counted_when_somebody_asks(
    meter: PictureMeter, registry: CollectorRegistry
) -> None:
    meter.add(seen(pictures(2), answers(2)))
    meter.add(seen(pictures(1), answers(1, familiar=0.2)))
    meter.add(seen(pictures(1), answers(1), revision="2"))
    assert value(registry, "vision_picture_brightness_ratio_count") == 3
    assert value(registry, "vision_picture_brightness_ratio_sum") == pytest.approx(3 * 0.2)
    assert value(registry, "vision_picture_brightness_ratio_bucket", le="0.22") == 3
    assert value(registry, "vision_picture_brightness_ratio_bucket", le="0.19") == 0
    assert value(registry, "vision_picture_pixels_sum") == 3 * 784
    assert value(registry, "vision_predictions_total", label="cat") == 3
    assert value(registry, "vision_predictions_total", label="dog") == 0
    assert value(registry, "vision_pictures_total", polarity="light-on-dark") == 3
    # An unsure answer is counted by its familiarity; how sure it is says nothing.
    assert value(registry, "vision_prediction_familiarity_ratio_bucket", le="0.5") == 1
    assert value(registry, "vision_prediction_confidence_ratio_count") == 2


def test_enough_pictures_are_looked_at_at_once(
    meter: PictureMeter, registry: CollectorRegistry
) -> None:
    tally = meter._tally
    for _ in range(ENOUGH_PICTURES):
        meter.add(seen(pictures(1), answers(1)))
    counted = tally.distributions["brightness"].labels("m", "1")
    assert sum(counted.counts) == ENOUGH_PICTURES


def test_of_what_comes_too_fast_some_are_passed_over(registry: CollectorRegistry) -> None:
    now = [0.0]
    tally = PictureTally(registry, lambda: now[0])
    meter = tally.of("m", SPEC, AnswerStatistics(CONTRACT))
    # To be asked for what is counted ends no pause.
    for _ in range(3):
        for _ in range(ENOUGH_PICTURES):
            meter.add(seen(pictures(1), answers(1)))
        assert value(registry, "vision_picture_brightness_ratio_count") == ENOUGH_PICTURES
    now[0] = ENOUGH_PICTURES / MOST_A_SECOND
    meter.add(seen(pictures(1), answers(1)))
    assert value(registry, "vision_picture_brightness_ratio_count") == ENOUGH_PICTURES + 1


def test_a_meter_that_is_closed_leaves_what_it_counted(registry: CollectorRegistry) -> None:
    tally = PictureTally(registry)
    meter = tally.of("m", SPEC, None)
    meter.add(seen(pictures(1), ()))
    tally.forget(meter)
    assert value(registry, "vision_picture_contrast_ratio_count") == 1


@pytest.mark.parametrize(
    "outputs",
    [
        (np.ones((1, 3), np.float32), np.ones(1, np.float32)),
        (np.ones((1, 2), np.float32),),
        (np.ones((1, 2), np.float32), np.ones((1, 2), np.float32)),
    ],
)
def test_answers_of_another_shape_are_not_read(
    meter: PictureMeter, registry: CollectorRegistry, outputs: tuple[NDArray[np.float32], ...]
) -> None:
    meter.add(seen(pictures(1), outputs))
    meter.add(seen(pictures(1), answers(1)))
    assert value(registry, "vision_picture_brightness_ratio_count") == 2
    assert value(registry, "vision_prediction_confidence_ratio_count") == 1


def test_what_is_no_number_is_not_counted(meter: PictureMeter, registry: CollectorRegistry) -> None:
    meter.add(seen(pictures(1), answers(1, sure=float("nan"))))
    assert value(registry, "vision_prediction_confidence_ratio_count") == 0
    assert value(registry, "vision_prediction_confidence_ratio_sum") == 0
    assert value(registry, "vision_prediction_familiarity_ratio_count") == 1


def test_balance_says_where_the_light_is() -> None:
    planes = pictures(4, 0)
    planes[0, :, :, SPEC.width // 2 :] = 255
    planes[1, :, : SPEC.height // 2] = 255
    planes[2, :, : SPEC.height // 2, : SPEC.width // 2] = 100
    planes[2, :, SPEC.height // 2 :, SPEC.width // 2 :] = 100
    found = PictureStatistics(SPEC).of(planes)
    np.testing.assert_allclose(found["horizontal balance"], [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found["vertical balance"], [0, -1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found["diagonal balance"], [0, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found["contrast"][:2], 0.5, atol=1e-6)
    assert found["sharpness"][3] == 0


def test_sharpness_does_not_depend_on_the_light_and_falls_by_blur() -> None:
    random = np.random.default_rng(0)
    planes = random.integers(0, 256, (1, *SPEC.shape), np.uint8)
    blurred = planes.copy()
    blurred[..., 1:-1] = (planes[..., :-2].astype(int) + planes[..., 1:-1] + planes[..., 2:]) // 3
    sharp, dim, soft = (
        float(PictureStatistics(SPEC).of(each)["sharpness"][0])
        for each in (planes, planes // 2, blurred)
    )
    assert dim == pytest.approx(sharp, rel=0.02)
    assert soft < 0.7 * sharp


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_of_a_large_picture_in_colours_some_rows_of_green_are_looked_at(layout: str) -> None:
    spec = replace(
        SPEC, height=300, width=200, mode="RGB", mean=(0,) * 3, std=(1,) * 3, layout=layout
    )
    planes = np.zeros((1, *spec.shape), np.uint8)
    if layout == "NCHW":
        planes[:, 1, 150:] = 255
    else:
        planes[:, 150:, :, 1] = 255
    statistics = PictureStatistics(spec)
    found = statistics.of(planes)
    assert found["brightness"][0] == pytest.approx(0.5, abs=0.05)
    assert found["vertical balance"][0] == pytest.approx(1)
    rows = LOOKED_AT // spec.width
    assert found["brightness"][0] * rows == pytest.approx(round(found["brightness"][0] * rows))
    planes[:] = 255 - planes
    other = statistics.of(planes)
    assert other["brightness"][0] == pytest.approx(1 - found["brightness"][0])


def test_many_pictures_are_as_each_of_them_by_itself() -> None:
    planes = np.random.default_rng(0).integers(0, 256, (300, *SPEC.shape), np.uint8)
    statistics = PictureStatistics(SPEC)
    together = statistics.of(planes)
    for place in (0, 150, 299):
        for name, values in statistics.of(planes[place : place + 1]).items():
            assert values[0] == pytest.approx(together[name][place], rel=1e-4, abs=1e-5), name
