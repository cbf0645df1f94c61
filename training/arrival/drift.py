"""What differs between a part and the data that it would be added to.

New data are there to differ: nothing is refused for it, but a person is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.samples import Picture

MOST = 20_000
"""Pictures of each side that are looked at."""
SURE = 0.001
LARGE = 0.1
"""Differences below are not worth a word, however sure: the Kolmogorov-Smirnov distance, or the
share of pictures that would need another class for the mix to be the same."""
MEASURES = ("brightness", "contrast", "pixels")


def drift(
    images: Sequence[Picture],
    labels: Sequence[str],
    before: Sequence[Picture],
    labels_before: Sequence[str],
) -> tuple[dict[str, Any], list[str]]:
    """Figures by measure (distance, p-value, means), and sentences about what is large.

    Brightness, contrast and size by the Kolmogorov-Smirnov test, the mix of classes by chi-squared.
    """
    from scipy import stats  # takes a second

    figures: dict[str, Any] = {}
    said = []
    new, old = _measured(images), _measured(before)
    for index, measure in enumerate(MEASURES):
        one, other = new[:, index], old[:, index]
        if one.min() == one.max() == other.min() == other.max():
            continue
        found = stats.ks_2samp(one, other, method="asymp")
        means = round(float(other.mean()), 2), round(float(one.mean()), 2)
        figures[measure] = _figure(found.statistic, found.pvalue, *means)
        if found.pvalue < SURE and found.statistic > LARGE:
            said.append(f"{measure}: {means[0]:g} before, {means[1]:g} in this part, on average")
    names = sorted({*labels, *labels_before})
    if len(names) > 1:
        counts = np.array(
            [[list(side).count(n) for n in names] for side in (labels, labels_before)]
        )
        shares = counts / counts.sum(axis=1, keepdims=True)
        distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
        p_value = stats.chi2_contingency(counts).pvalue
        figures["classes"] = _figure(distance, p_value)
        if p_value < SURE and distance > LARGE:
            most = int(np.abs(shares[0] - shares[1]).argmax())
            said.append(
                f"classes: {distance:.0%} of the pictures are of other classes than before; "
                f"{names[most]} had {shares[1, most]:.0%} and has {shares[0, most]:.0%}"
            )
    return figures, said


def _figure(distance: float, p_value: float, *means: float) -> dict[str, Any]:
    figure: dict[str, Any] = {"distance": round(float(distance), 4), "p": float(p_value)}
    return figure | ({"before": means[0], "now": means[1]} if means else {})


def _measured(images: Sequence[Picture]) -> NDArray[np.float64]:
    """``(n, 3)``: mean, standard deviation and number of pixels; of ``MOST`` at most, evenly."""
    step = max(1, -(-len(images) // MOST))
    return np.array([(i.mean(), i.std(), i.shape[0] * i.shape[1]) for i in images[::step]])
