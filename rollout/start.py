"""The start of a new Knative revision: made, ready, or why it never will be."""

from __future__ import annotations

from collections.abc import Callable

from common.kubernetes import INFERENCE_SERVICE, Cluster
from common.pods import Failure, hopeless_pod, last_warning, obstacle, unready_pod
from rollout.errors import StartFailedError
from rollout.inferenceservice import InferenceService, Predictor
from rollout.knative import (
    KnativeRevision,
    pods_of,
    predictor_service,
    read_configuration,
    read_revision,
)
from rollout.waiting import Waiting

SETTLED_SECONDS = 5.0
"""How long an unchanged Configuration is watched before it is believed that nothing comes."""
GRACE_SECONDS = 20.0
"""How long Knative may call a revision failed that then comes up after all."""
PASSING = ("Unschedulable", "Deploying", "ResolvingDigests")
"""Reasons of an unready Knative revision that can pass: a node may still get room."""


class Start:
    """Watches one InferenceService's predictor start; writes nothing.

    Args:
        seconds: that each of the two waits may take.
    """

    def __init__(self, cluster: Cluster, service: str, waiting: Waiting, seconds: float) -> None:
        self._cluster = cluster
        self._service = service
        self._waiting = waiting
        self._seconds = seconds

    def created(self, predictor: Predictor, before: str, pinned: Callable[[], None]) -> str:
        """The Knative revision that Knative makes of ``predictor``.

        Args:
            before: the latest one when the predictor was written.
            pinned: called at every poll; raises where the traffic does not stay where it was.

        Raises:
            StartFailedError: none was made in time; with KServe's or Knative's own warning.
        """
        clock = self._waiting.clock
        since = clock.monotonic()

        def created() -> str | None:
            pinned()
            found = read_configuration(self._cluster, self._service)
            service = InferenceService(self._cluster.get(INFERENCE_SERVICE, self._service))
            name = service.latest_created
            if not (found.current and found.latest_created == name and found.carries(predictor)):
                return None
            # The same name as before: Knative had this spec already, or has not seen ours yet.
            if name == before and clock.monotonic() - since < SETTLED_SECONDS:
                return None
            return name

        revision = self._waiting.until(
            created,
            self._seconds,
            "a new Knative revision",
            lambda: StartFailedError(f"NotCreated: {self._why_not_created()}"),
        )
        self._waiting.say(f"Knative made {revision}")
        return revision

    def ready(self, revision: str, pinned: Callable[[], None]) -> None:
        """Wait until a Knative revision is ready.

        Args:
            pinned: as for ``created``.

        Raises:
            StartFailedError: it will not be, or not in time; with what its pods say.
        """
        failed_at: float | None = None
        last: KnativeRevision | None = None
        now = self._waiting.clock.monotonic

        def ready() -> bool | None:
            nonlocal failed_at, last
            pinned()
            last = read_revision(self._cluster, revision)
            if last.condition.ready:
                return True
            found = hopeless_pod(self._cluster, pods_of(self._cluster, revision))
            if found is not None:
                raise StartFailedError(str(found))
            if last.condition.ready is False and last.condition.reason not in PASSING:
                # Knative calls a first crash a failure, and takes it back when a restart succeeds.
                failed_at = failed_at if failed_at is not None else now()
                if now() - failed_at >= GRACE_SECONDS:
                    raise StartFailedError(str(self._explain(last, "")))
            else:
                failed_at = None
            return None

        def gave_up() -> StartFailedError:
            text = f"not ready after {self._seconds:.0f} s"
            return StartFailedError(str(self._explain(last, text)))

        self._waiting.until(
            ready,
            self._seconds,
            f"{revision} to be ready",
            gave_up,
            lambda: obstacle(self._cluster, pods_of(self._cluster, revision)),
        )
        self._waiting.say(f"{revision} is ready")

    def _why_not_created(self) -> str:
        """KServe's and Knative's own warnings, for a spec that they do not accept."""
        names = (predictor_service(self._service), self._service)
        words = filter(None, (last_warning(self._cluster, name) for name in names))
        return next(words, "no new Knative revision was made; is KServe running?")

    def _explain(self, revision: KnativeRevision | None, fallback: str) -> Failure:
        """The best account of why a Knative revision is not ready, after waiting for it."""
        if revision is None:
            return Failure("NotCreated", fallback)
        found = unready_pod(self._cluster, pods_of(self._cluster, revision.name), fallback)
        if found is not None:
            return found
        reason = revision.condition.reason or "NotReady"
        return Failure(reason, revision.condition.message or fallback)
