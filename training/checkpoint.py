"""Checkpoints without pickle: tensors as safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def write_checkpoint(path: Path, tensors: dict[str, dict[str, Tensor]], state: Any) -> None:
    """Write groups of tensors and a JSON-able state; the file is replaced whole or not at all."""
    flat = {
        f"{group}/{name}": tensor.detach().contiguous()
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    draft = path.with_suffix(".draft")
    save_file(flat, str(draft), metadata={"state": json.dumps(state)})
    os.replace(draft, path)


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """The inverse of ``write_checkpoint``."""
    groups: dict[str, dict[str, Tensor]] = {}
    with safe_open(str(path), framework="pt") as file:
        state = json.loads(file.metadata()["state"])
        for key in file.keys():  # noqa: SIM118  (safe_open is no mapping)
            group, name = key.split("/", 1)
            groups.setdefault(group, {})[name] = file.get_tensor(key)
    return groups, state


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's per-parameter state, flattened to ``<parameter>.<name>``."""
    return {
        f"{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, members in optimiser.state_dict()["state"].items()
        for name, value in members.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of ``optimiser_tensors``."""
    document = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    document["state"] = state
    optimiser.load_state_dict(document)
