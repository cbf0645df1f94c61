"""What a workload waits for, and what is said when it has waited long enough."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.commands import ClusterError
from cluster.readiness import lacks, wait_ready, waiting_for
from common.kubernetes import Cluster, ObjectNotFoundError
from tests.cluster.api import FakeApi

READY: dict[str, Any] = {
    "metadata": {"name": "vision"},
    "kind": "InferenceService",
    "status": {
        "url": "http://vision-transformer.vision.example.com",
        "conditions": [{"type": "Ready", "status": "True"}],
        "components": {
            "predictor": {"latestCreatedRevision": "p-1", "latestReadyRevision": "p-1"},
        },
    },
}


def conditions(**status: tuple[str, str]) -> dict[str, Any]:
    items = [
        {"type": name, "status": value, "message": message}
        for name, (value, message) in status.items()
    ]
    return {**READY, "status": {**READY["status"], "conditions": items}}


def test_what_it_waits_for() -> None:
    assert waiting_for(READY) == []
    assert waiting_for({}) == ["KServe has not looked at it yet"]
    assert waiting_for(
        conditions(
            Ready=("False", "no"),
            PredictorReady=("False", "Revision failed: image pull"),
            TransformerReady=("Unknown", ""),
            RoutesReady=("True", ""),
        )
    ) == ["PredictorReady: Revision failed: image pull", "TransformerReady: Unknown"]


def test_ready_for_an_older_spec_is_not_ready() -> None:
    isvc = conditions(Ready=("True", ""))
    isvc["status"]["components"] = {
        "predictor": {"latestCreatedRevision": "p-2", "latestReadyRevision": "p-1"}
    }
    assert waiting_for(isvc) == ["predictor: p-2 is not ready"]
    old = {"metadata": {"generation": 2}, "spec": {}, "status": {"observedGeneration": 1}}
    assert lacks("Deployment", old) == "its controller has not looked at it yet"


def test_a_job_that_was_cleaned_up_is_done(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    wait_ready(cluster, [{"kind": "Job", "metadata": {"name": "migrate"}}], 0)
    with pytest.raises(ObjectNotFoundError):
        wait_ready(cluster, [{"kind": "Deployment", "metadata": {"name": "edge"}}], 0)


def test_giving_up_says_why(
    api: FakeApi, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    isvc = conditions(Ready=("False", ""), PredictorReady=("False", "no image"))
    api.put("inferenceservices", isvc)
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    api.put(
        "pods",
        {
            "metadata": {
                "name": "p-1",
                "labels": {"serving.kserve.io/inferenceservice": "vision"},
            },
            "status": {"containerStatuses": [{"name": "c", "state": {"waiting": waiting}}]},
        },
    )
    text = "(?s)PredictorReady: no image.*p-1: ImagePullBackOff: its image cannot be pulled"
    with pytest.raises(ClusterError, match=text):
        wait_ready(cluster, [isvc], 0)
