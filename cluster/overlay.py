"""An overlay, rendered with the images at hand, applied and taken away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.answers import Answers
from cluster.commands import ROOT, ClusterError, run
from cluster.platform import step
from cluster.readiness import has_ended, wait_ready
from common.kubernetes import INFERENCE_SERVICE, JOB, Cluster, ObjectNotFoundError

OVERLAYS = ROOT / "manifests" / "overlays"
BUILD = ROOT / "build"
NAMESPACE = "vision"

RUNTIME_IMAGES = ROOT / "manifests" / "runtime" / "cluster" / "images.yaml"
"""Where kustomize finds the images of a ServingRuntime, which it does not know."""

PERCENT = "canaryTrafficPercent"


@dataclass(frozen=True)
class Overlay:
    """A folder below manifests/overlays.

    Attributes:
        repository, tag: of the images, instead of the overlay's own; empty: the overlay's.
    """

    name: str
    repository: str = ""
    tag: str = ""

    @property
    def folder(self) -> Path:
        folder = OVERLAYS / self.name
        if not (folder / "kustomization.yaml").exists():
            known = ", ".join(sorted(path.name for path in OVERLAYS.iterdir()))
            raise ClusterError(f"overlay {self.name!r} not found; available: {known}")
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
            "newName": f"{overlay.repository}/{image['name'].rpartition('/')[2]}"
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
        "configurations": [RUNTIME_IMAGES.name],
    }
    (folder / RUNTIME_IMAGES.name).write_bytes(RUNTIME_IMAGES.read_bytes())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Deployed:
    """What a deployment is to end with.

    Attributes:
        address: of the gateway; empty: asked of the cluster.
        models: folder of revisions, whose cards say what to ask a model.
        force: a split that is there is taken away: what is deployed gets everything.
        timeout_seconds: for everything to be ready, and again for a first right answer.
    """

    address: str = ""
    models: Path = ROOT / "models"
    force: bool = False
    timeout_seconds: float = 600.0


def deploy(overlay: Overlay, wanted: Deployed = Deployed()) -> None:
    """Apply it, wait for all of it, and for a right answer of every model.

    Raises:
        ClusterError: something is not ready, or answers wrong, or a split stays.
    """
    path = render(overlay)
    context = run("kubectl", "config", "current-context").strip()
    documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]
    names = [d["metadata"]["name"] for d in documents if d["kind"] == "InferenceService"]
    with Cluster.connect(NAMESPACE) as cluster:
        clear_jobs(cluster, [d["metadata"]["name"] for d in documents if d["kind"] == "Job"])
        step(f"applying {path.relative_to(ROOT)} to {context}")
        run("kubectl", "apply", "-f", str(path), quiet=False)
        wait_ready(cluster, documents, wanted.timeout_seconds)
        for name in names:
            end_split(cluster, name, wanted)
        answers = Answers(cluster, wanted.address, wanted.models)
        for name in names:
            answers.await_right(cluster.get(INFERENCE_SERVICE, name), wanted.timeout_seconds)
            step(f"{name} is deployed")


def clear_jobs(cluster: Cluster, names: list[str]) -> None:
    """Take away those that have ended: what is applied runs anew, and a Job cannot be changed."""
    for name in names:
        try:
            ended = has_ended(cluster.get(JOB, name))
        except ObjectNotFoundError:
            continue
        if ended:
            cluster.delete(JOB, name)


def end_split(cluster: Cluster, name: str, wanted: Deployed) -> None:
    """Give what was deployed everything, now that it is ready.

    Not sooner: `kubectl apply` leaves the split as it is, so that until here the revision that is
    rolled out has kept its share.

    Raises:
        ClusterError: there is a split, and nobody said to end it.
    """
    isvc = cluster.get(INFERENCE_SERVICE, name)
    percent = isvc["spec"]["predictor"].get(PERCENT)
    if percent is None:
        return
    if not wanted.force:
        raise ClusterError(
            f"{name} was deployed under a split: {percent} % go to what was deployed, the rest to "
            "what ran before; `make promote` or `make rollback` ends it, or FORCE=1 here"
        )
    step(f"{name}: the split of {percent} % ends")
    cluster.patch(INFERENCE_SERVICE, name, {"spec": {"predictor": {PERCENT: None}}})
    wait_rolled_out(cluster, name, wanted.timeout_seconds)


def wait_rolled_out(cluster: Cluster, name: str, timeout_seconds: float) -> None:
    """Until KServe has given the newest predictor all traffic."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        isvc = cluster.get(INFERENCE_SERVICE, name)
        predictor = ((isvc.get("status") or {}).get("components") or {}).get("predictor") or {}
        latest = predictor.get("latestCreatedRevision")
        shares = {
            (line.get("revisionName"), line.get("percent"))
            for line in predictor.get("traffic") or []
            if line.get("percent")
        }
        if latest == predictor.get("latestRolledoutRevision") and shares == {(latest, 100)}:
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"{name}: {latest} was not given all traffic: {sorted(shares)}")
        time.sleep(2)


def undeploy(overlay: Overlay) -> None:
    """Take away what :func:`deploy` applied, the namespace with everything in it included."""
    path = render(overlay)
    run("kubectl", "delete", "--ignore-not-found", "-f", str(path), quiet=False)
