"""``vision lifecycle``: runs from data to revisions, and a person's word on them.

Exit statuses: 0 done, 2 wrong arguments, 3 refused, 4 not found, 5 the store, 6 damaged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict

from artifact import sha256_of
from common.table import table
from lifecycle.clock import now
from lifecycle.errors import DecisionError, LifecycleError
from lifecycle.run import Arrival, Run, run_id
from lifecycle.runs import Runs
from lifecycle.settings import LifecycleSettings
from lifecycle.step import APPROVABLE, Decision, Step, Verdict
from local.following import LOCAL
from registry.command import Command, Shown, run
from registry.datasets import Datasets
from registry.entry import Action, Event
from registry.revisions import Registry

HEAD = ("run", "arrived", "what", "state", "waits for", "revision", "why")
VERDICTS = {Verdict.APPROVED: Action.APPROVED, Verdict.REJECTED: Action.REJECTED}


def main(arguments: list[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    command = COMMANDS[options.command]
    errors = (LifecycleError,)
    return run(command, options, environment, LifecycleSettings, errors, room="lifecycle")


def _list(registry: Registry, options: argparse.Namespace) -> Shown:
    runs = [r for r in Runs(registry.store).all() if options.model in ("", r.model)]
    rows = [_row(run) for run in runs[-options.last :]]
    return [dict(zip(HEAD, row, strict=True)) for row in rows], table(HEAD, rows)


def _show(registry: Registry, options: argparse.Namespace) -> Shown:
    runs = Runs(registry.store)
    run = runs.read(options.run)
    reports = runs.reports(run)
    steps = [r for r in (*run.evaluations.values(), *run.results.values()) if r.step in APPROVABLE]
    told = sorted(dict.fromkeys((r.at, APPROVABLE.index(r.step), r.step.value) for r in steps))
    by_step = {r.step.value: r for r in steps}
    lines = [
        f"{run.id}: {run.state}",
        f"{run.arrival.at}  arrived by {run.arrival.by}: {run.arrival.part or run.arrival.why}",
    ]
    for at, _, name in told:
        result = by_step[name]
        lines.append(f"{at}  {name} {result.outcome.value}: {result.why}")
    for decision in run.decisions.values():
        why = f": {decision.why}" if decision.why else ""
        lines.append(
            f"{decision.at}  {decision.step.value} {decision.verdict.value} by {decision.by}{why}"
        )
    for step, messages in run.failures.items():
        lines += [f"{step.value} failed: {message}" for message in messages]
    if (waits := run.waits) is not None:
        lines.append(f"waits for approval before {waits.value}")
    lines += [text for name, text in sorted(reports.items())]
    document = {
        "arrival": asdict(run.arrival),
        "state": run.state,
        "waits_for": None if waits is None else waits.value,
        "steps": [asdict(r) for r in steps],
        "decisions": [asdict(d) for d in run.decisions.values()],
        "failures": {step.value: messages for step, messages in run.failures.items()},
        "reports": reports,
    }
    return document, "\n".join(lines)


def _start(registry: Registry, options: argparse.Namespace) -> Shown:
    """A retraining with the data there are; of the same data and revision, once for a reason."""
    version = Datasets(registry).version(options.model)
    service = options.settings.lifecycle_service
    live = [
        time.revision
        for time in registry.state().live
        if (time.service, time.model) == (service, options.model) and not time.until
    ]
    begins = f"{version.digest} {live[-1:]} {options.because}"
    digest = sha256_of(begins.encode())
    id = run_id(options.model, digest)
    arrival = Arrival(id, options.model, "", digest, now(), registry.by, options.because)
    is_new = Runs(registry.store).start(arrival)
    said = "begins; `vision watch` takes it on" if is_new else "is there already"
    return {"run": id, "new": is_new}, f"{id} {said}"


def _approve(registry: Registry, options: argparse.Namespace) -> Shown:
    return _decide(registry, options, Verdict.APPROVED)


def _reject(registry: Registry, options: argparse.Namespace) -> Shown:
    return _decide(registry, options, Verdict.REJECTED)


def _rollback(registry: Registry, options: argparse.Namespace) -> Shown:
    """`vision serve` takes what was live before; on a cluster that is `vision rollback`'s."""
    service = options.settings.lifecycle_service
    if service != LOCAL:
        raise DecisionError(f"{service} is rolled back by `vision rollback`")
    times = [
        time
        for time in registry.state().live
        if (time.service, time.model) == (LOCAL, options.model)
    ]
    before = [time.revision for time in times if time.revision != times[-1].revision]
    if not before:
        raise DecisionError(f"{options.model} has no revision to go back to")
    details = {"service": LOCAL}
    event = Event(Action.ROLLED_BACK, registry.by, options.model, before[-1], options.why, details)
    entry = registry.history.append(event)
    return entry.as_json(), f"{entry.identity} is live again"


def _decide(registry: Registry, options: argparse.Namespace, verdict: Verdict) -> Shown:
    runs = Runs(registry.store)
    run = runs.read(options.run)
    step = Step(options.step) if options.step else run.waits
    if step is None:
        raise DecisionError(
            f"{run.id} waits for nobody: it is {run.state}; --step says what it will wait for"
        )
    if run.is_over or step in run.results:
        raise DecisionError(f"{run.id} is past {step.value}: it is {run.state}")
    decision = Decision(step, verdict, now(), registry.by, options.why)
    runs.decide(run, decision)
    details = {"run": run.id, "step": step.value}
    event = Event(VERDICTS[verdict], registry.by, run.model, run.revision, options.why, details)
    registry.record(event, f"run {run.id}, {step.value} {verdict.value}")
    text = f"{run.id}: {step.value} is {verdict.value} by {registry.by}"
    return {"run": run.id, **asdict(decision)}, text


def _row(run: Run) -> tuple[str, ...]:
    what = run.arrival.part or run.arrival.why
    waits = "" if run.waits is None else run.waits.value
    return (run.id, run.arrival.at, what, run.state, waits, run.revision, run.why)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision lifecycle", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--by", default="", help="who is named in the history")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about, parents=[common])

    listed = add("list", "runs, how far they are, and why")
    listed.add_argument("model", nargs="?", default="")
    listed.add_argument("--last", type=int, default=50, help="runs (50)")
    add("show", "everything about a run").add_argument("run")
    start = add("start", "train a model anew with the data there are")
    start.add_argument("model")
    start.add_argument("--because", required=True, help="the reason, such as drift")
    back = add("rollback", "have `vision serve` go back to the revision that was live before")
    back.add_argument("model")
    back.add_argument("--why", required=True, help="the reason")
    for name, about in (
        ("approve", "let a run go on that waits for a person"),
        ("reject", "end a run that waits for a person"),
    ):
        decide = add(name, about)
        decide.add_argument("run")
        decide.add_argument("--why", default="", required=name == "reject", help="the reason")
        steps = [step.value for step in APPROVABLE]
        decide.add_argument("--step", default="", choices=steps, help="default: what it waits for")
    return parser


COMMANDS: dict[str, Command] = {
    "list": _list,
    "show": _show,
    "start": _start,
    "rollback": _rollback,
    "approve": _approve,
    "reject": _reject,
}

if __name__ == "__main__":
    sys.exit(main())
