from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from training.checkpoint import (
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from training.muon import Muon

OPTIMISERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.1),
    "muon": lambda p: Muon(p, lr=0.1),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    pixel, kernel = nn.Unflatten(1, (3, 1, 1)), nn.Conv2d(3, 4, 1)
    return nn.Sequential(pixel, kernel, nn.Flatten(), nn.ReLU(), nn.Linear(4, 2))


def steps(module: nn.Module, optimiser: torch.optim.Optimizer, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        loss = functional.mse_loss(module(torch.randn(5, 3, generator=generator)), torch.ones(5, 2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def test_round_trip(tmp_path: Path) -> None:
    tensors = {
        "network": {"a.weight": torch.randn(2, 3), "count": torch.tensor(7)},
        "random": {"torch": torch.get_rng_state()},
    }
    state = {"step": 12, "history": [{"lr": 0.1, "name": "é"}], "none": None}
    write_checkpoint(tmp_path / "x.safetensors", tensors, state)
    found, found_state = read_checkpoint(tmp_path / "x.safetensors")
    assert found_state == state
    assert set(found) == set(tensors)
    for group, members in tensors.items():
        assert set(found[group]) == set(members)
        for name, tensor in members.items():
            assert found[group][name].dtype == tensor.dtype
            assert torch.equal(found[group][name], tensor)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_training_goes_on_as_if_never_interrupted(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.safetensors"
    first = network()
    optimiser = OPTIMISERS[name](first.parameters())
    steps(first, optimiser, 3, 1)
    groups = {"network": first.state_dict(), "optimiser": optimiser_tensors(optimiser)}
    assert groups["optimiser"]
    write_checkpoint(path, groups, {})
    steps(first, optimiser, 3, 2)

    second = network()
    restored, _ = read_checkpoint(path)
    second.load_state_dict(restored["network"])
    again = OPTIMISERS[name](second.parameters())
    restore_optimiser(again, restored["optimiser"])
    steps(second, again, 3, 2)
    for expected, found in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_no_pickle_is_written_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, {"a": {"b": torch.ones(2)}}, {"step": 1})
    read_checkpoint(path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert content[8:9] == b"{"
    assert len(content) == 8 + length + 8


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises(SafetensorError):
        read_checkpoint(path)


def test_a_failed_write_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, {"a": {"b": torch.ones(1)}}, 1)

    def full(*_: object) -> NoReturn:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(path, {"a": {"b": torch.zeros(1)}}, 2)
    groups, state = read_checkpoint(path)
    assert (groups["a"]["b"].item(), state) == (1.0, 1)


def test_a_tensor_that_is_not_contiguous_is_written(tmp_path: Path) -> None:
    tensor: Tensor = torch.arange(6.0).reshape(2, 3).T
    write_checkpoint(tmp_path / "x.safetensors", {"a": {"b": tensor}}, None)
    assert torch.equal(read_checkpoint(tmp_path / "x.safetensors")[0]["a"]["b"], tensor)
