"""The calls to the API server, and what their failures become."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client

from common.kourier import find_gateway
from common.kubernetes import (
    CONFIG_MAP,
    POD,
    SERVICE,
    Cluster,
    KubernetesError,
    ObjectConflictError,
    ObjectNotFoundError,
)
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import NAMESPACE, FakeCluster


@pytest.fixture
def cluster(shell: Shell) -> Cluster:
    return Cluster(shell.api, NAMESPACE)


def test_a_merge_patch_changes_what_it_names(cluster: Cluster) -> None:
    cluster.create(CONFIG_MAP, {"metadata": {"name": "one"}, "data": {"a": "1", "b": "2"}})
    found = cluster.patch(CONFIG_MAP, "one", {"data": {"a": None, "c": "3"}})
    assert found["data"] == {"b": "2", "c": "3"}


def test_absent_and_conflicting(cluster: Cluster, fake: FakeCluster) -> None:
    with pytest.raises(ObjectNotFoundError, match='configmaps "nothing" not found'):
        cluster.get(CONFIG_MAP, "nothing")
    cluster.delete(CONFIG_MAP, "nothing")
    document = {"metadata": {"name": "one"}, "data": {}}
    first = cluster.create(CONFIG_MAP, document)
    with pytest.raises(ObjectConflictError, match="already exists"):
        cluster.create(CONFIG_MAP, document)
    cluster.replace(CONFIG_MAP, {**first, "data": {"a": "1"}})
    with pytest.raises(ObjectConflictError, match="has been modified"):
        cluster.replace(CONFIG_MAP, {**first, "data": {"a": "2"}})
    assert cluster.get(CONFIG_MAP, "one")["data"] == {"a": "1"}


def test_labels_select(cluster: Cluster) -> None:
    label = "serving.knative.dev/revision"
    assert len(cluster.find(POD, {label: "vision-predictor-00001"})) == 1
    assert cluster.find(POD, {label: "vision-predictor-00002"}) == []


def test_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    configuration = client.Configuration(host="http://127.0.0.1:9")
    configuration.retries = False
    cluster = Cluster(client.ApiClient(configuration), NAMESPACE)
    with pytest.raises(KubernetesError, match=r"127\.0\.0\.1:9"):
        cluster.get(POD, "x")


def test_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    with pytest.raises(KubernetesError, match="KUBECONFIG names the file"):
        Cluster.connect(NAMESPACE)


def test_tokens_are_sent(shell: Shell, fake: FakeCluster) -> None:
    """As a service account's pod and most clouds' kubeconfigs have them."""
    configuration = client.Configuration(host=shell.api.configuration.host)
    configuration.api_key = {"authorization": "Bearer secret"}
    with client.ApiClient(configuration) as api:
        Cluster(api, NAMESPACE).find(POD)
        api.rest_client.pool_manager.clear()
    assert fake.authorization == "Bearer secret"


def test_a_refusal_keeps_its_reason(cluster: Cluster, fake: FakeCluster) -> None:
    fake._handle = lambda *_: (403, {"message": "configmaps is forbidden"})  # type: ignore[method-assign]
    with pytest.raises(KubernetesError, match="configmaps is forbidden") as caught:
        cluster.get(CONFIG_MAP, "x")
    assert caught.value.code == 403


def test_gateway(cluster: Cluster, fake: FakeCluster) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"was not found .* GATEWAY=http"):
        find_gateway(cluster)
    service = {"metadata": {"name": "kourier"}, "spec": {"ports": [{"port": 80}]}}
    fake.store.objects[SERVICE.plural, "kourier"] = service
    with pytest.raises(ObjectNotFoundError, match=r"neither a load balancer .* GATEWAY="):
        find_gateway(cluster)
    service["spec"]["ports"][0]["nodePort"] = 31080
    assert find_gateway(cluster) == "http://192.168.49.2:31080"
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.7"}]}}
    assert find_gateway(cluster) == "http://10.0.0.7"
