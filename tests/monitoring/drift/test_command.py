"""``vision monitor drift`` against servers, and against a Prometheus that is played."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from artifact.statistics import STATISTICS
from common.metrics import Counts as Counter
from common.metrics import Distributions, Levels
from common.ports import LOCAL_HOST, free_row
from monitoring.__main__ import main
from monitoring.drift.counts import Counts
from tests.conftest import ROOT
from tests.monitoring.drift.streams import drawn, held_out

RANDOM = np.random.default_rng(8)
CARD = held_out(RANDOM)
ANSWERED = ("model_name", "revision")
KEY = ("mnist", "2")


class Server(ThreadingHTTPServer):
    """A transformer and a predictor in one, and the Prometheus that scrapes them."""

    def __init__(self) -> None:
        super().__init__((LOCAL_HOST, 0), _Handler)
        self.registry = CollectorRegistry()
        self.numbers = {
            name: Distributions(item.metric, item.meaning, ANSWERED, self.registry, item.bounds)
            for name, item in STATISTICS.items()
        }
        self.labels = Counter("vision_predictions", "…", (*ANSWERED, "label"), self.registry)
        Levels(
            "vision_baseline_predictions",
            "…",
            (*ANSWERED, "statistic", "bin"),
            lambda: [
                ((*KEY, statistic, place), count)
                for statistic, bins in CARD.items()
                for place, count in bins.items()
            ],
            self.registry,
        )
        self.before: bytes | None = None

    def count(self, counts: Counts) -> None:
        for name, bins in counts.items():
            if name in STATISTICS:
                self.numbers[name].labels(*KEY).add(list(bins.values()), 0.0)
            else:
                for label, count in bins.items():
                    self.labels.labels(*KEY, label).add(count)

    @property
    def target(self) -> str:
        return f"{LOCAL_HOST}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/metrics":
            body = generate_latest(self.server.registry)
        else:
            asked = dict(urllib.parse.parse_qsl(query))
            body = json.dumps({"data": {"result": self._result(path, asked)}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def _result(self, path: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        wanted = asked["query"].partition('"')[2].partition('"')[0].split("|")
        samples = [
            ({**sample.labels, "__name__": sample.name}, sample.value)
            for family in self.server.registry.collect()
            for sample in family.samples
            if sample.name in wanted
        ]
        if path.endswith("query_range"):
            # An hour ago nothing had been counted.
            start, end = float(asked["start"]), float(asked["end"])
            return [
                {"metric": labels, "values": [[start, "0"], [end, str(value)]]}
                for labels, value in samples
            ]
        return [{"metric": labels, "value": [0, str(value)]} for labels, value in samples]

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["drift", *arguments]) == 0
    return capsys.readouterr().out


def test_servers_are_asked_themselves(
    server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--servers", server.target, "--baselines", str(tmp_path))
    assert "no picture" in said(capsys, *options)
    server.count(drawn(RANDOM, 900))
    assert "as they were" in said(capsys, *options)
    server.count(drawn(RANDOM, 900, light=0.2))
    found = said(capsys, *options)
    assert "mnist/2: 1,800 pictures" in found
    assert "SHIFTED: brightness above" in found
    assert "estimated accuracy 89" in found or "estimated accuracy 90" in found


def test_prometheus_tells_what_was_and_what_is_right_becomes_the_baseline(
    server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--prometheus", f"http://{server.target}", "--baselines", str(tmp_path))
    assert "--servers HOST:PORT" in said(capsys, *options)
    server.count(drawn(RANDOM, 900, light=0.2))
    assert "SHIFTED: brightness" in said(capsys, *options)
    assert "900 pictures are the baseline" in said(capsys, *options, "--accept", "mnist/2")
    assert "as they were" in said(capsys, *options)
    assert main(["drift", *options, "--accept", "mnist/3"]) == 1
    assert "mnist/3: no picture was counted" in capsys.readouterr().err


def test_nobody_there_and_broken_files_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["drift", "--servers", "localhost:1", "--baselines", str(tmp_path)]) == 1
    assert "localhost:1 does not answer" in capsys.readouterr().err
    (tmp_path / "mnist@2.json").write_text('{"bins": 0}')
    assert main(["drift", "--baselines", str(tmp_path)]) == 1
    assert "mnist@2.json is no baseline: has bins of version 0" in capsys.readouterr().err
    (tmp_path / "mnist@2.json").unlink()
    assert main(["drift", "--serve", "somewhere", "--baselines", str(tmp_path)]) == 1
    assert "is no [HOST:]PORT" in capsys.readouterr().err


def test_what_is_seen_is_exposed_until_it_is_interrupted(server: Server, tmp_path: Path) -> None:
    server.count(drawn(RANDOM, 900, light=0.2))
    (port,) = free_row(1)
    options = ["--servers", server.target, "--baselines", str(tmp_path), "--every", "0.2"]
    command = [sys.executable, "-m", "monitoring", "drift", *options, "--serve", str(port)]
    evidence = 'vision_drift_evidence_ratio{model_name="mnist",revision="2",statistic="brightness"}'
    with subprocess.Popen(command, cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while evidence not in (text := page(port)) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        assert process.wait(60) == 0
    (line,) = [line for line in text.splitlines() if line.startswith(evidence)]
    assert float(line.split()[-1]) > 1
    assert 'vision_estimated_accuracy_ratio{bound="low"' in text


def page(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://{LOCAL_HOST}:{port}/metrics") as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""
