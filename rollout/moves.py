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

Every write is announced by ``save`` before it is made (``created_before``: what was latest then)
and confirmed after it (``generation``). A command may die between any two of these:

before the announcement   nothing has happened; the step is simply taken
before the write          the announcement says what was to be written; the spec is not it, and its
                          generation is still the old one: it is written now
before the confirmation   the spec is what was to be written under an unknown generation: ours
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from common.kubernetes import INFERENCE_SERVICE, Cluster, ObjectConflictError
from rollout.cards import Expected
from rollout.errors import (
    ConflictError,
    NotRestoredError,
    UnreachableError,
)
from rollout.inferenceservice import InferenceService, Predictor, shares
from rollout.knative import Route, read_route
from rollout.pods import check_models
from rollout.record import Operation
from rollout.start import Start
from rollout.waiting import Waiting

WRITE_ATTEMPTS = 30


@dataclass(frozen=True)
class Limits:
    """``start_seconds`` for a new Knative revision, ``route_seconds`` for a new split."""

    start_seconds: float = 300.0
    route_seconds: float = 120.0


class Moves:
    """Moves one InferenceService.

    Each move takes the operation as it stands and gives it back as it stands then, saved. Each
    may be repeated: what is done already is seen and not done again.

    Args:
        save: writes the operation down; raises where this command no longer may.
    """

    def __init__(
        self,
        cluster: Cluster,
        service: str,
        save: Callable[[Operation], Operation],
        waiting: Waiting,
        limits: Limits,
    ) -> None:
        self.cluster = cluster
        self.service = service
        self.limits = limits
        self._save = save
        self._waiting = waiting
        self._say = waiting.say

    def read(self) -> InferenceService:
        return InferenceService(self.cluster.get(INFERENCE_SERVICE, self.service))

    def stage(
        self, operation: Operation, predictor: Predictor, stable: str
    ) -> tuple[Operation, str]:
        """Write ``predictor`` at 0 % and wait until Knative has it ready; ``stable`` serves.

        Returns:
            The operation, and the name of the new Knative revision.

        Raises:
            StartFailedError: it did not start; the split is still all ``stable``.
            ConflictError: somebody else changed the InferenceService.
        """
        # Emptied before the write: with it KServe could swap back in the middle of the next line.
        self._forget_previous()
        operation = self._write(operation, predictor, 0)
        start = Start(self.cluster, self.service, self._waiting, self.limits.start_seconds)

        def pinned() -> None:
            self._require_pinned(operation, stable)

        revision = start.created(predictor, operation.created_before, pinned)
        start.ready(revision, pinned)
        self.await_split({stable: 100, revision: 0} if revision != stable else {stable: 100})
        return operation, revision

    def shift(self, operation: Operation, percent: int) -> Operation:
        """Give the candidate its share and wait until the gateway splits so."""
        operation = self._write(operation, operation.after, percent)
        self.await_split({operation.candidate: percent, operation.stable: 100 - percent})
        if percent == 100:
            self._await_rolled_out(operation.candidate)
        return operation

    def settle(self, operation: Operation, predictor: Predictor, revision: str) -> Operation:
        """Give everything to ``revision``, which is the latest, and see KServe roll it out."""
        operation = self._write(operation, predictor, None)
        self.await_split({revision: 100})
        self._await_rolled_out(revision)
        return operation

    def pin(self, operation: Operation, staged: Predictor) -> tuple[Operation, str]:
        """Take the traffic off an operation's candidate before ``staged`` is put in its place.

        Returns:
            The operation, and the Knative revision that has the traffic from here on.
        """
        service = self.read()
        candidate, stable = operation.candidate, operation.stable
        if not candidate:
            # Died before Knative made anything: what is rolled out is what serves.
            return operation, service.rolled_out or stable
        given = service.predictor == operation.after and service.percent in (None, 100)
        if given and service.latest_ready == candidate:
            # It has been given everything, and KServe is about to call it rolled out. A write
            # before that would pin the traffic to what KServe still calls rolled out, and the
            # next look at the status would pin it to the candidate after all.
            self._await_rolled_out(candidate)
            service = self.read()
        if service.rolled_out != candidate or candidate == stable:
            return operation, service.rolled_out
        if self.can_retreat(stable):
            return self.retreat(operation, stable, staged), stable
        # KServe's memory of the step before is gone (it was staged since): there is no quick way.
        self._say(f"{candidate} keeps the traffic until the old spec is ready")
        return operation, candidate

    def can_retreat(self, stable: str) -> bool:
        """Whether KServe's own rollback would lead to ``stable``: it remembers one step."""
        service = self.read()
        return service.previous == stable and service.rolled_out == service.latest_ready

    def retreat(self, operation: Operation, stable: str, staged: Predictor) -> Operation:
        """Send all traffic from what is rolled out at 100 % to the one before it, at once.

        KServe's own rollback, without a new Knative revision: it takes effect while the old spec
        is still to be put back. Nothing is written where ``staged`` is in its place already.
        """
        service = self.read()
        if service.predictor != staged:
            operation = self._write(operation, service.predictor, 0)
        self.await_split({stable: 100})
        return operation

    def tell(self, text: str) -> None:
        """A line of progress."""
        self._say(text)

    def rehearse(self, predictor: Predictor) -> None:
        """Have the API server say whether it would take this spec; nothing is written."""
        document = self.read().with_predictor(predictor, 0)
        self.cluster.replace(INFERENCE_SERVICE, document, dry_run=True)

    def require_ours(self, operation: Operation) -> Operation:
        """See that the spec is what the operation wrote last, but for the share.

        To be asked before anything is written down: a command that is refused here has changed
        nothing. A share that was changed by hand is no reason to refuse: the next move sets it.

        Raises:
            ConflictError: somebody else changed the spec.
        """
        service = self.read()
        if service.generation == operation.generation:
            return operation
        ours = [operation.after] if operation.candidate else [operation.before, operation.after]
        if service.predictor in ours:
            if service.percent is not None and service.percent != operation.percent:
                self._say(f"the share was changed without this program: {service.percent} %")
            return replace(operation, generation=service.generation)
        raise self._changed(service, operation)

    def check(self, revision: str, models: list[Expected]) -> dict[str, str]:
        """See ``check_models``; says so where no pod is left to be asked."""
        digests = check_models(self.cluster, self.service, revision, models)
        if digests:
            self._say(
                f"{revision} answers as "
                + ", ".join(f"{item.model}/{item.revision or '?'}" for item in models)
            )
        else:
            self._say(f"{revision} has no pod any more that could be asked for its models")
        return digests

    def await_split(self, wanted: dict[str, int]) -> None:
        """Wait until Knative's Route, and the gateway behind it, split as wanted."""
        wanted = {name: percent for name, percent in wanted.items() if percent}

        def settled() -> bool | None:
            route = read_route(self.cluster, self.service)
            return (route.ready and _serving(route) == wanted) or None

        text = ", ".join(f"{percent} % to {name}" for name, percent in wanted.items())
        self._waiting.until(
            settled,
            self.limits.route_seconds,
            f"the split: {text}",
            lambda: UnreachableError(
                f"the Route did not come to give {text}: "
                f"it gives {_serving(read_route(self.cluster, self.service))}"
            ),
        )
        self._say(f"traffic: {text}")

    def _await_rolled_out(self, revision: str) -> None:
        def rolled_out() -> bool | None:
            return self.read().rolled_out == revision or None

        self._waiting.until(
            rolled_out,
            self.limits.route_seconds,
            "KServe to call it rolled out",
            lambda: UnreachableError(
                f"KServe has not called {revision} rolled out; is it running?"
            ),
        )

    def _write(self, operation: Operation, predictor: Predictor, percent: int | None) -> Operation:
        """Write spec and split by compare-and-swap; nothing if they are so already.

        Raises:
            ConflictError: the spec is not what we wrote last.
        """
        for _ in range(WRITE_ATTEMPTS):
            service = self.read()
            if service.predictor == predictor and service.percent == percent:
                # Written by us before we died, or by somebody who wants the same.
                if service.generation != operation.generation:
                    operation = self._save(replace(operation, generation=service.generation))
                return operation
            if service.generation != operation.generation:
                raise self._changed(service, operation)
            operation = self._save(
                replace(
                    operation,
                    created_before=service.latest_created,
                    generation=service.generation,
                )
            )
            try:
                written = self.cluster.replace(
                    INFERENCE_SERVICE, service.with_predictor(predictor, percent)
                )
            except ObjectConflictError:
                continue  # a status or an annotation: read again, and see whether it was the spec
            generation = InferenceService(written).generation
            return self._save(replace(operation, generation=generation))
        raise ConflictError(
            f"InferenceService {self.service} changes faster than it can be written"
        )

    def _changed(self, service: InferenceService, operation: Operation) -> ConflictError:
        return ConflictError(
            f"somebody else changed InferenceService {self.service} (generation "
            f"{service.generation}, ours was {operation.generation}); see what it is, then "
            "`rollback` puts the recorded spec back"
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

    def _require_pinned(self, operation: Operation, stable: str) -> None:
        """All traffic must be pinned to ``stable`` while something else starts.

        Raises:
            ConflictError: somebody else changed the spec, or KServe swapped what it pins.
        """
        service = self.read()
        if service.generation != operation.generation:
            raise self._changed(service, operation)
        if service.rolled_out != stable:
            raise ConflictError(
                f"KServe calls {service.rolled_out} rolled out, and sends it what should stay on "
                f"{stable}; `rollback` puts the recorded spec back"
            )


def _serving(route: Route) -> dict[str, int]:
    return {name: percent for name, percent in shares(route.targets).items() if percent}


def not_restored(error: Exception, stable: str) -> NotRestoredError:
    return NotRestoredError(
        "rollback incomplete: the previous spec was written but is not ready yet; traffic stays "
        f"on the previous Knative revision, {stable}: {error}\n"
        "run `rollback` again when the cause is gone"
    )
