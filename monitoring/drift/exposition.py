"""What a watch sees, as metrics: for the alert, and for panels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry

from common.metrics import Labels, Levels
from monitoring.drift.counts import Key, pictures
from monitoring.drift.watch import Watch

ANSWERED = ("model_name", "revision")


class DriftLevels:
    """Gauges of what the watches saw last.

    Args:
        watches: by model and revision; read whenever somebody asks.
    """

    def __init__(self, watches: Mapping[Key, Watch], registry: CollectorRegistry) -> None:
        self._watches = watches
        self.seconds = 0.0
        """When the counters were last read, since the epoch."""
        Levels(
            "vision_drift_evidence_ratio",
            "How surely a statistic of the pictures or answers is not what it was: from 1 on it is "
            "told of.",
            (*ANSWERED, "statistic"),
            self._evidence,
            registry,
        )
        Levels(
            "vision_estimated_accuracy_ratio",
            "Share of right answers, estimated without labels, and the bounds of 95 %.",
            (*ANSWERED, "bound"),
            self._accuracy,
            registry,
        )
        Levels(
            "vision_drift_window_pictures",
            "Pictures that are compared with the baseline.",
            ANSWERED,
            self._pictures,
            registry,
        )
        Levels(
            "vision_drift_last_look_timestamp_seconds",
            "When the counters were last read.",
            (),
            lambda: [((), self.seconds)],
            registry,
        )

    def _of(self) -> list[tuple[Key, Watch]]:
        return [item for item in list(self._watches.items()) if not item[1].is_learning]

    def _evidence(self) -> Iterator[tuple[Labels, float]]:
        for key, watch in self._of():
            for name, shift in watch.latest.items():
                yield (*key, name), shift.evidence

    def _accuracy(self) -> Iterator[tuple[Labels, float]]:
        for key, watch in self._of():
            if watch.accuracy is not None:
                for bound, value in watch.accuracy._asdict().items():
                    yield (*key, bound), value

    def _pictures(self) -> Iterator[tuple[Labels, float]]:
        for key, watch in self._of():
            yield key, float(pictures(watch.window))
