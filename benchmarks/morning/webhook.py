"""Whom Alertmanager tells: keeps what it was told, and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from common.ports import LOCAL_HOST


@dataclass(frozen=True)
class Told:
    """One alert that began, or is over.

    Attributes:
        at: by ``time.monotonic``.
        labels: without those that say where it comes from.
    """

    at: float
    fires: bool
    name: str
    severity: str
    labels: dict[str, str]
    panel: str


@contextmanager
def webhook() -> Iterator[tuple[str, list[Told]]]:
    """Listen on a free port; gives the URL, and what comes, each change of an alert once."""
    told: list[Told] = []
    known: dict[str, bool] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for alert in body["alerts"]:
                fires = alert["status"] == "firing"
                identity = json.dumps(alert["labels"], sort_keys=True)
                if known.get(identity, False) != fires:
                    known[identity] = fires
                    told.append(_told(alert, fires))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer((LOCAL_HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{LOCAL_HOST}:{server.server_address[1]}/", told
        server.shutdown()


def _told(alert: dict[str, Any], fires: bool) -> Told:
    labels = dict(alert["labels"])
    name, severity = labels.pop("alertname"), labels.pop("severity", "")
    panel = alert["annotations"].get("panel", "")
    return Told(time.monotonic(), fires, name, severity, labels, panel)
