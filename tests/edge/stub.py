"""A model server that answers at once, with the transformer's headers: ``python -m …stub PORT
[REVISION [LABEL]]``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from urllib.parse import parse_qsl

from serving.content import content_digest

REVISION = sys.argv[2] if len(sys.argv) > 2 else "1"
LABEL = sys.argv[3] if len(sys.argv) > 3 else "7"
BODY = json.dumps(
    {"predictions": [{"label": LABEL}], "model_name": "mnist", "model_version": REVISION}
).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self._chunks() if self.headers.get("transfer-encoding") else self._sized()
        if body is None:
            # The client went away.
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        path, _, query = self.path.partition("?")
        # So that a test can go away, or wait for too long.
        time.sleep(float(dict(parse_qsl(query)).get("seconds", 0)))
        content = content_digest(path, query, headers, body)
        self._answer(BODY, self.headers.get("x-request-id", ""), {"x-model-content": content})

    def _sized(self) -> bytes | None:
        size = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(size)
        return body if len(body) == size else None

    def _chunks(self) -> bytes | None:
        parts = []
        while line := self.rfile.readline():
            size = int(line, 16)
            part = self.rfile.read(size + 2)
            if len(part) < size + 2:
                break
            if not size:
                return b"".join(parts)
            parts.append(part[:-2])
        return None

    def do_GET(self) -> None:
        # Says what it was sent, so that a test can see what reaches a model.
        self._answer(str(self.headers).encode(), self.headers.get("x-request-id", ""))

    def _answer(
        self, body: bytes, request_id: str, more: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.send_response(200)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-request-id": request_id,
            "x-model-name": "mnist",
            "x-model-revision": REVISION,
            "x-model-digest": "sha256:0",
            "x-model-instances": "1",
            "x-model-pixels": "784",
            "x-model-unsure": "0",
            "x-model-predicted": "7:900000",
            **more,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        print(self.requestline, flush=True)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
