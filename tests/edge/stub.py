"""A model server that answers at once, with the transformer's headers: ``python -m …stub PORT``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

from serving.content import content_digest

BODY = b'{"predictions": [{"label": "7"}], "model_name": "mnist", "model_version": "1"}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        content = content_digest(self.path, "", headers, body)
        self._answer(BODY, self.headers.get("x-request-id", ""), {"x-model-content": content})

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
            "x-model-revision": "1",
            "x-model-digest": "sha256:0",
            "x-model-instances": "1",
            "x-model-pixels": "784",
            **more,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        print(self.requestline, flush=True)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
