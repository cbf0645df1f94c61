"""Every overlay and every listed combination of components, as a cluster would see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from artifact import revisions_of
from serving.arguments import server_arguments
from tests.manifests.knative import refusals
from tests.manifests.rendering import (
    MANIFESTS,
    Document,
    combination,
    components_of,
    of_kind,
    render,
)
from tests.manifests.schema import faults

OVERLAYS = (
    "base",
    "overlays/land-cover",
    "overlays/minikube",
    "overlays/per-model",
    "overlays/production",
)

COMPONENTS = (
    "accounts",
    "always-on",
    "cards",
    "domains",
    "gpu",
    "grpc",
    "high-availability",
    "lifecycle",
    "lifecycle-events",
    "lifecycle-trainer",
    "monitoring",
    "node-kinds",
    "object-storage",
    "otlp",
    "roles",
    "rollout",
    "standard",
    "shadow",
    "tls",
)

COMBINATIONS = (
    *(("overlays/minikube", (name,)) for name in COMPONENTS),
    ("overlays/minikube", ("object-storage", "cards")),
    ("overlays/minikube", ("object-storage", "cards", "gpu", "always-on", "rollout")),
    ("overlays/minikube", ("object-storage", "cards", "gpu", "high-availability", "rollout")),
    ("overlays/per-model", ("always-on", "gpu", "object-storage", "rollout")),
    ("overlays/production", ("object-storage", "cards")),
    ("overlays/per-model", ("grpc", "always-on")),
    ("overlays/production", ("gpu", "rollout")),
    ("overlays/production", ("accounts", "object-storage", "rollout", "shadow")),
    ("overlays/production", ("accounts", "domains", "tls")),
    ("overlays/land-cover", ("node-kinds", "high-availability")),
    ("overlays/production", ("standard",)),
    ("overlays/minikube", ("object-storage", "rollout", "lifecycle", "lifecycle-events")),
    ("overlays/production", ("object-storage", "rollout", "lifecycle", "lifecycle-trainer")),
)

MODELS = Path(__file__).parents[2] / "models"


def declared_flags(components: Iterator[str] | tuple[str, ...]) -> frozenset[str]:
    """The config-features flags that the components' READMEs ask for."""
    found: set[str] = set()
    for name in components:
        text = (MANIFESTS / "components" / name / "README.md").read_text()
        found |= set(re.findall(r"^- `([a-z0-9.-]+): enabled`$", text, re.MULTILINE))
    return frozenset(found)


