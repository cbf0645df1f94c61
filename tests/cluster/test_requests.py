"""The platform, the service and a canary fit on a node of four processors, and of two."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.requests import PLATFORM, QUEUE_PROXY_MILLICPU, platform_millicpu
from tests.manifests.rendering import MANIFESTS, of_kind, render

GATE_MILLICPU = 100


def millicpu(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else int(float(quantity) * 1000)


def mebibytes(quantity: str) -> int:
    units = {"Mi": 1, "Gi": 1024}
    return int(quantity[:-2]) * units[quantity[-2:]]


def requests(component: dict[str, Any]) -> dict[str, str]:
    (container,) = component["containers"]
    found: dict[str, str] = container["resources"]["requests"]
    return found


def test_quantities() -> None:
    assert [millicpu(text) for text in ("250m", "1", "0.5")] == [250, 1000, 500]
    assert [mebibytes(text) for text in ("512Mi", "1Gi")] == [512, 1024]


@pytest.mark.parametrize("cpus", [2, 4])
def test_room_for_a_canary_and_its_gate(cpus: int) -> None:
    (isvc,) = of_kind(render(MANIFESTS / "overlays/minikube"), "InferenceService")
    predictor = millicpu(requests(isvc["spec"]["predictor"])["cpu"])
    transformer = millicpu(requests(isvc["spec"]["transformer"])["cpu"])
    service = 2 * predictor + transformer + 3 * QUEUE_PROXY_MILLICPU + GATE_MILLICPU
    assert platform_millicpu(cpus) + service <= cpus * 1000


def test_two_processors_are_not_enough_without_lowering() -> None:
    assert sum(workload.millicpu for workload in PLATFORM) > 2000
    assert platform_millicpu(4) == sum(workload.millicpu for workload in PLATFORM)
    for workload in PLATFORM:
        assert (workload.lowered_millicpu is None) == (workload.resource == "")


def test_memory_for_a_canary_in_six_gibibytes() -> None:
    (isvc,) = of_kind(render(MANIFESTS / "overlays/minikube"), "InferenceService")
    predictor = mebibytes(requests(isvc["spec"]["predictor"])["memory"])
    transformer = mebibytes(requests(isvc["spec"]["transformer"])["memory"])
    platform = sum(workload.mebibytes for workload in PLATFORM)
    assert platform + 2 * predictor + transformer < 6 * 1024
