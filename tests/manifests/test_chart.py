"""The Helm chart holds what kustomize renders, by Helm 3 and by Helm 4."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.chart import templates
from cluster.images import project_version
from tests.manifests.helm import CHART, MAJORS, run_helm, template
from tests.manifests.rendering import combination, kubectl, render
from tests.manifests.schema import faults

Document = dict[str, Any]

SWITCHES = {
    "always-on": "alwaysOn",
    "high-availability": "highAvailability",
    "gpu": "gpu",
    "grpc": "grpc",
    "object-storage": "objectStorage",
    "otlp": "otlp",
    "rollout": "rollout",
    "monitoring": "monitoring",
    "roles": "roles",
    "accounts": "accounts",
    "domains": "domains",
    "shadow": "shadow",
    "tls": "tls",
    "node-kinds": "nodeKinds",
    "standard": "standard",
    "lifecycle": "lifecycle",
    "lifecycle-events": "lifecycle.events",
    "lifecycle-trainer": "lifecycle.trainer",
}
"""A component of the manifests, and what switches it on in the chart."""

TOGETHER = ("tls", "node-kinds", "standard", "lifecycle", "lifecycle-events", "lifecycle-trainer")
# Compared beside others alone, which most of them ask for.

COMBINATIONS: tuple[tuple[str, ...], ...] = (
    (),
    *((name,) for name in SWITCHES if name not in TOGETHER),
    ("gpu", "grpc", "object-storage"),
    ("monitoring", "otlp", "object-storage"),
    ("always-on", "gpu", "object-storage", "rollout", "accounts", "lifecycle"),
    ("high-availability", "grpc", "object-storage", "rollout", "accounts", "shadow", "tls"),
    ("standard", "node-kinds", "rollout", "lifecycle", "lifecycle-events", "lifecycle-trainer"),
)


def identity(document: Document) -> tuple[str, str]:
    # A Job's name ends in a digest of its image, a ConfigMap's in one of its text.
    name = document["metadata"]["name"]
    if document["kind"] in ("ConfigMap", "Job"):
        name = re.sub(r"-([a-z0-9]{10}|[0-9a-f]{8})$", "", name)
    return document["kind"], name


def normal(value: Any) -> Any:
    """The same for two documents that Kubernetes would treat alike."""
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and "name" in item for item in value):
            found = {item.get("mountPath", item["name"]): normal(item) for item in value}
            assert len(found) == len(value), "a name occurs twice"
            return found
        if value and all(isinstance(item, str) and item.startswith("--") for item in value):
            models = sorted(item for item in value if item.startswith("--model="))
            # Of a flag that is given twice the last one counts.
            flags = dict(item.partition("=")[::2] for item in value if item not in models)
            return models, flags
        return [normal(item) for item in value]
    if isinstance(value, dict):
        found = {key: normal(item) for key, item in value.items() if key != "namespace"}
        found.pop("checksum/settings", None)
        return {key: item for key, item in found.items() if key != "annotations" or item}
    if isinstance(value, str):
        value = re.sub(
            r"^(?:\S*/)?(vision-(?:accounts|lifecycle|predictor|transformer))(?::\S+)?$",
            r"\1",
            value,
        )
        return re.sub(r"^(accounts|edge|lifecycle-settings)-[a-z0-9]{10}$", r"\1", value)
    return value


def by_identity(documents: list[Document]) -> dict[tuple[str, str], Any]:
    found = {}
    for document in documents:
        if document["kind"] == "Namespace":
            continue  # Helm's --create-namespace makes it
        content = normal(document)
        content["metadata"].pop("name")
        assert identity(document) not in found
        found[identity(document)] = content
    return found


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("components", COMBINATIONS, ids="+".join)
def test_the_chart_is_what_kustomize_renders(
    major: int, components: tuple[str, ...], tmp_path: Path
) -> None:
    expected = by_identity(render(combination(tmp_path, "base", components)))
    given = by_identity(template(major, *(f"{SWITCHES[name]}.enabled=true" for name in components)))
    assert sorted(given) == sorted(expected)
    for name, document in expected.items():
        assert given[name] == document, name


@pytest.mark.parametrize("major", MAJORS)
def test_land_cover_is_what_kustomize_renders(major: int, tmp_path: Path) -> None:
    expected = by_identity(render(combination(tmp_path, "land-cover", ("node-kinds",))))
    switches = ("services.land-cover.enabled=true", "nodeKinds.enabled=true")
    given = by_identity(template(major, *switches))
    assert given["InferenceService", "land-cover"] == expected["InferenceService", "land-cover"]


def test_the_templates_are_written_from_the_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(kubectl()).parent
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name, text in templates().items():
        assert (CHART / "templates" / f"{name}.yaml").read_text() == text, "run `make chart`"


@pytest.mark.parametrize("major", MAJORS)
def test_a_release_has_no_fault_and_names_its_own_namespace(major: int) -> None:
    # `standard` is not beside accounts.
    switches = [f"{name}.enabled=true" for name in SWITCHES.values() if name != "standard"]
    documents = template(major, *switches, "runtime.enabled=true", namespace="customers")
    assert [fault for document in documents for fault in faults(document)] == []
    text = json.dumps(documents)
    assert "customers" in text
    assert "namespaces/vision" not in text
    assert ".vision.svc" not in text
    bindings = [d for d in documents if d["kind"] == "RoleBinding"]
    subjects = [subject for d in bindings for subject in d["subjects"]]
    assert {s["namespace"] for s in subjects if s["kind"] == "ServiceAccount"} == {"customers"}
    (runtime,) = (d for d in documents if d["kind"] == "ClusterServingRuntime")
    assert "--model_name={{.Name}}" in runtime["spec"]["containers"][0]["args"]


def test_what_a_release_sets_is_there() -> None:
    documents = template(
        *(4, "services.vision.models.mnist=1", "services.vision.canaryTrafficPercent=5"),
        *(
            "services.vision.predictor.env.VISION_LOG_LEVEL=DEBUG",
            "images.repository=example.com/v",
        ),
        *("services.vision.predictor.minReplicas=1", "images.tag=1.2.3"),
        f"images.digests.vision-transformer=sha256:{'0' * 64}",
        *("services.own.enabled=true", "services.own.models.flowers=7"),
    )
    services = {
        d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "InferenceService"
    }
    assert sorted(services) == ["own", "vision"]
    predictor = services["vision"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 5
    assert predictor["minReplicas"] == 1
    (container,) = predictor["containers"]
    assert "--model=mnist=1" in container["args"]
    assert container["image"] == "example.com/v/vision-predictor:1.2.3"
    assert [e["value"] for e in container["env"] if e["name"] == "VISION_LOG_LEVEL"] == ["DEBUG"]
    (transformer,) = services["vision"]["transformer"]["containers"]
    assert transformer["image"] == f"example.com/v/vision-transformer@sha256:{'0' * 64}"
    own = services["own"]["predictor"]["containers"][0]
    assert [a for a in own["args"] if a.startswith("--model=")] == ["--model=flowers=7"]


def test_settings_that_change_make_new_pods_and_other_images_a_new_migration() -> None:
    def seen(*switches: str) -> tuple[set[str], str]:
        documents = template(4, "accounts.enabled=true", *switches)
        sums = {
            d["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for d in documents
            if d["kind"] == "Deployment"
        }
        (job,) = (d["metadata"]["name"] for d in documents if d["kind"] == "Job")
        return sums, job

    sums, job = seen()
    assert seen() == (sums, job)
    other, _ = seen("accounts.settings.VISION_MAIL_FROM=a@example.org")
    assert not sums & other
    assert seen("images.tag=v9")[1] != job


@pytest.mark.parametrize(
    ("switch", "told"),
    [
        ("services.vision.modelz.mnist=2", "modelz"),
        ("services.vision.canaryTrafficPercent=101", "100"),
        ("services.Vision.enabled=true", "Vision"),
        ("objectStorage.uri=bucket/models", "uri"),
        ("accounts.edge.replicas=0", "replicas"),
        ("images.tag=latest", "tag"),
        ("tls.enabled=true", "accounts.enabled"),
        ("accounts.enabled=true,standard.enabled=true", "standard.enabled"),
        ("lifecycle.settings.registry=s3://vision", "registry"),
        ("hihgAvailability.enabled=true", "hihgAvailability"),
    ],
)
@pytest.mark.parametrize("major", MAJORS)
def test_a_wrong_value_is_named(major: int, switch: str, told: str) -> None:
    done = run_helm(
        major, "template", "vision", str(CHART), "--kube-version", "1.34", "--set", switch
    )
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize("major", MAJORS)
def test_helm_finds_no_fault(major: int) -> None:
    done = run_helm(major, "lint", "--strict", str(CHART), "--kube-version", "1.34")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("switch", ["accounts.enabled=false", "accounts.enabled=true"])
def test_the_notes_say_how_to_ask(switch: str) -> None:
    done = run_helm(
        *(4, "install", "vision", str(CHART), "--dry-run=client", "--namespace", "customers"),
        *("--set", switch),
    )
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "curl -H" in notes
    assert "-n customers" in notes
    assert ("Authorization" in notes) is switch.endswith("true")


def test_chart_images_and_project_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == project_version()