def parts(documents: list[Document]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Predictor and transformer of every InferenceService."""
    for document in of_kind(documents, "InferenceService"):
        for name in ("predictor", "transformer"):
            yield f"{document['metadata']['name']}-{name}", document["spec"][name]


def check(documents: list[Document], flags: frozenset[str]) -> None:
    assert [fault for document in documents for fault in faults(document)] == []
    for name, component in parts(documents):
        assert [f"{name}: {refusal}" for refusal in refusals(component, flags)] == []
    for document in documents:
        if document["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert document["metadata"]["namespace"] == "vision", document["metadata"]
    identities = [(d["kind"], d["metadata"]["name"]) for d in documents]
    assert len(identities) == len(set(identities))


def test_all_overlays_and_components_are_listed() -> None:
    overlays = {f"overlays/{p.name}" for p in (MANIFESTS / "overlays").iterdir()}
    assert {"base", *overlays} == set(OVERLAYS)
    assert {p.name for p in (MANIFESTS / "components").iterdir()} == set(COMPONENTS)
    for name in COMPONENTS:
        readme = (MANIFESTS / "components" / name / "README.md").read_text()
        assert "Knative flags" in readme, f"{name} does not say which flags it needs"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid(overlay: str) -> None:
    flags = declared_flags(components_of(MANIFESTS / overlay))
    check(render(MANIFESTS / overlay), flags)


@pytest.mark.parametrize(("overlay", "components"), COMBINATIONS)
def test_a_combination_is_valid(overlay: str, components: tuple[str, ...], tmp_path: Path) -> None:
    documents = render(combination(tmp_path, overlay, components))
    flags = declared_flags(components) | declared_flags(components_of(MANIFESTS / overlay))
    check(documents, flags)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_declares_no_flag_in_vain(name: str, tmp_path: Path) -> None:
    documents = render(combination(tmp_path, "base", (name,)))
    for flag in declared_flags((name,)):
        without = declared_flags((name,)) - {flag}
        assert [r for _, c in parts(documents) for r in refusals(c, without)], flag


@pytest.mark.parametrize("overlay", ["base", "overlays/minikube", "overlays/per-model"])
def test_no_flag_is_needed_without_components(overlay: str) -> None:
    for _, component in parts(render(MANIFESTS / overlay)):
        assert refusals(component) == []


def test_one_inferenceservice_holds_all_models_or_each_has_its_own() -> None:
    (both,) = of_kind(render(MANIFESTS / "overlays/minikube"), "InferenceService")
    assert models(both, "predictor") == ["fashion-mnist=1", "mnist=1"]
    assert models(both, "transformer") == ["fashion-mnist", "mnist"]
    separate = of_kind(render(MANIFESTS / "overlays/per-model"), "InferenceService")
    assert {d["metadata"]["name"]: models(d, "predictor") for d in separate} == {
        "fashion-mnist": ["fashion-mnist=3"],
        "mnist": ["mnist=2"],
    }
    for document in separate:
        assert models(document, "transformer") == [document["metadata"]["name"]]


def models(isvc: Document, component: str) -> list[str]:
    (container,) = isvc["spec"][component]["containers"]
    return [a.removeprefix("--model=") for a in container["args"] if a.startswith("--model=")]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_both_servers_hold_the_same_models_and_they_are_shipped(overlay: str) -> None:
    for isvc in of_kind(render(MANIFESTS / overlay), "InferenceService"):
        held = models(isvc, "predictor")
        assert held
        assert [m.split("=")[0] for m in held] == models(isvc, "transformer")
        for name, revision in (model.split("=") for model in held):
            assert revision in revisions_of(MODELS, name)


@pytest.mark.parametrize(
    "path", sorted((MANIFESTS / "overlays").glob("**/revisions.yaml")), ids=str
)
def test_the_revision_file_is_what_is_served(path: Path) -> None:
    """Every line counts, and nothing counts on where a model's argument stands."""
    asked = yaml.safe_load(path.read_text())["data"]
    served = dict(
        model.split("=")
        for isvc in of_kind(render(path.parent), "InferenceService")
        for model in models(isvc, "predictor")
    )
    assert asked.items() <= served.items()
    assert not [d for d in render(path.parent) if d["metadata"]["name"].endswith("revisions")]


@pytest.mark.parametrize("first", [["--workers=1"], []])
def test_another_revision_is_what_the_file_says(tmp_path: Path, first: list[str]) -> None:
    folder = combination(tmp_path, "overlays/minikube", ())
    base = tmp_path / "manifests" / "base" / "inferenceservice.yaml"
    document = yaml.safe_load(base.read_text())
    (container,) = document["spec"]["predictor"]["containers"]
    container["args"] = [*first, *reversed(container["args"])]
    base.write_text(yaml.safe_dump(document))
    path = tmp_path / "manifests" / "overlays" / "minikube" / "revisions.yaml"
    path.write_text(path.read_text().replace('fashion-mnist: "1"', 'fashion-mnist: "3"'))
    (isvc,) = of_kind(render(folder), "InferenceService")
    assert sorted(models(isvc, "predictor")) == ["fashion-mnist=3", "mnist=1"]


def test_one_model_alone_is_started_as_both_are() -> None:
    (both,) = of_kind(render(MANIFESTS / "base"), "InferenceService")
    for isvc in of_kind(render(MANIFESTS / "overlays/per-model"), "InferenceService"):
        for component in ("predictor", "transformer"):
            (wanted,) = both["spec"][component]["containers"]
            (found,) = isvc["spec"][component]["containers"]
            others = [a for a in wanted["args"] if not a.startswith("--model=")]
            assert [a for a in found["args"] if not a.startswith("--model=")] == others


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_is_restricted_and_bounded(overlay: str) -> None:
    for name, component in parts(render(MANIFESTS / overlay)):
        assert component["serviceAccountName"] == "vision"
        assert component["automountServiceAccountToken"] is False
        (container,) = component["containers"]
        assert container["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) >= {"cpu", "memory"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}
        assert "--workers=1" in container["args"]  # KServe would add one a containerConcurrency


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_both_speak_http_and_the_predictor_is_closed_to_the_outside(overlay: str) -> None:
    for isvc in of_kind(render(MANIFESTS / overlay), "InferenceService"):
        annotations = isvc["metadata"]["annotations"]
        assert annotations["serving.kserve.io/deploymentMode"] == "Knative"
        assert annotations["serving.kserve.io/enable-tag-routing"] == "true"
        predictor = isvc["spec"]["predictor"]
        assert predictor["labels"] == {"networking.knative.dev/visibility": "cluster-local"}
        for component in (predictor, isvc["spec"]["transformer"]):
            (container,) = component["containers"]
            (port,) = container["ports"]
            assert (port["name"], port["containerPort"]) == ("http1", 8080)
            assert "--enable_grpc=false" in container["args"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_liveness_is_asked_of_http(overlay: str) -> None:
    for name, component in parts(render(MANIFESTS / overlay)):
        (container,) = component["containers"]
        probe = container["livenessProbe"]
        assert probe["httpGet"] == {"path": "/v2/health/live", "port": 8080}, name
        assert "--http_port=8080" in container["args"], name
        # What is still starting is the revision's deadline to end, not the kubelet's.
        patience = probe["initialDelaySeconds"] + probe["periodSeconds"] * probe["failureThreshold"]
        deadline = component["annotations"]["serving.knative.dev/progress-deadline"]
        assert patience >= int(deadline.removesuffix("s")), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_hop_may_take_as_long_as_the_request_around_it(overlay: str) -> None:
    for isvc in of_kind(render(MANIFESTS / overlay), "InferenceService"):
        spec = isvc["spec"]
        (container,) = spec["transformer"]["containers"]
        environment = {item["name"]: item.get("value") for item in container["env"]}
        hop = float(environment.get("VISION_PREDICTOR_TIMEOUT_SECONDS") or 20)
        assert hop < spec["transformer"]["timeout"]
        assert hop <= spec["predictor"]["timeout"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_have_a_tag_and_it_is_not_latest(overlay: str) -> None:
    for name, component in parts(render(MANIFESTS / overlay)):
        (container,) = component["containers"]
        if overlay != "base":
            tag = container["image"].rpartition(":")[2]
            assert "/" not in tag, name
            assert tag != "latest"


def test_scale_to_zero_and_always_on(tmp_path: Path) -> None:
    def replicas(documents: list[Document]) -> set[int]:
        return {component["minReplicas"] for _, component in parts(documents)}

    assert replicas(render(MANIFESTS / "overlays/minikube")) == {0}
    assert replicas(render(MANIFESTS / "overlays/production")) == {2}
    assert replicas(render(combination(tmp_path, "overlays/minikube", ("always-on",)))) == {1}


def test_nothing_is_open_that_no_policy_names() -> None:
    policies = of_kind(render(MANIFESTS / "overlays/minikube"), "NetworkPolicy")
    by_name = {policy["metadata"]["name"]: policy["spec"] for policy in policies}
    assert by_name["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (call,) = by_name["calls"]["ingress"]
    assert [port["port"] for port in call["ports"]] == [8012, 8013, 8112, 9090]
    (source,) = call["from"]
    (expression,) = source["namespaceSelector"]["matchExpressions"]
    assert sorted(expression["values"]) == ["knative-serving", "kourier-system"]
    egress = {
        name: {port["port"] for rule in spec.get("egress", []) for port in rule["ports"]}
        for name, spec in by_name.items()
    }
    assert egress == {"nothing": set(), "calls": set(), "names": {53}, "hop": {8081}}
    assert "predictor" not in by_name["hop"]["podSelector"]["matchExpressions"][0]["values"]


def test_the_download_gets_its_secret_by_reference(tmp_path: Path) -> None:
    documents = render(combination(tmp_path, "overlays/minikube", ("object-storage",)))
    assert of_kind(documents, "Secret") == []
    (account,) = of_kind(documents, "ServiceAccount")
    assert account["secrets"] == [{"name": "object-storage"}]
    (isvc,) = of_kind(documents, "InferenceService")
    (container,) = isvc["spec"]["predictor"]["containers"]
    environment = {item["name"]: item["value"] for item in container["env"]}
    assert environment["STORAGE_URI"].startswith("s3://")
    assert environment["VISION_MODEL_ROOT"] == "/mnt/models"


def test_the_readme_says_how_another_bucket_is_named(tmp_path: Path) -> None:
    readme = (MANIFESTS / "components" / "object-storage" / "README.md").read_text()
    (patch,) = (block for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL))
    folder = combination(tmp_path, "overlays/minikube", ("object-storage",))
    file = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["patches"] = [{"target": {"kind": "InferenceService"}, "patch": patch}]
    file.write_text(yaml.safe_dump(kustomization))
    (isvc,) = of_kind(render(folder), "InferenceService")
    (container,) = isvc["spec"]["predictor"]["containers"]
    given = {item["name"]: item["value"] for item in container["env"]}
    assert given["STORAGE_URI"] == "s3://other/models"
    assert given["MALLOC_MMAP_THRESHOLD_"].isdigit()


def test_what_makes_the_jobs_may_read_their_templates_by_name(
    tmp_path: Path,
) -> None:
    parts = ("object-storage", "rollout", "lifecycle")
    documents = render(combination(tmp_path, "overlays/minikube", parts))
    templates = {d["metadata"]["name"] for d in of_kind(documents, "CronJob") if suspended(d)}
    (role,) = (d for d in of_kind(documents, "Role") if d["metadata"]["name"] == "lifecycle")
    (rule,) = (rule for rule in role["rules"] if "cronjobs" in rule["resources"])
    assert set(rule["resourceNames"]) == templates


def test_a_rollout_in_the_cluster_is_told_the_way_in_that_it_may_take(tmp_path: Path) -> None:
    parts = ("object-storage", "rollout", "lifecycle")
    documents = render(combination(tmp_path, "overlays/minikube", parts))
    settings = {k: v for d in of_kind(documents, "ConfigMap") for k, v in d["data"].items()}
    gateway = settings["VISION_LIFECYCLE_GATEWAY"].removeprefix("http://")
    (policy,) = (
        d for d in of_kind(documents, "NetworkPolicy") if d["metadata"]["name"] == "rollout"
    )
    peers = [peer for rule in policy["spec"]["egress"] for peer in rule.get("to", [])]
    (labels,) = (peer["namespaceSelector"]["matchLabels"] for peer in peers)
    assert gateway.split(".")[1:] == list(labels.values())


def suspended(cron_job: Document) -> bool:
    return bool(cron_job["spec"].get("suspend"))


def test_the_rollout_account_reads_no_secrets_and_changes_little(tmp_path: Path) -> None:
    documents = render(combination(tmp_path, "overlays/minikube", ("rollout",)))
    (role,) = of_kind(documents, "Role")
    granted = {
        resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]
    }
    assert "secrets" not in granted
    assert not any("*" in verbs for verbs in granted.values())
    writing = {name for name, verbs in granted.items() if verbs - {"get", "list", "watch"}}
    assert writing == {
        "inferenceservices",
        "inferenceservices/status",
        "configmaps",
        "jobs",
        "pods/proxy",
    }
    (binding,) = of_kind(documents, "RoleBinding")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "rollout", "namespace": "vision"}
    ]


def test_an_overlay_sets_what_the_accounts_are_told_and_names_their_image(tmp_path: Path) -> None:
    """As the component's README says: listed in the overlay itself, with a patch."""
    folder = combination(tmp_path, "overlays/minikube", ()).parent / "manifests/overlays/minikube"
    path = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(path.read_text())
    kustomization["components"] = ["../../components/accounts"]
    told = {"VISION_PUBLIC_URL": "https://vision.example.org"}
    patch = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "accounts"}}
    kustomization["patches"].append({"patch": yaml.safe_dump({**patch, "data": told})})
    path.write_text(yaml.safe_dump(kustomization))
    documents = render(folder)
    (found,) = (
        d["data"]
        for d in of_kind(documents, "ConfigMap")
        if "VISION_PUBLIC_URL" in d.get("data", {})
    )
    assert found["VISION_PUBLIC_URL"] == told["VISION_PUBLIC_URL"]
    assert found["VISION_MODELS"] == "mnist fashion-mnist"
    (name,) = {image for image in images_of(documents) if "vision-accounts" in image}
    assert name.startswith("dev.local/vision-accounts:")


