"""How many answers are right, estimated without anybody who knows.

Held-out pictures say how many answers are right in each bin of confidence; what is answered now has
other shares of these bins (as Guillory et al., 2021, arXiv:2107.03315, estimate from differences of
confidence). Answers that are unsure more often than those of held-out pictures were may be of
pictures of no class, and wrong, or of worse pictures, and as often right as held-out ones: the
interval holds both. It knows nothing of pictures that a model is wrong about and sure of.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from artifact.statistics import CONFIDENCE, FAMILIARITY, RIGHT, UNSURE
from artifact.trust import FAMILIAR_FROM
from monitoring.drift.counts import Counts

SIGMAS = 1.96
"""Of an interval that holds 95 %."""


class Accuracy(NamedTuple):
    """A share of right answers, and the bounds that it lies between with 95 %."""

    estimate: float
    low: float
    high: float


def estimated_accuracy(counts: Counts, baseline: Counts) -> Accuracy | None:
    """Of the pictures counted; None where nobody has said how many held-out ones were right."""
    right, known = baseline.get(RIGHT, {}), baseline.get(CONFIDENCE.name, {})
    confident = counts.get(CONFIDENCE.name, {})
    unsure, known_unsure = _unsure(counts), _unsure(baseline)
    size = sum(confident.values()) + unsure
    if not right or not size:
        return None
    usual = (sum(right.values()) + 1) / (sum(known.values()) + known_unsure + 2)
    low = variance = 0.0
    for name, count in confident.items():
        share, spread = _share(right.get(name, 0), known.get(name, 0), usual)
        low += count * share
        # Of the answers themselves, and of what is known of their bin
        variance += count * share * (1 - share) + (count * spread) ** 2
    share, spread = _share(right.get(UNSURE, 0), known_unsure, usual)
    expected = size * known_unsure / (sum(known.values()) + known_unsure)
    beyond = max(0.0, unsure - expected)
    low += (unsure - beyond) * share
    high = low + beyond * share
    variance += unsure * share * (1 - share) + (unsure * spread) ** 2
    half = SIGMAS * sqrt(variance)
    return Accuracy(
        (low + high) / 2 / size, max(0.0, (low - half) / size), min(1.0, (high + half) / size)
    )


def _unsure(counts: Counts) -> int:
    """Answers that are unsure: of the bins of familiarity, those below its threshold."""
    bins = counts.get(FAMILIARITY.name, {})
    return sum(count for name, count in bins.items() if float(name) <= FAMILIAR_FROM)


def _share(hits: int, size: int, usual: float) -> tuple[float, float]:
    """The share with its standard deviation; where few are known, near what is usual."""
    share = (hits + 2 * usual) / (size + 2)
    cautious = (hits + 1) / (size + 2)
    return share, sqrt(cautious * (1 - cautious) / (size + 3))
