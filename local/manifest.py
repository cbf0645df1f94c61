"""How the two servers are started, read from the base manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from common.ports import LOCAL_HOST

MANIFEST = Path(__file__).parent.parent / "manifests" / "base" / "inferenceservice.yaml"


OVERRIDDEN_ARGUMENTS = ("http_port", "predictor_host")
OVERRIDDEN_ENVIRONMENT = ("VISION_HOST", "VISION_MODEL_ROOT")
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


DEFAULT = "vision"
"""The InferenceService of the base manifest."""


@cache
def manifests() -> dict[str, Path]:
    """The InferenceServices under ``manifests/`` by name, overlays and components left out."""
    found = {}
    for path in sorted(MANIFEST.parent.parent.glob("*/inferenceservice.yaml")):
        document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        found[str(document["metadata"]["name"])] = path
    return found


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
    alone: bool = False,
) -> tuple[Component, Component]:
    """Predictor and transformer as they run here.

    Args:
        models: revisions to hold instead of the manifest's, by model name, and more models of
            ``model_root``.
        path: of the InferenceService.
        alone: these models, and none of the manifest's others.

    Raises:
        ValueError: a model is neither in the manifest nor a folder of ``model_root``.
    """
    environment = {"VISION_HOST": LOCAL_HOST, "VISION_MODEL_ROOT": str(model_root)}
    predictor = read_component("predictor", path).with_overrides(
        {"http_port": str(ports.predictor_http)}, environment
    )
    transformer = read_component("transformer", path).with_overrides(
        {
            "http_port": str(ports.http),
            "predictor_host": f"{LOCAL_HOST}:{ports.predictor_http}",
        },
        environment,
    )
    if alone:
        predictor, transformer = _without_models(predictor), _without_models(transformer)
    if models:
        held = _models_of(predictor)
        added = [name for name in models if name not in held]
        for name in added:
            if not model_root.joinpath(name).is_dir():
                known = sorted({*held, *_folders_of(model_root)})
                raise ValueError(f"model {name!r} not found; available: {', '.join(known)}")
        predictor = with_models(predictor, models)
        transformer = replace(
            transformer, arguments=[*(f"--model={n}" for n in added), *transformer.arguments]
        )
    return predictor, transformer


def with_models(predictor: Component, models: dict[str, str]) -> Component:
    """The predictor with other revisions of the models it holds, and with more models."""
    held = _models_of(predictor)
    arguments = [f"--model={n}={revision}" for n, revision in models.items() if n not in held]
    for argument in predictor.arguments:
        name = argument.removeprefix("--model=").partition("=")[0]
        if argument.startswith("--model=") and name in models:
            argument = f"--model={name}={models[name]}"
        arguments.append(argument)
    return replace(predictor, arguments=arguments)


def _without_models(component: Component) -> Component:
    kept = [argument for argument in component.arguments if not argument.startswith("--model=")]
    return replace(component, arguments=kept)


def held_revisions(component: Component) -> dict[str, str]:
    """Revisions by model name, as a component's arguments say them; empty where they do not."""
    pairs = [a.removeprefix("--model=") for a in component.arguments if a.startswith("--model=")]
    return {name: revision for name, _, revision in (pair.partition("=") for pair in pairs)}


def _models_of(component: Component) -> list[str]:
    return list(held_revisions(component))


def _folders_of(model_root: Path) -> list[str]:
    return [p.name for p in model_root.iterdir() if p.is_dir()] if model_root.is_dir() else []


def model_names(path: Path = MANIFEST) -> list[str]:
    """The models that the service answers for."""
    return _models_of(read_component("transformer", path))


def manifest_revision(model: str) -> str | None:
    """The revision of a model that a manifest says; None where no manifest has it."""
    service = service_of(model)
    if service is None:
        return None
    return held_revisions(read_component("predictor", manifests()[service])).get(model)


def service_of(model: str) -> str | None:
    """The InferenceService whose manifest has a model; None where no manifest has it."""
    for name, path in manifests().items():
        if model in model_names(path):
            return name
    return None
