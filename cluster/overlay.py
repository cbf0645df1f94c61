"""An overlay, rendered with the images at hand, applied and taken away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.commands import ROOT, ClusterError, read, run
from cluster.platform import step

OVERLAYS = ROOT / "manifests" / "overlays"
BUILD = ROOT / "build"
NAMESPACE = "vision"

SUMMARIES = ("PredictorReady", "TransformerReady", "IngressReady")
"""The conditions of an InferenceService that the others lead to."""


@dataclass(frozen=True)
class Overlay:
    """A folder below manifests/overlays.

    Attributes:
        repository, tag: of the images, in place of the overlay's own; empty: the overlay's.
    """

    name: str
    repository: str = ""
    tag: str = ""

    @property
    def folder(self) -> Path:
        folder = OVERLAYS / self.name
        if not (folder / "kustomization.yaml").exists():
            known = ", ".join(sorted(path.name for path in OVERLAYS.iterdir()))
            raise ClusterError(f"there is no overlay {self.name!r}; there are: {known}")
        return folder


def render(overlay: Overlay) -> Path:
    """Write ``build/<overlay>.yaml``, for ``kubectl apply -f``."""
    folder = overlay.folder
    if overlay.repository or overlay.tag:
        folder = _with_images(overlay)
    text = run("kubectl", "kustomize", str(folder))
    path = BUILD / f"{overlay.name.replace('/', '-')}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _with_images(overlay: Overlay) -> Path:
    """A kustomization around the overlay that only changes the images."""
    own = yaml.safe_load((overlay.folder / "kustomization.yaml").read_text(encoding="utf-8"))
    folder = BUILD / "overlays" / overlay.name
    folder.mkdir(parents=True, exist_ok=True)
    relative = "/".join([".."] * len(folder.relative_to(ROOT).parts))
    images = [
        {
            "name": image.get("newName", image["name"]),
            "newName": f"{overlay.repository}/{image['name']}"
            if overlay.repository
            else image.get("newName", image["name"]),
            "newTag": overlay.tag or image["newTag"],
        }
        for image in own.get("images", [])
    ]
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{relative}/{overlay.folder.relative_to(ROOT)}"],
        "images": images,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


def deploy(overlay: Overlay, timeout_seconds: float = 600) -> None:
    """Apply it and wait until every InferenceService is ready."""
    path = render(overlay)
    context = run("kubectl", "config", "current-context").strip()
    step(f"applying {path.relative_to(ROOT)} to {context}")
    run("kubectl", "apply", "-f", str(path), quiet=False)
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    for document in documents:
        if document["kind"] == "InferenceService":
            wait_ready(document["metadata"]["name"], timeout_seconds)


def undeploy(overlay: Overlay) -> None:
    """Take away what :func:`deploy` applied, the namespace with everything in it included."""
    path = render(overlay)
    run("kubectl", "delete", "--ignore-not-found", "-f", str(path), quiet=False)


def wait_ready(name: str, timeout_seconds: float) -> None:
    """Until an InferenceService is ready for its newest spec.

    ``kubectl wait`` may never end on one: KServe reports its Knative Services' generation as
    observed and not the InferenceService's own. So the condition alone is read, after the
    controller had a moment to see the change.

    Raises:
        ClusterError: not in time; with what its conditions say.
    """
    deadline = time.monotonic() + timeout_seconds
    time.sleep(2)
    said = ""
    while True:
        isvc = read(*("kubectl", "-n", NAMESPACE, "get", "inferenceservice", name), "-o", "json")
        lines = waiting_for(isvc)
        if not lines:
            step(f"{name} is ready: {isvc['status']['url']}")
            return
        if time.monotonic() > deadline:
            pods = run("kubectl", "-n", NAMESPACE, "get", "pods")
            text = "\n".join(lines)
            raise ClusterError(f"{name} is not ready after {timeout_seconds:.0f} s\n{text}\n{pods}")
        if (line := "; ".join(lines)) != said:
            said = line
            print(f"    {name}: {line}", flush=True)
        time.sleep(2)


def waiting_for(isvc: dict[str, Any]) -> list[str]:
    """Why an InferenceService is not ready yet; empty: it is."""
    status = isvc.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions", [])}
    if conditions.get("Ready", {}).get("status") == "True" and status.get("url"):
        components = status.get("components", {})
        behind = [
            f"{name}: {part.get('latestCreatedRevision')} is not ready"
            for name, part in components.items()
            if part.get("latestCreatedRevision") != part.get("latestReadyRevision")
        ]
        return sorted(behind)
    lines = [
        f"{kind}: {item.get('message') or item.get('reason') or item['status']}"
        for kind in SUMMARIES
        if (item := conditions.get(kind)) and item["status"] != "True"
    ]
    return lines or ["KServe has not looked at it yet"]
