"""What an experiment has shown so far, and whether it may be stopped.

Counted are the events since the shares are as they are, by variant. An answer of another revision
than the variant names is left out and counted apart: a rollout has moved what the target answers
with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import Session

from accounts.experiments import ExperimentView, Variant
from accounts.sequential import Interval, difference, interval, ratio, within_0_and_1
from accounts.shadows import ShadowReport, shadow_report
from accounts.tables import BILLED, INTENT, Event, Feedback

ALPHA = 0.05
"""Over all comparisons of a report together."""
FAILED_FROM = 499
"""From this status on it is not the client's fault; of those below nothing is known."""
MARGINS = {"failed": 0.01, "wrong": 0.02, "unsure": 0.02, "milliseconds": 0.1}
"""Differences that do not matter: points of the shares, and of the control's mean time."""
MIXED_SHARE = 0.01
"""Of a variant's answers that may be of other revisions before nothing is concluded any more."""
MAX_TIMES = 20_000


@dataclass
class Sums:
    """Of a subject's requests in a variant."""

    requests: int = 0
    failed: int = 0
    answers: int = 0
    milliseconds: int = 0
    labelled: int = 0
    """Predictions whose right answer a customer has said."""
    wrong: int = 0
    judged: int = 0
    """Instances of answers that say whether they are unsure."""
    unsure: int = 0


METRICS: dict[str, tuple[Callable[[Sums], tuple[float, float]], bool]] = {
    "failed": (lambda sums: (sums.failed, sums.requests), True),
    "wrong": (lambda sums: (sums.wrong, sums.labelled), True),
    "unsure": (lambda sums: (sums.unsure, sums.judged), True),
    "milliseconds": (lambda sums: (sums.milliseconds, sums.answers), False),
}
"""Of what a mean is taken, and whether it is a share. Less is better of each."""

CALLED = {
    **{"failed": "failures", "wrong": "wrong predictions"},
    **{"unsure": "unsure predictions", "milliseconds": "mean time"},
}
"""Metrics, as the decision speaks of them."""
UNITS = {"failed": (100, "%"), "wrong": (100, "%"), "unsure": (100, "%"), "milliseconds": (1, "ms")}
"""Of a figure that is shown: what it is multiplied by, and its unit."""

GO_ON = "go on: what there is does not decide it"
UNDECIDED = "it was stopped undecided"

TOLD = ("wrong", "unsure")
"""What is known only where customers, or the model, say it."""


@dataclass(frozen=True)
class Comparison:
    """A variant less the control."""

    metric: str
    difference: Interval
    verdict: str
    """``better``, ``worse``, ``alike`` or ``open``."""


@dataclass(frozen=True)
class VariantReport:
    """Attributes:
    expected_share: of the subjects, by the shares.
    refused: requests that were answered 400 to 498; in no figure.
    off_revision: answers of another revision than the variant's; in no figure.
    percentiles_ms: within which half, 95 and 99 % were answered, of the latest.
    comparisons: empty for the control.
    """

    name: str
    revision: str
    target: str
    expected_share: float
    subjects: int
    requests: int
    refused: int
    off_revision: int
    figures: dict[str, Interval]
    percentiles_ms: tuple[int, int, int]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Report:
    """Attributes:
    decision: ``go on``, or why it may be stopped.
    """

    experiment: ExperimentView
    variants: tuple[VariantReport, ...]
    may_stop: bool
    decision: str
    shadow: ShadowReport | None = None


@dataclass
class _Counted:
    by_subject: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    refused: int = 0
    off_revision: int = 0


def report(session: Session, experiment: ExperimentView) -> Report:
    """All of it, now."""
    counted = _count(session, experiment)
    times = _times(session, experiment)
    shares = sum(variant.share for variant in experiment.variants)
    compared = max(1, len(experiment.variants) - 1) * len(METRICS)
    found = tuple(
        _variant(
            variant,
            variant.share / shares,
            counted[variant.name],
            counted[experiment.control.name] if variant != experiment.control else None,
            times.get(variant.name, []),
            ALPHA / compared,
        )
        for variant in experiment.variants
    )
    may_stop, decision = _decide(found)
    if decision == GO_ON and experiment.stopped_ms is not None:
        decision = UNDECIDED
    shadow = shadow_report(session, experiment.name, ALPHA) if experiment.shadow else None
    return Report(experiment, found, may_stop, decision, shadow)


def _count(session: Session, experiment: ExperimentView) -> dict[str, _Counted]:
    revision = {variant.name: variant.revision for variant in experiment.variants}
    failed = Event.status >= FAILED_FROM
    judged = Event.unsure.is_not(None)
    rows = session.execute(
        select(
            Event.variant,
            Event.subject,
            Event.revision,
            (Event.state == BILLED).label("answered"),
            failed.label("failed"),
            func.count(),
            func.sum(Event.milliseconds),
            func.sum(case((judged, Event.instances), else_=0)),
            func.sum(func.coalesce(Event.unsure, 0)),
        )
        .where(*_own(experiment))
        .group_by(Event.variant, Event.subject, Event.revision, "answered", "failed")
    )
    counted: dict[str, _Counted] = defaultdict(_Counted)
    for (
        variant,
        subject,
        answered_by,
        answered,
        is_failed,
        count,
        milliseconds,
        instances,
        unsure,
    ) in rows:
        part = counted[variant]
        if answered and answered_by != revision.get(variant):
            part.off_revision += count
        elif answered:
            sums = part.by_subject[subject]
            sums.requests += count
            sums.answers += count
            # MariaDB's sums are Decimals.
            sums.milliseconds += int(milliseconds)
            sums.judged += int(instances)
            sums.unsure += int(unsure)
        elif is_failed:
            part.by_subject[subject].requests += count
            part.by_subject[subject].failed += count
        else:
            part.refused += count
    _count_feedback(session, experiment, counted)
    return counted


