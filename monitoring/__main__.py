"""``vision monitor VERB``: watch what runs here, and what comes from the file of objectives."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from common.errors import StartError
from common.processes import ROOT, Processes, interruptible
from common.table import table
from monitoring import local, report
from monitoring.component import write_component
from monitoring.drift import command
from monitoring.objectives import FILE, ObjectivesError, read_objectives
from monitoring.report import PrometheusError
from monitoring.rules import rule_groups


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision monitor", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="Prometheus, Alertmanager and the page, until Ctrl-C")
    up.add_argument("--transformer", default="localhost:8080", metavar="HOST:PORT")
    up.add_argument("--predictor", default="", metavar="HOST:PORT", help="default: the next port")
    up.add_argument("--edge", default="", metavar="HOST:PORT", help="its metrics, with make up")
    up.add_argument(
        "--port", type=int, default=9090, help="Prometheus'; Alertmanager's is the next"
    )
    up.add_argument("--webhook", default="", help="URL that is told of alerts")
    left = verbs.add_parser("report", help="what is left of each error budget")
    left.add_argument("--prometheus", default="http://localhost:9090", metavar="URL")
    command.add_arguments(
        verbs.add_parser("drift", help="whether pictures and answers are what they were")
    )
    verbs.add_parser("rules", help="print Prometheus' rule file")
    verbs.add_parser("manifests", help="write the component's rules and dashboards")
    for verb in verbs.choices.values():
        verb.add_argument("--objectives", type=Path, default=FILE)
    options = parser.parse_args(arguments)
    try:
        return VERBS[options.verb](options)
    except (ObjectivesError, PrometheusError, StartError) as error:
        print(f"{options.verb}: {error}", file=sys.stderr)
        return 1


def _up(options: argparse.Namespace) -> int:
    predictor = options.predictor or _next_port(options.transformer)
    targets = {"transformer": [options.transformer], "predictor": [predictor]}
    if options.edge:
        targets["edge"] = [options.edge]
    watched = local.Watched(targets, options.port, options.webhook)
    objectives = read_objectives(options.objectives)
    with interruptible(), Processes(local.FOLDER) as processes:
        local.start(processes, watched, objectives)
        processes.wait()
    return 0


def _next_port(target: str) -> str:
    """The predictor of `make run` listens on the port after the transformer's.

    Raises:
        StartError: it is no ``host:port``.
    """
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise StartError(f"{target!r} is no HOST:PORT")
    return f"{host}:{int(port) + 1}"


def _report(options: argparse.Namespace) -> int:
    rows = report.budget_rows(options.prometheus)
    print(table(report.HEAD, rows) if rows else "no request for a prediction has been counted yet")
    return 0


def _rules(options: argparse.Namespace) -> int:
    print(yaml.safe_dump(rule_groups(read_objectives(options.objectives)), sort_keys=False), end="")
    return 0


def _manifests(options: argparse.Namespace) -> int:
    for path in write_component(read_objectives(options.objectives)):
        print(path.relative_to(ROOT))
    return 0


VERBS = {
    "up": _up,
    "report": _report,
    "drift": command.run,
    "rules": _rules,
    "manifests": _manifests,
}


if __name__ == "__main__":
    sys.exit(main())
