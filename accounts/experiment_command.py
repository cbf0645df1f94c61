"""``vision experiment``: start, change, judge and stop experiments from a shell."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict

from accounts import audit, experiments
from accounts.clock import moment
from accounts.database import Database
from accounts.errors import InvalidValueError
from accounts.experiment_report import METRICS, UNITS, Report, VariantReport, report
from accounts.experiments import Plan, Shadow, Variant
from accounts.rollout_record import canary_beside, require_apart
from accounts.sequential import Interval
from accounts.settings import RecordSettings
from accounts.shadows import ShadowReport

ABOUT = "several revisions of a model beside each other: A/B/n and shadows"


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Give ``experiment`` its verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("start", help="begin one")
    start.add_argument("name")
    start.add_argument("--model", required=True)
    start.add_argument(
        "--variant",
        action="append",
        required=True,
        metavar="NAME=REVISION@URL",
        help="where a revision answers; the first is the control",
    )
    start.add_argument("--share", action="append", default=[], metavar="NAME=WEIGHT")
    start.add_argument(
        "--by", default=experiments.CUSTOMER, help="customer, key or header:x-subject[-…]"
    )
    start.add_argument("--percent", type=int, help="of all subjects that take part")
    start.add_argument("--shadow", metavar="REVISION@URL", help="gets copies; nobody sees answers")
    start.add_argument("--shadow-percent", type=int, default=100, help="of requests")
    status = verbs.add_parser("status", help="what it has shown; exit status 10: it may be stopped")
    status.add_argument("name")
    status.add_argument("--output", choices=("text", "json"), default="text")
    shares = verbs.add_parser("shares", help="change shares, and how many take part")
    shares.add_argument("name")
    shares.add_argument("share", nargs="*", metavar="NAME=WEIGHT")
    shares.add_argument("--percent", type=int)
    stop = verbs.add_parser("stop", help="end it; everybody is answered as before")
    stop.add_argument("name")
    for verb in (start, shares, stop):
        verb.add_argument("--why", default="", help="for the audit")
    verbs.add_parser("list", help="all of them, the newest first")


MAY_STOP = 10
"""Exit status of ``status`` where nothing more is to be waited for."""


def run(options: argparse.Namespace, database: Database, settings: RecordSettings) -> int:
    """The exit status; raises AccountsError."""
    if options.verb == "start":
        plan = _plan(options)
        require_apart(settings, plan)
        with database.write() as session:
            view = experiments.start(session, plan, audit.SHELL, options.why)
        print(f"{view.name} of {view.model} is running; every check knows within 4 s")
    elif options.verb == "shares":
        with database.write() as session:
            view = experiments.set_shares(
                *(session, options.name, _weights(options.share)),
                *(audit.SHELL, options.percent, options.why),
            )
        said = ", ".join(f"{variant.name} {variant.share}" for variant in view.variants)
        print(f"{view.name}: {said}; {view.percent} % take part")
    elif options.verb == "stop":
        with database.write() as session:
            experiments.stop(session, options.name, audit.SHELL, options.why)
        print(f"{options.name} is stopped")
    elif options.verb == "list":
        with database.read() as session:
            for view in experiments.listed(session):
                state = "running" if view.stopped_ms is None else "stopped"
                names = " ".join(f"{v.name}={v.revision}" for v in view.variants)
                since = f"{moment(view.created_ms):%Y-%m-%d %H:%M}"
                print(f"{view.name:24} {state:8} {since}  {view.model:16} {names}")
    else:
        with database.read() as session:
            found = report(session, experiments.find(session, options.name))
        if options.output == "json":
            print(json.dumps(asdict(found), indent=2))
        else:
            print("\n".join(lines(found)))
            if beside := canary_beside(settings, found.experiment):
                print(beside)
        return MAY_STOP if found.may_stop else 0
    return 0


def lines(found: Report) -> Iterable[str]:
    """A report as text."""
    view = found.experiment
    state = "running" if view.stopped_ms is None else "stopped"
    yield f"{view.name} of {view.model}: {state}, by {view.sticky_by}, {view.percent} % take part"
    yield f"since {moment(view.shares_ms):%Y-%m-%d %H:%M} UTC"
    yield ""
    yield (
        f"{'VARIANT':16} {'REVISION':10} {'SUBJECTS':>8} {'SHARE':>15} {'REQUESTS':>8} "
        f"{'P50':>7} {'P95':>7} {'P99':>7}"
    )
    subjects = sum(variant.subjects for variant in found.variants)
    for variant in found.variants:
        seen, expected = variant.subjects / (subjects or 1), variant.expected_share
        share = f"{100 * seen:.1f} of {100 * expected:.1f} %"
        times = " ".join(f"{ms:4} ms" for ms in variant.percentiles_ms)
        yield (
            f"{variant.name:16} {variant.revision:10} {variant.subjects:8} {share:>15} "
            f"{variant.requests:8} {times}"
        )
        if variant.refused or variant.off_revision:
            yield f"  not counted: {variant.refused} refused, {variant.off_revision} off revision"
    yield ""
    for variant in found.variants:
        yield from _figures(variant)
    if found.shadow is not None:
        yield from _shadow(found.shadow)
    yield ""
    yield found.decision


def _figures(variant: VariantReport) -> Iterable[str]:
    compared = {comparison.metric: comparison for comparison in variant.comparisons}
    for metric in METRICS:
        factor, unit = UNITS[metric]
        text = f"{variant.name:16} {metric:13} {_shown(variant.figures[metric], factor, unit):34}"
        if metric in compared:
            found = compared[metric]
            less = _shown(found.difference, factor, unit, "+")
            text += f"against the control {less}: {found.verdict}"
        yield text.rstrip()


def _shadow(found: ShadowReport) -> Iterable[str]:
    tally = found.tally
    yield (
        f"shadow: {tally.compared} compared, {tally.agreeing} agree, "
        f"{_shown(found.agreement, 100, '%')}; numbers differ by {tally.max_difference:.3g} at most"
    )
    yield (
        f"  {found.shadow_ms:.1f} ms where the answer took {found.baseline_ms:.1f} ms: "
        f"{_shown(found.slower_ms, 1, 'ms', '+')}"
    )
    yield (
        f"  not compared: {tally.shadow_failed} that the shadow failed, {tally.baseline_failed} "
        f"of the baseline, {tally.off_revision} off revision, {tally.dropped} dropped"
    )
    for example in tally.examples:
        yield f"  {example.request_id}: {example.baseline}, the shadow {example.shadow}"


def _shown(found: Interval, factor: float, unit: str, sign: str = "") -> str:
    text = f"{factor * found.value:{sign}.2f} {unit}"
    if found.low is None or found.high is None:
        return text
    return f"{text} ({factor * found.low:{sign}.2f} to {factor * found.high:{sign}.2f})"


def _plan(options: argparse.Namespace) -> Plan:
    shares = _weights(options.share)
    variants = []
    for text in options.variant:
        name, told, place = text.partition("=")
        if not told:
            raise InvalidValueError(f"{text!r} is no NAME=REVISION@URL", "variant")
        variants.append(Variant(name, *_place(place), shares.pop(name, 1)))
    if shares:
        raise InvalidValueError(f"there is no variant {next(iter(shares))}", "share")
    shadow = None
    if options.shadow:
        shadow = Shadow(*_place(options.shadow), options.shadow_percent)
    # A single variant is there for the shadow to be compared with, and takes no traffic over.
    percent = options.percent if options.percent is not None else 100 * (len(variants) > 1)
    return Plan(options.name, options.model, tuple(variants), options.by, percent, shadow)


def _place(text: str) -> tuple[str, str]:
    revision, told, target = text.partition("@")
    if not told:
        raise InvalidValueError(f"{text!r} is no REVISION@URL", "target")
    return revision, target


def _weights(texts: Iterable[str]) -> dict[str, int]:
    weights = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not number.isdecimal():
            raise InvalidValueError(f"{text!r} is no NAME=WEIGHT", "share")
        weights[name] = int(number)
    return weights
