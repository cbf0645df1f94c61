"""Average precision, beside COCO's own program."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tasks.detection.average_precision import (
    Pair,
    average_precisions,
    mean_average_precision,
    picture_score,
)
from tasks.detection.boxes import Boxes

CLASSES = 4


def boxes(random: np.random.Generator, count: int) -> Boxes:
    low = random.uniform(0, 200, (count, 2))
    corners = np.concatenate([low, low + random.uniform(10, 120, (count, 2))], axis=1)
    return Boxes(corners, random.integers(0, CLASSES - 1, count), np.ones(count))


def pair(random: np.random.Generator) -> Pair:
    """A picture whose boxes were found more or less, with some that are not there."""
    truth = boxes(random, int(random.integers(0, 9)))
    seen = truth.take(random.random(len(truth.labels)) < 0.8)
    moved = seen.corners + random.normal(0, random.choice([1, 6, 20]), seen.corners.shape)
    invented = boxes(random, int(random.integers(0, 140 if random.random() < 0.1 else 5)))
    corners = np.concatenate([moved, moved[:1], invented.corners])
    labels = np.concatenate([seen.labels, seen.labels[:1], invented.labels])
    wrong = random.random(len(labels)) < 0.1
    labels = np.where(wrong, random.integers(0, CLASSES, len(labels)), labels)
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 1)
    return Pair(truth, Boxes(corners, labels, random.random(len(labels))))


def by_coco(pairs: list[Pair]) -> tuple[float, float]:
    """AP and AP50 by pycocotools."""

    def rows(found: Boxes, image: int) -> list[dict[str, object]]:
        sides = found.corners[:, 2:] - found.corners[:, :2]
        return [
            {
                "image_id": image,
                "category_id": int(label) + 1,
                "bbox": [*corners[:2], *size],
                "area": float(np.prod(size)),
                "score": float(score),
                "iscrowd": 0,
            }
            for corners, label, score, size in zip(*found, sides, strict=True)
        ]

    truth = [row for image, item in enumerate(pairs, 1) for row in rows(item.truth, image)]
    found = [row for image, item in enumerate(pairs, 1) for row in rows(item.found, image)]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": image} for image in range(1, len(pairs) + 1)],
            "categories": [{"id": label + 1} for label in range(CLASSES)],
            "annotations": [{**row, "id": number} for number, row in enumerate(truth, 1)],
        }
        known.createIndex()
        judged = COCOeval(known, known.loadRes(found), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0]), float(judged.stats[1])


@pytest.mark.parametrize("seed", range(4))
def test_it_is_cocos(seed: int) -> None:
    random = np.random.default_rng(seed)
    pairs = [pair(random) for _ in range(40)]
    table = average_precisions(pairs, CLASSES)
    ap, ap50 = by_coco(pairs)
    assert mean_average_precision(table) == pytest.approx(ap, abs=1e-9)
    assert mean_average_precision(table[:1]) == pytest.approx(ap50, abs=1e-9)
    assert np.isnan(table[:, CLASSES - 1]).all()  # nowhere annotated


def test_a_picture_by_itself(random: np.random.Generator) -> None:
    truth = boxes(random, 3)
    nothing = boxes(random, 0)
    assert picture_score(Pair(truth, truth), CLASSES) == 1.0
    assert picture_score(Pair(truth, nothing), CLASSES) == 0.0
    assert picture_score(Pair(nothing, nothing), CLASSES) == 1.0
    assert picture_score(Pair(nothing, truth), CLASSES) == 0.0


def test_of_nothing_annotated_there_is_no_precision() -> None:
    assert mean_average_precision(average_precisions([], CLASSES)) == 0.0
