"""An API server in this process, for the drill: it holds what it is given."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Document = dict[str, Any]


class ApiServer:
    """Objects by the path of their collection, and by name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Document] = {}
        self._versions = itertools.count(1)

    def handle(self, method: str, path: str, body: Document | None) -> tuple[int, Document]:
        """Status and document."""
        parts = path.strip("/").split("/")
        named = len(parts) - (3 if parts[0] == "apis" else 2) in (2, 4)
        collection = "/".join(parts[:-1] if named else parts)
        name = parts[-1] if named else ((body or {}).get("metadata") or {}).get("name", "")
        there = self.objects.get((collection, name))
        if method == "GET" and not named:
            found = [d for (c, _), d in sorted(self.objects.items()) if c == collection]
            return 200, {"items": found}
        if method == "POST":
            if there is not None:
                return 409, {"message": f"{name} already exists"}
            return 201, self._put(collection, name, {**(body or {})}, None)
        if there is None:
            return 404, {"message": f"{collection}/{name} not found"}
        if method == "PUT":
            return 200, self._put(collection, name, {**(body or {})}, there)
        return 200, there

    def _put(self, collection: str, name: str, new: Document, old: Document | None) -> Document:
        version = str(next(self._versions))
        uid = f"uid-{version}" if old is None else old["metadata"]["uid"]
        new["metadata"] = {**new["metadata"], "resourceVersion": version, "uid": uid}
        self.objects[collection, name] = new
        return new


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The URL of an empty one, while it runs."""
    api = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            status, document = api.handle(self.command, urlsplit(self.path).path, body)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

        do_GET = do_POST = do_PUT = _answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
