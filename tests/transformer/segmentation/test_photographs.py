"""Masks of photographs, of their own size, whatever frame the network saw them in."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from artifact import (
    CardError,
    Frame,
    ImageInput,
    InvalidCardError,
    ModelCard,
    PhotographContract,
    Resize,
    Size,
    Whole,
)
from artifact.photographs import UNLABELLED
from serving.errors import InvalidRequestError
from serving.model import HttpRequest, ServedModel
from tasks import LabelsError
from tasks.segmentation import TASK
from tests.conftest import make_card
from tests.transformer.images import encode
from tests.transformer.local_hop import ask, served
from transformer.hop import ClientSettings, PredictorClient
from transformer.segmentation import photographs
from transformer.settings import TransformerSettings
from transformer.tasks import model_for

SIDE = 64


def contract(frame: Frame, stride: int = 1, background: int | None = None) -> PhotographContract:
    """Of three labels: what is mostly red, green or blue."""
    return PhotographContract(
        task="segmentation",
        input=ImageInput(
            name="image",
            height=SIDE,
            width=SIDE,
            mode="RGB",
            mean=(0, 0, 0),
            std=(1, 1, 1),
            layout="NCHW",
            dtype="FP32",
            background="black" if isinstance(frame, Whole) else None,
            frame=frame,
        ),
        outputs=("scores",),
        labels=("red", "green", "blue"),
        colours=((200, 0, 0), (0, 200, 0), (0, 0, 200)),
        stride=stride,
        background=background,
    )


def program(stride: int = 1) -> bytes:
    """Scores are the colours, averaged over ``stride`` × ``stride`` pixels."""
    number, cells = TensorProto.FLOAT, SIDE // stride
    sides = [stride, stride]
    graph = helper.make_graph(
        [helper.make_node("AveragePool", ["image"], ["scores"], kernel_shape=sides, strides=sides)],
        "colours",
        [helper.make_tensor_value_info("image", number, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", number, ["n", 3, cells, cells])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def photograph(width: int, height: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Red at the left, green at the right, blue below; and its mask."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    mask[height * 2 // 3 :] = 2
    return Image.fromarray(np.eye(3, dtype=np.uint8)[mask] * np.uint8(255)), mask


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def model(tmp_path: Path, executor: Executor) -> ServedModel:
    return served(tmp_path, contract(Whole()), program(), executor)


async def mask_from(model: ServedModel, image: Image.Image) -> NDArray[np.uint8]:
    reply = await ask(model, encode(image), "output=npy")
    found: NDArray[np.uint8] = np.load(io.BytesIO(reply.body + bytes(reply.rest)))
    return found


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize(
    "frame",
    [Whole(), Resize(Size(exact=(SIDE, SIDE))), Resize(Size(fit=(SIDE, SIDE)))],
    ids=["whole", "exact", "fit"],
)
@pytest.mark.parametrize("size", [(64, 64), (200, 120), (99, 301), (1000, 700)])
async def test_a_mask_is_of_the_photographs_size(
    frame: Frame, stride: int, size: tuple[int, int], tmp_path: Path, executor: Executor
) -> None:
    model = served(tmp_path, contract(frame, stride), program(stride), executor)
    image, truth = photograph(*size)
    found = await mask_from(model, image)
    assert found.shape == truth.shape
    # Borders are told to a cell of the scores, and there are two of them across.
    cell = stride * max(size) / SIDE
    assert (found != truth).mean() <= cell * (1 / size[0] + 1 / size[1])
    assert TASK.score(contract(frame, stride), found, truth) > 0.8


async def test_what_the_network_did_not_see_has_no_label(
    tmp_path: Path, executor: Executor
) -> None:
    frame = Resize(Size(short_side=SIDE), crop=(SIDE, SIDE))
    model = served(tmp_path, contract(frame), program(), executor)
    image, truth = photograph(256, 128)
    found = await mask_from(model, image)
    assert (found[:, :64] == UNLABELLED).all()
    assert (found[:, 192:] == UNLABELLED).all()
    assert (found[:, 64:192] != truth[:, 64:192]).mean() < 0.05
    (prediction,) = json.loads((await ask(model, encode(image))).body)["predictions"]
    assert prediction["nodata"] == UNLABELLED


async def test_the_answer_has_its_documented_fields(model: ServedModel) -> None:
    image, truth = photograph(96, 96)
    (prediction,) = json.loads((await ask(model, encode(image))).body)["predictions"]
    assert (prediction["width"], prediction["height"], prediction["nodata"]) == (96, 96, None)
    assert {item["label"] for item in prediction["classes"]} == {"red", "green", "blue"}
    assert sum(item["pixels"] for item in prediction["classes"]) == 96 * 96
    picture = Image.open(io.BytesIO(base64.b64decode(prediction["mask"]["base64"])))
    assert picture.mode == "P"
    assert (np.asarray(picture) == truth).mean() > 0.95
    (prediction,) = json.loads((await ask(model, encode(image), "mask=none")).body)["predictions"]
    assert "mask" not in prediction


async def test_the_overlay_leaves_the_background_as_it_is(
    tmp_path: Path, executor: Executor
) -> None:
    model = served(tmp_path, contract(Whole(), background=2), program(), executor)
    image, _ = photograph(400, 300)
    question = TASK.shown_question(encode(image), 5)
    reply = await ask(model, question.body, question.query, question.accept, question.media_type)
    assert TASK.show(reply.body).suffix == ".png"
    drawn = np.asarray(Image.open(io.BytesIO(reply.body)))
    assert drawn.shape[0] > 300
    assert drawn[290, 200].tolist() == [0, 0, 255]
    assert drawn[50, 50].tolist() == pytest.approx([228, 0, 0], abs=1)


async def test_v2_answers_mask_and_pixels(model: ServedModel) -> None:
    data = [base64.b64encode(encode(photograph(20, 10)[0])).decode()]
    document = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]}
    request = HttpRequest(json.dumps(document).encode(), {"content-type": "application/json"})
    reply = model.write_v2(await model.answer(model.read_v2(request), {}))
    outputs = {item["name"]: item for item in json.loads(reply.body)["outputs"]}
    assert outputs["mask"]["shape"] == [10, 20]
    assert sum(outputs["pixels"]["data"]) == 200
    assert set(outputs) == set(TASK.outputs)


async def test_a_large_photograph_shares_scores_among_pixels(
    model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photographs, "MOST_SCORES", 3 * 100 * 100)
    image, truth = photograph(700, 500)
    found = await mask_from(model, image)
    assert (found != truth).mean() < 0.05


async def test_a_request_has_one_image(model: ServedModel) -> None:
    data = base64.b64encode(encode(photograph(8, 8)[0])).decode()
    body = json.dumps({"instances": [{"base64": data}] * 2}).encode()
    with pytest.raises(InvalidRequestError, match="one image, not 2"):
        await ask(model, body, kind="application/json")


def test_scores_must_fit_into_a_message(executor: Executor) -> None:
    hop = PredictorClient(ClientSettings("unused:1", 1, 1, 10_000))
    settings = TransformerSettings.model_validate({})
    with pytest.raises(CardError, match="too large for messages"):
        model_for("thing", contract(Whole()), hop, executor, settings)


def test_a_card_is_read_as_it_was_written() -> None:
    for one in (contract(Whole(), 4), contract(Whole(), 1, 0)):
        card = make_card(contract=one, metrics=None)
        assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"background": 3}, "contract.background: is the index of no label"),
        ({"colours": [[1, 2, 3]]}, "contract.colours: must have 3 entries"),
        ({"outputs": ["a", "b"]}, "contract.outputs: must name one output"),
    ],
)
def test_a_wrong_contract_names_the_field(change: dict[str, object], reason: str) -> None:
    document = json.loads(make_card(contract=contract(Whole()), metrics=None).to_json())
    document["contract"].update(change)
    with pytest.raises(InvalidCardError, match=reason):
        ModelCard.from_json(json.dumps(document))


def test_pixels_that_nobody_labelled_do_not_count() -> None:
    of = contract(Whole())
    truth = np.array([[0, 1, UNLABELLED]], np.uint8)
    TASK.check_labels(of, np.zeros((1, 1, 3, 3), np.uint8), truth[np.newaxis])
    assert TASK.score(of, np.array([[0, 1, 2]], np.uint8), truth) == 1.0
    assert TASK.score(of, np.array([[0, UNLABELLED, 2]], np.uint8), truth) == 0.5
    with pytest.raises(LabelsError):
        TASK.check_labels(of, np.zeros((1, 1, 3, 3), np.uint8), truth[np.newaxis] % 252 + 3)
