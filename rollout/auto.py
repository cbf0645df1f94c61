"""A rollout that decides by itself: a gate at 0 %, then step by step, on evidence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from rollout.canary import canary
from rollout.context import Context
from rollout.counters import Counters
from rollout.errors import ConflictError, UnreachableError
from rollout.evidence import Evidence, Rules, judge_gate, judge_hold
from rollout.gate import Comparison
from rollout.gate_job import run_gate
from rollout.labelled import LabelledSet
from rollout.promote import promote
from rollout.record import Action, Entry, Operation
from rollout.rollback import restore
from rollout.traffic import Answer, LabelledTraffic
from tasks import Task, find_task

PROGRESS_SECONDS = 10.0
FIRST_CALLS = 5

OpenTraffic = Callable[[], LabelledTraffic]


@dataclass(frozen=True)
class Plan:
    """How far, how long, and on how much.

    Attributes:
        steps: per cent, going up; the last is 100.
        hold_seconds, hold_requests: what a hold takes at least; requests are the canary's.
        give_up_seconds: how long a hold may wait for its requests.
        rate: labelled requests a second.
    """

    steps: tuple[int, ...] = (5, 25, 50, 100)
    hold_seconds: float = 60.0
    hold_requests: int = 50
    give_up_seconds: float = 900.0
    rate: int = 10


@dataclass(frozen=True)
class Hold:
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
    def from_json(cls, document: dict[str, Any]) -> Hold:
        evidence = Evidence.from_json(document["evidence"])
        return cls(document["percent"], document["seconds"], evidence)


@dataclass
class Outcome:
    """How it ended, and on what grounds.

    ``entry`` is the history's; ``reason`` is for people, ``promoted`` for programs.
    """

    model: str
    revision: str
    was: str
    promoted: bool = False
    reason: str = ""
    gate: Comparison | None = None
    holds: list[Hold] = field(default_factory=list)
    entry: Entry | None = None

    @property
    def so_far(self) -> Evidence:
        everything = Evidence()
        for hold in self.holds:
            everything.merge(hold.evidence)
        return everything

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "revision": self.revision,
            "was": self.was,
            "promoted": self.promoted,
            "reason": self.reason,
            "gate": None if self.gate is None else asdict(self.gate),
            "holds": [hold.to_json() for hold in self.holds],
        }


def auto(
    ctx: Context,
    model: str,
    revision: str,
    questions: LabelledSet,
    open_traffic: OpenTraffic,
    plan: Plan,
    rules: Rules,
    why: str = "",
    image: str = "",
) -> Outcome | None:
    """Roll a revision out, or refuse it; an interrupted rollout goes on where it was.

    Returns:
        None where the revision is what runs already.

    Raises:
        UnreachableError: the public URL does not answer, so nothing was begun.
        RolloutError: as ``canary``, ``promote`` and ``rollback``.
    """
    with ctx.ledger.locked() as record:
        traffic = open_traffic()
        try:
            _see_answers(traffic)
            under_way = record.operation
            percent = (under_way.percent if under_way else 0) or 0
            operation = canary(ctx, model, revision, percent, why, image)
            if operation is None:
                return None
            outcome = _remembered(operation)
            reasons = _pass_gate(ctx, operation, outcome, questions, rules)
            if not reasons:
                reasons = _take_steps(ctx, operation, outcome, traffic, plan, rules)
        finally:
            traffic.close()
        if reasons:
            outcome.reason = "; ".join(reasons)
            ctx.say(f"refused: {outcome.reason}")
            outcome.entry = restore(ctx, Action.REFUSED, outcome.reason)
        else:
            outcome.promoted = True
            outcome.reason = _praise(outcome)
            outcome.entry = promote(ctx, outcome.reason)
        return outcome


def _see_answers(traffic: LabelledTraffic) -> None:
    """The URL must work before anything is blamed on a canary; this also wakes what sleeps."""
    answers = traffic.send(FIRST_CALLS)
    bad = [answer.status for answer in answers if answer.status != 200 or not answer.revision]
    if bad:
        raise UnreachableError(
            f"the public URL does not answer as it should ({len(bad)} of {FIRST_CALLS} calls: "
            f"status {bad[0]}); nothing was changed"
        )


def _remembered(operation: Operation) -> Outcome:
    progress = operation.progress
    gate = progress.get("gate")
    return Outcome(
        operation.model,
        operation.revision,
        operation.was,
        gate=None if gate is None else Comparison.from_json(gate),
        holds=[Hold.from_json(item) for item in progress.get("holds", [])],
    )


def _remember(ctx: Context, outcome: Outcome) -> None:
    progress = {
        "gate": None if outcome.gate is None else outcome.gate.to_json(),
        "holds": [hold.to_json() for hold in outcome.holds],
    }
    ctx.update(progress=progress)


def _pass_gate(
    ctx: Context, operation: Operation, outcome: Outcome, questions: LabelledSet, rules: Rules
) -> list[str]:
    if outcome.gate is None:
        outcome.gate = run_gate(ctx, operation, questions)
        _remember(ctx, outcome)
    found = outcome.gate
    task = find_task(found.task)
    ctx.say(
        f"gate: {task.score_text(found.canary.correct, found.images)} (stable "
        f"{task.score_text(found.stable.correct, found.images)}), {found.agreement} alike; "
        f"95 % within {found.canary.p95_ms:.1f} ms (stable {found.stable.p95_ms:.1f})"
    )
    reasons = judge_gate(found, operation.revision, operation.digest, rules)
    return [f"at the gate, before the first per cent: {reason}" for reason in reasons]


def _take_steps(
    ctx: Context,
    operation: Operation,
    outcome: Outcome,
    traffic: LabelledTraffic,
    plan: Plan,
    rules: Rules,
) -> list[str]:
    done = [hold.percent for hold in outcome.holds]
    for percent in plan.steps:
        if percent in done:
            continue
        operation = ctx.update(percent=percent)
        ctx.transition.shift(percent, operation.candidate, operation.stable)
        hold, reasons = _hold(ctx, operation, outcome, traffic, percent, plan, rules)
        outcome.holds.append(hold)
        _remember(ctx, outcome)
        if reasons:
            return [f"at {percent} %: {reason}" for reason in reasons]
    return []


def _hold(
    ctx: Context,
    operation: Operation,
    outcome: Outcome,
    traffic: LabelledTraffic,
    percent: int,
    plan: Plan,
    rules: Rules,
) -> tuple[Hold, list[str]]:
    counters = Counters(ctx.cluster, operation.model, [operation.stable, operation.candidate])
    counters.start()
    digests = _digests(ctx, operation)
    before = outcome.so_far
    now = Evidence()
    start = told = ctx.clock.monotonic()
    while True:
        sent = time.monotonic()
        for answer in traffic.send(plan.rate):
            _count(now, answer, operation, digests)
        counters.read()
        now.counted_stable = counters.calls[operation.stable]
        now.counted_canary = counters.calls[operation.candidate]
        so_far = Evidence.from_json(before.to_json())
        so_far.merge(now)
        elapsed = ctx.clock.monotonic() - start
        hold = Hold(percent, elapsed, now)
        ended = elapsed >= plan.hold_seconds and now.canary_requests >= plan.hold_requests
        reasons = judge_hold(now, so_far, rules, ended, traffic.task)
        if reasons:
            return hold, reasons
        if ended:
            ctx.say(_line(hold, traffic.task))
            return hold, []
        if elapsed >= plan.give_up_seconds:
            return hold, [
                f"too few requests to tell: {now.canary_requests} of {plan.hold_requests} in "
                f"{elapsed:.0f} s"
            ]
        if ctx.clock.monotonic() - told >= PROGRESS_SECONDS:
            told = ctx.clock.monotonic()
            ctx.say(_line(hold, traffic.task))
        if ctx.transition.read().generation != ctx.ledger.operation.generation:
            raise ConflictError(
                f"somebody else changed InferenceService {ctx.service} during the rollout; "
                "`rollback` puts the recorded spec back"
            )
        ctx.ledger.keep()
        ctx.clock.sleep(max(0.0, 1.0 - (time.monotonic() - sent)))


def _digests(ctx: Context, operation: Operation) -> dict[str, str]:
    """What the two revisions' answers must name; only what is known here."""
    models = ({operation.model: operation.was}, {operation.model: operation.revision})
    found = {item.revision: item.digest for pair in models for item in ctx.expected_of(pair)}
    return {revision: digest for revision, digest in found.items() if digest}


