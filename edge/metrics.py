"""What the check and the meter count; docs/metrics.md has all names.

They are always on, so that what models at zero have answered is counted here, whoever scrapes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol
from weakref import WeakSet

from prometheus_client import REGISTRY, CollectorRegistry

from accounts.house import HOUSE
from common.metrics import Counts, CustomerClass, Distributions, Labels, Levels
from edge.metadata import Metered
from edge.records import Outcome

ALLOWED = "allowed"
OK_STATUS = 200
MAX_MODELS = 1000


class Queue(Protocol):
    """A ledger: what waits for its next transaction."""

    @property
    def waiting(self) -> int: ...

    @property
    def lag_seconds(self) -> float: ...


class Keys(Protocol):
    """Keys that have been used lately."""

    @property
    def expiring(self) -> int: ...


class Shares(Protocol):
    """Requests under way."""

    @property
    def count(self) -> int: ...


class EdgeTally:
    """Counts on the event loop alone."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._checks = Counts(
            "vision_edge_checks",
            "Requests that were checked: allowed, or the refusal's code.",
            ("outcome",),
            registry,
        )
        self._check_seconds = Distributions(
            "vision_edge_check_seconds", "Time of a check.", (), registry
        ).labels()
        asked = ("model_name", "revision", "customer_class", "code")
        self._requests = Counts(
            "vision_edge_requests",
            "Requests that reached a model, by how they ended; 499 where the client went away.",
            asked,
            registry,
        )
        self._seconds = Distributions(
            "vision_edge_request_seconds",
            "Time of answered requests, from the check to the answer's head.",
            ("model_name", "revision", "customer_class"),
            registry,
        )
        answered = ("model_name", "revision", "customer_class")
        self._instances = Counts("vision_edge_instances", "Instances answered.", answered, registry)
        self._pixels = Counts("vision_edge_pixels", "Pixels of their pictures.", answered, registry)
        self._received = Counts(
            "vision_edge_request_bytes", "Bytes of their requests' bodies.", answered, registry
        )
        self._sent = Counts(
            "vision_edge_response_bytes", "Bytes of their answers' bodies.", answered, registry
        )
        taken_part = ("experiment", "variant")
        self._variant_requests = Counts(
            "vision_edge_variant_requests",
            "Requests of an experiment's variants, by how they ended.",
            (*taken_part, "revision", "code"),
            registry,
        )
        self._variant_seconds = Distributions(
            "vision_edge_variant_seconds",
            "Time of their answers, from the check to the answer's head.",
            taken_part,
            registry,
        )
        self._variant_unsure = Counts(
            "vision_edge_variant_unsure",
            "Instances of theirs whose prediction says that it is unsure.",
            taken_part,
            registry,
        )
        self.ledger_seconds = Distributions(
            "vision_edge_ledger_seconds",
            "Time from asking the ledger until it is on record, or not.",
            ("outcome",),
            registry,
        )
        self._ledgers: WeakSet[Queue] = WeakSet()
        self._shares: WeakSet[Shares] = WeakSet()
        self._keys: WeakSet[Keys] = WeakSet()
        Levels(
            "vision_edge_ledger_waiting",
            "Records that wait for the ledger's next transaction.",
            (),
            self._sum(lambda: sum(ledger.waiting for ledger in list(self._ledgers))),
            registry,
        )
        Levels(
            "vision_edge_ledger_lag_seconds",
            "For how long the oldest of them has been waiting.",
            (),
            self._sum(lambda: max((item.lag_seconds for item in list(self._ledgers)), default=0)),
            registry,
        )
        Levels(
            "vision_edge_requests_in_progress",
            "Requests that were allowed and have not ended.",
            (),
            self._sum(lambda: sum(share.count for share in list(self._shares))),
            registry,
        )
        Levels(
            "vision_edge_keys_expiring",
            "Keys that were used in the last minute and end within a week.",
            (),
            self._sum(lambda: sum(keys.expiring for keys in list(self._keys))),
            registry,
        )
        self._known: set[str] = set()

    def watch_ledger(self, ledger: Queue) -> None:
        """Expose from now on what waits there, for as long as it exists."""
        self._ledgers.add(ledger)

    def watch_keys(self, keys: Keys) -> None:
        """Expose from now on how many end soon there, for as long as it exists."""
        self._keys.add(keys)

    def watch_shares(self, shares: Shares) -> None:
        """Expose from now on what is under way there, for as long as it exists."""
        self._shares.add(shares)

    def count_check(self, outcome: str, seconds: float) -> None:
        """One check; ``outcome`` is ``ALLOWED`` or the refusal's code."""
        self._checks.labels(outcome).add()
        self._check_seconds.observe(seconds)

    def count_unclear(self, metered: Metered, status: int) -> None:
        """A request whose answer was held back, for want of what it is or of a record of it."""
        self._count(metered, "", status)
        self._count_variant(metered, "", status)

    def _count(self, metered: Metered, revision: str, status: int) -> Labels:
        model = metered.model if metered.model in self._known else ""
        customer: CustomerClass = "try" if metered.account_id == HOUSE else "key"
        self._requests.labels(model, revision, customer, str(status)).add()
        return model, revision, customer

    def _count_variant(self, metered: Metered, revision: str, status: int) -> None:
        # As many as operators have named, in the life of this process.
        if metered.experiment:
            labels = (metered.experiment, metered.variant, revision, str(status))
            self._variant_requests.labels(*labels).add()

    def count_outcome(self, metered: Metered, outcome: Outcome, status: int) -> None:
        """How a request ended that was let through.

        Args:
            status: that the client sees.
        """
        # A path may name any model; one that has answered is there.
        if outcome.billed and len(self._known) < MAX_MODELS:
            self._known.add(metered.model)
        revision = outcome.revision if outcome.billed else ""
        labels = self._count(metered, revision, status)
        self._count_variant(metered, revision, status)
        if status != OK_STATUS:
            return
        seconds = max(0.0, time.time() - metered.started_ms / 1000)
        if metered.experiment:
            taken_part = (metered.experiment, metered.variant)
            self._variant_seconds.labels(*taken_part).observe(seconds)
            self._variant_unsure.labels(*taken_part).add(outcome.unsure or 0)
        self._seconds.labels(*labels).observe(seconds)
        self._instances.labels(*labels).add(outcome.instances)
        self._pixels.labels(*labels).add(outcome.pixels)
        self._received.labels(*labels).add(max(0, outcome.request_bytes))
        self._sent.labels(*labels).add(max(0, outcome.response_bytes))

    @staticmethod
    def _sum(read: Callable[[], float]) -> Callable[[], Iterator[tuple[Labels, float]]]:
        def levels() -> Iterator[tuple[Labels, float]]:
            yield (), read()

        return levels


TALLY = EdgeTally()
