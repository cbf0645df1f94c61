"""Jobs are made where there is something to do, and once."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from kserve.model_server import parser as kserve_options

from common.kubernetes import INFERENCE_SERVICE, JOB, Document, Kind, ObjectConflictError
from lifecycle.launch import (
    CRON_JOB,
    TRAIN_JOB,
    Launcher,
    LaunchSettings,
    job_of,
    train_job_of,
)
from lifecycle.place import Place
from lifecycle.receiver import Looker, server
from lifecycle.step import Decision, Step, Verdict
from tests.conftest import ROOT, write_small
from tests.lifecycle.stubs import arrive, machine, place_of

JOBS = ROOT / "manifests" / "components" / "lifecycle" / "jobs.yaml"
TEMPLATES = {
    document["metadata"]["name"]: document
    for document in yaml.safe_load_all(JOBS.read_text())
    if document["kind"] == "CronJob"
}


class Cluster:
    """As much of one as is asked."""

    def __init__(self) -> None:
        self.made: dict[Kind, dict[str, Document]] = {JOB: {}, TRAIN_JOB: {}}

    def find(self, kind: Kind, labels: Mapping[str, str]) -> list[Document]:
        return [j for j in self.made[kind].values() if j["metadata"]["labels"] == labels]

    def get(self, kind: Kind, name: str) -> Document:
        if kind is CRON_JOB:
            return TEMPLATES[name]
        assert (kind, name) == (INFERENCE_SERVICE, "vision")
        containers = [{"args": ["--model=mnist=1", "--model=land-cover=/folder"]}]
        return {
            "metadata": {"name": "vision"},
            "spec": {"predictor": {"containers": containers}},
        }

    def create(self, kind: Kind, document: Document) -> None:
        if document["metadata"]["name"] in self.made[kind]:
            raise ObjectConflictError("exists", 409)
        self.made[kind][document["metadata"]["name"]] = document

    def end(self, kind: Kind = JOB) -> None:
        for job in self.made[kind].values():
            job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    @property
    def names(self) -> list[str]:
        return [name.rpartition("-")[0] for jobs in self.made.values() for name in jobs]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    write_small(tmp_path / "models", "mnist", "1", 1)
    return place_of(tmp_path, lifecycle_service="vision", lifecycle_approvals="published")


def launcher(place: Place, cluster: Cluster, **settings: Any) -> Launcher:
    read = LaunchSettings(lifecycle_inbox=place.inbox.url, lifecycle_service="vision", **settings)
    return Launcher(cluster, place.registry, read, place.models)  # type: ignore[arg-type]


def drop(place: Place) -> None:
    folder = Path(place.inbox.url) / "mnist"
    folder.mkdir()
    np.savez(folder / "boots.npz", images=np.zeros((1, 2, 2), np.uint8), labels=[1])


def test_nothing_is_made_where_nothing_is_to_be_done(place: Place, cluster: Cluster) -> None:
    assert launcher(place, cluster).look() == []
    assert place.registry.history.entries() == []


def test_what_arrives_makes_one_job_however_often_it_is_told(
    place: Place, cluster: Cluster
) -> None:
    drop(place)
    own = launcher(place, cluster)
    (name,) = own.look()
    assert own.look() == []
    cluster.end()
    assert own.look() == []  # the same work has the same name, as long as its Job is there
    assert cluster.names == ["lifecycle"]
    assert cluster.made[JOB][name]["spec"] == TEMPLATES["lifecycle"]["spec"]["jobTemplate"]["spec"]


def test_what_the_service_answers_with_is_written_down_once(place: Place, cluster: Cluster) -> None:
    drop(place)
    for _ in range(2):
        launcher(place, cluster).look()
    entries = place.registry.history.entries()
    assert [(e.action.value, e.identity) for e in entries] == [
        ("published", "mnist/1"),
        ("found", "mnist/1"),
    ]
    assert place.live("mnist") == "1"


def test_a_published_revision_is_rolled_out_by_another_job(place: Place, cluster: Cluster) -> None:
    drop(place)
    own = launcher(place, cluster)
    own.look()
    cluster.end()
    id = arrive(place)
    for part in place.inbox.parts():
        place.runs.note_seen(part.mark, id)
    machine(place).advance(id)
    assert own.look() == []  # a person is waited for
    moment = "2026-11-30T00:00:00Z"
    decision = Decision(Step.PUBLISHED, Verdict.APPROVED, moment, "ada")
    place.runs.decide(place.runs.read(id), decision)
    own.look()
    cluster.end()
    machine(place, only=[Step.PUBLISHED]).advance(id)
    (name,) = own.look()
    assert name.startswith("lifecycle-rollout-")
    assert cluster.names == ["lifecycle", "lifecycle", "lifecycle-rollout"]
    pod = cluster.made[JOB][name]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "rollout"


def test_where_the_trainer_is_it_trains(place: Place, cluster: Cluster) -> None:
    drop(place)
    (name,) = launcher(place, cluster, lifecycle_trainer="torch-distributed").look()
    job = cluster.made[TRAIN_JOB][name]
    (container,) = TEMPLATES["lifecycle"]["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "containers"
    ]
    trainer = job["spec"]["trainer"]
    assert job["spec"]["runtimeRef"]["name"] == "torch-distributed"
    assert [*trainer["command"], *trainer["args"]] == [*container["command"], *container["args"]]
    assert trainer["resourcesPerNode"] == container["resources"]
    (override,) = job["spec"]["podTemplateOverrides"]
    assert override["spec"]["volumes"] and override["spec"]["containers"][0]["volumeMounts"]
    assert job == train_job_of(job_of(name, TEMPLATES["lifecycle"]), "torch-distributed")


def test_what_trains_has_no_token_and_both_do_all_steps() -> None:
    pods = {
        name: t["spec"]["jobTemplate"]["spec"]["template"]["spec"] for name, t in TEMPLATES.items()
    }
    assert pods["lifecycle"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pods["lifecycle"]
    steps: list[str] = []
    for pod in pods.values():
        (container,) = pod["containers"]
        (said,) = (a for a in container["args"] if a.startswith("--steps="))
        steps += said.removeprefix("--steps=").split(",")
    assert steps == [step.value for step in Step][1:]
    assert all(t["spec"]["suspend"] for t in TEMPLATES.values())


def test_what_the_jobs_are_told_is_not_taken_for_options_of_kserve() -> None:
    """KServe reads the command line when it is imported, as the evaluation does, and ends there."""
    for template in TEMPLATES.values():
        (container,) = template["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert kserve_options.parse_known_args(container["args"])[1] == container["args"]


def test_events_are_one_look_and_nothing_in_them_is_believed() -> None:
    looked = threading.Semaphore(0)
    looks: list[int] = []

    def look() -> list[str]:
        looks.append(1)
        looked.release()
        if len(looks) == 1:
            raise OSError("the store is away")
        return []

    looker = Looker(look, 0.2)
    with server(("127.0.0.1", 0), looker) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{running.server_address[1]}/"
        try:
            for body in (b"{", b"\xff", b"{}"):
                request = urllib.request.Request(url, body, {"ce-id": "1"})
                with urllib.request.urlopen(request) as reply:
                    assert reply.status == 202
            assert looked.acquire(timeout=20)
            assert looks == [1]
            urllib.request.urlopen(urllib.request.Request(url, b"again")).close()
            assert looked.acquire(timeout=20)
            with urllib.request.urlopen(url + "healthz") as reply:
                assert reply.status == 200
        finally:
            running.shutdown()
            thread.join()
