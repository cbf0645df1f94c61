"""What pictures and their answers are like, counted in bins: what drift is seen by.

To look at one picture by numpy takes longer than all that is counted of its request, and to look at
many takes little more than at one. So they wait until there are enough of them, or somebody asks.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from artifact import ImageInput
from artifact.statistics import (
    LABELS_METRIC,
    POLARITIES_METRIC,
    STATISTICS,
)
from common.metrics import Count, Counts, Distribution, Distributions, Family
from transformer.pictures.polarity import Polarity
from transformer.pictures.statistics import Numbers, PictureStatistics

ENOUGH_PICTURES, ENOUGH_BYTES = 256, 1 << 20
"""That wait to be looked at; the bytes are of pixels."""

ANSWERED = ("model_name", "revision")

MOST_A_SECOND = 200.0
"""Pictures of a model that are looked at; of what comes faster, some are passed over. Shares need
no more, and so the cost is a thousandth of a processor at any load."""

BOUNDS = {name: np.array(item.bounds, np.float32) for name, item in STATISTICS.items()}

Outputs = Sequence[NDArray[np.float32]]


class Seen(NamedTuple):
    """What one call to the predictor brought.

    Attributes:
        planes: ``(n, *shape)`` intensities, as the network was shown them.
        pixels: of each picture as it was sent.
    """

    revision: str
    planes: NDArray[np.uint8]
    outputs: Outputs
    polarities: Sequence[Polarity | None]
    pixels: Sequence[int]


class Judged(NamedTuple):
    """What a task reads off the outputs of several pictures.

    Attributes:
        numbers: by a statistic's name; of some of the pictures, where the others have none.
        labels: of each, which of the labels that are counted; None where there is none.
    """

    numbers: Numbers
    labels: NDArray[np.intp] | None = None


class Judge(Protocol):
    """A task's part: it says what its outputs are like."""

    labels: Sequence[str]
    """That are counted; empty: none is."""

    def takes(self, outputs: Outputs) -> bool:
        """Whether outputs are what it can read: a predictor may have answered anything."""
        ...

    def judged(self, outputs: Outputs) -> Judged: ...


