"""An overlay for models of one's own: another one's settings, with other models and revisions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from artifact import open_revision, revisions_of
from artifact.address import Address
from cluster.commands import ClusterError, run
from cluster.gateway import FORMAT
from cluster.overlay import NAMESPACE, OVERLAYS, RUNTIME_IMAGES, Overlay

SERVICE = "vision"
MODEL = "--model="
FILE = "revisions.yaml"
SERVERS = ("predictor", "transformer")

KUSTOMIZATION = """\
# Written by `make overlay`: as overlays/{base}, with the models of {file}.
"""
REVISIONS = """\
# Written by `make overlay`, then by `make promote` and `make rollback`: the revision of each model.
"""


PODS = "services.yaml"
POD_KUSTOMIZATION = """\
# Written by `make overlay`: one pod a model, each with its revision from {store}.
"""
POD_SERVICES = """\
# Written by `make overlay`. `make promote` and `make rollback` say what storageUri is to become.
"""
STORES = ("s3://", "gs://", "pvc://", "hf://", "oci://", "oci+native://")
"""What KServe fetches from."""


def revisions_to_serve(root: Path, names: list[str]) -> dict[str, str]:
    """The revision of each model, ``NAME`` for the newest or ``NAME=REVISION``.

    Raises:
        ClusterError: the folder has no such model.
        ArtifactError: there is no such revision, or its card is invalid.
    """
    found = {}
    for item in names:
        name, _, revision = item.partition("=")
        there = revisions_of(root, name)
        if not there:
            known = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir()))
            raise ClusterError(f"model {name!r} not found in {root}; available: {known}")
        found[name] = open_revision(root, name, revision or there[-1]).card.revision
    return found


def write_overlay(name: str, base: Overlay, revisions: Mapping[str, str]) -> Path:
    """Write ``manifests/overlays/<name>``, which must not be there.

    Returns:
        The folder.

    Raises:
        ClusterError: it is there, or the base has no InferenceService of the classifiers.
    """
    folder = OVERLAYS / name
    if folder.exists():
        raise ClusterError(f"overlay {name!r} is there already, in {folder}")
    own = yaml.safe_load((base.folder / "kustomization.yaml").read_text(encoding="utf-8"))
    document = {
        **own,
        "resources": [r for r in own["resources"] if r != FILE] + [FILE],
        "patches": [*own.get("patches", []), _arguments(base, revisions)],
        "replacements": [_replacement(model, f"{name}-revisions") for model in revisions],
    }
    listed = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{name}-revisions",
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "data": dict(revisions),
    }
    folder.mkdir(parents=True)
    head = KUSTOMIZATION.format(base=base.name, file=FILE)
    _write(folder / "kustomization.yaml", head, document)
    _write(folder / FILE, REVISIONS, listed)
    return folder


def write_pods_overlay(name: str, base: Overlay, revisions: Mapping[str, str], store: str) -> Path:
    """Write ``manifests/overlays/<name>``: an InferenceService of one pod for each model.

    Args:
        base: whose images it has.
        store: where ``<model>/<revision>`` (``<model>:<revision>`` of images) lie.

    Returns:
        The folder.

    Raises:
        ClusterError: it is there, or KServe fetches nothing from such a store.
    """
    if not store.startswith(STORES):
        raise ClusterError(f"STORAGE={store}: KServe fetches from {', '.join(STORES)}")
    folder = OVERLAYS / name
    if folder.exists():
        raise ClusterError(f"overlay {name!r} is there already, in {folder}")
    own = yaml.safe_load((base.folder / "kustomization.yaml").read_text(encoding="utf-8"))
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": ["../../runtime/namespaced", PODS],
        "images": _of_the_runtime(own["images"]),
        "configurations": [RUNTIME_IMAGES.name],
    }
    services = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": SERVICE},
            "automountServiceAccountToken": False,
        },
        *(_pod(model, Address.within(store, model, revisions[model])) for model in revisions),
    ]
    folder.mkdir(parents=True)
    head = POD_KUSTOMIZATION.format(store=store)
    _write(folder / "kustomization.yaml", head, document)
    (folder / RUNTIME_IMAGES.name).write_bytes(RUNTIME_IMAGES.read_bytes())
    text = yaml.safe_dump_all(services, sort_keys=False, width=100)
    (folder / PODS).write_text(POD_SERVICES + text, encoding="utf-8")
    return folder


def _pod(model: str, uri: str) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": model,
            "annotations": {
                "serving.kserve.io/deploymentMode": "Knative",
                "serving.kserve.io/enable-tag-routing": "true",
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": 0,
                # The network policies of manifests/base let this one in, and out to names.
                "labels": {"component": "transformer"},
                "serviceAccountName": SERVICE,
                "model": {"modelFormat": {"name": FORMAT}, "storageUri": uri},
            }
        },
    }


def _of_the_runtime(images: list[dict[str, str]]) -> list[dict[str, str]]:
    """An overlay's images, by the names that the ServingRuntime's own kustomization gives them."""
    path = RUNTIME_IMAGES.parent / "kustomization.yaml"
    named = yaml.safe_load(path.read_text(encoding="utf-8"))["images"]
    names = {image["name"]: image["newName"] for image in named}
    return [{**image, "name": names[image["name"]]} for image in images if image["name"] in names]


def _arguments(base: Overlay, revisions: Mapping[str, str]) -> dict[str, Any]:
    """A patch that gives both servers these models instead of the base's."""
    rendered = yaml.safe_load_all(run("kubectl", "kustomize", str(base.folder)))
    services = [d for d in rendered if d and d["kind"] == "InferenceService"]
    service = next((d for d in services if d["metadata"]["name"] == SERVICE), None)
    if service is None:
        raise ClusterError(f"overlay {base.name!r} has no InferenceService {SERVICE}")
    operations = []
    for server in SERVERS:
        (container,) = service["spec"][server]["containers"]
        kept = [argument for argument in container["args"] if not argument.startswith(MODEL)]
        with_revision = server == "predictor"
        models = [
            f"{MODEL}{model}={revision}" if with_revision else f"{MODEL}{model}"
            for model, revision in revisions.items()
        ]
        path = f"/spec/{server}/containers/0/args"
        operations.append({"op": "replace", "path": path, "value": [*models, *kept]})
    target = {"kind": "InferenceService", "name": SERVICE}
    return {"target": target, "patch": yaml.safe_dump(operations, sort_keys=False, width=100)}


def _replacement(model: str, configmap: str) -> dict[str, Any]:
    """What puts a model's revision into the predictor's argument."""
    path = f"spec.predictor.containers.[name=kserve-container].args.[=^{MODEL}{model}=]"
    return {
        "source": {"kind": "ConfigMap", "name": configmap, "fieldPath": f"data.{model}"},
        "targets": [
            {
                "select": {"kind": "InferenceService", "name": SERVICE},
                "fieldPaths": [path],
                "options": {"delimiter": "=", "index": 2},
            }
        ],
    }


def _write(path: Path, head: str, document: Any) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    path.write_text(head + text, encoding="utf-8")
