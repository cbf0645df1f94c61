"""Networks of torchvision, timm and Hugging Face, with random weights, tried on photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from artifact import Contract
from artifact.card import read_contract
from artifact.fields import Fields
from predictor.engines.onnx_runtime import OnnxSession
from tests.training.importing.conftest import Importer
from training import torchvision_ops  # noqa: F401  # before torchvision
from training.importing.errors import ImportRefusedError
from transformer.pictures.preprocess import prepare

# Each exports a network; the warnings are of the libraries, about themselves.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
    return coarse.resize((320, 240), Image.Resampling.BICUBIC)


def served(report: dict[str, Any], out: Path, picture: Image.Image) -> np.ndarray:
    """What the transformer and the predictor would answer."""
    contract = Fields(report).read("contract", read_contract)
    assert isinstance(contract, Contract)
    session = OnnxSession((out / "model.onnx").read_bytes(), contract)
    (found,) = session.run(prepare(picture, contract.input).tensor[np.newaxis])
    return found[0]


def probabilities(network: torch.nn.Module, tensor: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        found = network.eval()(tensor[None])
    found = getattr(found, "logits", found)
    return torch.softmax(found, 1)[0].numpy()


def save(path: Path, network: torch.nn.Module) -> Path:
    torch.save(network.state_dict(), path)
    return path


def test_torchvision(tmp_path: Path, importer: Importer, picture: Image.Image) -> None:
    from torchvision import models

    torch.manual_seed(4)
    network = models.mobilenet_v3_small()
    file = save(tmp_path / "weights.pth", network)
    given = {"network": "torchvision:mobilenet_v3_small", "labels": (), "recipe": {}}
    with pytest.raises(ImportRefusedError, match=r"--pretrained NAME.*\(IMAGENET1K_V1\)"):
        importer(file, **given)
    report = importer(file, **given, pretrained="IMAGENET1K_V1")
    transforms = models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.transforms()
    expected = probabilities(network, transforms(picture))
    assert np.abs(served(report, tmp_path / "out", picture) - expected).max() < 1e-6
    assert report["contract"]["labels"][282] == "tiger cat"
    assert set(report["libraries"]) == {"torch", "torchvision"}


def test_torchvisions_own_file_says_which_weights_it_has(
    tmp_path: Path, importer: Importer
) -> None:
    from torchvision import models

    name = models.MobileNet_V3_Small_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    file = save(tmp_path / name, models.mobilenet_v3_small())
    report = importer(file, network="torchvision:mobilenet_v3_small", labels=(), recipe={})
    assert report["contract"]["input"]["frame"]["resize"] == {"short_side": 256}


def test_a_network_without_weights(importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match=r"MODEL FILE --network .* --seed 0"):
        importer("torchvision:resnet18", labels=(), recipe={})


@pytest.mark.parametrize("name", ["torchvision:nosuch", "timm:nosuch"])
def test_a_network_that_a_library_has_not(name: str, importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match="nosuch"):
        importer(name, seed=0)


def test_a_fine_tuned_network_says_how_it_was_built(tmp_path: Path, importer: Importer) -> None:
    from torchvision import models

    file = save(tmp_path / "weights.pth", models.mobilenet_v3_small(num_classes=5))
    given = {"network": "torchvision:mobilenet_v3_small", "pretrained": "IMAGENET1K_V1"}
    with pytest.raises(ImportRefusedError, match=r"""--arguments '{"num_classes": 5}'"""):
        importer(file, **given, recipe={})
    report = importer(file, **given, recipe={}, arguments={"num_classes": 5})
    assert report["contract"]["labels"] == ["daisy", "rose", "tulip", "poppy", "iris"]


def test_timm(tmp_path: Path, importer: Importer, picture: Image.Image) -> None:
    import timm
    from timm.data import create_transform, resolve_data_config

    torch.manual_seed(4)
    network = timm.create_model("mobilenetv3_small_050", pretrained=False)
    file = save(tmp_path / "weights.pth", network)
    report = importer(file, network="timm:mobilenetv3_small_050", labels=(), recipe={})
    transform = create_transform(**resolve_data_config({}, model=network))
    expected = probabilities(network, transform(picture))
    assert np.abs(served(report, tmp_path / "out", picture) - expected).max() < 1e-6
    assert report["contract"]["labels"][281].startswith("tabby")
    assert any("crane" in note for note in report["notes"])


def test_hugging_face(tmp_path: Path, importer: Importer, picture: Image.Image) -> None:
    from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

    torch.manual_seed(4)
    configuration = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label={0: "daisy", 1: "rose"},
        label2id={"daisy": 0, "rose": 1},
    )
    network = ResNetForImageClassification(configuration)
    folder = tmp_path / "flowers"
    network.save_pretrained(folder)
    processor = ViTImageProcessor(size={"height": 64, "width": 64}, resample=2)
    processor.save_pretrained(folder)
    report = importer(folder, labels=(), recipe={})
    tensor = processor(picture, return_tensors="pt")["pixel_values"][0]
    expected = probabilities(network, tensor)
    assert np.abs(served(report, tmp_path / "out", picture) - expected).max() < 2e-3
    assert report["contract"]["labels"] == ["daisy", "rose"]
    assert report["source"]["network"] == "transformers:ResNetForImageClassification"


def test_hugging_face_with_code_of_its_own(tmp_path: Path, importer: Importer) -> None:
    folder = tmp_path / "flowers"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"x")
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "mine.Mine"}}))
    with pytest.raises(ImportRefusedError, match="code of its own"):
        importer(folder)


def test_timm_as_hugging_face_keeps_it(
    tmp_path: Path, importer: Importer, picture: Image.Image
) -> None:
    import timm
    from safetensors.torch import save_file
    from timm.data import create_transform, resolve_data_config

    torch.manual_seed(4)
    network = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=2)
    folder = tmp_path / "flowers"
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    document = {
        "architecture": "mobilenetv3_small_050",
        "num_classes": 2,
        "label_names": ["daisy", "rose"],
        "pretrained_cfg": dict(network.pretrained_cfg),
    }
    (folder / "config.json").write_text(json.dumps(document, default=list))
    report = importer(folder, labels=(), recipe={})
    transform = create_transform(**resolve_data_config({}, model=network))
    expected = probabilities(network, transform(picture))
    assert np.abs(served(report, tmp_path / "out", picture) - expected).max() < 1e-6
    assert report["contract"]["labels"] == ["daisy", "rose"]
