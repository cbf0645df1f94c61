"""An API server that holds what a test puts there, and changes it when it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.rollout.loopback import QuietHandler, served

Document = dict[str, Any]


class FakeApi:
    """Objects by plural and name, whatever their namespace.

    Attributes:
        asked: method and path of every request.
        headers: of the newest request with a body.
        pods: answers of pods by the path behind the server's proxy.
        logs: what a pod's container has printed, by the pod's name.
        on_read: called with plural and name before an object is given.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Document] = {}
        self.asked: list[str] = []
        self.headers: Mapping[str, str] = {}
        self.pods: dict[str, tuple[int, str | bytes]] = {}
        self.logs: dict[str, str] = {}
        self.on_read: Callable[[str, str], None] = lambda *_: None

    def put(self, plural: str, document: Document) -> Document:
        self.objects[plural, document["metadata"]["name"]] = document
        return document

    def handle(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        url = urlsplit(target)
        self.asked.append(f"{method} {url.path}")
        parts = url.path.strip("/").split("/")
        rest = parts[3:] if parts[0] == "apis" else parts[2:]
        if rest[0] == "namespaces":
            rest = rest[2:]
        plural, name, *more = [*rest, ""]
        if more and more[0] == "proxy":
            return self.pods.get("/" + "/".join(more[1:]).rstrip("/"), (404, "no such path"))
        if more and more[0] == "log":
            return (200, self.logs[name]) if name in self.logs else (404, "no log")
        self.on_read(plural, name)
        if name:
            found = self.objects.get((plural, name))
            if found is None:
                return 404, {"message": f'{plural} "{name}" not found'}
            if method == "DELETE":
                del self.objects[plural, name]
            if method == "PATCH":
                merge(found, body)
            return 200, found
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        wanted = dict(p.split("=") for p in query.get("labelSelector", "").split(",") if p)
        involved = query.get("fieldSelector", "=").partition("=")[2]
        return 200, {
            "items": [
                d
                for (p, _), d in sorted(self.objects.items())
                if p == plural
                and wanted.items() <= (d["metadata"].get("labels") or {}).items()
                and (not involved or d.get("involvedObject", {}).get("name") == involved)
            ]
        }


def merge(document: Document, patch: Document) -> None:
    """RFC 7386, in place."""
    for key, value in patch.items():
        if value is None:
            document.pop(key, None)
        elif isinstance(value, dict):
            merge(document.setdefault(key, {}), value)
        else:
            document[key] = value


@contextmanager
def api_server(api: FakeApi) -> Iterator[str]:
    """Serve it on a loopback port; gives its URL."""

    class Handler(QuietHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            kind = self.headers.get("Content-Type", "")
            if raw:
                api.headers = dict(self.headers)
            body = json.loads(raw) if raw and "json" in kind else raw
            status, answer = api.handle(self.command, self.path, body)
            text = answer if isinstance(answer, str | bytes) else json.dumps(answer)
            data = text.encode() if isinstance(text, str) else text
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

    with served(Handler) as url:
        yield url
