"""A baseline has the counts that a transformer would have of the same pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image
from prometheus_client import CollectorRegistry

from artifact import ImageInput
from artifact.statistics import MOST_LABELS, STATISTICS, label_bins
from tests.conftest import make_contract
from training.baseline import baseline_of, weighted
from transformer.classification.statistics import AnswerStatistics
from transformer.pictures.preprocess import prepare
from transformer.pictures.tally import PictureTally, Seen

CONTRACT = replace(make_contract(), labels=("cat", "dog"), outputs=("probabilities", "familiarity"))
SPEC = CONTRACT.input_as(ImageInput)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, SPEC.height, SPEC.width), np.uint8)
PICTURES = [prepare(Image.fromarray(image), SPEC) for image in IMAGES]
CERTAIN = RANDOM.random(40).astype(np.float32)
OUTPUTS = (np.stack([CERTAIN, 1 - CERTAIN], axis=1), RANDOM.random(40).astype(np.float32))
TRUTH = RANDOM.integers(0, 2, 40)


def test_the_bins_are_those_of_the_transformer() -> None:
    tally = PictureTally(CollectorRegistry())
    meter = tally.of("m", SPEC, AnswerStatistics(CONTRACT))
    planes = np.stack([item.planes for item in PICTURES])
    polarities = [item.polarity for item in PICTURES]
    meter.add(Seen("1", planes, OUTPUTS, polarities, [784] * 40))
    meter.count()
    found = baseline_of(CONTRACT, PICTURES, OUTPUTS, pixels=[784] * 40)
    for name in STATISTICS:
        assert list(found.histograms[name]) == tally.distributions[name].labels("m", "1").counts
    labels = [tally.labels.labels("m", "1", label).value for label in CONTRACT.labels]
    assert list(found.labels) == labels
    assert sum(found.polarities.values()) == 40
    assert (found.right, found.unsure_right) == ((), 0), "nobody said what is right"


def test_right_answers_are_counted_by_confidence() -> None:
    found = baseline_of(CONTRACT, PICTURES, OUTPUTS, TRUTH)
    right = OUTPUTS[0].argmax(axis=1) == TRUTH
    unsure = OUTPUTS[1] < 0.5
    assert sum(found.right) == np.count_nonzero(right & ~unsure)
    assert found.unsure_right == np.count_nonzero(right & unsure)
    assert all(n <= m for n, m in zip(found.right, found.histograms["confidence"], strict=True))


def test_shares_of_labels_are_those_of_all_pictures() -> None:
    """A third of the pictures held out are of a class that is half of all."""
    truth = np.array([0] * 20 + [1] * 40)
    answered = truth.copy()
    answered[:2] = 1
    found = weighted(answered, truth, np.array([0] * 500 + [1] * 500), 2)
    assert abs(found[0] / found.sum() - 0.45) < 0.005
    assert 60 < found.sum() < 1000, "surer than to count 60, not as sure as to know 1000"


def test_a_class_that_was_not_held_out_is_counted_as_it_was_answered() -> None:
    truth = np.zeros(5, np.int64)
    assert list(weighted(truth, truth, np.array([0, 1]), 2)) == [5, 0]


def test_a_thousand_labels_are_counted_in_bins_and_their_right_answers_by_class() -> None:
    contract = replace(make_contract(), labels=tuple(map(str, range(1000))))
    truth = RANDOM.integers(0, 1000, 40)
    answered = truth.copy()
    # A neighbour in the same bin is as wrong as any.
    answered[:10] ^= 1
    probabilities = np.zeros((40, 1000), np.float32)
    probabilities[np.arange(40), answered] = 1
    found = baseline_of(contract, PICTURES, (probabilities,), truth)
    assert len(found.labels) == MOST_LABELS
    assert sum(found.labels) == 40
    assert sum(found.right) == 30
    weighted_ones = baseline_of(contract, PICTURES, (probabilities,), truth, truth)
    assert sum(weighted_ones.labels) >= 40
    tally = PictureTally(CollectorRegistry())
    meter = tally.of("m", SPEC, AnswerStatistics(contract))
    planes = np.stack([item.planes for item in PICTURES])
    meter.add(Seen("1", planes, (probabilities,), [None] * 40, [784] * 40))
    meter.count()
    names = label_bins(contract.labels).names
    served = [tally.labels.labels("m", "1", name).value for name in names]
    assert list(found.labels) == served
