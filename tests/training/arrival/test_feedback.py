"""What customers say was wrong becomes a part as the inbox takes it."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from common.ports import LOCAL_HOST
from tests.transformer.images import encode
from training.arrival.feedback import main
from training.arrival.forms import read

V1 = "/v1/models/clothes:predict"
BOOT = encode(Image.fromarray(np.full((28, 28), 40, np.uint8)))
SHIRT = encode(Image.fromarray(np.full((28, 28), 200, np.uint8)))


def listed(*pictures: bytes) -> bytes:
    instances = [{"base64": base64.b64encode(picture).decode()} for picture in pictures]
    return json.dumps({"instances": instances}).encode()


JSON = {"content-type": "application/json"}
REQUESTS: dict[str, tuple[dict[str, str], bytes]] = {
    "alone": ({"content-type": "image/png"}, BOOT),
    "several": (JSON, listed(BOOT, SHIRT)),
    "packed": ({**JSON, "content-encoding": "gzip"}, gzip.compress(listed(SHIRT))),
    "damaged": (JSON, b"{"),
}
SAID = [("alone", 0, "Ankle boot"), ("several", 1, "T-shirt/top"), ("packed", 0, "T-shirt/top")]
SAID += [("damaged", 0, "Bag"), ("several", 2, "Bag"), ("alone", 3, "{Bag, Coat}")]


class _Accounts(BaseHTTPRequestHandler):
    """As ``accounts.routes.feedback`` answers, two at a time."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if self.headers["authorization"] != "Bearer vk_key":
            self._answer(401, b'{"error": "a working API key is needed"}', {})
        elif url.path == "/v1/feedback/disagreements":
            start = int(asked.get("after") or 0)
            page = [
                {"account_id": "acc", "request_id": r, "instance": i, "label": label}
                | {"place": str(start + n + 1)}
                for n, (r, i, label) in enumerate(SAID[start : start + 2])
            ]
            self._answer(200, json.dumps(page).encode(), {})
        else:
            headers, body = REQUESTS[asked["request_id"]]
            about: dict[str, Any] = {"path": V1, "query": "", "headers": headers}
            self._answer(200, body, {"x-captured": json.dumps(about)})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def arguments(tmp_path: Path) -> Iterator[list[str]]:
    (tmp_path / "key").write_text("vk_key\n")
    with ThreadingHTTPServer((LOCAL_HOST, 0), _Accounts) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{LOCAL_HOST}:{server.server_address[1]}"
        more = ["--url", url, "--key", str(tmp_path / "key"), "--inbox", str(tmp_path / "inbox")]
        yield ["part", "clothes", *more, "--name", "week-1"]
        server.shutdown()


def test_what_was_wrong_is_a_part(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.out.startswith("3 pictures in ")
    assert "damaged, instance 0 is left out" in said.err
    assert "several, instance 2 is left out" in said.err
    assert "alone, instance 3 is left out: a part has pictures of one label" in said.err
    (path,) = (tmp_path / "inbox" / "clothes").iterdir()
    assert path.name == "week-1.parquet"
    part = read(path, None, ())
    assert part.labels == ["Ankle boot", "T-shirt/top", "T-shirt/top"]
    assert [int(image[0, 0]) for image in part.images] == [40, 200, 200]


def test_without_a_key_nothing_is_written(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("vk_other")
    assert main(arguments) == 1
    assert "answers 401" in capsys.readouterr().err
    assert not (tmp_path / "inbox").exists()
