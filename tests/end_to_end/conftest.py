"""The two real processes, on real sockets, with the shipped revisions."""

from __future__ import annotations

import base64
import io
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from local.service import LocalService, free_ports, interpreters
from tests.conftest import SHIPPED


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    url: str,
    body: bytes | None = None,
    content_type: str = "application/json",
    method: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """One HTTP request; statuses of failure are answers too."""
    everything = {"Content-Type": content_type} if body is not None else {}
    request = urllib.request.Request(url, body, {**everything, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return Response(response.status, lower(response.headers), response.read())
    except urllib.error.HTTPError as error:
        return Response(error.code, lower(error.headers), error.read())


def people() -> dict[str, str]:
    """The environment as a person's shell has it: not that of a make which runs these tests."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def instances(*images: bytes, **parameters: Any) -> bytes:
    document: dict[str, Any] = {
        "instances": [{"base64": base64.b64encode(image).decode()} for image in images]
    }
    if parameters:
        document["parameters"] = parameters
    return json.dumps(document).encode()


def distinct_pngs(count: int, seed: int) -> list[bytes]:
    """Random 28×28 pictures, no two of which a model answers alike."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        small = random.integers(0, 256, (7, 7), np.uint8)
        image = Image.fromarray(small).resize((28, 28), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no resident size of process {pid}")


def start(folder: Path, models: dict[str, str] | None = None) -> LocalService:
    return LocalService(free_ports(), interpreters(), SHIPPED, models, folder)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    with start(tmp_path_factory.mktemp("logs")) as running:
        yield running