def _count(
    evidence: Evidence, answer: Answer, operation: Operation, digests: dict[str, str]
) -> None:
    side = {operation.was: evidence.stable, operation.revision: evidence.canary}.get(
        answer.revision
    )
    if side is None:
        evidence.strange += bool(answer.revision)
        evidence.unowned += not answer.revision
        return
    side.total += 1
    if answer.status != 200:
        side.failed += 1
        return
    if answer.digest != digests.get(answer.revision, answer.digest):
        evidence.strange += 1
    side.labelled += 1
    side.correct += answer.score
    side.seconds.observe(answer.seconds)


def _line(hold: Hold, task: Task) -> str:
    found = hold.evidence
    canary, stable = (task.score_text(s.correct, s.labelled) for s in (found.canary, found.stable))
    return (
        f"{hold.percent} % for {hold.seconds:.0f} s: {found.canary_requests} calls to the canary "
        f"({found.share:.1%}), {found.counted_canary.failed} failed; labelled "
        f"{canary} (stable {stable}), {found.unowned} of no revision"
    )


def _praise(outcome: Outcome) -> str:
    found = outcome.so_far
    gate = outcome.gate
    assert gate is not None
    asked, counted = found.canary, found.counted_canary
    told = find_task(gate.task).score_text
    p95, stable_p95 = (1000 * s.seconds.quantile(0.95) for s in (asked, found.stable))
    return (
        f"gate: {told(gate.canary.correct, gate.images)}, stable "
        f"{told(gate.stable.correct, gate.images)}; "
        f"held at {', '.join(f'{hold.percent} %' for hold in outcome.holds)}: "
        f"{counted.failed} of {counted.total} counted calls failed, labelled "
        f"{told(asked.correct, asked.labelled)} (stable "
        f"{told(found.stable.correct, found.stable.labelled)}), 95 % within {p95:.0f} ms "
        f"(stable {stable_p95:.0f} ms)"
    )
