"""A model folder of MLflow's: ``MLmodel`` says which flavours lie in it.

https://mlflow.org/docs/latest/model/; MLflow itself is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from artifact import ArtifactError, ImageInput, ModelCard
from training.importing.archive import EXPORTED, kind_of
from training.importing.errors import ImportRefusedError
from training.importing.request import Request
from training.importing.source import Opened
from training.importing.sources.exported_program import open_exported
from training.importing.sources.hugging_face import SOURCE as HUGGING_FACE
from training.importing.sources.onnx_file import SOURCE as ONNX

FILE = "MLmodel"
CARD = "vision/model.json"
"""Where `vision registry export` puts the card of a revision."""
PICKLED = (
    "MLflow has kept it as a pickled module, which runs code when it is opened and needs the code "
    "that wrote it. Log it as a program, mlflow.pytorch.log_model(…, serialization_format='pt2'), "
    "or save its state dict and give it with --network module:callable"
)


class MlflowSource:
    """The flavours ``onnx``, ``transformers``, and ``pytorch`` where it is a program."""

    def recognises(self, request: Request) -> bool:
        return (request.path / FILE).is_file()

    def open(self, request: Request) -> Opened:
        folder = request.path
        try:
            described = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
            flavours: Mapping[str, Any] = described["flavors"]
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise ImportRefusedError(f"{FILE} cannot be read: {error}") from None
        opened = self._open(folder, flavours, request)
        if (folder / CARD).is_file():
            opened = _as_its_card_says(opened, folder / CARD)
        facts = {**opened.facts, "kind": f"mlflow, {opened.facts['kind']}"}
        if run := described.get("run_id"):
            facts["run"] = str(run)
        return replace(opened, facts=facts)

    def _open(self, folder: Path, flavours: Mapping[str, Any], request: Request) -> Opened:
        if "onnx" in flavours:
            inner = _inside(folder, flavours["onnx"].get("data", "model.onnx"))
            if inner.is_dir():
                inner = inner / "model.onnx"
            return ONNX.open(replace(request, source=str(inner)))
        if "transformers" in flavours:
            inner = _inside(folder, flavours["transformers"].get("model_binary", "model"))
            return HUGGING_FACE.open(replace(request, source=str(inner)))
        if "pytorch" in flavours:
            inner = _inside(folder, flavours["pytorch"].get("model_data", "data"))
            for path in sorted(inner.rglob("*")) if inner.is_dir() else [inner]:
                if kind_of(path) == EXPORTED:
                    return open_exported(path)
            raise ImportRefusedError(PICKLED)
        raise ImportRefusedError(
            f"its flavours are {', '.join(sorted(flavours))}; one of onnx, transformers and "
            "pytorch is needed"
        )


def _as_its_card_says(opened: Opened, path: Path) -> Opened:
    """With the labels and the recipe of a revision that was exported from here."""
    try:
        contract = ModelCard.from_json(path.read_bytes()).contract
    except (OSError, ArtifactError) as error:
        raise ImportRefusedError(f"{CARD} is no model card: {error}") from None
    if not isinstance(contract.input, ImageInput):
        return opened
    described = json.loads(path.read_bytes())["contract"]["input"]
    recipe = {name: value for name, value in described.items() if name not in ("name", "dtype")}
    recipe.setdefault("polarity", contract.input.polarity)
    recipe.setdefault("frame", {"kind": contract.input.frame.kind})
    return replace(opened, recipe=recipe, labels=contract.labels)


def _inside(folder: Path, name: str) -> Path:
    found = (folder / str(name)).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise ImportRefusedError(f"{FILE} points outside its folder: {name}")
    return found


SOURCE = MlflowSource()
