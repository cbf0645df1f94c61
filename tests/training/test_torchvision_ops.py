from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from training import torchvision_ops


class Recorder:
    """Stands in for ``torch.library.Library``, which refuses a second definition."""

    def __init__(self, namespace: str, kind: str) -> None:
        self.namespace, self.kind = namespace, kind
        self.schemas: list[str] = []

    def define(self, schema: str) -> None:
        self.schemas.append(schema)


def run(monkeypatch: pytest.MonkeyPatch, loads: bool) -> Any:
    def load_library(path: str) -> None:
        if not loads:
            raise OSError("undefined symbol")

    def one_library(folder: Path, pattern: str) -> list[Path]:
        return [folder / "_C.so"]

    monkeypatch.setattr(torch.library, "Library", Recorder)
    monkeypatch.setattr(torch.ops, "load_library", load_library)
    monkeypatch.setattr(Path, "glob", one_library)
    return runpy.run_path(str(torchvision_ops.__file__))["declared"]


def test_nothing_is_declared_where_the_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, loads=True) is None


def test_the_operators_are_declared_where_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = run(monkeypatch, loads=False)
    assert isinstance(declared, Recorder)
    assert (declared.namespace, declared.kind) == ("torchvision", "DEF")
    assert [schema.partition("(")[0] for schema in declared.schemas] == ["nms", "qnms"]


def test_either_way_the_operators_are_there() -> None:
    assert hasattr(torch.ops.torchvision, "nms")
    assert torchvision_ops.datasets.MNIST
    assert torchvision_ops.v2.Compose
