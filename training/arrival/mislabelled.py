"""How many labels are wrong, by the answers of the live revision where it is sure.

Its probabilities are calibrated: of its sure answers it expects to have a known share wrong. What
disagrees with the labels beyond that is put down to the labels. Pictures that are new and hard make
it unsure, and do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SURE = 0.9
"""Probability of an answer that counts."""
FEWEST = 50
"""Sure answers below which nothing can be said."""
CONFIDENCE = 0.999
MOST_SUSPECTS = 50


@dataclass(frozen=True)
class Suspect:
    """A picture whose label the live revision does not believe.

    Attributes:
        place: in the part.
        probability: of the answer.
    """

    place: int
    label: str
    answer: str
    probability: float


@dataclass(frozen=True)
class Mislabelled:
    """An estimate.

    Attributes:
        sure: answers that counted.
        disagree: those of them that are not the label.
        expected: that the revision has wrong, by its own probabilities; share of ``sure``.
        share: of labels that are wrong; None where too few answers are sure.
        at_least: lower bound of that, with a confidence of ``CONFIDENCE``.
        suspects: the surest first.
    """

    sure: int
    disagree: int
    expected: float
    share: float | None
    at_least: float
    suspects: tuple[Suspect, ...]

    def figures(self) -> dict[str, Any]:
        return asdict(self)


def estimate(
    probabilities: NDArray[np.float32], labels: Sequence[str], classes: Sequence[str]
) -> Mislabelled:
    """Of probabilities ``(n, classes)`` beside the labels that the pictures came with."""
    from scipy import stats  # takes a second

    place = {name: index for index, name in enumerate(classes)}
    wanted = np.array([place.get(label, -1) for label in labels])
    best, certain = probabilities.argmax(axis=1), probabilities.max(axis=1)
    sure = certain >= SURE
    wrong = np.flatnonzero(sure & (best != wanted))
    count, disagree = int(sure.sum()), len(wrong)
    suspects = tuple(
        Suspect(int(i), labels[i], classes[best[i]], round(float(certain[i]), 4))
        for i in sorted(wrong.tolist(), key=lambda i: -certain[i])[:MOST_SUSPECTS]
    )
    if count < FEWEST:
        return Mislabelled(count, disagree, 0.0, None, 0.0, suspects)
    expected = float((1 - certain[sure]).mean())
    # Clopper and Pearson's lower bound.
    low = stats.beta.ppf(1 - CONFIDENCE, disagree, count - disagree + 1) if disagree else 0.0
    share, at_least = (
        round(max(0.0, (found - expected) / (1 - expected)), 4) for found in (disagree / count, low)
    )
    return Mislabelled(count, disagree, round(expected, 4), share, at_least, suspects)
