"""The strict validation itself finds what it is there to find."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.manifests.rendering import MANIFESTS, of_kind, render
from tests.manifests.schema import faults


@pytest.fixture(scope="module")
def isvc() -> dict[str, Any]:
    (document,) = of_kind(render(MANIFESTS / "base"), "InferenceService")
    return document


def test_a_valid_document_has_no_fault(isvc: dict[str, Any]) -> None:
    assert faults(isvc) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec/predictr", {}, "V1beta1InferenceServiceSpec has no such field"),
        ("spec/predictor/minReplica", 0, "V1beta1PredictorSpec has no such field"),
        ("spec/predictor/minReplicas", "0", "is not of type int"),
        ("spec/predictor/minReplicas", True, "is not of type int"),
        ("spec/transformer/labels", {"a": 1}, "labels.a: 1 is not of type str"),
        ("spec/transformer/labels", ["a"], "is not a mapping"),
        ("spec/predictor/containers", {}, "is not a list"),
        ("spec/predictor/containers/0/readinesProbe", {}, "V1Container has no such field"),
        ("spec/predictor/containers/0/env/0/val", "x", "V1EnvVar has no such field"),
        ("spec/predictor/containers/0/env/0", "x", "is not a V1EnvVar"),
        ("spec/predictor/containers/0/resources/limits/cpu", "2 cores", "is not a quantity"),
        ("spec/predictor/containers/0/resources/limits/cpu", 2, "is not a quantity"),
        ("spec/predictor/containers/0/readinessProbe/httpGet", {"path": "/"}, "needs port"),
        ("metadata/label", {}, "V1ObjectMeta has no such field"),
        ("kind", "InferenceServise", "not a kind that is deployed here"),
    ],
)
def test_a_fault_is_found_and_named(
    isvc: dict[str, Any], path: str, value: Any, message: str
) -> None:
    document = copy.deepcopy(isvc)
    *parents, last = path.split("/")
    target: Any = document
    for part in parents:
        target = target[int(part) if part.isdigit() else part]
    target[int(last) if last.isdigit() else last] = value
    (fault,) = faults(document)
    assert message in fault
