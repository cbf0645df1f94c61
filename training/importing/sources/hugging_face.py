"""A folder of Hugging Face's: of ``transformers``, or of timm in that form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from training import torchvision_ops  # noqa: F401  # before torchvision, which both may import
from training.importing.errors import ImportRefusedError
from training.importing.networks import Built
from training.importing.recipes.from_hugging_face import read_processor
from training.importing.recipes.from_timm import read_configuration, read_labels
from training.importing.request import Request
from training.importing.source import Opened
from training.importing.sources.state_dict import (
    file_facts,
    load_weights,
    open_built,
    read_tensors,
)

CONFIGURATION = "config.json"
PROCESSOR = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
OWN_CODE = (
    "config.json names code of its own (auto_map), which is not run: give the weights with "
    "--network module:callable"
)


class HuggingFaceSource:
    """``config.json`` with weights beside it."""

    def recognises(self, request: Request) -> bool:
        return (request.path / CONFIGURATION).is_file()

    def open(self, request: Request) -> Opened:
        folder = request.path
        configuration = read_json(folder / CONFIGURATION)
        file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
        if file is None:
            raise ImportRefusedError(f"{folder.name} has none of {', '.join(WEIGHTS)} in it")
        facts = {"kind": "hugging-face", **file_facts(file)}
        if "pretrained_cfg" in configuration:
            built = _timm(configuration)
            load_weights(built, read_tensors(file), configuration["architecture"])
            return open_built(built, facts)
        return _transformers(folder, configuration, facts)


def _timm(configuration: Mapping[str, Any]) -> Built:
    if find_spec("timm") is None:
        raise ImportRefusedError("it is of timm, which is not installed: pip install timm")
    import timm

    pretrained = {**configuration["pretrained_cfg"]}
    for name in ("label_names", "label_descriptions"):
        if name in configuration:
            pretrained[name] = configuration[name]
    outputs = configuration.get("num_classes", pretrained.get("num_classes", 1000))
    arguments = configuration.get("model_args") or {}
    network = timm.create_model(
        configuration["architecture"], pretrained=False, num_classes=outputs, **arguments
    )
    labels = read_labels({"num_classes": outputs, **pretrained}, outputs)
    return Built(network, read_configuration(pretrained), labels, libraries=("timm",))


def _transformers(folder: Path, configuration: Mapping[str, Any], facts: dict[str, Any]) -> Opened:
    if configuration.get("auto_map"):
        raise ImportRefusedError(OWN_CODE)
    if find_spec("transformers") is None:
        raise ImportRefusedError(
            "it is of transformers, which is not installed: pip install transformers"
        )
    import transformers

    names = configuration.get("architectures") or ["AutoModelForImageClassification"]
    kind = getattr(transformers, names[0], None)
    if kind is None:
        raise ImportRefusedError(f"transformers {transformers.__version__} has no {names[0]}")
    try:
        network = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ImportRefusedError(f"transformers cannot open it: {error}") from None
    recipe: dict[str, Any] = {}
    unknown = f"there is no {PROCESSOR} in the folder"
    if (folder / PROCESSOR).is_file():
        recipe = read_processor(read_json(folder / PROCESSOR))
    named = configuration.get("id2label") or {}
    labels = tuple(str(named[key]) for key in sorted(named, key=int))
    facts = {**facts, "network": f"transformers:{names[0]}"}
    built = Built(network, recipe, labels, libraries=("transformers",), unknown=unknown)
    return open_built(built, facts)


def read_json(path: Path) -> dict[str, Any]:
    """An object; raises ImportRefusedError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImportRefusedError(f"{path.name}: {error}") from None
    if not isinstance(found, dict):
        raise ImportRefusedError(f"{path.name} must be a JSON object")
    return found


SOURCE = HuggingFaceSource()
