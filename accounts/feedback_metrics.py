"""What is counted of feedback; docs/metrics.md has all names."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from prometheus_client import REGISTRY, CollectorRegistry

from accounts.feedback import State, Taken
from common.metrics import Counts


class FeedbackTally:
    """Counts right answers, once they are on record."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._feedback = Counts(
            "vision_feedback",
            "Right answers that were said: right or wrong is the prediction; corrected ones of "
            "those, apart.",
            ("model_name", "revision", "outcome"),
            registry,
        )
        self._lock = Lock()

    def count(self, taken: Iterable[Taken]) -> None:
        """What was said before counts no second time."""
        with self._lock:
            for one in taken:
                if one.state is State.SAME:
                    continue
                outcome = "right" if one.right else "wrong"
                if one.state is State.CORRECTED:
                    outcome = "corrected"
                self._feedback.labels(one.model, one.revision, outcome).add()


TALLY = FeedbackTally()
