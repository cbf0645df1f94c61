"""How the two servers are started, read from the base manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MANIFEST = Path(__file__).parent.parent / "manifests" / "base" / "inferenceservice.yaml"

LAND_COVER = MANIFEST.parent.parent / "land-cover" / "inferenceservice.yaml"
MANIFESTS = {"vision": MANIFEST, "land-cover": LAND_COVER}
"""The InferenceServices, by name."""

LOCAL_HOST = "127.0.0.1"

OVERRIDDEN_ARGUMENTS = ("http_port", "grpc_port", "predictor_host")
OVERRIDDEN_ENVIRONMENT = ("HOST", "MODEL_ROOT")
"""All that differs from the cluster; on a cluster KServe sets ``predictor_host`` itself."""


@dataclass(frozen=True)
class Component:
    """One server of the InferenceService: its command, arguments and environment."""

    name: str
    command: list[str]
    arguments: list[str]
    environment: dict[str, str]

    def with_overrides(self, arguments: dict[str, str], environment: dict[str, str]) -> Component:
        """The component with local values in place of the manifest's."""
        assert set(arguments) <= set(OVERRIDDEN_ARGUMENTS)
        assert set(environment) <= set(OVERRIDDEN_ENVIRONMENT)
        kept = [a for a in self.arguments if a.split("=")[0].lstrip("-") not in arguments]
        added = [f"--{name}={value}" for name, value in arguments.items()]
        return Component(self.name, self.command, kept + added, {**self.environment, **environment})


@dataclass(frozen=True)
class Ports:
    """TCP ports on the loopback address."""

    http: int
    predictor_http: int
    predictor_grpc: int


def read_component(name: str, path: Path = MANIFEST) -> Component:
    """The ``predictor`` or ``transformer`` of the InferenceService in ``path``."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    (container,) = document["spec"][name]["containers"]
    environment = {item["name"]: item["value"] for item in container.get("env", [])}
    return Component(name, container["command"], container["args"], environment)


def local_components(
    ports: Ports,
    model_root: Path,
    models: dict[str, str] | None = None,
    path: Path = MANIFEST,
) -> tuple[Component, Component]:
    """Predictor and transformer as they run here.

    Args:
        models: revisions to hold in place of the manifest's, by model name.
        path: of the InferenceService.
    """
    environment = {"HOST": LOCAL_HOST, "MODEL_ROOT": str(model_root)}
    predictor = read_component("predictor", path).with_overrides(
        {"http_port": str(ports.predictor_http), "grpc_port": str(ports.predictor_grpc)},
        environment,
    )
    transformer = read_component("transformer", path).with_overrides(
        {
            "http_port": str(ports.http),
            "predictor_host": f"{LOCAL_HOST}:{ports.predictor_grpc}",
        },
        environment,
    )
    if models:
        predictor = with_models(predictor, models)
    return predictor, transformer


def with_models(predictor: Component, models: dict[str, str]) -> Component:
    """The predictor with other revisions of the models it holds."""
    held = [a.split("=")[1] for a in predictor.arguments if a.startswith("--model=")]
    for name in models:
        if name not in held:
            raise ValueError(f"there is no model {name!r} here; there are: {', '.join(held)}")
    arguments = []
    for argument in predictor.arguments:
        name = argument.removeprefix("--model=").partition("=")[0]
        if argument.startswith("--model=") and name in models:
            argument = f"--model={name}={models[name]}"
        arguments.append(argument)
    return Component(predictor.name, predictor.command, arguments, predictor.environment)


def model_names(path: Path = MANIFEST) -> list[str]:
    """The models that the service answers for."""
    arguments = read_component("transformer", path).arguments
    return [a.removeprefix("--model=") for a in arguments if a.startswith("--model=")]


def service_of(model: str) -> str:
    """The InferenceService that answers for a model.

    Raises:
        ValueError: none does.
    """
    for name, path in MANIFESTS.items():
        if model in model_names(path):
            return name
    raise ValueError(f"no service answers for a model {model!r}")
