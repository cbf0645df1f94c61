"""What both servers count, on KServe's ``/metrics``; docs/metrics.md has all names.

KServe's own times of a model's stages stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol
from weakref import WeakSet

from prometheus_client import REGISTRY, CollectorRegistry

from common.metrics import (
    BYTES,
    COUNTS,
    PIXELS,
    Count,
    Counts,
    Distribution,
    Distributions,
    Labels,
    Levels,
)

MAX_REASONS = 256
"""Combinations of model and reason that are counted apart: a reason may be what a predictor said,
and somebody else's may say anything."""

OTHER = "other"


class Sizes(NamedTuple):
    """Of one request that was answered.

    Attributes:
        instances: how many.
        received_bytes: of its body, as it came.
        sent_bytes: of its answer's body.
        pixels: of its pictures, as they were sent; 0 where it has none.
    """

    instances: int
    received_bytes: int
    sent_bytes: int
    pixels: int = 0


class Room(Protocol):
    """What admission knows of requests in progress."""

    @property
    def requests(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def limit(self) -> int: ...


class _Answers(NamedTuple):
    """The children of one combination of labels: to look one up takes longer than to count."""

    requests: Count
    seconds: Distribution
    instances: Count
    received: Distribution
    sent: Distribution
    pixels: Distribution


class Tally:
    """Counts requests, on the event loop alone."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counts(
            "vision_requests",
            "Requests, by model, revision that answered, protocol, route and HTTP or gRPC code.",
            ("model_name", "revision", "protocol", "route", "code"),
            registry,
        )
        self._seconds = Distributions(
            "vision_request_seconds",
            "Time of answered requests, from the head to the answer.",
            ("model_name", "revision", "protocol", "route"),
            registry,
        )
        answered = ("model_name", "revision")
        self._instances = Counts("vision_instances", "Instances answered.", answered, registry)
        self._received = Distributions(
            "vision_request_size_bytes",
            "Bodies of answered requests, as they came.",
            answered,
            registry,
            BYTES,
        )
        self._sent = Distributions(
            "vision_response_size_bytes", "Bodies of answers.", answered, registry, BYTES
        )
        self._pixels = Distributions(
            "vision_request_pixels",
            "Pixels of the pictures of answered requests, together, as they were sent.",
            answered,
            registry,
            PIXELS,
        )
        self._rejections = Counts(
            "vision_rejections",
            "Requests without an answer, by the error's code; of full queues, by which one it is.",
            ("model_name", "reason"),
            registry,
        )
        self._rooms: WeakSet[Room] = WeakSet()
        for name, documentation, read in (
            (
                "vision_requests_in_progress",
                "Requests that have been admitted and not answered.",
                lambda room: room.requests,
            ),
            (
                "vision_requests_in_progress_limit",
                "Requests in progress above which one is refused now.",
                lambda room: room.limit,
            ),
            (
                "vision_request_bytes_in_progress",
                "Bytes of bodies that are held for requests in progress.",
                lambda room: room.size_bytes,
            ),
        ):
            Levels(name, documentation, (), self._sum(read), registry)
        self._answers_by: dict[tuple[str, str, str, str, str], _Answers] = {}
        self._reasons: set[tuple[str, str]] = set()

    def watch(self, room: Room) -> None:
        """Expose from now on what is in progress there, for as long as it exists."""
        self._rooms.add(room)

    def count_answer(
        self,
        model: str,
        revision: str,
        protocol: str,
        route: str,
        code: str,
        seconds: float,
        sizes: Sizes,
        trace_id: str = "",
    ) -> None:
        """One request that was answered."""
        labels = (model, revision, protocol, route, code)
        found = self._answers_by.get(labels)
        if found is None:
            found = self._answers_by[labels] = _Answers(
                self._requests.labels(*labels),
                self._seconds.labels(model, revision, protocol, route),
                self._instances.labels(model, revision),
                self._received.labels(model, revision),
                self._sent.labels(model, revision),
                self._pixels.labels(model, revision),
            )
        # Unpacked: by name, each would be looked up.
        requests, durations, answered, received, sent, pictures = found
        instances, received_bytes, sent_bytes, pixels = sizes
        requests.value += 1
        durations.observe(seconds, trace_id)
        answered.value += instances
        received.observe(received_bytes)
        sent.observe(sent_bytes)
        if pixels:
            pictures.observe(pixels)

    def count_failure(self, model: str, protocol: str, route: str, code: str, reason: str) -> None:
        """One that was not."""
        self._requests.labels(model, "", protocol, route, code).add()
        if (model, reason) not in self._reasons:
            if len(self._reasons) >= MAX_REASONS:
                reason = OTHER
            self._reasons.add((model, reason))
        self._rejections.labels(model, reason).add()

    def count_other(self, route: str, code: str) -> None:
        """One that asked for no prediction."""
        self._requests.labels("", "", "", route, code).add()

    def _sum(self, read: Callable[[Room], float]) -> Callable[[], Iterator[tuple[Labels, float]]]:
        def levels() -> Iterator[tuple[Labels, float]]:
            yield (), sum(map(read, list(self._rooms)))

        return levels


class BatchTally:
    """Counts what shares a call to the predictor, or a forward pass; on the event loop alone."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._seconds = Distributions(
            "vision_queue_seconds",
            "Time from a request's arrival in the batch queue until its batch began.",
            ("model_name",),
            registry,
        )
        self._requests = Distributions(
            "vision_batch_requests",
            "Requests that share a call to the predictor, or a forward pass.",
            ("model_name",),
            registry,
            COUNTS,
        )
        self._instances = Distributions(
            "vision_batch_instances",
            "Instances of a call to the predictor, or of a forward pass.",
            ("model_name",),
            registry,
            COUNTS,
        )
        self._depths: dict[str, Callable[[], int]] = {}
        Levels(
            "vision_queue_requests",
            "Requests in the batch queue.",
            ("model_name",),
            lambda: [((model,), depth()) for model, depth in list(self._depths.items())],
            registry,
        )

    def of(self, model: str, depth: Callable[[], int]) -> BatchMeter:
        """A model's meter.

        Args:
            depth: requests that wait; asked in any thread.
        """
        self._depths[model] = depth
        return BatchMeter(
            self._seconds.labels(model), self._requests.labels(model), self._instances.labels(model)
        )

    def forget(self, model: str) -> None:
        """Ask no more for the depth of a model's queue, which is gone; what was counted stays."""
        self._depths.pop(model, None)


class BatchMeter(NamedTuple):
    """One model's: how long its requests wait, and how large its batches are."""

    seconds: Distribution
    requests: Distribution
    instances: Distribution

    def observe(self, waits: Sequence[float], instances: int) -> None:
        """One batch that begins.

        Args:
            waits: seconds that each of its requests has waited.
            instances: of all of them.
        """
        queue, requests, size = self
        for seconds in waits:
            queue.observe(seconds)
        requests.observe(len(waits))
        size.observe(instances)


TALLY = Tally()
BATCHES = BatchTally()
