"""``python -m rollout``: canary, status, promote, rollback, history, rollout, deploy-check.

Results go to standard output, progress to standard error. Exit statuses: 0 done, 2 wrong
arguments, 130 interrupted, and those of ``rollout.errors``.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artifact import known
from common.kourier import find_gateway
from common.kubernetes import Cluster, KubernetesError, ObjectNotFoundError
from rollout.auto import Plan, auto
from rollout.canary import canary, plan_canary
from rollout.clock import Clock
from rollout.context import Context, find_service, make_context, services_of
from rollout.deployment import check_deployment
from rollout.errors import NotFoundError, RefusedError, RolloutError, UnreachableError
from rollout.evidence import Rules
from rollout.labelled import load_labelled
from rollout.ledger import Say
from rollout.promote import plan_promotion, promote
from rollout.record import Entry
from rollout.report import write_report
from rollout.revision_file import RevisionFile
from rollout.rollback import plan_rollback, rollback
from rollout.status import read_status
from rollout.table import table
from rollout.traffic import LabelledTraffic
from rollout.transition import Limits

ROOT = Path(__file__).parent.parent
INTERRUPTED = 130

Connect = Callable[[argparse.Namespace], Cluster]


def main(
    arguments: list[str] | None = None,
    connect: Connect | None = None,
    clock: Clock | None = None,
) -> int:
    """Run one command; ``connect`` and ``clock`` are for tests."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    try:
        cluster = (connect or _connect)(options)
        if options.command == "deploy-check":
            return _deploy_check(cluster, options, clock or Clock(), say)
        service = options.service or find_service(cluster, getattr(options, "model", None))
        ctx = _context(options, cluster, service, clock or Clock(), say)
        return COMMANDS[options.command](ctx, options)
    except (RolloutError, KubernetesError) as error:
        status = exit_status(error)
        if options.output == "json":
            failure = {"error": str(error), "kind": type(error).__name__, "status": status}
            print(json.dumps(failure, indent=2))
        print(f"{options.command}: {error}", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        print(
            f"\n{options.command}: interrupted; `status` says where it stands. The same command "
            "goes on from there, `rollback` takes it back.",
            file=sys.stderr,
        )
        return INTERRUPTED


def exit_status(error: RolloutError | KubernetesError) -> int:
    if isinstance(error, RolloutError):
        return error.status
    kind = NotFoundError if isinstance(error, ObjectNotFoundError) else UnreachableError
    return kind.status


def _connect(options: argparse.Namespace) -> Cluster:
    return Cluster.connect(options.namespace, options.context)


def _context(
    options: argparse.Namespace, cluster: Cluster, service: str, clock: Clock, say: Say
) -> Context:
    by = options.by or f"{getpass.getuser()}@{socket.gethostname()}"
    return make_context(
        cluster,
        service,
        holder=f"{by}, process {os.getpid()}",
        by=by,
        cards=options.cards,
        limits=Limits(options.timeout),
        clock=clock,
        say=say,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--namespace", default="vision")
    common.add_argument("--service", default="", help="InferenceService (default: what fits)")
    common.add_argument("--context", default=None, help="of KUBECONFIG; default: the current one")
    common.add_argument("--cards", type=Path, default=ROOT / "models", help="folder of model cards")
    common.add_argument("--output", choices=("table", "json"), default="table")
    common.add_argument("--by", default="", help="name in the history; default: user@host")
    common.add_argument(
        "--timeout", type=float, default=300.0, help="seconds that a new Knative revision may take"
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str, writes: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        if writes:
            added.add_argument("--why", default="", help="reason, for the history")
            added.add_argument("--dry-run", action="store_true", help="say what would be done")
        return added

    def overlay(added: argparse.ArgumentParser, required: bool = False) -> None:
        added.add_argument(
            "--overlay", type=Path, required=required, help="folder with a revisions.yaml"
        )

    opened = command("canary", "give one model's new revision a share of the traffic")
    opened.add_argument("model")
    opened.add_argument("revision")
    opened.add_argument("--traffic", type=_percent, default=10, help="per cent (default: 10)")
    opened.add_argument("--image", default="", help="of the predictor, where it is another")
    command("status", "who is stable, who is latest, who gets what", writes=False)
    overlay(command("promote", "give the canary everything"))
    back = command("rollback", "take a canary back, or go down the history")
    back.add_argument("--steps", type=_positive, default=1)
    overlay(back)
    alone = command("rollout", "roll a revision out step by step, or refuse it, on evidence")
    alone.add_argument("model")
    alone.add_argument("revision")
    alone.add_argument("--image", default="", help="of the predictor, where it is another")
    alone.add_argument(
        "--data",
        default=os.environ.get("DATA") or "data",
        help="data folder, or .npz file or address with labelled images (variable DATA)",
    )
    alone.add_argument("--images", type=_positive, default=500, help="labelled images (500)")
    alone.add_argument("--seed", type=int, default=0, help="of their choice")
    alone.add_argument("--gateway", default="", help="http://host:port (default: Kourier's)")
    alone.add_argument("--steps", type=_steps, default=Plan.steps, help="per cent (5,25,50,100)")
    for name, text in (
        ("hold_seconds", "a hold lasts at least so long"),
        ("hold_requests", "and has at least so many calls to the canary"),
        ("give_up_seconds", "or is given up after so long"),
        ("rate", "labelled requests a second"),
    ):
        default = getattr(Plan, name)
        option = f"--{name.replace('_', '-')}"
        alone.add_argument(option, type=type(default), default=default, help=f"{text} ({default})")
    alone.add_argument("--report", type=Path, default=ROOT / "build" / "rollout")
    overlay(alone)
    command("history", "what was rolled out, when, by whom and why", writes=False)
    overlay(command("deploy-check", "would a deployment undo a promotion?", writes=False), True)
    return parser


def _percent(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 99:
        raise argparse.ArgumentTypeError("a canary has 0 to 99 %; `promote` gives it 100")
    return value


def _steps(text: str) -> tuple[int, ...]:
    steps = tuple(int(part) for part in text.split(","))
    if list(steps) != sorted(set(steps)) or steps[-1] != 100 or steps[0] < 1:
        raise argparse.ArgumentTypeError("percentages that go up to 100, as 5,25,50,100")
    return steps


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _print(options: argparse.Namespace, document: Any, text: str) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False) if options.output == "json" else text)


def _plan(options: argparse.Namespace, steps: list[str]) -> int:
    _print(options, {"dry_run": True, "steps": steps}, "\n".join(f"would {s}" for s in steps))
    return 0


def _canary(ctx: Context, options: argparse.Namespace) -> int:
    model, revision, percent = options.model, options.revision, options.traffic
    if options.dry_run:
        return _plan(options, plan_canary(ctx, model, revision, percent, options.image))
    canary(ctx, model, revision, percent, options.why, options.image)
    return _status(ctx, options)


def _status(ctx: Context, options: argparse.Namespace) -> int:
    status = read_status(ctx)
    _print(options, status.as_json(), status.as_text())
    return 0


def _promote(ctx: Context, options: argparse.Namespace) -> int:
    idle = ctx.ledger.read().operation is None
    if idle and options.overlay is not None and _overlay_lags(ctx, options.overlay):
        ctx.say("no canary is open; the overlay is brought up to what runs")
        return _finished(ctx, options, None)
    if options.dry_run:
        return _plan(options, plan_promotion(ctx))
    return _finished(ctx, options, promote(ctx, options.why))


def _rollback(ctx: Context, options: argparse.Namespace) -> int:
    if options.dry_run:
        return _plan(options, plan_rollback(ctx, options.steps))
    return _finished(ctx, options, rollback(ctx, options.steps, options.why))


def _auto(ctx: Context, options: argparse.Namespace) -> int:
    model, revision = options.model, options.revision
    plan = Plan(
        options.steps,
        options.hold_seconds,
        options.hold_requests,
        options.give_up_seconds,
        options.rate,
    )
    if options.dry_run:
        first = plan_canary(ctx, model, revision, 0, options.image)
        steps = ", ".join(f"{step} %" for step in plan.steps)
        return _plan(options, [*first, f"ask both for {options.images} images", f"hold at {steps}"])
    (new,) = ctx.expected_of({model: revision})
    if new.card is None:
        raise RefusedError(f"{model}/{revision} is refused: there is no card of it in {ctx.cards}")
    card = new.card
    labelled = load_labelled(options.data, known(card.data, "data").name)
    questions = labelled.sample(options.images, options.seed)
    questions.check(card.contract)

    def open_traffic() -> LabelledTraffic:
        gateway = options.gateway or find_gateway(ctx.cluster)
        url = ctx.transition.read().url
        return LabelledTraffic(url, gateway, model, questions, card.contract)

    outcome = auto(
        ctx, model, revision, questions, open_traffic, plan, Rules(), options.why, options.image
    )
    if outcome is None:
        return _status(ctx, options)
    report = write_report(outcome, options.report / f"{ctx.service}-{model}-{revision}")
    ctx.say(f"report: {report}")
    if not outcome.promoted:
        raise RefusedError(f"{model}/{revision} is refused: {outcome.reason}\nreport: {report}")
    return _finished(ctx, options, outcome.entry)


def _overlay_lags(ctx: Context, overlay: Path) -> bool:
    runs = ctx.transition.read().models
    asked = [pair for file in RevisionFile.open_all(overlay) for pair in file.models.items()]
    return any(runs.get(model, revision) != revision for model, revision in asked)


def _finished(ctx: Context, options: argparse.Namespace, entry: Entry | None) -> int:
    """Bring the overlay's files up to what runs now, and show both."""
    difference = ""
    runs = ctx.transition.read().models
    for file in RevisionFile.open_all(options.overlay) if options.overlay is not None else []:
        changed = file.with_models({m: r for m, r in runs.items() if m in file.models})
        difference += file.difference(changed)
        if changed != file and not options.dry_run:
            changed.write()
    status = read_status(ctx)
    document = {
        "entry": None if entry is None else asdict(entry),
        "overlay_difference": difference,
        "status": status.as_json(),
    }
    text = status.as_text()
    if difference:
        text += f"\n\n{difference}(commit this: it is what `make deploy` will ask for)"
    _print(options, document, text)
    return 0


def _history(ctx: Context, options: argparse.Namespace) -> int:
    entries = ctx.ledger.read().history
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
    _print(options, [asdict(entry) for entry in entries], table(head, rows))
    return 0


def _deploy_check(cluster: Cluster, options: argparse.Namespace, clock: Clock, say: Say) -> int:
    files = RevisionFile.open_all(options.overlay)
    try:
        services = services_of(cluster)
    except ObjectNotFoundError:
        services = []  # no KServe there yet: nothing that a deployment could undo
    notes = [
        note
        for service in services
        for file in files
        for note in check_deployment(_context(options, cluster, service.name, clock, say), file)
    ]
    _print(options, {"notes": notes}, "\n".join(notes) or "deploying undoes nothing")
    return 0


COMMANDS: dict[str, Callable[[Context, argparse.Namespace], int]] = {
    "canary": _canary,
    "status": _status,
    "rollout": _auto,
    "promote": _promote,
    "rollback": _rollback,
    "history": _history,
}

if __name__ == "__main__":
    # What CI ends, ends as by Ctrl-C: the lock is given back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
