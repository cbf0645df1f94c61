"""Pictures and answers of nobody's, as streams of counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from artifact.statistics import BRIGHTNESS, CONFIDENCE, FAMILIARITY, RIGHT, STATISTICS
from monitoring.drift.counts import Counts

LABELS = tuple("abcdefghij")
Number = Callable[[np.random.Generator, int], "np.ndarray"]


def drawn(
    random: np.random.Generator,
    count: int,
    light: float = 0.3,
    strangers: float = 0.0,
    first_label: float = 0.1,
) -> Counts:
    """Counts of so many pictures.

    Args:
        light: their mean brightness.
        strangers: share of them that is of no class.
        first_label: share of the first label.
    """
    strange = random.random(count) < strangers
    familiarity = np.where(strange, 0.1, 1 - 0.49 * random.random(count) ** 20)
    familiarity[random.random(count) < 0.01] = 0.2
    numbers = {
        "brightness": random.normal(light, 0.1 * light / 0.3, count),
        "familiarity": familiarity,
        "confidence": 1 - random.random(count)[familiarity > 0.5] ** 3 / 2,
    }
    found: dict[str, dict[str, int]] = {}
    for name, values in numbers.items():
        places = np.searchsorted(STATISTICS[name].bounds, values)
        counts = np.bincount(places, minlength=len(STATISTICS[name].bounds) + 1)
        found[name] = dict(zip(STATISTICS[name].bins, counts.tolist(), strict=True))
    shares = [first_label, *[(1 - first_label) / 9] * 9]
    counts = np.bincount(random.choice(10, count, p=shares), minlength=10)
    found["label"] = dict(zip(LABELS, counts.tolist(), strict=True))
    return found


def stream(
    random: np.random.Generator, blocks: int, size: int = 50, **kind: float
) -> Iterator[Counts]:
    for _ in range(blocks):
        yield drawn(random, size, **kind)


def held_out(random: np.random.Generator) -> Counts:
    """A card's: 9 of 10 are right of those that are sure, whatever their confidence."""
    counts = dict(drawn(random, 4000))
    right = {name: round(0.9 * count) for name, count in counts[CONFIDENCE.name].items()}
    below = sum(n for bound, n in counts[FAMILIARITY.name].items() if float(bound) <= 0.5)
    assert sum(counts[BRIGHTNESS.name].values()) == 4000
    return {**counts, RIGHT: {**right, "unsure": round(0.5 * below)}}
