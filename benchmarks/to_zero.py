"""Counters of servers that go: ``python -m benchmarks.to_zero --requests 10000``.

As where pods go to zero: both servers are started, asked a part of the requests, ended by SIGTERM
and started anew, as often as is said. They push what they count by OTLP and are scraped by nobody;
a receiver in place of OpenTelemetry's collector keeps it, and a real Prometheus scrapes that.
Afterwards Prometheus is asked what was counted, and that is compared with what was sent.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from benchmarks.otlp_receiver import receiver
from benchmarks.trace import picture
from common.errors import StartError
from common.ports import LOCAL_HOST, free_row
from common.processes import ROOT, Processes
from common.table import table
from local.manifest import Component, Ports, local_components
from local.service import LocalService, interpreters
from monitoring.local import program
from monitoring.report import PrometheusError, ask

MODEL = "mnist"
PATH = f"/v1/models/{MODEL}:predict"
SCRAPE_SECONDS = 1
CONNECTIONS = 8
DEADLINE_SECONDS = 30.0

COUNTED = {
    "requests at the transformer": (
        'sum(vision_requests_total{job="vision-transformer",protocol="v1",code="200"})'
    ),
    "instances at the transformer": 'sum(vision_instances_total{job="vision-transformer"})',
    "calls to the predictor": 'sum(vision_hop_calls_total{outcome="ok"})',
    "requests at the predictor": (
        'sum(vision_requests_total{job="vision-predictor",protocol="v2",code="200"})'
    ),
    "instances at the predictor": 'sum(vision_instances_total{job="vision-predictor"})',
    "processes": 'count(count by (job, instance) (vision_requests_total{model_name!=""}))',
}
"""Queries by what they count."""


@dataclass(frozen=True)
class Outcome:
    """What was sent, and what Prometheus says was counted.

    Attributes:
        sent: requests that were answered.
        times: how often the servers went.
        counted: by the names of ``COUNTED``.
    """

    sent: int
    times: int
    counted: Mapping[str, int]

    @property
    def agrees(self) -> bool:
        """Requests share calls to the predictor, so that only their instances can be compared."""
        found = self.counted
        alike = ("requests at the transformer", "instances at the transformer")
        return (
            all(found[name] == self.sent for name in (*alike, "instances at the predictor"))
            and found["calls to the predictor"] == found["requests at the predictor"]
            and found["processes"] == 2 * self.times
        )


def run(requests: int, times: int, folder: Path) -> Outcome:
    """
    Raises:
        StartError: a program is missing, or something does not start, answer or end.
    """
    shares = [requests // times + (number < requests % times) for number in range(times)]
    with receiver() as (collector, _), Processes(folder / "logs") as processes:
        prometheus = _start_prometheus(processes, collector, folder)
        for number, share in enumerate(shares):
            _serve(share, collector, folder / str(number))
        counted = _settled(prometheus)
    return Outcome(requests, times, counted)


def _start_prometheus(processes: Processes, collector: str, folder: Path) -> str:
    """The URL of one that scrapes the collector."""
    (port,) = free_row(1)
    target = collector.removeprefix("http://")
    job = {"job_name": "collector", "honor_labels": True, "static_configs": [{"targets": [target]}]}
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "scrape_configs": [job],
    }
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    url = f"http://{LOCAL_HOST}:{port}"
    command = [
        program("prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOCAL_HOST}:{port}",
    ]
    processes.start("prometheus", command, {})
    processes.wait_for_url("prometheus", f"{url}/-/ready")
    return url


def _serve(requests: int, collector: str, folder: Path) -> None:
    """Both servers, for so many requests."""
    ports = Ports(*free_row(2))
    predictor, transformer = (
        _pushing(component, collector)
        for component in local_components(ports, ROOT / "models", None)
    )
    service = LocalService(
        ports, interpreters(), log_folder=folder, components=(predictor, transformer)
    )
    with service:
        shares = [
            requests // CONNECTIONS + (number < requests % CONNECTIONS)
            for number in range(CONNECTIONS)
        ]
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            list(threads.map(lambda share: _ask(ports.http, share), shares))
        # In a cluster's order: whoever asks goes first.
        for name in ("transformer", "predictor"):
            if status := service.terminate(name):
                raise StartError(f"the {name} ended with status {status}")


def _pushing(component: Component, collector: str) -> Component:
    more = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    }
    return replace(component, environment={**component.environment, **more})


def _ask(port: int, times: int) -> None:
    body, headers = picture(), {"content-type": "image/png"}
    client = http.client.HTTPConnection(LOCAL_HOST, port, 30)
    for _ in range(times):
        client.request("POST", PATH, body, headers)
        answer = client.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise StartError(f"status {answer.status}: {text.decode()}")
    client.close()


def _settled(prometheus: str) -> dict[str, int]:
    """What Prometheus has counted, once two scrapes have brought nothing new."""
    before: dict[str, int] = {}
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(2 * SCRAPE_SECONDS)
        found = {name: _number(prometheus, query) for name, query in COUNTED.items()}
        if found == before:
            return found
        before = found
    raise StartError("the counters do not come to rest")


def _number(prometheus: str, query: str) -> int:
    try:
        series = ask(prometheus, query)
    except PrometheusError as error:
        raise StartError(str(error)) from None
    return round(float(series[0]["value"][1])) if series else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.to_zero", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=3, help="how often the servers go")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as name:
            outcome = run(options.requests, options.times, Path(name))
    except StartError as error:
        print(f"to_zero: {error}", file=sys.stderr)
        return 1
    rows = [("requests sent", str(outcome.sent))]
    rows += [(name, str(count)) for name, count in outcome.counted.items()]
    print(table(("", "number"), rows))
    return 0 if outcome.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
