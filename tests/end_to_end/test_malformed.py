"""Ten thousand malformed requests: refused one by one, and nothing grows."""

from __future__ import annotations

import base64
import http.client
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from local.service import LocalService
from tests.end_to_end.conftest import call, distinct_pngs, instances, resident_bytes

REQUESTS = 10_000
SEED = 20_261_121
ALLOWED_GROWTH = 20 << 20

Request = tuple[str, str, bytes, dict[str, str]]
JUNK: list[Any] = [None, True, 0, -1, 1e308, "", "é", [], {}, [[]], {"b64": 1}, "AAAA", "A", "===="]


class Generator:
    """Draws one malformed request after the other from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.image = distinct_pngs(1, seed)[0]
        self.text = base64.b64encode(self.image).decode()
        self.kinds: list[Callable[[], Request]] = [
            self.broken_json,
            self.wrong_instance,
            self.wrong_document,
            self.wrong_base64,
            self.damaged_image,
            self.wrong_parameters,
            self.wrong_type,
            self.wrong_path,
            self.wrong_v2,
            self.wrong_v2_binary,
            self.noise,
        ]

    def draw(self) -> tuple[str, Request]:
        kind = self.random.choice(self.kinds)
        return kind.__name__, kind()

    def json(self, document: Any) -> Request:
        return (
            "POST",
            "/v1/models/mnist:predict",
            json.dumps(document).encode(),
            {"Content-Type": self.random.choice(["application/json", "text/plain", ""])},
        )

    def junk(self) -> Any:
        return self.random.choice(JUNK)

    def broken_json(self) -> Request:
        body = instances(self.image)
        cut = body[: self.random.randrange(len(body) - 1)]
        return "POST", "/v1/models/mnist:predict", cut, {"Content-Type": "application/json"}

    def wrong_instance(self) -> Request:
        key = self.random.choice(["base64", "b64", "image", "image_bytes", "x", ""])
        value = self.random.choice([self.junk(), {"b64": self.junk()}, {"x": self.text}])
        good = [{"base64": self.text}] * self.random.randrange(3)
        return self.json({"instances": [*good, self.random.choice([{key: value}, self.junk()])]})

    def wrong_document(self) -> Request:
        return self.json(
            self.random.choice(
                [
                    self.junk(),
                    {"instances": self.junk()},
                    {"instances": [{"base64": self.text}], "extra": self.junk()},
                    {"instances": [{"base64": self.text}] * 257},
                    {"instances": [{"base64": self.text, "b64": self.text}]},
                ]
            )
        )

    def wrong_base64(self) -> Request:
        text = list(self.text)
        for _ in range(self.random.randint(1, 5)):
            text[self.random.randrange(len(text))] = self.random.choice("-_ \n!é=\x00")
        return self.json({"instances": ["".join(text)]})

    def damaged_image(self) -> Request:
        # The header stays: what a changed pixel does is no error but another picture.
        data = bytearray(self.image[: self.random.randrange(9, len(self.image) - 40)])
        return (
            "POST",
            "/v1/models/mnist:predict",
            bytes(data),
            {"Content-Type": self.random.choice(["image/png", "image/tiff", "image/jpeg"])},
        )

    def wrong_parameters(self) -> Request:
        name = self.random.choice(["top_k", "polarity", "unknown"])
        value = self.random.choice([0, -3, 1.5, True, "x", [], {}])
        return self.json({"instances": [self.text], "parameters": {name: value}})

    def wrong_type(self) -> Request:
        kind = self.random.choice(["text/xml", "image/gif", "multipart/form-data", "a/b; c", "\t"])
        return "POST", "/v1/models/mnist:predict", b"<x/>", {"Content-Type": kind}

    def wrong_path(self) -> Request:
        path = self.random.choice(
            [
                "/v1/models/nope:predict",
                "/v1/models/mnist:explain",
                "/v1/models/mnist:train",
                "/v2/models/mnist/versions/99/infer",
                "/v2/models/%00/infer",
                "/v1/models/..%2f..%2fetc:predict",
                "/v2/repository/models/mnist/unload",
                "/" + "a" * self.random.randrange(2000),
            ]
        )
        method = self.random.choice(["POST", "PUT", "DELETE", "PATCH"])
        return method, path, b"{}", {"Content-Type": "application/json"}

    def wrong_v2(self) -> Request:
        tensor: dict[str, Any] = {
            "name": "image",
            "shape": [1],
            "datatype": "BYTES",
            "data": [self.text],
        }
        document: dict[str, Any] = {"inputs": [tensor]}
        where = self.random.choice([tensor, tensor, document])
        name = self.random.choice(sorted(where))
        junk = self.junk()
        if name == "name" or (name == "shape" and junk == []):
            # Any name will do, and no dimensions are one element: neither is a mistake.
            where, name, junk = tensor, "data", None
        where[name] = junk
        body = json.dumps(document).encode()
        return "POST", "/v2/models/mnist/infer", body, {"Content-Type": "application/json"}

    def wrong_v2_binary(self) -> Request:
        size = self.random.choice([-1, 0, 3, 10**12, "x", None, 1.5])
        tensor = {
            "name": "image",
            "shape": self.random.choice([[1], [10**9], [-1], [1, 2], "x"]),
            "datatype": "BYTES",
            "parameters": {"binary_data_size": size},
        }
        head = json.dumps({"inputs": [tensor]}).encode()
        length = self.random.choice([len(head), len(head) + 5, 0, 10**9, -1, "x"])
        return (
            "POST",
            "/v2/models/mnist/infer",
            head + b"\x01\x02\x03",
            {"Inference-Header-Content-Length": str(length)},
        )

    def noise(self) -> Request:
        body = self.random.randbytes(self.random.randrange(300))
        kind = self.random.choice(["application/json", "image/png", "application/octet-stream"])
        headers = {"Content-Type": kind, "X-Request-Id": "é" * self.random.randrange(3)}
        return "POST", "/v1/models/fashion-mnist:predict", body, headers


def test_ten_thousand_malformed_requests(
    service: LocalService, request: pytest.FixtureRequest
) -> None:
    generator = Generator(SEED)
    url = f"{service.url}/v1/models/mnist:predict"
    good = instances(generator.image)
    expected = call(url, good).json()
    for _ in range(300):  # what the allocator keeps anyway is not growth
        call(url, good)
    names = ("transformer", "predictor")
    before = {name: resident_bytes(service.pid(name)) for name in names}
    connection = http.client.HTTPConnection("127.0.0.1", service.ports.http, timeout=10)
    request.addfinalizer(connection.close)
    seen: Counter[int] = Counter()
    for index in range(REQUESTS):
        kind, (method, path, body, headers) = generator.draw()
        encoded = {name: value.encode("utf-8") for name, value in headers.items()}
        connection.request(method, path, body, encoded)  # type: ignore[arg-type]
        response = connection.getresponse()
        answer = response.read()
        what = f"request {index} ({kind}): {method} {path} {headers} {body[:200]!r} -> {answer!r}"
        assert 400 <= response.status < 500 or (response.status == 501 and "explain" in path), what
        document = json.loads(answer)
        assert set(document) <= {"error", "code", "instance"}, what
        assert document["error"], what
        assert "127.0.0.1" not in document["error"], what
        seen[response.status] += 1

    assert {400, 403, 404, 405, 413, 415, 422} <= set(seen)
    for name in names:
        grown = resident_bytes(service.pid(name)) - before[name]
        assert grown < ALLOWED_GROWTH, f"{name} grew by {grown / 2**20:.1f} MiB"
    assert call(url, good).json() == expected