def _count_feedback(
    session: Session, experiment: ExperimentView, counted: dict[str, _Counted]
) -> None:
    """Add what customers have said of the answers since."""
    rows = session.execute(
        select(
            Event.variant,
            Event.subject,
            Feedback.revision,
            func.count(),
            func.sum(case((Feedback.predicted != Feedback.label, 1), else_=0)),
        )
        .join(
            Feedback,
            and_(Feedback.account_id == Event.account_id, Feedback.request_id == Event.request_id),
        )
        .where(*_own(experiment))
        .group_by(Event.variant, Event.subject, Feedback.revision)
    )
    revision = {variant.name: variant.revision for variant in experiment.variants}
    for variant, subject, answered_by, count, wrong in rows:
        if answered_by == revision.get(variant):
            sums = counted[variant].by_subject[subject]
            sums.labelled += count
            sums.wrong += int(wrong)


def _times(session: Session, experiment: ExperimentView) -> dict[str, list[int]]:
    """Milliseconds of the latest answers of each variant, in order."""
    found: dict[str, list[int]] = {}
    for variant in experiment.variants:
        rows = session.scalars(
            select(Event.milliseconds)
            .where(
                *_own(experiment),
                Event.state == BILLED,
                Event.variant == variant.name,
                Event.revision == variant.revision,
            )
            .order_by(Event.started_ms.desc())
            .limit(MAX_TIMES)
        )
        found[variant.name] = sorted(rows)
    return found


def _own(experiment: ExperimentView) -> tuple[ColumnElement[bool], ...]:
    return (
        and_(Event.state != INTENT, Event.started_ms >= experiment.shares_ms),
        Event.experiment == experiment.name,
    )


def _variant(
    variant: Variant,
    expected_share: float,
    counted: _Counted,
    control: _Counted | None,
    times: list[int],
    alpha: float,
) -> VariantReport:
    figures, comparisons = {}, []
    for metric, (read, is_share) in METRICS.items():
        own = ratio(map(read, counted.by_subject.values()), is_share)
        figures[metric] = within_0_and_1(interval(own, alpha)) if is_share else interval(own, alpha)
        if control is not None:
            other = ratio(map(read, control.by_subject.values()), is_share)
            found = difference(own, other, alpha)
            margin = MARGINS[metric] * (1 if is_share else other.value)
            comparisons.append(Comparison(metric, found, _verdict(found, margin)))
    return VariantReport(
        variant.name,
        variant.revision,
        variant.target,
        expected_share,
        len(counted.by_subject),
        sum(sums.requests for sums in counted.by_subject.values()),
        counted.refused,
        counted.off_revision,
        figures,
        (_quantile(times, 0.5), _quantile(times, 0.95), _quantile(times, 0.99)),
        tuple(comparisons),
    )


def _quantile(ordered: list[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def _verdict(found: Interval, margin: float) -> str:
    if found.low is None or found.high is None:
        return "open"
    if found.low >= -margin and found.high <= margin:
        return "alike"
    if found.low > 0:
        return "worse"
    return "better" if found.high < 0 else "open"


def _decide(variants: tuple[VariantReport, ...]) -> tuple[bool, str]:
    """The rule: a variant is done with when it is worse, better without being worse, or alike."""
    for variant in variants:
        answers = variant.requests + variant.off_revision
        if variant.off_revision > MIXED_SHARE * answers:
            return True, (
                f"{variant.off_revision} of {answers} answers of {variant.name} were not of "
                f"revision {variant.revision}: its target answers with another one, or with several"
            )
    said = []
    for variant in variants:
        if not variant.comparisons:
            continue
        verdicts = {c.metric: c.verdict for c in variant.comparisons}
        worse = [CALLED[metric] for metric, verdict in verdicts.items() if verdict == "worse"]
        better = [CALLED[metric] for metric, verdict in verdicts.items() if verdict == "better"]
        # What nobody says is no reason to go on.
        judged = {
            c.metric
            for c in variant.comparisons
            if c.metric not in TOLD or c.difference.low is not None
        }
        if worse:
            said.append(f"{variant.name} is worse in {', '.join(worse)}")
        elif better and all(verdicts[metric] != "open" for metric in judged):
            said.append(f"{variant.name} is better in {', '.join(better)}, and in nothing worse")
        elif all(verdicts[metric] == "alike" for metric in judged):
            said.append(f"{variant.name} is like the control")
        else:
            return False, GO_ON
    return (True, "; ".join(said)) if said else (False, "nothing is compared with the control")
