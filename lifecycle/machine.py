"""From step to step until a run ends, or waits for a person."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from artifact import ArtifactError
from lifecycle.clock import now
from lifecycle.errors import NeedError, StoppedError
from lifecycle.found import Found
from lifecycle.notices import Notice, Notices
from lifecycle.place import Place
from lifecycle.run import Run
from lifecycle.step import STEPS, Outcome, Result, Step
from registry.entry import Action, Event
from registry.errors import StoreError

Work = Callable[[Place, Run], Found]
"""One step. It may be ended at any time and done again.

Raises:
    StoppedError: the run ends here.
    NeedError: it cannot be done before something is brought.
"""

ACTIONS = {
    Step.TRAINED: (Action.TRAINED, Action.REFUSED),
    Step.CHECKED: (None, Action.DATA_REFUSED),
    Step.EVALUATED: (None, Action.REFUSED),
    Step.PUBLISHED: (None, Action.REFUSED),
    Step.ROLLED_OUT: (None, Action.REFUSED),
}
"""What the machine writes into the history of a step that was done, and of one that was refused.
What is None the step's own work has written: data, publications and promotions."""

IS_WRITTEN = "is_written"
"""In the details of a refusal that the step itself has written into the history."""


class Machine:
    """Of one place.

    Args:
        works: what does each step.
    """

    def __init__(self, place: Place, works: Mapping[Step, Work], notices: Notices) -> None:
        self._place = place
        self._works = works
        self._notices = notices

    def advance(self, id: str) -> Run:
        """Take a run as far as it goes now.

        Raises:
            NeedError: the run waits for something that is told in the message.
            RegistryError: the store does not answer; what was done stays done.
        """
        place = self._place
        while True:
            run = place.runs.read(id)
            if not run.ended:
                self._record(run)
            if run.is_over:
                self._end(run)
                return place.runs.read(id)
            live = place.live(run.model)
            step = run.next_step(live)
            assert step is not None
            if step not in self._works:
                return run  # another process does it
            if step in place.settings.approvals and step not in run.decisions:
                place.runs.wait(run, step)
                self._tell(run, f"awaits-{step.value}", Notice.awaiting(run, step))
                return place.runs.read(id)
            result = self._result(run, step, live)
            if result is None:
                return place.runs.read(id)
            place.runs.finish(run, result)

    def _result(self, run: Run, step: Step, live: str) -> Result | None:
        """What the step leaves; None where it failed, and is to be done again."""
        place = self._place
        against = live if step is Step.EVALUATED else ""

        def result(outcome: Outcome, why: str, details: Mapping[str, Any]) -> Result:
            return Result(step, outcome, now(), place.registry.by, why, against, dict(details))

        if (rejection := run.rejection(step)) is not None:
            why = f"{step.value} was rejected by {rejection.by}: {rejection.why or 'no reason'}"
            return result(Outcome.REFUSED, why, {})
        place.say(f"{run.id}: {_doing(step)}")
        try:
            found = self._works[step](place, run)
        except StoppedError as stop:
            place.say(f"{run.id}: refused: {stop}")
            return result(Outcome.REFUSED, str(stop), stop.details)
        except (NeedError, StoreError):
            raise
        except Exception as error:  # whatever it is: a run that cannot be done must end, too
            return self._failure(run, step, error, result)
        place.say(f"{run.id}: {step.value}: {found.why}")
        return result(Outcome.DONE, found.why, found.details)

    def _failure(
        self, run: Run, step: Step, error: Exception, result: Callable[..., Result]
    ) -> Result | None:
        message = str(error) or type(error).__name__
        expected = isinstance(error, (ArtifactError, OSError, RuntimeError, ValueError))
        self._place.say(f"{run.id}: {_doing(step)} failed: {message}")
        if not expected:
            self._place.say("".join(traceback.format_exception(error)))
        times = self._place.runs.failed(run, step, message)
        if times < self._place.settings.lifecycle_failures:
            return None
        return result(Outcome.REFUSED, f"{_doing(step)} failed {times} times: {message}", {})

    def _record(self, run: Run) -> None:
        """Have what was done in the history, once; an earlier process may have ended before it."""
        found = [result for result in run.results.values() if result is not run.refusal]
        found.sort(key=lambda result: STEPS.index(result.step))
        for result in [*found, *([run.refusal] if run.refusal else [])]:
            action = ACTIONS[result.step][result.outcome is Outcome.REFUSED]
            if action is None or result.details.get(IS_WRITTEN):
                continue
            details = {"run": run.id, "step": result.step.value, "part": run.arrival.part}
            event = Event(action, result.by, run.model, run.revision, result.why, details)
            self._place.registry.record(event, f"run {run.id}, {result.step.value}")

    def _end(self, run: Run) -> None:
        """What is to be done once all is done; again, it changes nothing."""
        if run.ended:
            return
        if run.refusal is not None:
            self._tell(run, "refused", Notice.refused(run))
        else:
            self._tell(run, "promoted", Notice.promoted(run))
        self._place.runs.end(run)

    def _tell(self, run: Run, what: str, notice: Notice) -> None:
        """Tell people once; what they cannot be told now, they are told by the next look."""
        if self._place.runs.told(run, what):
            return
        if notice.awaits:
            self._place.say(f"{run.id}: {notice.text}")
        if self._notices.send(notice):
            self._place.runs.note_told(run, what)


def _doing(step: Step) -> str:
    return {
        Step.CHECKED: "checking what arrived",
        Step.TRAINED: "training",
        Step.EVALUATED: "comparing with the live revision",
        Step.PUBLISHED: "publishing",
        Step.ROLLED_OUT: "rolling out",
    }[step]
