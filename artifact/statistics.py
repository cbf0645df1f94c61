"""What is counted of every picture and its answer, and in which bins: the same wherever it is done.

The transformer counts what it serves, training what a revision was tried with; whoever compares the
two needs the same bins. They belong to no revision, so that any two can be compared, and counts of
several servers can be added.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Statistic(NamedTuple):
    """A number of a picture, as it reaches the network, or of its answer.

    Attributes:
        name: in a baseline and in reports.
        metric: the histogram that a server exposes.
        meaning: for people; also the metric's documentation.
        bounds: upper ones of its bins, ascending; the last bin has none.
    """

    name: str
    metric: str
    meaning: str
    bounds: tuple[float, ...]

    @property
    def bins(self) -> tuple[str, ...]:
        """Names of the bins: their upper bounds, as Prometheus writes them."""
        return (*map(repr, self.bounds), "+Inf")


_BALANCE = tuple(
    side * bound
    for side, bounds in (
        (-1, (0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02)),
        (1, (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)),
    )
    for bound in bounds
)

SIZE = Statistic(
    "size",
    "vision_picture_pixels",
    "Pixels of a picture, as it was sent.",
    tuple(float(1 << power) for power in range(8, 29, 2)),
)
BRIGHTNESS = Statistic(
    "brightness",
    "vision_picture_brightness_ratio",
    "Mean intensity of what the network was shown, 0 to 1.",
    (
        *(0.02, 0.03, 0.04, 0.055, 0.07, 0.085, 0.1, 0.12, 0.14, 0.165, 0.19, 0.22),
        *(0.26, 0.3, 0.35, 0.4, 0.46, 0.53, 0.6, 0.68, 0.77, 0.87),
    ),
)
CONTRAST = Statistic(
    "contrast",
    "vision_picture_contrast_ratio",
    "Standard deviation of intensity in what the network was shown, 0 to 0.5.",
    (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24, 0.26, 0.28, 0.3, 0.32, 0.34, 0.37, 0.4, 0.44),
)
SHARPNESS = Statistic(
    "sharpness",
    "vision_picture_sharpness_ratio",
    "Mean difference of neighbours in a row, in standard deviations of intensity.",
    (0.02, 0.04, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.24, 0.27, 0.3, 0.34, 0.4, 0.5, 0.7, 1.0),
)
HORIZONTAL = Statistic(
    "horizontal balance",
    "vision_picture_horizontal_balance_ratio",
    "Light in the right half less that in the left one, as a share of both.",
    _BALANCE,
)
VERTICAL = Statistic(
    "vertical balance",
    "vision_picture_vertical_balance_ratio",
    "Light in the lower half less that in the upper one, as a share of both.",
    _BALANCE,
)
DIAGONAL = Statistic(
    "diagonal balance",
    "vision_picture_diagonal_balance_ratio",
    "Light in the upper left and lower right quarters less that in the others, as a share of all.",
    _BALANCE,
)
CONFIDENCE = Statistic(
    "confidence",
    "vision_prediction_confidence_ratio",
    "Probability of the label that was answered, of answers that are not unsure.",
    (
        *(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98),
        *(0.99, 0.995, 0.998, 0.999, 0.9997, 0.9999, 0.99997, 0.99999),
    ),
)
ENTROPY = Statistic(
    "entropy",
    "vision_prediction_entropy_ratio",
    "Entropy of the probabilities, as a share of the largest that they could have.",
    (
        *(1e-5, 3e-5, 1e-4, 3e-4, 0.001, 0.003, 0.01, 0.02, 0.04, 0.07),
        *(0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8),
    ),
)
FAMILIARITY = Statistic(
    "familiarity",
    "vision_prediction_familiarity_ratio",
    "How like the training data a picture is, 0 to 1; below 0.5 the answer says unsure.",
    (0.01, 0.1, 0.3, 0.5, 0.8, 0.95, 0.99, 0.998, 0.9995, 0.9999),
)

BINS = 1
"""Version of all these bins: counts in others cannot be compared."""

PICTURE = (SIZE, BRIGHTNESS, CONTRAST, SHARPNESS, HORIZONTAL, VERTICAL, DIAGONAL)
PREDICTION = (CONFIDENCE, ENTROPY, FAMILIARITY)
STATISTICS = {statistic.name: statistic for statistic in (*PICTURE, *PREDICTION)}

LABEL, POLARITY = "label", "polarity"
"""Names of what has no order: pictures by the label answered, and by their polarity."""

LABELS_METRIC, POLARITIES_METRIC = "vision_predictions", "vision_pictures"

RIGHT, UNSURE = "right", "unsure"
"""In a baseline: how many of those in each bin of confidence were answered rightly, and how many of
those that are unsure."""

MOST_LABELS = 64
"""Bins of labels: of a model with more labels, several share one, so that memory is constant."""


class LabelBins(NamedTuple):
    """What labels are counted in.

    Attributes:
        names: of the bins.
        places: of each label, the bin that it is counted in.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]


def label_bins(labels: Sequence[str]) -> LabelBins:
    """Each label by itself; of more than ``MOST_LABELS``, neighbours together.

    Neighbours, since lists of many labels have an order that means something: ImageNet's has dogs
    beside dogs, so what shifts together is mostly counted together.
    """
    count = len(labels)
    if count <= MOST_LABELS:
        return LabelBins(tuple(labels), tuple(range(count)))
    places = tuple(place * MOST_LABELS // count for place in range(count))
    names = []
    for group in range(MOST_LABELS):
        first, last = bisect_left(places, group), bisect_right(places, group) - 1
        # With their numbers, since a list may have the same word twice.
        several = f"{first}–{last}: {labels[first]} … {labels[last]}"
        names.append(f"{first}: {labels[first]}" if first == last else several)
    return LabelBins(tuple(names), places)
