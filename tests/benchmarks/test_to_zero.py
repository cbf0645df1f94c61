"""No count is lost when both servers go, and Prometheus has them all."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.to_zero import Outcome, run
from tests.needs import missing


def test_prometheus_counts_what_was_sent_while_servers_came_and_went(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        missing("prometheus", "there is no prometheus")
    outcome = run(41, 2, tmp_path)
    assert outcome.agrees, outcome
    assert outcome.counted["requests at the transformer"] == 41


def test_a_lost_request_is_found() -> None:
    counted = {
        "requests at the transformer": 9,
        "instances at the transformer": 10,
        "calls to the predictor": 8,
        "requests at the predictor": 8,
        "instances at the predictor": 10,
        "processes": 4,
    }
    assert not Outcome(10, 2, counted).agrees
    assert Outcome(10, 2, {**counted, "requests at the transformer": 10}).agrees
