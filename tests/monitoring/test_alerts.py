"""Alerts: judged by Prometheus itself, and fired for real through Alertmanager to a webhook."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import StartError
from common.ports import LOCAL_HOST, free_row
from common.processes import Processes
from monitoring import local
from monitoring.objectives import read_objectives
from monitoring.report import budget_rows
from monitoring.rules import BURNING, rule_groups
from tests.needs import missing

Document = dict[str, Any]

TRANSFORMER = 'component="transformer"'
ANSWERED = f'{TRANSFORMER},model_name="mnist",protocol="v1",revision="2"'
CANARY = ANSWERED.replace('"2"', '"3"')


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing("prometheus", "there is no promtool")
    return found


def requests(model: str, code: str, values: str) -> Document:
    labels = f'{TRANSFORMER},model_name="{model}",protocol="v1",code="{code}"'
    return {"series": f"vision_requests_total{{{labels}}}", "values": values}


def test_the_rules_are_valid(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_groups(read_objectives())))
    command = [promtool, "check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_outage_pages_within_minutes_and_the_page_ends_with_it(
    promtool: str, tmp_path: Path
) -> None:
    good = requests("mnist", "200", "0+300x120 36000+0x20 36000+300x120")
    bad = requests("mnist", "503", "0+0x120 0+300x20 6000+0x120")
    windows = {"1h": "page", "6h": "page", "1d": "ticket", "3d": "ticket"}
    # Two hours of 10 a second, of which in ten minutes nothing was answered
    assert alerts_at(promtool, tmp_path, [good, bad], "59m") == {}
    assert alerts_at(promtool, tmp_path, [good, bad], "68m") == windows
    assert "1h" not in alerts_at(promtool, tmp_path, [good, bad], "80m"), "the short window is over"


def test_few_requests_at_night_wake_nobody(promtool: str, tmp_path: Path) -> None:
    good = requests("mnist", "200", "0+1x240")
    bad = requests("mnist", "503", "0+0x120 0+1x8 8+0x120")
    assert alerts_at(promtool, tmp_path, [good, bad], "66m") == {}


def test_errors_of_the_callers_burn_nothing(promtool: str, tmp_path: Path) -> None:
    good = requests("mnist", "200", "0+100x240")
    wrong = [requests("mnist", code, "0+100x240") for code in ("400", "404", "413", "415", "499")]
    assert alerts_at(promtool, tmp_path, [good, *wrong], "100m") == {}


def test_slow_answers_burn_the_budget_of_latency(promtool: str, tmp_path: Path) -> None:
    series = [
        {"series": f"vision_request_seconds_count{{{ANSWERED}}}", "values": "0+300x240"},
        {"series": f'vision_request_seconds_bucket{{{ANSWERED},le="0.25"}}', "values": "0+30x240"},
    ]
    assert "1h" in alerts_at(promtool, tmp_path, series, "70m", "latency")


def edge_requests(customers: str, code: str, values: str) -> Document:
    labels = f'model_name="mnist",customer_class="{customers}",code="{code}"'
    return {"series": f"vision_edge_requests_total{{{labels}}}", "values": values}


def test_each_class_of_customers_has_a_budget_of_its_own(promtool: str, tmp_path: Path) -> None:
    series = [
        edge_requests("key", "200", "0+100x240"),
        edge_requests("try", "200", "0+50x240"),
        edge_requests("try", "503", "0+50x240"),
        # A caller's own fault burns nothing.
        edge_requests("key", "400", "0+100x240"),
    ]
    # Two hours; the servers themselves have counted nothing.
    found = alerts_at(promtool, tmp_path, series, "100m", more='customer_class!="try"')
    assert found == {}
    found = alerts_at(promtool, tmp_path, series, "100m", more='customer_class="try"')
    assert set(found) == {"1h", "6h", "1d", "3d"}


def test_customers_promises_have_latencies_too(promtool: str, tmp_path: Path) -> None:
    labels = 'model_name="mnist",customer_class="key",revision="2"'
    name = "vision_edge_request_seconds"
    series = [
        {"series": f"{name}_count{{{labels}}}", "values": "0+300x240"},
        {"series": f'{name}_bucket{{{labels},le="1.0"}}', "values": "0+30x240"},
    ]
    more = 'customer_class="key"'
    assert "1h" in alerts_at(promtool, tmp_path, series, "70m", "latency", more)


@pytest.mark.parametrize(
    ("right", "wrong", "fires"),
    [
        (300, 100, True),  # 75 % of 400, 79 % at most: 80 % is promised
        (78, 22, False),  # 78 % of 100, which may be 85 %
        (10, 60, False),  # too few
        (1000, 0, False),
    ],
)
def test_accuracy_is_judged_by_its_interval(
    promtool: str, tmp_path: Path, right: int, wrong: int, fires: bool
) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_groups(read_objectives())))
    # Counted evenly over 24 hours; without mistakes there is no series of them.
    labels = 'model_name="mnist",revision="3",instance="{}",outcome="{}"'
    series = [
        {
            "series": f"vision_feedback_total{{{labels.format(pod, outcome)}}}",
            "values": f"0+{count / 2 / 96}x97",
        }
        for outcome, count in (("right", right), ("wrong", wrong), ("corrected", 50))
        for pod in ("a", "b")
        if count
    ]
    query = 'count(ALERTS{alertname="VisionAccuracyLow",alertstate="firing"}) or vector(0)'
    sample = {"labels": "{}", "value": int(fires)}
    expected = [{"expr": query, "eval_time": "24h15m", "exp_samples": [sample]}]
    test = {"interval": "15m", "input_series": series, "promql_expr_test": expected}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "15m", "tests": [test]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", str(tmp_path / "tests.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("days", [90, 6])
def test_a_certificate_that_is_renewed_late_is_told_of_however_long_it_lives(
    promtool: str, tmp_path: Path, days: int
) -> None:
    # A third of its time is left for renewals; a quarter of that is over after an hour.
    left = days * 86400 // 3
    renewal = 3600 - left // 4
    labels = '{name="a",namespace="vision"}'
    series = [
        {
            "series": f"certmanager_certificate_{kind}_timestamp_seconds{labels}",
            "values": f"{seconds}x140",
        }
        for kind, seconds in (("renewal", renewal), ("expiration", renewal + left))
    ]
    told = 'count(ALERTS{alertname="VisionCertificateExpires",alertstate="firing"})'
    expected = [
        {"expr": told, "eval_time": "118m", "exp_samples": []},
        {"expr": told, "eval_time": "122m", "exp_samples": [{"labels": "{}", "value": 1}]},
    ]
    groups = rule_groups(read_objectives())
    for group in groups["groups"]:
        group["rules"] = [r for r in group["rules"] if r.get("alert") == "VisionCertificateExpires"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups))
    test = {"interval": "1m", "input_series": series, "promql_expr_test": expected}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", str(tmp_path / "tests.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts_at(
    promtool: str,
    folder: Path,
    series: list[Document],
    at: str,
    objective: str = "availability",
    more: str = "",
) -> dict[str, str]:
    """Severity by window of the budget's alerts that fire, read from what promtool says of none.

    Args:
        more: what else the alerts' labels are.
    """
    (folder / "rules.yaml").write_text(yaml.safe_dump(rule_groups(read_objectives())))
    chosen = f'alertname="{BURNING}",objective="{objective}",alertstate="firing",{more}'
    query = f"ALERTS{{{chosen}}}"
    test = {
        "interval": "30s",
        "input_series": series,
        # No such sample: promtool answers with those that are there.
        "promql_expr_test": [
            {"expr": query, "eval_time": at, "exp_samples": [{"labels": "none", "value": 0}]}
        ],
    }
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}
    (folder / "tests.yaml").write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", str(folder / "tests.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    given = said.partition("got:")[2]
    assert given, said
    found = {}
    for part in given.split("{")[1:]:
        labels = dict(pair.split("=", 1) for pair in part.split("}")[0].split(", "))
        found[labels["window"].strip('"')] = labels["severity"].strip('"')
    return found


class Receiver(ThreadingHTTPServer):
    """Keeps the names of alerts that Alertmanager tells it of."""

    def __init__(self) -> None:
        super().__init__((LOCAL_HOST, 0), _Told)
        self.told: set[str] = set()


class _Told(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.told |= {alert["labels"]["alertname"] for alert in body["alerts"]}
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def history(now: float) -> str:
    """An hour and more in which everything happens that an alert is for, as OpenMetrics."""
    start, step = now - 2 * 3600, 30.0
    times = [start + step * i for i in range(int(7200 / step) + 1)]

    def growing(name: str, labels: str, rate: float) -> list[str]:
        return [f"{name}{{{labels}}} {rate * (t - start)} {t:.0f}" for t in times]

    def constant(name: str, labels: str, value: float) -> list[str]:
        return [f"{name}{{{labels}}} {value} {t:.0f}" for t in times]

    promise = 'model_name="mnist",objective="availability",promise="default"'
    model = 'model_name="mnist"'
    refused = f'{TRANSFORMER},{model},reason="queue_requests"'
    lines = [
        *constant("vision:requests:rate5m", promise, 10.0),
        *constant("vision:errors:rate5m", promise, 5.0),
        *growing("vision_hop_calls_total", f'{model},outcome="ok"', 1.0),
        *growing("vision_hop_calls_total", f'{model},outcome="unavailable"', 9.0),
        *growing("vision_rejections_total", refused, 5.0),
        *growing("vision_requests_total", f'{ANSWERED},code="200"', 10.0),
        *growing("vision_unsure_total", f'{model},revision="2"', 0.1),
        *growing("vision_unsure_total", f'{model},revision="3"', 5.0),
        *constant(
            "certmanager_certificate_expiration_timestamp_seconds",
            'name="a",namespace="vision"',
            now + 86400,
        ),
        *constant(
            "certmanager_certificate_renewal_timestamp_seconds",
            'name="a",namespace="vision"',
            now - 29 * 86400,
        ),
        *constant("vision_drift_evidence_ratio", f'{model},revision="2",statistic="label"', 1.2),
        *constant("vision_drift_last_look_timestamp_seconds", 'instance="a"', now - 3600),
        *constant(
            "envoy_listener_ssl_certificate_expiration_unix_time_seconds",
            'envoy_tls_certificate="edge"',
            now + 86400,
        ),
        *constant("vision:feedback:increase1d", f'{model},revision="3"', 500.0),
        *constant("vision:feedback_right:ratio1d", f'{model},revision="3"', 0.6),
        *constant("vision_edge_ledger_lag_seconds", 'instance="a"', 60.0),
        *constant("vision_edge_keys_expiring", 'instance="a"', 1.0),
        *constant(
            "kube_cronjob_status_last_successful_time", 'cronjob="accounts-backup"', now - 2 * 86400
        ),
    ]
    for labels, fast in ((ANSWERED, 10.0), (CANARY, 0.0)):
        lines += growing("vision_instances_total", labels, 10.0)
        lines += growing("vision_request_seconds_count", labels, 10.0)
        for bound, rate in (("0.1", fast), ("1.0", 10.0), ("+Inf", 10.0)):
            lines += growing("vision_request_seconds_bucket", f'{labels},le="{bound}"', rate)
    return "\n".join([*lines, "# EOF", ""])


def at_once(objectives: Any) -> Document:
    """The rules, with seconds for the minutes a fault must last, and without what records."""
    groups = rule_groups(objectives)
    for group in groups["groups"]:
        group["interval"] = "1s"
        group["rules"] = [
            rule
            for rule in group["rules"]
            if "alert" in rule or rule["record"] == "vision:error_budget_left:ratio"
        ]
        for rule in group["rules"]:
            if "alert" in rule:
                # Prometheus must have found Alertmanager: it tells again after a minute only.
                rule["for"] = "5s"
    return groups


def test_every_alert_reaches_people(promtool: str, tmp_path: Path, receiver: Receiver) -> None:
    url = f"http://{LOCAL_HOST}:{receiver.server_address[1]}/"
    port, _ = free_row(2)
    # The transformer's target is nobody: it is down.
    watched = local.Watched(
        {"transformer": [f"{LOCAL_HOST}:1"]}, port, url, tmp_path / "monitoring"
    )
    (tmp_path / "history.txt").write_text(history(time.time() // 30 * 30))
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics"]
    data = str(watched.folder / "data")
    subprocess.run([*command, str(tmp_path / "history.txt"), data], check=True, capture_output=True)
    local.write_files(watched, read_objectives())
    quick = watched.folder / "alertmanager.yaml"
    quick.write_text(quick.read_text().replace("group_wait: 10s", "group_wait: 0s"))
    (watched.folder / "rules.yaml").write_text(yaml.safe_dump(at_once(read_objectives())))
    with Processes(tmp_path / "logs") as processes:
        local.start_programs(processes, watched)
        alerts = {
            rule["alert"]
            for group in rule_groups(read_objectives())["groups"]
            for rule in group["rules"]
            if "alert" in rule
        }
        deadline = time.monotonic() + 60
        while receiver.told != alerts and time.monotonic() < deadline:
            time.sleep(0.2)
        assert receiver.told == alerts
        ((model, customers, objective, _, missed, left),) = budget_rows(watched.url)
    assert (model, customers, objective, missed) == ("mnist", "all", "availability", "50.000%")
    # Half of the requests, where 0.5 % may
    assert left == "-9900.0%"


def test_a_missing_program_is_named_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="apt install prometheus prometheus-alertmanager"):
        local.program("prometheus")
