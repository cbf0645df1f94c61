from __future__ import annotations

import numpy as np
import pytest

from artifact import Selection
from tasks.detection.boxes import overlaps
from transformer.detection.heads import Candidates
from transformer.detection.suppression import MOST_CANDIDATES, select


def candidates(random: np.random.Generator, count: int, classes: int = 3) -> Candidates:
    corners = random.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (count, 2))], axis=1)
    return Candidates(
        boxes.astype(np.float32),
        random.random(count).astype(np.float32),
        random.integers(0, classes, count),
        np.zeros((count, 0, 3), np.float32),
    )


def by_hand(found: Candidates, selection: Selection) -> list[int]:
    """One box at a time, as the definition has it."""
    kept: list[int] = []
    shared = overlaps(found.boxes.astype(np.float64), found.boxes.astype(np.float64))
    for index in np.argsort(-found.scores, kind="stable").tolist():
        rivals = [i for i in kept if found.labels[i] == found.labels[index]]
        if all(shared[index, i] <= selection.iou_threshold for i in rivals):
            kept.append(index)
    return kept[: selection.max_detections]


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("most", [3, 1000])
def test_it_is_the_greedy_choice_of_each_class(
    threshold: float, most: int, random: np.random.Generator
) -> None:
    found = candidates(random, 150)
    selection = Selection(0.0, threshold, most)
    expected = found.take(np.array(by_hand(found, selection)))
    chosen = select(found, selection)
    for column, wanted in zip(chosen, expected, strict=True):
        assert np.array_equal(column, wanted)


def test_of_nothing_nothing_is_chosen(random: np.random.Generator) -> None:
    chosen = select(candidates(random, 0), Selection(0.1, 0.5, 10))
    assert chosen.boxes.shape == (0, 4)


def test_an_empty_box_is_no_rival() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 9, 9]], np.float32)
    found = Candidates(
        boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int64), np.zeros((3, 0, 3))
    )
    assert len(select(found, Selection(0.1, 0.5, 10)).scores) == 3


def test_the_best_of_very_many_are_looked_at(random: np.random.Generator) -> None:
    found = candidates(random, 4 * MOST_CANDIDATES)
    chosen = select(found, Selection(0.0, 1.0, 10 * MOST_CANDIDATES))
    assert len(chosen.scores) == MOST_CANDIDATES
    assert chosen.scores.min() >= np.sort(found.scores)[-MOST_CANDIDATES]
