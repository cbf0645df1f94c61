"""The moves of a predictor from one spec to another, none of which loses or misroutes an answer.

KServe's spec has one predictor and one number, so there are three moves:

stage   write the new predictor together with 0 %: all traffic is pinned to what is rolled out
        while Knative makes a new Knative revision of it and starts that
shift   write another percentage
settle  take the percentage away: KServe rolls the new one out

Putting the old spec back is staging and settling too: Knative makes a *new* Knative revision of
it, because a Configuration's next template, even one that it has had before, gets the next name.
Until that one is ready all traffic stays pinned to the old Knative revision, and only then moves.

Two things in KServe's status code (0.19 to master of August 2026) shape this. Whoever takes the
percentage away while an unwanted Knative revision is the latest ready one gives that one
everything: so a spec is put back *under* 0 %. And KServe takes "the latest ready Knative revision
has less than 100 %, but every share is its own" for a request to roll back, and swaps to
``previousRolledoutRevision``; that is also what a canary's first moment looks like if the Route
is reconciled before the Configuration. So that field is emptied before anything is staged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from common.kubernetes import INFERENCE_SERVICE, Cluster, ObjectConflictError, ObjectNotFoundError
from rollout.cards import Expected
from rollout.clock import Clock
from rollout.errors import (
    ConflictError,
    NotRestoredError,
    StartFailedError,
    UnreachableError,
)
from rollout.failure import PASSING, Failure, explain, hopeless_pod
from rollout.inferenceservice import InferenceService, Predictor, shares
from rollout.knative import (
    KnativeRevision,
    Route,
    read_configuration,
    read_revision,
    read_route,
)
from rollout.ledger import Ledger, Say
from rollout.pods import check_models
from rollout.record import Operation

T = TypeVar("T")

POLL_SECONDS = 1.0
PROGRESS_SECONDS = 10.0
WRITE_ATTEMPTS = 30
SETTLED_SECONDS = 5.0
"""How long an unchanged Configuration is watched before it is believed that nothing comes."""
GRACE_SECONDS = 20.0
"""How long Knative may call a revision failed that then comes up after all."""


@dataclass(frozen=True)
class Limits:
    """``start_seconds`` for a new Knative revision, ``route_seconds`` for a new split."""

    start_seconds: float = 300.0
    route_seconds: float = 120.0


class Transition:
    """Moves one InferenceService; every step is in the ledger before it is taken.

    Each move may be repeated: what is done already is seen and not done again.
    """

    def __init__(
        self,
        cluster: Cluster,
        service: str,
        ledger: Ledger,
        clock: Clock,
        say: Say,
        limits: Limits,
    ) -> None:
        self.cluster = cluster
        self.service = service
        self.ledger = ledger
        self.clock = clock
        self.say = say
        self.limits = limits

    def read(self) -> InferenceService:
        return InferenceService(self.cluster.get(INFERENCE_SERVICE, self.service))

    def stage(self, predictor: Predictor, stable: str) -> str:
        """Write ``predictor`` at 0 % and wait until Knative has it ready; ``stable`` serves.

        Returns:
            The name of its Knative revision.

        Raises:
            StartFailedError: it did not start; the split is still all ``stable``.
            ConflictError: somebody else changed the InferenceService.
        """
        self._forget_previous()
        self._write(predictor, 0)
        revision = self._await_created(predictor, stable)
        self._await_ready(revision, stable)
        self.await_split({stable: 100, revision: 0} if revision != stable else {stable: 100})
        return revision

    def shift(self, percent: int, candidate: str, stable: str) -> None:
        """Give the candidate its share and wait until the gateway splits so."""
        self._write(self.ledger.operation.after, percent)
        self.await_split({candidate: percent, stable: 100 - percent})
        if percent == 100:
            self._await_rolled_out(candidate)

    def settle(self, predictor: Predictor, revision: str) -> None:
        """Give everything to ``revision``, which is the latest, and see KServe roll it out."""
        self._write(predictor, None)
        self.await_split({revision: 100})

        self._await_rolled_out(revision)

    def pin(self, operation: Operation, staged: Predictor) -> str:
        """Take the traffic off an operation's candidate before ``staged`` is put in its place.

        Returns:
            The Knative revision that has the traffic from here on.
        """
        service = self.read()
        candidate, stable = operation.candidate, operation.stable
        if not candidate:
            return service.rolled_out or stable
        given = service.predictor == operation.after and service.percent in (None, 100)
        if given and service.latest_ready == candidate:
            # KServe is about to call it rolled out; nothing else holds until it has.
            self._await_rolled_out(candidate)
            service = self.read()
        if service.rolled_out != candidate or candidate == stable:
            return service.rolled_out
        if self.can_retreat(stable):
            self.retreat(stable, staged)
            return stable
        self.say(f"{candidate} keeps the traffic until the old spec is ready")
        return candidate

    def can_retreat(self, stable: str) -> bool:
        """Whether KServe's own rollback would lead to ``stable``: it remembers one step."""
        service = self.read()
        return service.previous == stable and service.rolled_out == service.latest_ready

    def retreat(self, stable: str, staged: Predictor) -> None:
        """Send all traffic from what is rolled out at 100 % to the one before it, at once.

        KServe's own rollback, without a new Knative revision: it takes effect while the old spec
        is still to be put back. Nothing is written where ``staged`` is in its place already.
        """
        service = self.read()
        if service.predictor != staged:
            self._write(service.predictor, 0)
        self.await_split({stable: 100})

    def rehearse(self, predictor: Predictor) -> None:
        """Have the API server say whether it would take this spec; nothing is written."""
        self.cluster.replace(
            INFERENCE_SERVICE, self.read().with_predictor(predictor, 0), dry_run=True
        )

    def check(self, revision: str, models: list[Expected]) -> dict[str, str]:
        """See ``check_models``; says so where no pod is left to be asked."""
        digests = check_models(self.cluster, revision, models)
        if digests:
            self.say(
                f"{revision} answers as "
                + ", ".join(f"{item.model}/{item.revision or '?'}" for item in models)
            )
        else:
            self.say(f"{revision} has no pod any more that could be asked for its models")
        return digests

    def await_split(self, wanted: dict[str, int]) -> None:
        """Wait until Knative's Route, and the gateway behind it, split as wanted."""
        wanted = {name: percent for name, percent in wanted.items() if percent}

        def settled() -> bool | None:
            route = read_route(self.cluster, self.service)
            return (route.ready and _serving(route) == wanted) or None

        text = ", ".join(f"{percent} % to {name}" for name, percent in wanted.items())
        self._wait(
            settled,
            self.limits.route_seconds,
            f"the split: {text}",
            lambda: UnreachableError(
                f"the Route did not come to give {text}: "
                f"it gives {_serving(read_route(self.cluster, self.service))}"
            ),
        )
        self.say(f"traffic: {text}")

    def _await_rolled_out(self, revision: str) -> None:
        def rolled_out() -> bool | None:
            return self.read().rolled_out == revision or None

        self._wait(
            rolled_out,
            self.limits.route_seconds,
            "KServe to call it rolled out",
            lambda: UnreachableError(
                f"KServe has not called {revision} rolled out; is it running?"
            ),
        )

    def _write(self, predictor: Predictor, percent: int | None) -> None:
        """Write spec and split by compare-and-swap; nothing if they are so already.

        Raises:
            ConflictError: the spec is not what we wrote last.
        """
        for _ in range(WRITE_ATTEMPTS):
            service = self.read()
            operation = self.ledger.operation
            if service.predictor == predictor and service.percent == percent:
                if service.generation != operation.generation:
                    self._note(operation, service)
                return
            if service.generation != operation.generation:
                raise ConflictError(
                    f"somebody else changed InferenceService {self.service} (generation "
                    f"{service.generation}, ours was {operation.generation}); see what it is, "
                    "then `rollback` puts the recorded spec back"
                )
            self._note(replace(operation, created_before=service.latest_created), service)
            try:
                written = self.cluster.replace(
                    INFERENCE_SERVICE, service.with_predictor(predictor, percent)
                )
            except ObjectConflictError:
                continue
            self._note(operation, InferenceService(written))
            return
        raise ConflictError(
            f"InferenceService {self.service} changes faster than it can be written"
        )

    def _note(self, operation: Operation, service: InferenceService) -> None:
        self.ledger.change(
            lambda record: replace(
                record,
                operation=replace(
                    record.operation or operation,
                    generation=service.generation,
                    created_before=operation.created_before,
                ),
            )
        )

    def _forget_previous(self) -> None:
        for _ in range(WRITE_ATTEMPTS):
            service = self.read()
            if not service.previous:
                return
            version = service.document["metadata"]["resourceVersion"]
            patch = {
                "metadata": {"resourceVersion": version},
                "status": {"components": {"predictor": {"previousRolledoutRevision": None}}},
            }
            try:
                self.cluster.patch_status(INFERENCE_SERVICE, self.service, patch)
            except ObjectConflictError:
                continue
        raise ConflictError(f"the status of {self.service} changes faster than it can be written")

    def _await_created(self, predictor: Predictor, stable: str) -> str:
        """The Knative revision that Knative has made of ``predictor``."""
        before = self.ledger.operation.created_before
        since = self.clock.monotonic()

        def created() -> str | None:
            self._see_pinned(stable)
            found = read_configuration(self.cluster, self.service)
            name = self.read().latest_created
            if not (found.current and found.latest_created == name and found.carries(predictor)):
                return None
            # The same name as before: Knative had this spec already, or has not seen ours yet.
            if name == before and self.clock.monotonic() - since < SETTLED_SECONDS:
                return None
            return name

        revision = self._wait(
            created,
            self.limits.start_seconds,
            "a new Knative revision",
            lambda: StartFailedError(str(explain(self.cluster, None, self._why_not_created()))),
        )
        self.say(f"Knative made {revision}")
        return revision

    def _why_not_created(self) -> str:
        """KServe's and Knative's own warnings, for a spec that they do not accept."""
        words = [
            f"{event.get('reason')}: {event.get('message')}"
            for name in (self.service, f"{self.service}-predictor")
            for event in self.cluster.events(name)
            if event.get("type") == "Warning"
        ]
        return words[-1] if words else "no new Knative revision was made; is KServe running?"

    def _await_ready(self, revision: str, stable: str) -> None:
        failed_at: float | None = None
        last: KnativeRevision | None = None

        def ready() -> bool | None:
            nonlocal failed_at, last
            self._see_pinned(stable)
            last = read_revision(self.cluster, revision)
            if last.condition.ready:
                return True
            found = hopeless_pod(self.cluster, revision)
            if found is not None:
                raise StartFailedError(str(found))
            if last.condition.ready is False and last.condition.reason not in PASSING:
                failed_at = failed_at if failed_at is not None else self.clock.monotonic()
                if self.clock.monotonic() - failed_at >= GRACE_SECONDS:
                    raise StartFailedError(str(explain(self.cluster, last, "")))
            else:
                failed_at = None
            return None

        def gave_up() -> StartFailedError:
            text = f"not ready after {self.limits.start_seconds:.0f} s"
            found: Failure = explain(self.cluster, last, text)
            return StartFailedError(str(found))

        self._wait(ready, self.limits.start_seconds, f"{revision} to be ready", gave_up)
        self.say(f"{revision} is ready")

    def _see_pinned(self, stable: str) -> None:
        """All traffic must be pinned to ``stable`` while something else starts.

        Raises:
            ConflictError: somebody else changed the spec, or KServe swapped what it pins.
        """
        service = self.read()
        operation = self.ledger.operation
        if service.generation != operation.generation:
            raise ConflictError(
                f"somebody else changed InferenceService {self.service} (generation "
                f"{service.generation}, ours was {operation.generation})"
            )
        if service.rolled_out != stable:
            raise ConflictError(
                f"KServe calls {service.rolled_out} rolled out, and sends it what should stay on "
                f"{stable}; `rollback` puts the recorded spec back"
            )

    def _wait(
        self,
        poll: Callable[[], T | None],
        seconds: float,
        what: str,
        late: Callable[[], Exception],
    ) -> T:
        """Poll until there is an answer; a progress line every so often, the lock kept."""
        start = self.clock.monotonic()
        told = start
        while True:
            try:
                found = poll()
            except ObjectNotFoundError:
                found = None  # an object that a controller has yet to make
            if found is not None:
                return found
            now = self.clock.monotonic()
            if now - start >= seconds:
                raise late()
            if now - told >= PROGRESS_SECONDS:
                told = now
                self.say(f"waiting for {what} ({now - start:.0f} of at most {seconds:.0f} s)")
            self.ledger.keep()
            self.clock.sleep(POLL_SECONDS)


def _serving(route: Route) -> dict[str, int]:
    return {name: percent for name, percent in shares(route.targets).items() if percent}


def not_restored(error: Exception, stable: str) -> NotRestoredError:
    return NotRestoredError(
        f"the old spec is written, but its new Knative revision is not ready: {error}\n"
        f"all traffic stays on {stable}; run `rollback` again when the cause is gone"
    )
