"""Model cards for the transformer from a folder of revisions kept elsewhere: ``make cards``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artifact import open_revision, revisions_of
from cluster.commands import ROOT, ClusterError
from common.yaml_text import yaml_text

COMPONENT = ROOT / "manifests" / "components" / "cards"
MOUNT_PATH = "/mnt/cards"
LIMIT_BYTES = 1 << 20
"""The API server's, of one ConfigMap."""


def cards(root: Path) -> dict[str, str]:
    """The text of every card below a folder of revisions, by ``<name>/<revision>``.

    Raises:
        ClusterError: there is none, or they are more than a ConfigMap holds.
        ArtifactError: a card is invalid.
    """
    found: dict[str, str] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for revision in revisions_of(root, folder.name):
            open_revision(root, folder.name, revision)
            path = folder / revision / "model.json"
            found[f"{folder.name}/{revision}"] = path.read_text(encoding="utf-8")
    if not found:
        raise ClusterError(f"{root} holds no revisions, <name>/<number>/model.json")
    if (size := sum(map(len, found.values()))) > LIMIT_BYTES:
        raise ClusterError(f"{size} bytes of cards are more than a ConfigMap holds")
    return found


def write_component(root: Path, folder: Path = COMPONENT) -> list[str]:
    """Write the component's ConfigMap and the patch that mounts it.

    Returns:
        Which cards, as ``<name>/<revision>``.
    """
    found = cards(root)
    keys = {identity: f"{identity.replace('/', '.')}.json" for identity in found}
    configmap = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cards"},
        "data": {keys[identity]: text for identity, text in found.items()},
    }
    items = [{"key": key, "path": f"{identity}/model.json"} for identity, key in keys.items()]
    volume = {"name": "cards", "configMap": {"name": "cards", "items": items}}
    mount = {"name": "cards", "mountPath": MOUNT_PATH, "readOnly": True}
    container = "/spec/transformer/containers/0"
    patch = [
        {"op": "test", "path": f"{container}/env/0/name", "value": "VISION_MODEL_ROOT"},
        {"op": "replace", "path": f"{container}/env/0/value", "value": MOUNT_PATH},
        {"op": "add", "path": "/spec/transformer/volumes", "value": [volume]},
        {"op": "add", "path": f"{container}/volumeMounts", "value": [mount]},
    ]
    _write(folder / "configmap.yaml", configmap)
    _write(folder / "mount.yaml", patch)
    return sorted(found)


def _write(path: Path, document: Any) -> None:
    text = yaml_text(document)
    path.write_text(f"# Written by `make cards`.\n{text}", encoding="utf-8")
