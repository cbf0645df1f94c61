"""One revision as the ServingRuntime serves it: both servers read it from one folder."""

from __future__ import annotations

from pathlib import Path

import yaml

from artifact import Contract, revisions_in
from common.ports import LOCAL_HOST
from common.processes import ROOT
from local.manifest import Component, Ports
from local.service import LocalService

RUNTIME = ROOT / "manifests" / "runtime" / "cluster" / "clusterservingruntime.yaml"
MOUNT = "/mnt/models"
"""Where KServe puts what ``storageUri`` names, in both containers."""

NAME = "{{.Name}}"
"""What KServe replaces by the name of the InferenceService."""

CONTAINERS = {"kserve-container": "predictor", "transformer-container": "transformer"}


class LocalRuntime(LocalService):
    """The two containers of the ServingRuntime's pod as processes on the loopback address.

    Args:
        ports: where they listen.
        interpreters: the Python of each component's own environment, by component name.
        folder: of one revision, or of a tree of them.
        name: that a single revision is served as; its card's where none is said.

    Raises:
        ArtifactError: the folder holds no revision, or an invalid one.
    """

    def __init__(
        self,
        ports: Ports,
        interpreters: dict[str, Path],
        folder: Path,
        name: str = "",
        log_folder: Path | None = None,
    ) -> None:
        folder = folder.resolve()
        found = revisions_in(folder)
        single = len(found) == 1 and found[0].folder == folder
        names = [name if single and name else revision.card.name for revision in found]
        self._held = dict(zip(names, found, strict=True))
        components = runtime_components(ports, folder, names[0])
        super().__init__(ports, interpreters, log_folder=log_folder, components=components)

    @property
    def revisions(self) -> dict[str, str]:
        return {name: revision.card.revision for name, revision in self._held.items()}

    @property
    def contracts(self) -> dict[str, Contract]:
        """By the name of the model."""
        return {name: revision.card.contract for name, revision in self._held.items()}


def runtime_components(ports: Ports, folder: Path, name: str) -> tuple[Component, Component]:
    """Predictor and transformer with the runtime's arguments, which name the folder instead."""
    containers = yaml.safe_load(RUNTIME.read_text(encoding="utf-8"))["spec"]["containers"]
    local = {
        "predictor": {"http_port": str(ports.predictor_http)},
        "transformer": {
            "http_port": str(ports.http),
            "predictor_host": f"{LOCAL_HOST}:{ports.predictor_http}",
        },
    }
    predictor, transformer = (
        Component(
            CONTAINERS[container["name"]],
            container["command"],
            [arg.replace(MOUNT, str(folder)).replace(NAME, name) for arg in container["args"]],
            {item["name"]: item["value"] for item in container["env"]},
        ).with_overrides(local[CONTAINERS[container["name"]]], {"VISION_HOST": LOCAL_HOST})
        for container in containers
    )
    return predictor, transformer
