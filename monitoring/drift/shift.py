"""Whether two counts of pictures are of one kind, and if not, what is different.

Of a statistic with an order, shares above each bound of its bins are compared; of labels and
polarities, the share of each. Every comparison is Fisher's exact test. There are many, so each one
may be wrong very seldom: the sum of all their chances (Bonferroni), however they depend on one
another, stays below ``MORE_BUDGET + FEWER_BUDGET + OTHERS_BUDGET`` false alarms in a million
pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import erfc, log, sqrt
from typing import NamedTuple

from artifact.statistics import LABEL, STATISTICS
from monitoring.drift.counts import Counts
from monitoring.drift.fisher import log_p

PICTURES = 1_000_000
MORE_BUDGET, FEWER_BUDGET, OTHERS_BUDGET = 0.45, 0.05, 0.01
"""False alarms in so many pictures: of labels that are answered more often, of those that are
answered less often, of all else. A class that doubles is the weakest of the shifts that are to be
seen, so that gets most; whatever else shifts can be far surer."""

BLOCK = 50
"""Pictures between two looks, at least."""

WINDOWS = (200, 500, 950)
"""Pictures that are compared with the baseline at each look: what is strong shows in a few of them,
and after the longest and a block, what begins at any moment has been compared all by itself."""

LABELS_SHARES = {200: 0.1, 500: 0.1, 950: 0.8}
"""Of what labels may be wrong in each window: a class that doubles shows late or not at all."""

LOOKS = PICTURES // BLOCK
FEW_LABELS, CUTS = 10, 170
"""Comparisons at a look: of labels at least, and of all else."""

MOST_REFERENCE = 20_000
"""Pictures that a baseline counts for: what cannot be told from so many matters to nobody."""

LIKELY = 3.5
"""Standard deviations below which the exact test is not worth its time."""

BOUNDS = {name: item.bins[:-1] for name, item in STATISTICS.items()}

Part = tuple[str, int, int]
"""Where a statistic is cut, and how many of the sample and of the reference are on this side."""


class Shift(NamedTuple):
    """The clearest difference of one statistic.

    Attributes:
        evidence: logarithm of the chance that there is none, as a share of the logarithm of the
            chance that is allowed: from 1 on, it is there.
        bound: what pictures are above of, or a label or polarity that they have.
        was, now: their shares.
        size: pictures that were looked at.
    """

    statistic: str
    evidence: float
    bound: str
    was: float
    now: float
    size: int

    @property
    def is_there(self) -> bool:
        return self.evidence >= 1


def shifts(counts: Counts, baseline: Counts, window: int = WINDOWS[-1]) -> list[Shift]:
    """Of every statistic that both have counted, its clearest difference.

    Args:
        window: for which of ``WINDOWS`` the pictures stand, however many they are.
    """
    found = []
    for statistic, reference in baseline.items():
        sample = counts.get(statistic, {})
        size, reference_size = sum(sample.values()), sum(reference.values())
        if size and reference_size:
            found.append(_clearest(statistic, sample, size, reference, reference_size, window))
    return found


def allowed(statistic: str, values: int, window: int, is_more: bool) -> float:
    """Logarithm of the chance at which one comparison, of both sides, tells of a shift.

    Args:
        values: that the statistic has.
        window: one of ``WINDOWS``.
        is_more: whether there are more than there were.
    """
    if statistic == LABEL:
        # Of one side: the chance of both is twice as much.
        budget = 2 * (MORE_BUDGET if is_more else FEWER_BUDGET)
        return log(budget * LABELS_SHARES[window] / LOOKS / max(values, FEW_LABELS))
    return log(OTHERS_BUDGET / len(WINDOWS) / LOOKS / CUTS)


def _clearest(
    statistic: str,
    sample: Mapping[str, int],
    size: int,
    reference: Mapping[str, int],
    reference_size: int,
    window: int,
) -> Shift:
    less = min(1.0, MOST_REFERENCE / reference_size)
    known = round(reference_size * less)
    evidence, best = 0.0, ("", 0, 0)
    farthest = 0.0
    for part in _parts(statistic, sample, size, reference, reference_size):
        _, hits, reference_hits = part
        reference_hits = round(reference_hits * less)
        is_more = hits * known > reference_hits * size
        distance = _distance(hits, size, reference_hits, known)
        if distance > LIKELY:
            # Of rare ones, the farthest is not always the least likely.
            chance = log_p(hits, size, reference_hits, known)
            found = chance / allowed(statistic, len(reference), window, is_more)
            if found > evidence:
                evidence, best = found, part
        elif evidence == 0 and distance >= farthest:
            farthest, best = distance, part
    bound, hits, reference_hits = best
    if evidence == 0:
        is_more = hits * reference_size > reference_hits * size
        chance = log(erfc(farthest / sqrt(2)))
        evidence = max(0.0, chance / allowed(statistic, len(reference), window, is_more))
    return Shift(statistic, evidence, bound, reference_hits / reference_size, hits / size, size)


def _parts(
    statistic: str,
    sample: Mapping[str, int],
    size: int,
    reference: Mapping[str, int],
    reference_size: int,
) -> Sequence[Part]:
    names = BOUNDS.get(statistic)
    if names is None:
        every = {**reference, **sample}
        return [(name, sample.get(name, 0), reference.get(name, 0)) for name in every]
    below = accumulate([sample.get(name, 0) for name in names])
    reference_below = accumulate([reference.get(name, 0) for name in names])
    return [
        (name, size - one, reference_size - other)
        for name, one, other in zip(names, below, reference_below, strict=True)
    ]


def _distance(hits: int, size: int, reference_hits: int, reference_size: int) -> float:
    """Of two shares, in standard deviations of chance alone."""
    total, both = size + reference_size, hits + reference_hits
    if not 0 < both < total:
        return 0.0
    apart = hits * reference_size - reference_hits * size
    return abs(apart) * sqrt(total / (size * reference_size * both * (total - both)))
