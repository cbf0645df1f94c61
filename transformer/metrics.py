"""What the transformer counts besides requests and batches; docs/metrics.md has all names."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry

from common.metrics import Count, Counts, Distribution, Distributions
from serving.metrics import OTHER

OK = "ok"
MAX_OUTCOMES = 64


class TransformerTally:
    """Counts on the event loop alone."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.decode_seconds = Distributions(
            "vision_decode_seconds",
            "Time from a request's body to its tensors, waits for a thread included.",
            ("model_name",),
            registry,
        )
        self._hop_seconds = Distributions(
            "vision_hop_seconds",
            "Time of answered calls to the predictor, with all their attempts.",
            ("model_name", "revision"),
            registry,
        )
        self._hop_calls = Counts(
            "vision_hop_calls",
            "Calls to the predictor, by what became of them: ok, or an error's code.",
            ("model_name", "outcome"),
            registry,
        )
        self.hop_attempts = Counts(
            "vision_hop_attempts", "Attempts of calls to the predictor.", (), registry
        )
        self.unsure = Counts(
            "vision_unsure",
            "Predictions that say they are unsure.",
            ("model_name", "revision"),
            registry,
        )
        self.response_pixels = Counts(
            "vision_response_pixels",
            "Pixels of the masks answered.",
            ("model_name", "revision"),
            registry,
        )
        self._outcomes = {OK}
        self._answered: dict[tuple[str, str], tuple[Count, Distribution]] = {}

    def count_call(self, model: str, revision: str, seconds: float, trace_id: str = "") -> None:
        """One call to the predictor that was answered."""
        found = self._answered.get((model, revision))
        if found is None:
            found = self._answered[model, revision] = (
                self._hop_calls.labels(model, OK),
                self._hop_seconds.labels(model, revision),
            )
        calls, durations = found
        calls.value += 1
        durations.observe(seconds, trace_id)

    def count_failed_call(self, model: str, code: str) -> None:
        """One that was not.

        Args:
            code: of the error; somebody else's predictor may say anything.
        """
        if code not in self._outcomes:
            if len(self._outcomes) >= MAX_OUTCOMES:
                code = OTHER
            self._outcomes.add(code)
        self._hop_calls.labels(model, code).add()


TALLY = TransformerTally()
