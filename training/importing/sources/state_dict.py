"""A state dict, in PyTorch's own format or in safetensors, for a network given by name.

Also a library's network by its name alone, with random weights, for a trial.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artifact import sha256_of
from training.importing.errors import ImportRefusedError, first_line
from training.importing.networks import Built, build, is_named
from training.importing.pytorch import answer_with, export_module, ready
from training.importing.request import Request
from training.importing.source import Opened

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors")
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
"""Under which training scripts keep the state dict in a file with more in it."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""That DataParallel, torch.compile and training frameworks put before every name."""

COUNTER = "num_batches_tracked"

PICKLED = (
    "{name} holds Python objects ({found}), and not only tensors: opening it would run its code, "
    "and needs the very code that wrote it. Where it was trained, write the tensors alone: "
    "torch.save(model.state_dict(), 'weights.pt'); then give them with --network module:callable"
)
NO_NETWORK = (
    "a state dict has no network in it: say --network module:callable (a class or function of "
    "yours, --code FOLDER says where it is), torchvision:NAME or timm:NAME"
)
NO_WEIGHTS = (
    "{name} has no weights: give their file, as `vision import MODEL FILE --network {name}`; or "
    "--seed 0 for random ones, for a trial"
)


class StateDictSource:
    """Weights whose network is given by name."""

    def recognises(self, request: Request) -> bool:
        if is_named(request.source):
            return True
        return request.path.suffix in SUFFIXES and request.path.is_file()

    def open(self, request: Request) -> Opened:
        named = is_named(request.source)
        name = request.source if named else request.network
        if not name:
            raise ImportRefusedError(NO_NETWORK)
        if named and request.seed is None:
            raise ImportRefusedError(NO_WEIGHTS.format(name=name))
        torch.manual_seed(request.seed or 0)
        built = build(name, request)
        facts: dict[str, Any] = {"network": name, "arguments": request.arguments}
        if named:
            facts |= {"kind": "random-weights", "seed": request.seed}
        else:
            load_weights(built, read_tensors(request.path), name)
            facts |= {"kind": "state-dict", **file_facts(request.path)}
        return open_built(built, facts)


def open_built(built: Built, facts: dict[str, Any]) -> Opened:
    """A network that has its weights."""
    weights = {k: v.detach().clone() for k, v in built.network.state_dict().items()}
    network, notes = ready(built.network)
    return Opened(
        answer=answer_with(network),
        to_onnx=lambda example, names: export_module(network, example, names),
        recipe=built.recipe,
        labels=built.labels,
        weights=weights,
        facts=facts,
        libraries=("torch", *built.libraries),
        notes=notes,
        unknown=built.unknown,
    )


def file_facts(path: Path) -> dict[str, Any]:
    """Name and digest of what was imported."""
    return {"file": path.name, "sha256": sha256_of(path.read_bytes())}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        ImportRefusedError: it holds other things, or none.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ImportRefusedError(f"{path.name} is no safetensors file: {error}") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise ImportRefusedError(
            PICKLED.format(name=path.name, found=named[1] if named else "a pickle")
        ) from None
    except (RuntimeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ImportRefusedError(
            f"{path.name} is no file of torch.save: {first_line(error)}"
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
            break
    if not isinstance(found, Mapping):
        raise ImportRefusedError(f"{path.name} holds a {type(found).__name__}, and no state dict")
    tensors = {str(k): v for k, v in found.items() if isinstance(v, Tensor)}
    if not tensors:
        keys = ", ".join(sorted(map(str, found))[:10])
        raise ImportRefusedError(f"{path.name} holds no tensors by name, but: {keys}")
    return tensors


def load_weights(built: Built, tensors: dict[str, Tensor], name: str) -> None:
    """Give a network its weights.

    Raises:
        ImportRefusedError: they are another network's.
    """
    expected = {k: tuple(v.shape) for k, v in built.network.state_dict().items()}
    tensors = unprefixed(tensors, set(expected))
    found = {k: tuple(v.shape) for k, v in tensors.items()}
    # Files of old versions of PyTorch do not count batches.
    missing = sorted(k for k in expected.keys() - found.keys() if not k.endswith(COUNTER))
    if missing:
        raise ImportRefusedError(
            f"{name} needs {len(missing)} tensors that the file has not: {', '.join(missing[:4])}, "
            f"…; the file has {', '.join(sorted(found)[:4])}, …: is it another network's?"
        )
    if more := sorted(found.keys() - expected.keys()):
        raise ImportRefusedError(
            f"the file has {len(more)} tensors that {name} has not: {', '.join(more[:4])}, …: "
            "say with --arguments '{…}' how the network was built"
        )
    for key, shape in expected.items():
        if found.get(key, shape) != shape:
            raise ImportRefusedError(
                f"{key} is {found[key]} in the file, but {shape} in {name}: say with --arguments "
                "how the network was built, for example --arguments "
                f"'{{\"num_classes\": {found[key][0] if found[key] else 1}}}'"
            )
    # Over the network's own: so a counter that is missing is there, and so are the versions of its
    # layers, which some of torchvision's insist on and a file of tensors alone does not have.
    state = built.network.state_dict()
    state.update(tensors)
    built.network.load_state_dict(state)


def unprefixed(tensors: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Without what training put before every name, where the names then fit."""
    for _ in range(2):
        if tensors.keys() & expected:
            break
        for prefix in PREFIXES:
            if all(key.startswith(prefix) for key in tensors):
                tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


SOURCE = StateDictSource()