@pytest.mark.parametrize("overlay", OVERLAYS[1:])
def test_behind_the_edge_nothing_is_reached_without_a_key(tmp_path: Path, overlay: str) -> None:
    documents = render(combination(tmp_path, overlay, ("accounts",)))
    for name, part in parts(documents):
        assert part["labels"]["networking.knative.dev/visibility"] == "cluster-local", name
    for document in of_kind(documents, "InferenceService"):
        (container,) = document["spec"]["transformer"]["containers"]
        assert {"name": "VISION_ACCESS_LOG", "value": "true"} in container["env"]


def test_the_edge_knows_the_services_of_the_overlay_with_land_cover(tmp_path: Path) -> None:
    documents = render(combination(tmp_path, "overlays/land-cover", ("accounts",)))
    (text,) = (
        d["data"]["envoy.yaml"]
        for d in of_kind(documents, "ConfigMap")
        if "envoy.yaml" in d.get("data", {})
    )
    hosts = set(re.findall(r"host_rewrite_literal: (\S+)", text))
    names = {d["metadata"]["name"] for d in of_kind(documents, "InferenceService")}
    assert hosts == {f"{name}-transformer.vision.svc.cluster.local" for name in names}


def test_only_what_sends_mail_knows_its_password(tmp_path: Path) -> None:
    documents = render(combination(tmp_path, "overlays/minikube", ("accounts",)))
    knows = []
    for document in documents:
        text = yaml.safe_dump(document)
        if "smtp-password" in text or "VISION_SMTP_PASSWORD" in text:
            knows.append((document["kind"], document["metadata"]["name"]))
        # A secret that is mounted whole would hold it unsaid.
        for volume in re.findall(r"secretName: accounts\n", text):
            assert "items:" in text, volume
    assert knows == [("Deployment", "console")]


