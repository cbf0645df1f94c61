"""An overlay for models of one's own: another one's settings, with other models and revisions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from artifact import open_revision, revisions_of
from cluster.commands import ClusterError, run
from cluster.overlay import OVERLAYS, Overlay

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
