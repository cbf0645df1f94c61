"""A rollout's record as the rollout itself writes it, and a place that it is read from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from rollout.analysis import Interval
from rollout.evidence import Calls, Evidence
from rollout.gate import Comparison, Measured
from rollout.histogram import Histogram
from rollout.record import Action, Entry, Judged, Record


def calls(correct: int, labelled: int) -> Calls:
    seconds = Histogram()
    for n in range(labelled):
        seconds.observe(0.002 + n / 10_000)
    return Calls(labelled, 0, labelled, correct, seconds)


def progress() -> dict[str, Any]:
    stable = Measured(["1"], ["sha256:a"], 989, 1, [], 4.1, 9.7)
    canary = Measured(["2"], ["sha256:b"], 990, 1, [], 4.0, 9.5)
    gate = Comparison("fashion-mnist", "classification", 1000, stable, canary, 984, 5, 6)
    intervals = [
        Interval(
            percent,
            61.0,
            Evidence(
                calls(95, 100), calls(97, 100), 0, 0, calls(0, 100 - percent), calls(0, percent)
            ),
        )
        for percent in (10, 50)
    ]
    return {"gate": gate.to_json(), "intervals": [item.to_json() for item in intervals]}


def record() -> dict[str, str]:
    operation = {
        **{"step": "open", "model": "fashion-mnist", "revision": "2", "was": "1", "percent": 50},
        **{"by": "ada", "since": "2026-11-29T09:00:00Z", "why": "better on shirts"},
        "progress": progress(),
    }
    history = [{"at": "2026-11-21", "by": "bob", "action": "promoted", "models": {"mnist": "1"}}]
    return {"operation": json.dumps(operation), "history": json.dumps(history)}


def ended_record() -> dict[str, str]:
    """The same rollout after its end, written by the rollout's own record."""
    operation = json.loads(record()["operation"])
    at, model = "2026-11-29T09:20:00Z", operation["model"]
    entry = Entry(7, at, "ada", Action.REFUSED, model, "2", "", "slow")
    judged = Judged(entry.number, operation["was"], operation["progress"])
    return Record(history=(entry,), judged=judged).to_data()


@contextlib.contextmanager
def served(data: dict[str, str]) -> Iterator[str]:
    """The URL of a ConfigMap with this data."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
