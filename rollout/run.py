"""A rollout that decides by itself: a gate at 0 %, then step by step, on evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rollout.analysis import Analysis, Outcome, Plan
from rollout.canary import Wish, canary
from rollout.cards import Cards
from rollout.counters import Counters
from rollout.errors import ConflictError, NotFoundError, UnreachableError
from rollout.evidence import Rules, judge_comparison
from rollout.feedback import Feedback
from rollout.gate_job import run_gate
from rollout.journal import Journal
from rollout.labelled import LabelledSet
from rollout.moves import Moves
from rollout.promote import promote
from rollout.record import Action, Operation
from rollout.rollback import restore
from rollout.tag_gate import run_tag_gate
from rollout.traffic import LabelledTraffic
from rollout.waiting import Waiting
from tasks import find_task

FIRST_CALLS = 5


@dataclass(frozen=True)
class Evaluation:
    """What a revision is judged by.

    Attributes:
        questions: images whose right answers are known.
        open_traffic: a way to ask them at the public URL.
        gateway: address of the way in from outside; that of each URL itself where empty.
        feedback: right answers of customers, where they are evidence.
        apart: raises BusyError where an experiment of the model is in the way; is told whether the
            canary stays open.
    """

    questions: LabelledSet
    open_traffic: Callable[[], LabelledTraffic]
    plan: Plan
    rules: Rules
    gateway: str = ""
    feedback: Feedback | None = None
    apart: Callable[[bool], None] = lambda _open: None


def run(
    journal: Journal,
    moves: Moves,
    cards: Cards,
    waiting: Waiting,
    wish: Wish,
    evaluation: Evaluation,
) -> Outcome | None:
    """Roll a revision out, or refuse it; an interrupted rollout goes on where it was.

    Returns:
        None where the revision is what runs already.

    Raises:
        UnreachableError: the public URL, or who is asked for feedback, does not answer; nothing was
            begun.
        BusyError: an experiment began that its next step would disturb; the canary keeps its share.
        RolloutError: as ``canary``, ``promote`` and ``rollback``.
    """
    with journal.locked() as record:
        traffic = evaluation.open_traffic()
        try:
            _require_reachable(traffic)
            if evaluation.feedback is not None:
                evaluation.feedback.since(waiting.clock.moment())
            under_way = record.operation
            # Gone on with, a canary keeps the share it has until the next step.
            percent = (under_way.percent if under_way else 0) or 0
            operation = canary(journal, moves, cards, replace(wish, percent=percent))
            if operation is None:
                return None
            outcome = Outcome.remembered(operation)
            reasons = _pass_gate(journal, moves, cards, waiting, outcome, evaluation)
            if not reasons:
                reasons = _take_steps(journal, moves, cards, waiting, outcome, traffic, evaluation)
        finally:
            traffic.close()
            if evaluation.feedback is not None:
                evaluation.feedback.close()
        if reasons:
            outcome.reason = "; ".join(reasons)
            waiting.say(f"refused: {outcome.reason}")
            outcome.entry = restore(journal, moves, Action.REFUSED, outcome.reason)
        else:
            _require_apart(waiting, evaluation, open_canary=False)
            outcome.promoted = True
            outcome.reason = outcome.praise()
            outcome.entry = promote(journal, moves, cards, outcome.reason)
        return outcome


def _require_reachable(traffic: LabelledTraffic) -> None:
    """The URL must work before anything is blamed on a canary; this also wakes what sleeps."""
    answers = traffic.send(FIRST_CALLS)
    bad = [answer.status for answer in answers if answer.status != 200 or not answer.revision]
    if bad:
        raise UnreachableError(
            f"the public URL does not answer as it should ({len(bad)} of {FIRST_CALLS} calls: "
            f"status {bad[0]}); nothing was changed"
        )


def _pass_gate(
    journal: Journal,
    moves: Moves,
    cards: Cards,
    waiting: Waiting,
    outcome: Outcome,
    evaluation: Evaluation,
) -> list[str]:
    operation = journal.operation
    if outcome.gate is None:
        card = cards.expected(operation.model, operation.revision).card
        if card is None:
            raise NotFoundError(
                f"the gate needs the card of {operation.model}/{operation.revision}"
            )
        was = cards.expected(operation.model, operation.was).card
        stable_card = was if was and was.contract != card.contract else None
        service, questions = moves.read(), evaluation.questions
        if service.storage_uri:
            gateway = evaluation.gateway
            outcome.gate = run_tag_gate(waiting, service, gateway, card, stable_card, questions)
        else:
            outcome.gate = run_gate(moves.cluster, waiting, service, card, stable_card, questions)
        # Kept before it is judged: a rollout that is interrupted does not ask twice.
        journal.save(replace(operation, progress=outcome.progress))
    found = outcome.gate
    task = find_task(found.task)
    waiting.say(
        f"gate: {task.score_text(found.canary.correct, found.images)} (stable "
        f"{task.score_text(found.stable.correct, found.images)}), {found.agreement} alike; "
        f"95 % within {found.canary.p95_ms:.1f} ms (stable {found.stable.p95_ms:.1f})"
    )
    reasons = judge_comparison(found, operation.revision, operation.digest, evaluation.rules)
    return [f"at the gate, before the first per cent: {reason}" for reason in reasons]


def _take_steps(
    journal: Journal,
    moves: Moves,
    cards: Cards,
    waiting: Waiting,
    outcome: Outcome,
    traffic: LabelledTraffic,
    evaluation: Evaluation,
) -> list[str]:
    done = [interval.percent for interval in outcome.intervals]
    served_as = moves.read().served_as(journal.operation.model)
    for percent in evaluation.plan.steps:
        if percent in done:
            continue
        _require_apart(waiting, evaluation, open_canary=percent < 100)
        # The share is in the record before it is in the spec: who goes on from here, or takes
        # over, knows how much traffic may already be on the canary.
        operation = journal.save(replace(journal.operation, percent=percent))
        operation = moves.shift(operation, percent)
        analysis = Analysis(
            traffic,
            Counters(moves.cluster, served_as, [operation.stable, operation.candidate]),
            _digests(cards, operation),
            evaluation.plan,
            evaluation.rules,
            evaluation.feedback,
        )
        interval, reasons = analysis.interval(
            operation, outcome.so_far, percent, _watching(moves, operation, waiting)
        )
        outcome.intervals.append(interval)
        journal.save(replace(operation, progress=outcome.progress))
        if reasons:
            return [f"at {percent} %: {reason}" for reason in reasons]
    return []


def _require_apart(waiting: Waiting, evaluation: Evaluation, open_canary: bool) -> None:
    """The rollout stops where it stands for an experiment, and not because nobody tells of any."""
    try:
        evaluation.apart(open_canary)
    except UnreachableError as error:
        waiting.say(str(error))


def _watching(moves: Moves, operation: Operation, waiting: Waiting) -> Waiting:
    """The waiting that also ends when somebody else changes the spec."""

    def keep() -> None:
        if moves.read().generation != operation.generation:
            raise ConflictError(
                f"somebody else changed InferenceService {moves.service} during the rollout; "
                "`rollback` puts the recorded spec back"
            )
        waiting.keep()

    return Waiting(waiting.clock, waiting.say, keep)


def _digests(cards: Cards, operation: Operation) -> dict[str, str]:
    """Digest by revision of the two; only what is known here."""
    revisions = (operation.was, operation.revision)
    found = [cards.expected(operation.model, revision) for revision in revisions if revision]
    return {item.revision: item.digest for item in found if item.digest}
