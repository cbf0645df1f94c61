from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from common.kubernetes import CONFIG_MAP, INFERENCE_SERVICE, Cluster
from disaster import cluster_part
from disaster.cluster_part import KINDS
from disaster.errors import NotEmptyError
from disaster.imitation import served
from disaster.vault import Vault
from rollout.clock import Clock
from rollout.ledger import Ledger
from rollout.record import Action, Operation, Record, Step
from tests.rollout.fake_cluster import inference_service

Document = dict[str, Any]
NOW = "2026-11-30T02:00:00Z"


@pytest.fixture
def clusters() -> Iterator[list[Cluster]]:
    """Two, both empty; the namespaces have the same name."""
    with served() as one, served() as other:
        apis = [client.ApiClient(client.Configuration(host=url)) for url in (one, other)]
        found = [Cluster(api, "vision") for api in apis]
        yield found
        for cluster in found:
            cluster.__exit__()


def put(cluster: Cluster, kind: str, name: str, **told: Any) -> Document:
    metadata = {"name": name, "namespace": "vision", **told.pop("metadata", {})}
    return cluster.create(KINDS[kind], {"kind": kind, "metadata": metadata, **told})


def predictor(revision: str) -> Document:
    found: Document = inference_service({"mnist": revision})["spec"]["predictor"]
    return found


def opened(record: Record) -> Record:
    """With a canary of mnist/2 under way."""
    operation = Operation(
        step=Step.OPEN,
        model="mnist",
        revision="2",
        was="1",
        digest="sha256:2",
        percent=10,
        before=predictor("1"),
        after=predictor("2"),
        stable="vision-predictor-00007",
        candidate="vision-predictor-00008",
        created_before="vision-predictor-00007",
        generation=8,
        by="ada",
        since="2026-01-02T03:04:05Z",
        why="",
    )
    record = record.observed(predictor("1"), "vision-predictor-00007", {}, "2026-01-02T03:04:05Z")
    return Record(uid=record.uid, history=record.history, specs=record.specs, operation=operation)


def test_what_people_made_is_made_again_and_nothing_that_controllers_make(
    clusters: list[Cluster], vault: Vault
) -> None:
    old, new = clusters
    put(old, "Secret", "accounts", data={"database-url": "c2VjcmV0"}, type="Opaque")
    put(old, "Secret", "token", data={}, type=cluster_part.TOKEN)
    put(old, "ConfigMap", "kube-root-ca.crt", data={"ca.crt": "x"})
    put(old, "ConfigMap", "owned", data={}, metadata={"ownerReferences": [{"name": "vision"}]})
    put(old, "ConfigMap", "accounts", data={"VISION_PUBLIC_URL": "https://example.org"})
    put(old, "DomainMapping", "a.example.org", spec={"ref": {"name": "vision"}})
    put(old, "ClusterDomainClaim", "a.example.org", spec={"namespace": "vision"})
    put(old, "ClusterDomainClaim", "b.example.org", spec={"namespace": "others"})
    old.create(INFERENCE_SERVICE, {**inference_service({"mnist": "1"}), "status": {"url": "x"}})
    part = cluster_part.back_up(old, vault)
    assert not [b for b in vault.store.keys("blobs/") if b"c2VjcmV0" in vault.store.read(b).data]
    assert cluster_part.restore(json.loads(json.dumps(part)), vault, new, NOW) == []
    cluster_part.restore(part, vault, new, NOW)  # again, it changes nothing
    made = {(kind, d["metadata"]["name"]): d for kind in KINDS for d in new.find(KINDS[kind])}
    assert set(made) == {
        ("Secret", "accounts"),
        ("ConfigMap", "accounts"),
        ("ClusterDomainClaim", "a.example.org"),
        ("InferenceService", "vision"),
        ("DomainMapping", "a.example.org"),
    }
    assert made["Secret", "accounts"]["data"] == {"database-url": "c2VjcmV0"}
    assert made["InferenceService", "vision"]["spec"]["predictor"] == predictor("1")
    assert "status" not in made["InferenceService", "vision"]
    service = old.get(INFERENCE_SERVICE, "vision")
    assert made["InferenceService", "vision"]["metadata"]["uid"] != service["metadata"]["uid"]


def test_an_open_canary_ends_with_its_cluster(clusters: list[Cluster], vault: Vault) -> None:
    """The first Knative revision gets all traffic, whatever share its spec names."""
    old, new = clusters
    service = inference_service({"mnist": "2"})
    service["spec"]["predictor"]["canaryTrafficPercent"] = 10
    old.create(INFERENCE_SERVICE, service)
    ledger = Ledger(old, "vision", "ada", Clock(), lambda _: None)
    ledger.change(opened)
    put(new, "ConfigMap", "padding", data={})  # other uids than in the old one
    put(new, "ConfigMap", "more", data={})
    part = cluster_part.back_up(old, vault)
    (note,) = cluster_part.restore(part, vault, new, NOW)
    assert cluster_part.restore(part, vault, new, NOW) == [note]  # again, it changes nothing
    assert note == "vision: the canary of mnist/2 has ended; what ran before it runs"
    assert new.get(INFERENCE_SERVICE, "vision")["spec"]["predictor"] == predictor("1")
    record = Ledger(new, "vision", "ada", Clock(), lambda _: None).read()
    assert record.operation is None
    assert [entry.action for entry in record.history] == [Action.FOUND, Action.DISCARDED]
    assert [entry.knative_revision for entry in record.history] == ["", ""]
    assert "made anew" in record.history[-1].why
    assert record.current is not None
    assert record.predictor_of(record.current) == predictor("1")


def test_a_canary_without_a_record_is_said(clusters: list[Cluster], vault: Vault) -> None:
    old, new = clusters
    service = inference_service({"mnist": "2"})
    service["spec"]["predictor"]["canaryTrafficPercent"] = 10
    old.create(INFERENCE_SERVICE, service)
    (note,) = cluster_part.restore(cluster_part.back_up(old, vault), vault, new, NOW)
    assert "a canary of 10 % was open that no record tells of" in note
    assert "canaryTrafficPercent" not in new.get(INFERENCE_SERVICE, "vision")["spec"]["predictor"]


def test_a_record_that_came_another_way_is_not_trusted_either(clusters: list[Cluster]) -> None:
    """As by another program's backup: only the InferenceService's uid tells."""
    old, new = clusters
    old.create(INFERENCE_SERVICE, inference_service({"mnist": "1"}))
    Ledger(old, "vision", "ada", Clock(), lambda _: None).change(opened)
    copied = old.get(CONFIG_MAP, "vision-rollout")
    put(new, "ConfigMap", "padding", data={})
    new.create(INFERENCE_SERVICE, inference_service({"mnist": "1"}))
    new.create(CONFIG_MAP, copied)
    record = Ledger(new, "vision", "ada", Clock(), lambda _: None).read()
    assert record.operation is None
    assert {entry.knative_revision for entry in record.history} == {""}


def test_another_object_is_not_written_over(clusters: list[Cluster], vault: Vault) -> None:
    old, new = clusters
    put(old, "ConfigMap", "accounts", data={"a": "1"})
    put(new, "ConfigMap", "accounts", data={"a": "2"})
    with pytest.raises(NotEmptyError, match="ConfigMap accounts is there already"):
        cluster_part.restore(cluster_part.back_up(old, vault), vault, new, NOW)
    assert new.get(CONFIG_MAP, "accounts")["data"] == {"a": "2"}
