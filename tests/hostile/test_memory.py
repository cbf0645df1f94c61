"""One request alone, of every kind and as large as may be, and the memory that it takes.

The limits are those of the pods in the manifests. ``VISION_WRITE_LIMITS=1`` writes the table of
``docs/limits.md`` from what was measured.
"""

from __future__ import annotations

import contextlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from local.manifest import manifests
from local.service import LocalService, free_ports, interpreters
from tests.conftest import ROOT, SHIPPED
from tests.hostile.largest import Largest, classifier_requests, raster_requests

pytestmark = pytest.mark.slow

WRITE = os.environ.get("VISION_WRITE_LIMITS") == "1"
TABLE = ROOT / "docs" / "limits.md"
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}
SECONDS = 180
MARK = "<!-- measured -->"

rows: list[str] = []


def pod_limit(service: str, component: str) -> int:
    """Bytes of memory that the component's container may take, by its manifest."""
    document = yaml.safe_load(manifests()[service].read_text())
    (container,) = document["spec"][component]["containers"]
    text = str(container["resources"]["limits"]["memory"])
    return int(text[:-2]) * UNITS[text[-2:]]


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid: int) -> int:
    """Bytes that the process had resident at its most, since ``reset_peak``."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no peak of process {pid}")


def send(port: int, largest: Largest, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        headers = {"Content-Type": largest.media_type, **dict(largest.headers)}
        # Refused before all of it was sent; the answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", largest.path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    except (ConnectionError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def measure(name: str, service: LocalService, largest: Largest) -> None:
    body = largest.body()
    ports = {"transformer": service.ports.http, "predictor": service.ports.predictor_http}
    pids = {component: service.pid(component) for component in ports}
    for pid in pids.values():
        reset_peak(pid)
    status = send(ports[largest.server], largest, body)
    peaks = {component: peak(pid) for component, pid in pids.items()}
    sizes = " | ".join(f"{peaks[c] / (1 << 20):,.0f} MiB" for c in ("transformer", "predictor"))
    rows.append(
        f"| {name}: {largest.name} | {len(body) / (1 << 20):,.1f} MiB | {status} | {sizes} |"
    )
    # 0: the connection was closed while the client was still sending, which is a refusal as well.
    assert status in (0, 200, 400, 411, 413, 415, 422, 429, 503, 504), status
    assert largest.status in (None, status)
    for component, size in peaks.items():
        limit = pod_limit(name, component)
        assert size < limit, (
            f"{largest.name}: the {component} took {size >> 20} MiB; its pod has {limit >> 20} MiB"
        )


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    folder = tmp_path_factory.mktemp("logs")
    with LocalService(free_ports(), interpreters(), SHIPPED, log_folder=folder) as running:
        yield running


@pytest.fixture(scope="module")
def land_cover(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    folder = tmp_path_factory.mktemp("logs")
    with LocalService(
        free_ports(), interpreters(), SHIPPED, log_folder=folder, service="land-cover"
    ) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    if WRITE and rows:
        text = TABLE.read_text(encoding="utf-8")
        before, _, _ = text.partition(MARK)
        TABLE.write_text(before + "\n".join([MARK, *rows]) + "\n", encoding="utf-8")


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("largest", list(classifier_requests()), ids=lambda largest: largest.name)
def test_classifier(vision: LocalService, largest: Largest) -> None:
    measure("vision", vision, largest)


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("largest", list(raster_requests()), ids=lambda largest: largest.name)
def test_raster(land_cover: LocalService, largest: Largest) -> None:
    measure("land-cover", land_cover, largest)
