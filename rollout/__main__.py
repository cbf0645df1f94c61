"""``vision`` canary, status, promote, rollback, history, rollout, deploy-check.

Results go to standard output, progress to standard error. Exit statuses: 0 done, 2 wrong
arguments, 130 interrupted, and those of ``rollout.errors``.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from artifact import known
from common.kourier import find_gateway
from common.kubernetes import Cluster, KubernetesError, ObjectNotFoundError
from common.table import table
from rollout.arguments import parser, plan_of, rules_of
from rollout.canary import Wish, canary, plan_canary
from rollout.cards import Cards, nowhere_else
from rollout.clock import Clock
from rollout.deployment import Asked, check_deployment, force_deployment
from rollout.errors import BusyError, NotFoundError, RefusedError, RolloutError, UnreachableError
from rollout.experiments import Experiments, require_apart
from rollout.feedback import Feedback
from rollout.inferenceservice import Predictor, storage_uri
from rollout.inventory import find_service, services_of
from rollout.journal import Journal
from rollout.labelled import load_labelled
from rollout.ledger import Ledger
from rollout.moves import Limits, Moves
from rollout.promote import plan_promotion, promote
from rollout.published import Published
from rollout.record import Entry, Step
from rollout.recovery import find_operation, running_models
from rollout.report import write_report
from rollout.revision_file import RevisionFile
from rollout.rollback import plan_rollback, rollback
from rollout.run import Evaluation, run
from rollout.status import read_status
from rollout.traffic import LabelledTraffic
from rollout.waiting import Say, Waiting

INTERRUPTED = 130
CANARY_HINT = "commit this: it is what `make deploy` will ask for"
MANIFEST_HINT = "write that into the manifest that you apply, which would undo this"

Connect = Callable[[argparse.Namespace], Cluster]


@dataclass(frozen=True)
class Command:
    """One command on one InferenceService: what `main` hands to the moves, each its part."""

    options: argparse.Namespace
    journal: Journal
    moves: Moves
    cards: Cards
    waiting: Waiting
    published: Published | None


def main(
    arguments: list[str] | None = None,
    connect: Connect | None = None,
    clock: Clock | None = None,
) -> int:
    """Run one command; ``connect`` and ``clock`` are for tests."""
    made = parser()
    options = made.parse_args(arguments)
    if getattr(options, "feedback", "") and not options.feedback_key:
        made.error("--feedback needs --feedback-key, a file with a key")
    clock = clock or Clock()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    try:
        with (connect or _connect)(options) as cluster:
            if options.command == "deploy-check":
                return _deploy_check(cluster, options, clock, say)
            service = options.service or find_service(cluster, getattr(options, "model", None))
            return _run(_command(options, cluster, service, clock, say))
    except (RolloutError, KubernetesError) as error:
        kind = _kind(error)
        if options.output == "json":
            failure = {"error": str(error), "kind": type(error).__name__, "status": kind.status}
            print(json.dumps(failure, indent=2))
        print(
            f"{options.command}: {error}\nexit status {kind.status}: {kind.meaning}",
            file=sys.stderr,
        )
        return kind.status
    except KeyboardInterrupt:
        print(
            f"\n{options.command}: interrupted; `status` says where it stands. The same command "
            "goes on from there, `rollback` takes it back.\n"
            f"exit status {INTERRUPTED}: interrupted",
            file=sys.stderr,
        )
        return INTERRUPTED


def _run(command: Command) -> int:
    """The command between two looks at the registry, where there is one."""
    options, published = command.options, command.published
    if published is not None and options.command in ("canary", "rollout"):
        published.admit(command.cards, options.model, options.revision)
    try:
        return COMMANDS[options.command](command)
    finally:
        if published is not None and not getattr(options, "dry_run", False):
            with contextlib.suppress(KubernetesError):
                published.bring_up(command.journal.read())


def _kind(error: RolloutError | KubernetesError) -> type[RolloutError]:
    """Whose exit status and meaning an error has."""
    if isinstance(error, RolloutError):
        return type(error)
    return NotFoundError if isinstance(error, ObjectNotFoundError) else UnreachableError


def _connect(options: argparse.Namespace) -> Cluster:
    return Cluster.connect(options.namespace, options.context)


def _command(
    options: argparse.Namespace, cluster: Cluster, service: str, clock: Clock, say: Say
) -> Command:
    by = options.by or f"{getpass.getuser()}@{socket.gethostname()}"
    ledger = Ledger(cluster, service, f"{by}, process {os.getpid()}", clock, say)
    journal = Journal(ledger, clock, by)
    waiting = Waiting(clock, say, ledger.keep)
    moves = Moves(cluster, service, journal.save, waiting, Limits(options.timeout))
    published = Published.named(os.environ, service, by, say)
    cards = Cards(options.cards, nowhere_else if published is None else published.expected)
    return Command(options, journal, moves, cards, waiting, published)


def _print(options: argparse.Namespace, document: Any, text: str) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False) if options.output == "json" else text)


def _plan(options: argparse.Namespace, steps: list[str]) -> int:
    _print(options, {"dry_run": True, "steps": steps}, "\n".join(f"would {s}" for s in steps))
    return 0


def _wish(command: Command, percent: int) -> Wish:
    options, published = command.options, command.published
    wish = Wish(options.model, options.revision, percent, options.why, options.image)
    if published is None:
        return wish
    uri = published.address(command.moves.read().storage_uri, wish.model, wish.revision)
    return replace(wish, uri=uri)


def _experiments(command: Command, model: str) -> Callable[[bool], None]:
    """What raises BusyError where an experiment of the model is in the way.

    What it is called with: whether a canary is open, and stays open.
    """
    options, moves = command.options, command.moves
    known = Experiments(options.experiments, moves.cluster)
    name = moves.read().served_as(model)

    def apart(open_canary: bool) -> None:
        require_apart(known.of(name), moves.service, moves.cluster.namespace, open_canary)

    return apart


def _canary(command: Command) -> int:
    options = command.options
    under_way = command.journal.read().operation
    is_open = under_way is not None and under_way.step is Step.OPEN
    _experiments(command, options.model)(is_open)
    wish = _wish(command, options.traffic)
    parts = (command.journal, command.moves, command.cards)
    if options.dry_run:
        return _plan(options, plan_canary(*parts, wish))
    if canary(*parts, wish) is None:
        command.waiting.say(f"{wish.identity} is what {command.moves.service} runs already")
    return _status(command)


def _status(command: Command) -> int:
    moves = command.moves
    status = read_status(moves.cluster, moves.service, command.journal.read(), command.cards)
    _print(command.options, status.as_json(), status.as_text())
    return 0


def _promote(command: Command) -> int:
    options, moves = command.options, command.moves
    files = _revision_files(command)
    parts = (command.journal, moves, command.cards)
    service = moves.read()
    under_way = find_operation(moves.cluster, service, command.journal.read(), command.cards)
    if under_way is None and _behind(files, running_models(moves.cluster, service)):
        command.waiting.say("no canary is open; the overlay is brought up to what runs")
        return _finished(command, files, None)
    if under_way is not None and under_way.step is Step.OPEN:
        _experiments(command, under_way.model)(False)
    if options.dry_run:
        return _plan(options, plan_promotion(*parts))
    return _finished(command, files, promote(*parts, options.why))


def _rollback(command: Command) -> int:
    options = command.options
    files = _revision_files(command)
    parts = (command.journal, command.moves, command.cards)
    if options.dry_run:
        return _plan(options, plan_rollback(*parts, options.steps))
    entry = rollback(*parts, options.steps, options.why)
    # Never refused: what is taken back may be what hurts.
    try:
        _experiments(command, entry.model)(False)
    except (BusyError, UnreachableError) as error:
        command.waiting.say(f"to be looked at: {error}")
    return _finished(command, files, entry)


def _rollout(command: Command) -> int:
    options, moves, cards = command.options, command.moves, command.cards
    files = _revision_files(command)
    wish = _wish(command, 0)
    plan = plan_of(options)
    apart = _experiments(command, options.model)
    apart(False)
    if options.dry_run:
        first = plan_canary(command.journal, moves, cards, wish)
        steps = ", ".join(f"{step} %" for step in plan.steps)
        asked = f"ask both for {options.images} images"
        return _plan(options, [*first, asked, f"analyse an interval each at {steps}"])
    card = cards.expected(wish.model, wish.revision).card
    if card is None:
        raise RefusedError(f"{wish.identity} is refused: no card of it in {options.cards}")
    labelled = load_labelled(options.data, known(card.data, "data").name)
    questions = labelled.sample(options.images, options.seed)
    questions.check(card.contract)

    gateway = options.gateway or find_gateway(moves.cluster)

    def open_traffic() -> LabelledTraffic:
        service, operation = moves.read(), command.journal.read().operation
        was = operation.was if operation else service.models.get(wish.model, "")
        old = cards.expected(wish.model, was).card
        return LabelledTraffic(
            service.url,
            gateway,
            service.served_as(wish.model),
            questions,
            card.contract,
            others={} if old is None else {was: old.contract},
        )

    feedback = None
    if options.feedback:
        name = moves.read().served_as(wish.model)
        feedback = Feedback(options.feedback, options.feedback_key, name)
    evaluation = Evaluation(
        questions, open_traffic, plan, rules_of(options), gateway, feedback, apart
    )
    outcome = run(command.journal, moves, cards, command.waiting, wish, evaluation)
    if outcome is None:
        command.waiting.say(f"{wish.identity} is what {moves.service} runs already")
        return _status(command)
    folder = options.report / f"{moves.service}-{wish.model}-{wish.revision}"
    report = write_report(outcome, folder)
    command.waiting.say(f"report: {report}")
    if not outcome.promoted:
        raise RefusedError(f"{wish.identity} is refused: {outcome.reason}\nreport: {report}")
    return _finished(command, files, outcome.entry)


def _revision_files(command: Command) -> list[RevisionFile]:
    """Opened before anything is done: a wrong overlay is found at once.

    What one pod serves stands in the manifest of its own, wherever its owner keeps that.
    """
    overlay = command.options.overlay
    if overlay is None or command.moves.read().storage_uri:
        return []
    return RevisionFile.open_all(overlay)


def _behind(files: list[RevisionFile], runs: dict[str, str]) -> bool:
    asked = [pair for file in files for pair in file.models.items()]
    return any(runs.get(model, revision) != revision for model, revision in asked)


def _finished(command: Command, files: list[RevisionFile], entry: Entry | None) -> int:
    """Bring the overlay's files up to what runs now, and show both."""
    options, moves = command.options, command.moves
    difference = ""
    runs = running_models(moves.cluster, moves.read())
    for file in files:
        changed = file.with_models({m: r for m, r in runs.items() if m in file.models})
        difference += file.difference(changed)
        if changed != file and not options.dry_run:
            changed.write()
    status = read_status(moves.cluster, moves.service, command.journal.read(), command.cards)
    document = {
        "entry": None if entry is None else asdict(entry),
        "overlay_difference": difference,
        "status": status.as_json(),
    }
    text = status.as_text()
    if difference:
        text += f"\n\n{difference}({CANARY_HINT})"
    if status.storage_uri:
        text += f"\n\nstorageUri is {status.storage_uri} now: {MANIFEST_HINT}"
    _print(options, document, text)
    return 0


