"""What the predictor counts besides requests and batches; docs/metrics.md has all names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from weakref import WeakSet

from prometheus_client import REGISTRY, CollectorRegistry

from common.metrics import Distributions, Labels, Levels
from predictor.loading import LoadedRevision


class Holder(Protocol):
    """A model, and the revision that it has in memory, if any."""

    name: str

    @property
    def loaded(self) -> LoadedRevision | None: ...


class PredictorTally:
    """Counts on the event loop alone."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.pass_seconds = Distributions(
            "vision_forward_pass_seconds",
            "Time of forward passes, failed ones included.",
            ("model_name", "revision"),
            registry,
        )
        self.load_seconds = Distributions(
            "vision_model_load_seconds",
            "Time that it took to verify, load and try out a revision.",
            ("model_name", "revision"),
            registry,
        )
        self._holders: WeakSet[Holder] = WeakSet()
        Levels(
            "vision_revision_info",
            "1 for each revision in memory.",
            ("model_name", "revision", "digest", "engine"),
            self._revisions,
            registry,
        )
        Levels(
            "vision_model_memory_bytes",
            "Weights of a revision in memory, and what was compiled from them, as far as its "
            "engine knows.",
            ("model_name", "revision"),
            self._bytes,
            registry,
        )

        Levels(
            "vision_baseline_predictions",
            "Held-out pictures of the model card, by a statistic's bin: what drift is measured "
            "from.",
            ("model_name", "revision", "statistic", "bin"),
            self._baselines,
            registry,
        )

    def watch(self, holder: Holder) -> None:
        """Expose from now on what it has in memory, for as long as it exists."""
        self._holders.add(holder)

    def _held(self) -> Iterable[tuple[str, LoadedRevision]]:
        for holder in list(self._holders):
            loaded = holder.loaded
            if loaded is not None:
                yield holder.name, loaded

    def _revisions(self) -> Iterable[tuple[Labels, float]]:
        for name, loaded in self._held():
            yield (name, loaded.card.revision, loaded.digest, loaded.engine), 1.0

    def _baselines(self) -> Iterable[tuple[Labels, float]]:
        for name, loaded in self._held():
            baseline = loaded.card.baseline
            if baseline is None or not baseline.is_comparable:
                continue
            for statistic, place, count in baseline.counts(loaded.card.contract.labels):
                yield (name, loaded.card.revision, statistic, place), float(count)

    def _bytes(self) -> Iterable[tuple[Labels, float]]:
        for name, loaded in self._held():
            yield (name, loaded.card.revision), float(loaded.session.memory_bytes)


TALLY = PredictorTally()
