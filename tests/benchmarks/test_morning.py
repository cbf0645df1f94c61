"""A morning in minutes: the rules' durations, and the table of what was told."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.morning.__main__ import MORNING, Happening, by_event, clock, rows
from benchmarks.morning.pace import faster_alertmanager, faster_rules, shortened
from benchmarks.morning.throttle import throttled
from benchmarks.morning.webhook import Told, webhook
from monitoring.local import alertmanager_configuration
from monitoring.objectives import read_objectives
from monitoring.rules import rule_groups
from tests.needs import missing


@pytest.mark.parametrize(
    ("duration", "short"), [("5m", "5000ms"), ("30s", "500ms"), ("3d", "4320000ms")]
)
def test_a_duration_is_as_many_times_as_short(duration: str, short: str) -> None:
    assert shortened(duration, 60) == short


def test_all_durations_of_the_rules_are_shortened_and_prometheus_takes_them(
    tmp_path: Path,
) -> None:
    found = faster_rules(rule_groups(read_objectives()), 60)
    rules = [rule for group in found["groups"] for rule in group["rules"]]
    text = json.dumps([rule["expr"] for rule in rules])
    assert "[5m]" not in text
    assert "[1d" not in text
    assert "[5000ms]" in text
    assert {rule["for"] for rule in rules if "for" in rule} >= {"1000ms", "5000ms"}
    # A rate a second, every half second now: what a count is made of.
    assert "* 0.5) >= 10" in text
    if shutil.which("promtool") is None:
        missing("prometheus", "there is no promtool")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(found))
    command = ["promtool", "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_groups_as_much_faster() -> None:
    route = faster_alertmanager(alertmanager_configuration(), 60)["route"]
    waits = [route[name] for name in ("group_wait", "group_interval", "repeat_interval")]
    assert waits == ["167ms", "5000ms", "240000ms"]


def told(at: float, fires: bool, name: str = "A", **labels: str) -> Told:
    return Told(at, fires, name, "page", labels, "Service / Requests")


def test_the_table_says_how_long_after_its_cause_an_alert_was_told() -> None:
    first = Happening("one", 7.0, 7.5, lambda *_: contextlib.nullcontext())
    second = Happening("two", 8.25, 9.0, lambda *_: contextlib.nullcontext())
    began = {"one": 100.0, "two": 200.0}
    changes = [
        told(110.0, True, model_name="mnist", revision="1"),
        told(112.0, True, "B"),
        told(150.0, False, model_name="mnist", revision="1"),
        told(203.5, False, "B"),
    ]
    found = rows(by_event([first, second], began, changes))
    assert found == [
        ("one", "07:00", "07:30", "A (1)", "page", "10.0", "50.0", "Service / Requests"),
        ("one", "07:00", "07:30", "B", "page", "12.0", "", "Service / Requests"),
        ("two", "08:15", "09:00", "none", "", "", "", ""),
    ]


def test_the_morning_has_no_two_things_at_once() -> None:
    times = [time for event in MORNING for time in (event.begins, event.ends)]
    assert times == sorted(times)
    assert clock(9.25) == "09:15"


def test_the_webhook_keeps_each_change_once() -> None:
    alert: dict[str, Any] = {
        "status": "firing",
        "labels": {"alertname": "A", "severity": "page", "revision": "1"},
        "annotations": {"panel": "Service / Requests"},
    }
    with webhook() as (url, found):
        for status in ("firing", "firing", "resolved"):
            body = json.dumps({"alerts": [{**alert, "status": status}]}).encode()
            urllib.request.urlopen(urllib.request.Request(url, body), timeout=10).close()
    assert [(item.name, item.fires, item.labels) for item in found] == [
        ("A", True, {"revision": "1"}),
        ("A", False, {"revision": "1"}),
    ]


def test_a_throttled_process_stands_and_goes_on() -> None:
    process = subprocess.Popen(["sleep", "60"])
    state = Path(f"/proc/{process.pid}/stat")
    try:
        with throttled([process.pid], 0.001, 0.05):
            seen = set()
            deadline = time.monotonic() + 10
            while "T" not in seen and time.monotonic() < deadline:
                seen.add(state.read_text().rsplit(")", 1)[1].split()[0])
            assert "T" in seen
        # Sleeping, or about to.
        assert state.read_text().rsplit(")", 1)[1].split()[0] in "SR"
    finally:
        process.kill()
        process.wait()