class PictureTally(Collector):
    """Counts on the event loop, and in whatever thread reads the metrics.

    Args:
        clock: seconds since any moment.
    """

    def __init__(
        self,
        registry: CollectorRegistry = REGISTRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        own = CollectorRegistry()
        self.distributions = {
            name: Distributions(item.metric, item.meaning, ANSWERED, own, item.bounds)
            for name, item in STATISTICS.items()
        }
        self.labels = Counts(
            LABELS_METRIC, "Predictions by their label.", (*ANSWERED, "label"), own
        )
        self.polarities = Counts(
            POLARITIES_METRIC, "Pictures by their polarity.", (*ANSWERED, "polarity"), own
        )
        self.lock = Lock()
        self.families: list[Family[Any]] = [
            *self.distributions.values(),
            self.labels,
            self.polarities,
        ]
        self._meters: WeakSet[PictureMeter] = WeakSet()
        registry.register(self)

    def of(self, model: str, spec: ImageInput, judge: Judge | None) -> PictureMeter:
        """A model's meter."""
        meter = PictureMeter(self, model, spec, judge)
        self._meters.add(meter)
        return meter

    def forget(self, meter: PictureMeter) -> None:
        """Count what waits there, and ask it no more."""
        meter.count()
        self._meters.discard(meter)

    def collect(self) -> Iterator[Metric]:
        for meter in list(self._meters):
            meter.count()
        for family in self.families:
            yield from family.collect()

    def describe(self) -> Iterator[Metric]:
        for family in self.families:
            yield from family.describe()


class RevisionCounts(NamedTuple):
    """Of one revision; with the tally's lock held."""

    numbers: dict[str, Distribution]
    labels: list[Count]
    polarities: dict[Polarity, Count]

    def add(self, numbers: Numbers, labels: NDArray[np.intp] | None) -> None:
        """Count pictures.

        Args:
            numbers: as ``Judged`` has them; what is not finite is left out.
            labels: of each, its place in ``labels``.
        """
        for name, values in numbers.items():
            total = float(values.sum())
            if not math.isfinite(total):
                values = values[np.isfinite(values)]
                total = float(values.sum())
            bounds = BOUNDS[name]
            counts = np.bincount(bounds.searchsorted(values), minlength=len(bounds) + 1)
            self.numbers[name].add(counts.tolist(), total)
        if labels is not None and self.labels:
            counts = np.bincount(labels, minlength=len(self.labels))
            for child, count in zip(self.labels, counts.tolist(), strict=True):
                child.value += count


class Revisions:
    """Counts of a model's revisions.

    Args:
        labels: that are counted.
    """

    def __init__(self, tally: PictureTally, model: str, labels: Sequence[str]) -> None:
        self._tally = tally
        self._model = model
        self._labels = labels
        self._of: dict[str, RevisionCounts] = {}

    def of(self, revision: str) -> RevisionCounts:
        """A revision's."""
        found = self._of.get(revision)
        if found is None:
            answered = (self._model, revision)
            tally = self._tally
            found = self._of[revision] = RevisionCounts(
                {name: each.labels(*answered) for name, each in tally.distributions.items()},
                [tally.labels.labels(*answered, label) for label in self._labels],
                {
                    polarity: tally.polarities.labels(*answered, polarity.value)
                    for polarity in (Polarity.LIGHT_ON_DARK, Polarity.DARK_ON_LIGHT)
                },
            )
        return found


class PictureMeter:
    """One model's."""

    def __init__(
        self, tally: PictureTally, model: str, spec: ImageInput, judge: Judge | None
    ) -> None:
        self._tally = tally
        self._statistics = PictureStatistics(spec)
        self._judge = judge
        self._revisions = Revisions(tally, model, () if judge is None else judge.labels)
        self._waiting: deque[Seen] = deque()
        self._pictures = self._bytes = 0
        self._began = self._resume_at = 0.0

    def add(self, seen: Seen) -> None:
        """On the event loop; nothing that is given may be changed afterwards."""
        if not self._pictures:
            now = self._tally.clock()
            if now < self._resume_at:
                return
            self._began = now
        if self._judge is None or not self._judge.takes(seen.outputs):
            seen = seen._replace(outputs=())
        self._waiting.append(seen)
        self._pictures += len(seen.planes)
        self._bytes += seen.planes.nbytes
        if self._pictures >= ENOUGH_PICTURES or self._bytes >= ENOUGH_BYTES:
            self.count()

    def count(self) -> None:
        """Look at what waits; in any thread."""
        with self._tally.lock:
            taken: dict[tuple[str, int], list[Seen]] = {}
            while self._waiting:
                seen = self._waiting.popleft()
                taken.setdefault((seen.revision, len(seen.outputs)), []).append(seen)
            if self._pictures:
                self._resume_at = self._began + self._pictures / MOST_A_SECOND
            self._pictures = self._bytes = 0
            for (revision, _), several in taken.items():
                self._count(self._revisions.of(revision), several)

    def _count(self, counts: RevisionCounts, several: list[Seen]) -> None:
        numbers = self._statistics.of(np.concatenate([seen.planes for seen in several]))
        sizes = [size for seen in several for size in seen.pixels]
        numbers["size"] = np.array(sizes, np.float32)
        labels = None
        if self._judge is not None and several[0].outputs:
            outputs = [
                np.concatenate(each)
                for each in zip(*(seen.outputs for seen in several), strict=True)
            ]
            judged, labels = self._judge.judged(outputs)
            numbers |= judged
        counts.add(numbers, labels)
        for seen in several:
            for polarity in seen.polarities:
                if polarity is not None:
                    counts.polarities[polarity].value += 1


TALLY = PictureTally()
