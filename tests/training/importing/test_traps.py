"""What goes wrong with networks of other people's: the message says what to do about it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.training.importing.conftest import SIDE, Flowers, Importer, flowers
from training.importing.__main__ import code_folder
from training.importing.errors import ImportRefusedError

HERE = f"{__name__}:"


class AlwaysDropping(Flowers):
    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(super().forward(images))


class Branching(Flowers):
    def forward(self, images: Tensor) -> Tensor:
        found = super().forward(images)
        return found if found.mean() > 0 else -found


class OneAtATime(Flowers):
    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).reshape(1, -1))


class NamedOutputs(Flowers):
    def forward(self, images: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        found = super().forward(images)
        return OrderedDict(aux=found * 2, scores=found)


class Infinite(Flowers):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / 0


class Versioned(Flowers):
    """As torchvision's MNASNet, which insists on the version of its weights."""

    _version = 2

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], *others: Any
    ) -> None:
        if local_metadata.get("version") != 2:
            raise ValueError("version should be 2")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        return [{"boxes": image.mean((0, 1))[:4] * self.scale} for image in images]


def no_module() -> str:
    return "not a network"


def saved(tmp_path: Path, network: nn.Module) -> Path:
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return saved(tmp_path, flowers())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (AlwaysDropping, "nn.Dropout"),
        (Branching, "torch.where"),
        (OneAtATime, r"one picture at a time .* x.flatten\(1\)"),
        (NamedOutputs, r"several outputs: aux \(5,\), scores \(5,\). Say with --output NAME"),
        (Infinite, "not finite"),
    ],
)
def test_a_network_that_cannot_be_served(
    network: Callable[..., Any], message: str, weights: Path, importer: Importer
) -> None:
    with pytest.raises(ImportRefusedError, match=message):
        importer(weights, network=f"{HERE}{network.__name__}")


def test_layers_that_have_a_version(weights: Path, importer: Importer) -> None:
    report = importer(weights, network=f"{HERE}Versioned")
    assert report["difference"] < 1e-5


def test_an_output_by_name(weights: Path, importer: Importer) -> None:
    report = importer(weights, network=f"{HERE}NamedOutputs", output="scores")
    assert report["difference"] < 1e-5


def test_a_whole_detector(tmp_path: Path, importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match=r"whole detector.*raw scores and boxes"):
        importer(saved(tmp_path, Detector()), network=f"{HERE}Detector")


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(
    kind: torch.dtype, tmp_path: Path, importer: Importer
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(flowers().to(kind).state_dict(), path)
    report = importer(path, network=f"{HERE}Flowers")
    assert report["difference"] < 1e-5


def test_a_pickled_module(tmp_path: Path, importer: Importer) -> None:
    path = tmp_path / "whole.pth"
    torch.save(flowers(), path)
    with pytest.raises(ImportRefusedError, match=r"torch.save\(model.state_dict\(\)"):
        importer(path, network=f"{HERE}Flowers")


@pytest.mark.parametrize("count", [4, 6])
def test_another_number_of_labels(count: int, weights: Path, importer: Importer) -> None:
    labels = tuple(map(str, range(count)))
    with pytest.raises(ImportRefusedError, match=rf"{count} labels for 5 outputs: --labels FILE"):
        importer(weights, network=f"{HERE}Flowers", labels=labels)


def test_no_labels(weights: Path, importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match=r"--labels FILE .* --numbered-labels"):
        importer(weights, network=f"{HERE}Flowers", labels=())
    report = importer(weights, network=f"{HERE}Flowers", labels=(), numbered=True)
    assert report["contract"]["labels"] == ["0", "1", "2", "3", "4"]


def test_no_recipe(weights: Path, importer: Importer) -> None:
    with pytest.raises(ImportRefusedError) as caught:
        importer(weights, network=f"{HERE}Flowers", recipe={"mode": "RGB"})
    for option in ("--recipe", "--size", "--resize", "--mean", "--std", "--pictures"):
        assert option in str(caught.value)


def test_a_recipe_that_cannot_be(weights: Path, importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match=r"recipe.*std"):
        recipe = {"mode": "RGB", "height": SIDE, "width": SIDE, "mean": [0, 0, 0], "std": [0, 1, 1]}
        frame = {"kind": "resize", "resize": {"exact": [SIDE, SIDE]}}
        importer(weights, network=f"{HERE}Flowers", recipe={**recipe, "frame": frame})


def test_no_network(weights: Path, importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match="--network module:callable"):
        importer(weights)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("nosuchmodule:Net", "--code FOLDER"),
        (f"{HERE}NoSuch", "has no 'NoSuch'"),
        (f"{HERE}no_module", "no torch.nn.Module"),
        ("plain", "expected module:callable"),
    ],
)
def test_a_network_that_is_not_there(
    network: str, message: str, weights: Path, importer: Importer
) -> None:
    with pytest.raises(ImportRefusedError, match=message):
        importer(weights, network=network)


def test_a_network_is_looked_for_beside_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, beside = tmp_path / "here", tmp_path / "mine"
    here.mkdir()
    beside.mkdir()
    monkeypatch.chdir(here)
    source = beside / "flowers.pt"
    assert code_folder("torchvision:resnet18", source) == here
    assert code_folder("nets.flowers:Flowers", source) == here
    (beside / "nets").mkdir()
    assert code_folder("nets.flowers:Flowers", source) == beside
    assert code_folder("nets.flowers:Flowers", None) == here
    assert code_folder("", source) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"classes": 7}, "--arguments"), ({"colour": 1}, "colour.*--arguments")],
)
def test_weights_of_another_network(
    arguments: dict[str, Any], message: str, weights: Path, importer: Importer
) -> None:
    with pytest.raises(ImportRefusedError, match=message):
        importer(weights, network=f"{HERE}Flowers", arguments=arguments)


def test_weights_that_lack_some(tmp_path: Path, importer: Importer) -> None:
    state = flowers().state_dict()
    del state["head.2.weight"]
    path = tmp_path / "weights.pt"
    torch.save(state, path)
    with pytest.raises(ImportRefusedError, match=r"needs 1 tensors .* head.2.weight"):
        importer(path, network=f"{HERE}Flowers")


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04broken"])
def test_a_file_that_is_none(content: bytes, tmp_path: Path, importer: Importer) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ImportRefusedError):
        importer(path, network=f"{HERE}Flowers")