def _history(command: Command) -> int:
    entries = command.journal.read().history
    rows = [
        (
            str(entry.number),
            entry.at,
            entry.by,
            entry.action.value,
            f"{entry.model}/{entry.revision}" if entry.model else "",
            entry.digest.removeprefix("sha256:")[:12],
            ", ".join(f"{model}/{revision}" for model, revision in entry.models.items()),
            entry.why.splitlines()[0] if entry.why else "",
        )
        for entry in entries
    ]
    head = ("number", "when", "who", "what", "revision", "digest", "holds then", "why")
    _print(command.options, [asdict(entry) for entry in entries], table(head, rows))
    return 0


def _deploy_check(cluster: Cluster, options: argparse.Namespace, clock: Clock, say: Say) -> int:
    files = RevisionFile.open_all(options.overlay)
    of_files = [Asked.by_file(file) for file in files]
    applied = None if options.rendered is None else _applied(options.rendered)
    try:
        names = [service.name for service in services_of(cluster)]
    except ObjectNotFoundError:
        names = []  # no KServe there yet: nothing that a deployment could undo
    notes = []
    for name in names if applied is None else [name for name in names if name in applied]:
        command = _command(options, cluster, name, clock, say)
        parts = (command.journal, command.moves, command.cards)
        if options.force:
            notes += force_deployment(*parts)
        else:
            predictor = {} if applied is None else applied[name]
            of_pod = [Asked.by_pod(options.overlay, predictor)] if storage_uri(predictor) else []
            notes += check_deployment(*parts, of_pod or of_files)
    _print(options, {"notes": notes}, "\n".join(notes) or "deploying undoes nothing")
    return 0


def _applied(rendered: Path) -> dict[str, Predictor]:
    """The predictors of the InferenceServices in a file of manifests, by their names."""
    try:
        documents = list(yaml.safe_load_all(rendered.read_text(encoding="utf-8")))
    except OSError as error:
        raise NotFoundError(f"{rendered} cannot be read: {error.strerror}") from None
    return {
        document["metadata"]["name"]: document["spec"]["predictor"]
        for document in documents
        if document and document["kind"] == "InferenceService"
    }


COMMANDS: dict[str, Callable[[Command], int]] = {
    "canary": _canary,
    "status": _status,
    "rollout": _rollout,
    "promote": _promote,
    "rollback": _rollback,
    "history": _history,
}

if __name__ == "__main__":
    # What CI ends, ends as by Ctrl-C: the lock is given back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