def images_of(value: Any) -> Iterator[str]:
    """Every image that a document names, however deep."""
    if isinstance(value, list):
        for item in value:
            yield from images_of(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "image" and isinstance(item, str):
                yield item
            else:
                yield from images_of(item)


def test_the_gateways_inner_listener_is_closed_to_other_namespaces() -> None:
    path = MANIFESTS / "components" / "accounts" / "gateway.yaml"
    policy = yaml.safe_load(path.read_text())
    assert faults(policy) == []
    assert policy["metadata"]["namespace"] == "kourier-system"
    outer, inner = policy["spec"]["ingress"]
    assert {port["port"] for port in inner["ports"]} == {8081, 8444}
    assert not {port["port"] for port in outer["ports"]} & {8081, 8444}
    (origin,) = inner["from"]
    (expression,) = origin["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["vision", "knative-serving", "kourier-system"]


def test_grpc_is_on_where_its_component_is(tmp_path: Path) -> None:
    """By the last of the arguments, as the server's parser reads them."""
    documents = render(combination(tmp_path, "overlays/minikube", ("grpc",)))
    for name, component in parts(documents):
        (container,) = component["containers"]
        options = server_arguments("x", "y").parse_args(container["args"])
        assert options.enable_grpc == name.endswith("predictor"), name
    (service,) = of_kind(documents, "Service")
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == options.grpc_port
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(documents, "NetworkPolicy")}
    (rule,) = policies["predictor-grpc"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == [options.grpc_port]
    assert policies["predictor-grpc"]["podSelector"]["matchLabels"] == service["spec"]["selector"]


def test_node_pools_have_the_kinds_that_are_asked_for(tmp_path: Path) -> None:
    pools = of_kind(render(MANIFESTS / "nodes" / "karpenter"), "NodePool")
    kinds = {pool["spec"]["template"]["metadata"]["labels"]["vision-node"] for pool in pools}
    text = yaml.safe_dump_all(render(combination(tmp_path, "overlays/land-cover", ("node-kinds",))))
    asked = re.findall(
        r"- key: vision-node\n +operator: \w+\n +values:\n((?: +- [a-z0-9]+\n)+)", text
    )
    assert {kind for part in asked for kind in re.findall(r"- (\w+)", part)} <= kinds
    (gpu,) = (p for p in pools if p["metadata"]["name"] == "gpu")
    selected = render(combination(tmp_path / "gpu", "base", ("gpu",)))
    (predictor,) = (part for name, part in parts(selected) if name == "vision-predictor")
    labels = gpu["spec"]["template"]["metadata"]["labels"]
    assert predictor["nodeSelector"].items() <= labels.items()
    (taint,) = gpu["spec"]["template"]["spec"]["taints"]
    assert taint["key"] in {toleration["key"] for toleration in predictor["tolerations"]}


def test_pods_are_spread_over_zones_and_nodes(tmp_path: Path) -> None:
    for _, part in parts(render(combination(tmp_path, "base", ("high-availability",)))):
        keys = [entry["topologyKey"] for entry in part["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_by_tls_everybody_has_the_certificate_that_they_ask_for(tmp_path: Path) -> None:
    documents = render(combination(tmp_path, "overlays/production", ("accounts", "tls")))
    asking = [d for d in documents if "VISION_DATABASE_URL_FILE" in yaml.safe_dump(d)]
    assert len(asking) >= 4
    for document in asking:
        assert "mountPath: /authority" in yaml.safe_dump(document), document["metadata"]
    (settings,) = (
        d for d in of_kind(documents, "ConfigMap") if d["metadata"]["name"].startswith("accounts-")
    )
    assert settings["data"]["VISION_DATABASE_CA_FILE"] == "/authority/ca.crt"
    (edge,) = (d for d in of_kind(documents, "Deployment") if d["metadata"]["name"] == "edge")
    (container,) = edge["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    accounts = MANIFESTS / "components" / "accounts"
    secret = yaml.safe_load((accounts / "certificate.yaml").read_text())["resources"][0]
    files = secret["tls_certificate"]
    assert files["watched_directory"]["path"] == mounts["certificate"]
    assert files["certificate_chain"]["filename"] == f"{mounts['certificate']}/tls.crt"
    envoy = (accounts / "envoy.yaml").read_text()
    assert f"path: {mounts['configuration']}/certificate.yaml" in envoy
    # The key of Envoy's runtime that its route asks for is the one that is set.
    layers = yaml.safe_load(container["args"][container["args"].index("--config-yaml") + 1])
    ((key, percent),) = layers["layered_runtime"]["layers"][0]["static_layer"].items()
    assert f"runtime_key: {key}}}" in envoy
    assert percent == 100
    issued = {d["spec"]["secretName"] for d in of_kind(documents, "Certificate")}
    assert {"edge-tls", "accounts-database-tls"} <= issued
