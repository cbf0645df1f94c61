"""``make monitor``: Prometheus, Alertmanager and a page of the panels, beside ``make run``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import StartError
from common.ports import LOCAL_HOST, require_free
from common.processes import ROOT, Processes, say
from monitoring.dashboards import panels
from monitoring.objectives import Objectives
from monitoring.rules import rule_groups

FOLDER = ROOT / "build" / "monitoring"
PAGE = Path(__file__).with_name("page")
SCRAPE_SECONDS = 5
PROGRAMS = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
"""Debian's names of the programs; elsewhere Alertmanager has its own name."""
KEPT = "15d"


@dataclass(frozen=True)
class Watched:
    """What is watched, and from where.

    Attributes:
        targets: ``host:port`` of each ``/metrics``, by component.
        port: Prometheus', where the page is too; Alertmanager takes the next one, and what watches
            for drift the one after that.
        webhook: URL that Alertmanager tells of alerts; empty: they are on the page alone.
        folder: of configuration and data, which is kept.
        scrape_seconds: how often they are asked, and rules judged that say nothing else.
    """

    targets: Mapping[str, Sequence[str]]
    port: int = 9090
    webhook: str = ""
    folder: Path = FOLDER
    scrape_seconds: float = SCRAPE_SECONDS

    @property
    def url(self) -> str:
        return f"http://{LOCAL_HOST}:{self.port}"

    @property
    def drift(self) -> str:
        return f"{LOCAL_HOST}:{self.port + 2}"

    @property
    def page(self) -> str:
        return f"{self.url}/user/index.html"


def start(processes: Processes, watched: Watched, objectives: Objectives) -> None:
    """Start both and wait until they are ready.

    Raises:
        StartError: one is not installed, does not become ready, or its port is taken.
    """
    require_free(watched.port + 2)
    write_files(watched, objectives)
    start_programs(processes, watched)
    start_drift(processes, watched)
    say(f"\nPanels and alerts: {watched.page}\nPrometheus: {watched.url}\n\nCtrl-C stops both.")


def start_drift(processes: Processes, watched: Watched, more: Sequence[str] = ()) -> None:
    """Start what watches for drift; raises StartError where it cannot be started.

    Args:
        more: of its arguments.
    """
    processes.start(
        "drift",
        [
            *(sys.executable, "-m", "monitoring", "drift", "--prometheus", watched.url),
            *("--serve", watched.drift, "--baselines", str(watched.folder / "baselines"), *more),
        ],
        {},
    )


def start_programs(processes: Processes, watched: Watched, more: Sequence[str] = ()) -> None:
    """Start both with the files that are there; raises StartError as :func:`start` does.

    Args:
        more: of Prometheus' arguments.
    """
    for port in (watched.port, watched.port + 1):
        require_free(port)
    folder, alertmanager = watched.folder, f"{LOCAL_HOST}:{watched.port + 1}"
    processes.start(
        "alertmanager",
        [
            program("alertmanager"),
            f"--config.file={folder / 'alertmanager.yaml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={alertmanager}",
            # One alone: it looks for no others.
            "--cluster.listen-address=",
        ],
        {},
    )
    processes.wait_for_url("alertmanager", f"http://{alertmanager}/-/ready")
    processes.start(
        "prometheus",
        [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--storage.tsdb.retention.time={KEPT}",
            f"--web.listen-address={LOCAL_HOST}:{watched.port}",
            f"--web.user-assets={folder / 'page'}",
            *more,
        ],
        {},
    )
    processes.wait_for_url("prometheus", f"{watched.url}/-/ready")


def write_files(watched: Watched, objectives: Objectives) -> None:
    """The configuration of both, the rules, and the page."""
    folder = watched.folder
    folder.mkdir(parents=True, exist_ok=True)
    written: Sequence[tuple[str, Any]] = (
        ("rules.yaml", rule_groups(objectives)),
        ("prometheus.yaml", _prometheus(watched)),
        ("alertmanager.yaml", alertmanager_configuration(watched.webhook)),
    )
    for name, document in written:
        (folder / name).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    shutil.copytree(PAGE, folder / "page", dirs_exist_ok=True)
    (folder / "page" / "panels.json").write_text(json.dumps(panels()), encoding="utf-8")


def alertmanager_configuration(webhook: str = "") -> dict[str, Any]:
    """One notification a model and alert; a page silences the ticket about the same."""
    receiver: dict[str, Any] = {"name": "people"}
    if webhook:
        receiver["webhook_configs"] = [{"url": webhook, "send_resolved": True}]
    return {
        "route": {
            "receiver": "people",
            "group_by": ["alertname", "model_name"],
            "group_wait": "10s",
            "repeat_interval": "4h",
        },
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"'],
                "equal": ["alertname", "model_name", "customer_class", "objective"],
            }
        ],
        "receivers": [receiver],
    }


def program(name: str) -> str:
    """
    Raises:
        StartError: it is not installed; says how to install it.
    """
    for candidate in (name, PROGRAMS[name]):
        if found := shutil.which(candidate):
            return found
    packages = " ".join(PROGRAMS.values())
    raise StartError(f"{name} is not installed: apt install {packages}, or brew install {name}")


def _prometheus(watched: Watched) -> dict[str, Any]:
    every = f"{1000 * watched.scrape_seconds:.0f}ms"
    return {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": ["rules.yaml"],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{LOCAL_HOST}:{watched.port + 1}"]}]}
            ]
        },
        "scrape_configs": [
            {
                "job_name": "vision",
                "static_configs": [
                    {"targets": list(targets), "labels": {"component": component}}
                    for component, targets in {
                        **watched.targets,
                        "drift": [watched.drift],
                    }.items()
                ],
            }
        ],
    }
