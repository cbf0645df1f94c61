"""What speaks for and against a new revision, and the rules by which that is weighed.

Three kinds of evidence, judged apart, because each sees what the other cannot:

labelled   requests this program sends to the public URL, whose right answers are known; answers
           name their revision and artefact. Failures that name none count against the canary,
           which is what has changed; and so does an answer as any other artefact.
counters   the predictor's own, by Knative revision: everybody's calls, and their codes.
feedback   right answers that customers gave to predictions made since the rollout began, where
           the accounts are asked for them (``--feedback``); by revision.

A difference counts only if chance does not explain it. An interval is checked every second, and
many checks find much by chance, so what ends one early must be plain (``early_confidence``), and
only its end is judged at ``confidence``. By simulation (10 requests/s, intervals of 60 s and 50
requests at 5, 25, 50 and 100 %, 400 runs each) a revision that is as good as the stable one, at 90,
94 or 99 % right, is refused in 2 to 4 of 100 rollouts; one that is 5 points worse in 95, one that
is 10 points worse always, before it has everything.

- shares (failures, right answers): Newcombe's interval for the difference of two shares, made of
  their Wilson intervals (Newcombe 1998, Statistics in Medicine 17:873-890, method 10), one-sided
- the same images asked of both (the gate): the exact sign test on the images that only one of the
  two got right (McNemar 1947; exact binomial)
- time: the 95th percentile may be ``latency_ratio`` times the stable one's and ``latency_slack``
  more, where there are enough calls of both to speak of one
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from common.intervals import wilson
from rollout.gate import Comparison
from rollout.histogram import Histogram
from tasks import Task, find_task


@dataclass(frozen=True)
class Rules:
    """Thresholds; shares are of 1.

    Attributes:
        confidence: of a one-sided statement that the canary is worse, at the gate and at the end
            of an interval; ``early_confidence`` at every check before.
        min_failures: minimum failures of one kind before they are compared.
        min_labelled: minimum labelled answers of the canary before their accuracy is compared.
        min_feedback: the same of predictions that customers gave right answers to.
        latency_ratio, latency_slack_seconds: how much slower the canary's 95th percentile may be.
        min_timed_calls: minimum calls of each side before their percentiles are compared.
    """

    confidence: float = 0.995
    early_confidence: float = 0.9999
    min_failures: int = 2
    min_labelled: int = 20
    min_feedback: int = 20
    latency_ratio: float = 2.0
    latency_slack_seconds: float = 0.05
    min_timed_calls: int = 50


@dataclass
class Calls:
    """One side's calls of one kind.

    Attributes:
        labelled: those that were answered and whose right answer is known.
        correct: the sum of their scores, 0 to 1 each. Where scores are not just right or wrong,
            the intervals below are those of shares with the same mean, and so too wide: a number
            between 0 and 1 varies most if it is always one of the two.
    """

    total: int = 0
    failed: int = 0
    labelled: int = 0
    correct: float = 0
    seconds: Histogram = field(default_factory=Histogram)

    def merge(self, other: Calls) -> None:
        self.total += other.total
        self.failed += other.failed
        self.labelled += other.labelled
        self.correct += other.correct
        self.seconds.add(other.seconds.counts)

    def to_json(self) -> dict[str, Any]:
        numbers = {k: getattr(self, k) for k in ("total", "failed", "labelled", "correct")}
        return {**numbers, "seconds": self.seconds.to_json()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Calls:
        return cls(**{**document, "seconds": Histogram.from_json(document["seconds"])})


@dataclass
class Evidence:
    """Of one interval, or of all so far.

    Attributes:
        stable, canary: labelled requests by the revision that their answers name.
        unattributed: labelled requests whose failure names no revision.
        unexpected_artifact: answers as an artefact that is neither of the two.
        counted_stable, counted_canary: by the predictor's own counters.
        feedback_stable, feedback_canary: right answers of customers.
    """

    stable: Calls = field(default_factory=Calls)
    canary: Calls = field(default_factory=Calls)
    unattributed: int = 0
    unexpected_artifact: int = 0
    counted_stable: Calls = field(default_factory=Calls)
    counted_canary: Calls = field(default_factory=Calls)
    feedback_stable: Calls = field(default_factory=Calls)
    feedback_canary: Calls = field(default_factory=Calls)

    def merge(self, other: Evidence) -> None:
        self.stable.merge(other.stable)
        self.canary.merge(other.canary)
        self.unattributed += other.unattributed
        self.unexpected_artifact += other.unexpected_artifact
        self.counted_stable.merge(other.counted_stable)
        self.counted_canary.merge(other.counted_canary)
        self.feedback_stable.merge(other.feedback_stable)
        self.feedback_canary.merge(other.feedback_canary)

    @property
    def canary_requests(self) -> int:
        """As the canary's pods count them, or as answers name it, if that is more."""
        return max(self.counted_canary.total, self.canary.total)

    @property
    def share(self) -> float:
        """The canary's share of the counted calls."""
        everything = self.counted_canary.total + self.counted_stable.total
        return self.counted_canary.total / everything if everything else 0.0

    @property
    def attributed_to_baseline(self) -> int:
        """Failures that name no revision, as many as the stable one's own rate of them explains.

        A call that fails in a pod of the stable one comes back without a name too.
        """
        counted = self.counted_stable
        rate = counted.failed / counted.total if counted.total else 0.0
        return min(self.unattributed, math.ceil(rate * (self.stable.total + self.unattributed)))

    def to_json(self) -> dict[str, Any]:
        sides = [
            f"{kind}{side}"
            for kind in ("", "counted_", "feedback_")
            for side in ("stable", "canary")
        ]
        return {
            **{side: getattr(self, side).to_json() for side in sides},
            "unattributed": self.unattributed,
            "unexpected_artifact": self.unexpected_artifact,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Evidence:
        calls = {
            key: Calls.from_json(value)
            for key, value in document.items()
            if isinstance(value, dict)
        }
        return cls(
            **calls,
            unattributed=document["unattributed"],
            unexpected_artifact=document["unexpected_artifact"],
        )


def judge_comparison(found: Comparison, revision: str, digest: str, rules: Rules) -> list[str]:
    """Reasons to refuse a new revision before its first per cent; none is good."""
    task = find_task(found.task)
    reasons = []
    if found.canary.revisions != [revision]:
        reasons.append(f"the new one answers as revision {found.canary.revisions}, not {revision}")
    if digest and found.canary.digests != [digest]:
        reasons.append(f"the new one answers with digest {found.canary.digests}, not {digest}")
    if found.canary.failures > found.stable.failures:
        reasons.append(
            f"{found.canary.failures} of {found.images} images got no answer "
            f"(stable: {found.stable.failures}): {'; '.join(found.canary.errors)}"
        )
    chance = sign_test(found.stable_only, found.canary_only)
    if chance < 1 - rules.confidence:
        reasons.append(
            f"{task.score_text(found.canary.correct, found.images)}, stable "
            f"{task.score_text(found.stable.correct, found.images)}; only stable right on "
            f"{found.stable_only}, only the new one on {found.canary_only} (p = {chance:.2g})"
        )
    limit = rules.latency_ratio * found.stable.p95_ms + 1000 * rules.latency_slack_seconds
    if found.canary.p95_ms > limit:
        reasons.append(
            f"95 % of calls within {found.canary.p95_ms:.1f} ms, stable "
            f"{found.stable.p95_ms:.1f} ms; {limit:.1f} ms would do"
        )
    return reasons


def judge_interval(
    now: Evidence, so_far: Evidence, rules: Rules, ended: bool, task: Task
) -> list[str]:
    """Reasons to take an open canary back; none is good.

    Args:
        now: of this interval; times are compared within it where both sides have enough.
        so_far: of all intervals, this one included.
        ended: this is the interval's last check, not one of many.
        task: of the model; it puts scores into words.
    """
    confidence = rules.confidence if ended else rules.early_confidence
    reasons = []
    if so_far.unexpected_artifact:
        reasons.append(
            f"{so_far.unexpected_artifact} answers came from an artefact that nobody rolled out"
        )
    asked, counted = so_far.canary, so_far.counted_canary
    attributed_to_baseline, stable, base = (
        so_far.attributed_to_baseline,
        so_far.stable,
        so_far.counted_stable,
    )
    blamed = so_far.unattributed - attributed_to_baseline
    owned = f", {blamed} of them of no revision" if blamed else ""
    kinds = (
        (
            f"labelled requests failed{owned}",
            (asked.failed + blamed, asked.total + blamed),
            (stable.failed + attributed_to_baseline, stable.total + attributed_to_baseline),
        ),
        ("counted calls failed", (counted.failed, counted.total), (base.failed, base.total)),
    )
    for what, (failed, total), (others, rest) in kinds:
        least = excess(failed, total, others, rest, confidence)
        if failed >= rules.min_failures and least > 0:
            reasons.append(f"{failed} of {total} {what}; stable: {others} of {rest}")
    scored = (
        ("labelled images", asked, stable, rules.min_labelled),
        ("customers' feedback", so_far.feedback_canary, so_far.feedback_stable, rules.min_feedback),
    )
    for what, new, old, minimum in scored:
        wrong, missed = new.labelled - new.correct, old.labelled - old.correct
        least = excess(wrong, new.labelled, missed, old.labelled, confidence)
        if least > 0 and new.labelled >= minimum:
            reasons.append(
                f"{what}: {task.score_text(new.correct, new.labelled)}; "
                f"stable: {task.score_text(old.correct, old.labelled)}"
            )
    sides = (
        ("labelled requests", now.canary, now.stable, so_far.stable),
        ("counted calls", now.counted_canary, now.counted_stable, so_far.counted_stable),
    )
    for what, canary, beside, before in sides:
        # At 100 % there is no stable one any more beside it: what it took earlier stands in.
        base = beside if beside.seconds.total >= rules.min_timed_calls else before
        if min(canary.seconds.total, base.seconds.total) < rules.min_timed_calls:
            continue
        has, had = canary.seconds.quantile(0.95), base.seconds.quantile(0.95)
        limit = rules.latency_ratio * had + rules.latency_slack_seconds
        if has > limit:
            reasons.append(
                f"95 % of {what} within {1000 * has:.0f} ms, stable {1000 * had:.0f} ms; "
                f"{1000 * limit:.0f} ms would do"
            )
    return reasons


def excess(a: float, n: int, b: float, m: int, confidence: float) -> float:
    """What the share ``a``/``n`` exceeds ``b``/``m`` by, at least; below 0 if chance may do it."""
    if not n or not m:
        # Nothing to compare with: against a share of nought, one that is surely above it.
        return wilson(a, n, _z(confidence))[0] - wilson(b, m, _z(confidence))[0] if n else -1.0
    low = wilson(a, n, _z(confidence))[0]
    high = wilson(b, m, _z(confidence))[1]
    difference = a / n - b / m
    return difference - math.sqrt((a / n - low) ** 2 + (high - b / m) ** 2)


def sign_test(worse: int, better: int) -> float:
    """Chance of ``worse`` or more out of ``worse + better``, if either were as likely."""
    total = worse + better
    ways: int = sum(math.comb(total, k) for k in range(worse, total + 1))
    return float(ways / 2**total)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence)
