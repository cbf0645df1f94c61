"""One interval of an analysis: requests whose right answers are known, and everybody's counters."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from rollout.counters import Counters
from rollout.errors import UnreachableError
from rollout.evidence import Calls, Evidence, Rules, judge_interval
from rollout.feedback import Feedback
from rollout.gate import Comparison
from rollout.record import Entry, Operation
from rollout.traffic import Answer, LabelledTraffic
from rollout.waiting import PROGRESS_SECONDS, Waiting
from tasks import Task, find_task


@dataclass(frozen=True)
class Plan:
    """How far, how long, and on how much.

    Attributes:
        steps: per cent, going up; the last is 100.
        interval_seconds, interval_requests: minimum of an interval; requests are the canary's.
        give_up_seconds: how long an interval may wait for its requests.
        rate: labelled requests per second.
    """

    steps: tuple[int, ...] = (5, 25, 50, 100)
    interval_seconds: float = 60.0
    interval_requests: int = 50
    give_up_seconds: float = 900.0
    rate: int = 10


@dataclass(frozen=True)
class Interval:
    """What one step showed."""

    percent: int
    seconds: float
    evidence: Evidence

    def to_json(self) -> dict[str, Any]:
        return {
            "percent": self.percent,
            "seconds": round(self.seconds, 1),
            "evidence": self.evidence.to_json(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Interval:
        evidence = Evidence.from_json(document["evidence"])
        return cls(document["percent"], document["seconds"], evidence)

    def line(self, task: Task) -> str:
        found = self.evidence
        canary, stable = (
            task.score_text(side.correct, side.labelled) for side in (found.canary, found.stable)
        )
        return (
            f"{self.percent} % for {self.seconds:.0f} s: {found.canary_requests} calls to the "
            f"canary ({found.share:.1%}), {found.counted_canary.failed} failed; labelled "
            f"{canary} (stable {stable}), {found.unattributed} of no revision{self._feedback(task)}"
        )

    def _feedback(self, task: Task) -> str:
        canary, stable = self.evidence.feedback_canary, self.evidence.feedback_stable
        if not canary.labelled + stable.labelled:
            return ""
        return (
            f"; feedback {task.score_text(canary.correct, canary.labelled)} (stable "
            f"{task.score_text(stable.correct, stable.labelled)})"
        )


@dataclass
class Outcome:
    """How a rollout ended, and on what grounds.

    ``entry`` is the history's; ``reason`` is for people, ``promoted`` for programs.
    """

    model: str
    revision: str
    was: str
    promoted: bool = False
    reason: str = ""
    gate: Comparison | None = None
    intervals: list[Interval] = field(default_factory=list)
    entry: Entry | None = None

    @property
    def so_far(self) -> Evidence:
        everything = Evidence()
        for interval in self.intervals:
            everything.merge(interval.evidence)
        return everything

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "revision": self.revision,
            "was": self.was,
            "promoted": self.promoted,
            "reason": self.reason,
            "gate": None if self.gate is None else asdict(self.gate),
            "intervals": [interval.to_json() for interval in self.intervals],
        }

    @property
    def progress(self) -> dict[str, Any]:
        """What a rollout that was interrupted goes on from; see ``remembered``."""
        return {
            "gate": None if self.gate is None else self.gate.to_json(),
            "intervals": [interval.to_json() for interval in self.intervals],
        }

    @classmethod
    def remembered(cls, operation: Operation) -> Outcome:
        gate = operation.progress.get("gate")
        intervals = operation.progress.get("intervals", [])
        return cls(
            operation.model,
            operation.revision,
            operation.was,
            gate=None if gate is None else Comparison.from_json(gate),
            intervals=[Interval.from_json(item) for item in intervals],
        )

    def praise(self) -> str:
        """The grounds of a promotion, in one line."""
        found, gate = self.so_far, self.gate
        assert gate is not None
        asked, counted = found.canary, found.counted_canary
        told = find_task(gate.task).score_text
        p95, stable_p95 = (1000 * s.seconds.quantile(0.95) for s in (asked, found.stable))
        steps = ", ".join(f"{interval.percent} %" for interval in self.intervals)
        return (
            f"gate: {told(gate.canary.correct, gate.images)}, stable "
            f"{told(gate.stable.correct, gate.images)}; "
            f"analysed at {steps}: "
            f"{counted.failed} of {counted.total} counted calls failed, labelled "
            f"{told(asked.correct, asked.labelled)} (stable "
            f"{told(found.stable.correct, found.stable.labelled)}), 95 % within {p95:.0f} ms "
            f"(stable {stable_p95:.0f} ms)"
        )


class Analysis:
    """Sends labelled requests, reads counters, and judges both.

    Args:
        digests: that the answers of the two revisions must name, by revision; only what is known.
        feedback: of customers, where there is any.
    """

    def __init__(
        self,
        traffic: LabelledTraffic,
        counters: Counters,
        digests: dict[str, str],
        plan: Plan,
        rules: Rules,
        feedback: Feedback | None = None,
    ) -> None:
        self._traffic = traffic
        self._feedback = feedback
        self._counters = counters
        self._digests = digests
        self._plan = plan
        self._rules = rules

    def interval(
        self, operation: Operation, before: Evidence, percent: int, waiting: Waiting
    ) -> tuple[Interval, list[str]]:
        """Send and count until there is enough, or too much speaks against the canary.

        Args:
            before: what the intervals before this one showed.
            waiting: ``keep`` raises where somebody else's change ends the analysis.

        Returns:
            What was seen, and reasons to take the canary back; none is good.
        """
        plan, clock = self._plan, waiting.clock
        self._counters.start()
        now = Evidence()
        start = told = clock.monotonic()
        while True:
            sent = time.monotonic()
            for answer in self._traffic.send(plan.rate):
                self._count(now, answer, operation)
            self._counters.read()
            now.counted_stable = self._counters.calls[operation.stable]
            now.counted_canary = self._counters.calls[operation.candidate]
            if self._feedback is not None:
                self._take_feedback(now, before, operation)
            so_far = Evidence.from_json(before.to_json())
            so_far.merge(now)
            elapsed = clock.monotonic() - start
            interval = Interval(percent, elapsed, now)
            enough = now.canary_requests >= plan.interval_requests
            ended = elapsed >= plan.interval_seconds and enough
            task = self._traffic.task
            # Bad evidence ends an interval at any check; good evidence only at its end.
            reasons = judge_interval(now, so_far, self._rules, ended, task)
            if reasons:
                return interval, reasons
            if ended:
                waiting.say(interval.line(task))
                return interval, []
            if elapsed >= plan.give_up_seconds:
                return interval, [
                    f"too few requests to tell: {now.canary_requests} of "
                    f"{plan.interval_requests} in {elapsed:.0f} s"
                ]
            if clock.monotonic() - told >= PROGRESS_SECONDS:
                told = clock.monotonic()
                waiting.say(interval.line(task))
            waiting.keep()
            clock.sleep(max(0.0, 1.0 - (time.monotonic() - sent)))

    def _take_feedback(self, now: Evidence, before: Evidence, operation: Operation) -> None:
        """What has been said of this rollout's predictions and is in no interval before."""
        assert self._feedback is not None
        try:
            said = self._feedback.since(operation.since)
        except UnreachableError:
            # It was there at the start; what is said meanwhile is still there later.
            return
        for revision, side in ((operation.was, "stable"), (operation.revision, "canary")):
            known: Calls = getattr(before, f"feedback_{side}")
            every = said.get(revision, Calls())
            more = Calls(
                labelled=every.labelled - known.labelled, correct=every.correct - known.correct
            )
            setattr(now, f"feedback_{side}", more)

    def _count(self, evidence: Evidence, answer: Answer, operation: Operation) -> None:
        side = {operation.was: evidence.stable, operation.revision: evidence.canary}.get(
            answer.revision
        )
        if side is None:
            evidence.unexpected_artifact += bool(answer.revision)
            evidence.unattributed += not answer.revision
            return
        side.total += 1
        if answer.status != 200:
            side.failed += 1
            return
        if answer.digest != self._digests.get(answer.revision, answer.digest):
            evidence.unexpected_artifact += 1
        side.labelled += 1
        side.correct += answer.score
        side.seconds.observe(answer.seconds)
