"""Embeddings, keypoints and numbers, the whole way from a picture to the answer."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from artifact import (
    EmbeddingContract,
    ImageInput,
    KeypointsContract,
    RegressionContract,
    Resize,
    Size,
)
from serving.errors import TooLargeError
from serving.model import HttpRequest, ServedModel
from tasks.embedding import TASK as EMBEDDING
from tasks.keypoints import TASK as KEYPOINTS
from tasks.regression import TASK as REGRESSION
from tests.transformer.images import encode
from tests.transformer.local_hop import ask, served
from transformer.embedding.embedder import normalised
from transformer.hop import ClientSettings, PredictorClient
from transformer.keypoints.locator import pixels_of
from transformer.settings import TransformerSettings
from transformer.tasks import model_for

SIDE = 32
INPUT = ImageInput(
    name="image",
    height=SIDE,
    width=SIDE,
    mode="RGB",
    mean=(0, 0, 0),
    std=(1, 1, 1),
    layout="NCHW",
    dtype="FP32",
    frame=Resize(Size(fit=(SIDE, SIDE))),
)
BRIGHTEST = KeypointsContract(
    "keypoints", INPUT, ("maps",), ("red", "green", "blue"), "heatmaps", 1
)


def program(output: str, shape: list[int], nodes: list[Any]) -> bytes:
    """Of ``image`` ``(n, 3, 32, 32)``; ``sides`` are the axes of its height and width."""
    number = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", number, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(output, number, ["n", *shape])],
        [helper.make_tensor("sides", TensorProto.INT64, [2], [2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def mean_colour(output: str) -> bytes:
    node = helper.make_node("ReduceMean", ["image", "sides"], [output], keepdims=0)
    return program(output, [3], [node])


def heatmaps() -> bytes:
    """A point for each colour, where it is brightest."""
    return program("maps", [3, SIDE, SIDE], [helper.make_node("Identity", ["image"], ["maps"])])


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


async def v2(model: ServedModel, *pictures: bytes) -> dict[str, Any]:
    data = [base64.b64encode(picture).decode() for picture in pictures]
    shape = [len(data)]
    document = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": shape, "data": data}]}
    request = HttpRequest(json.dumps(document).encode(), {"content-type": "application/json"})
    reply = model.write_v2(await model.answer(model.read_v2(request), {}))
    return {item["name"]: item for item in json.loads(reply.body)["outputs"]}


async def test_a_vector_has_the_length_of_one(tmp_path: Path, executor: Executor) -> None:
    contract = EmbeddingContract("embedding", INPUT, ("vector",), dimension=3)
    model = served(tmp_path, contract, mean_colour("vector"), executor)
    picture = encode(Image.new("RGB", (40, 40), (51, 0, 68)))
    reply = await ask(model, picture)
    vector = EMBEDDING.read_answer(contract, reply.body)
    assert vector == pytest.approx([0.6, 0, 0.8], abs=1e-6)
    outputs = await v2(model, picture, picture)
    assert outputs["embedding"]["shape"] == [2, 3]
    assert {item["name"] for item in model.get_output_types()} == set(EMBEDDING.outputs)


def test_a_vector_without_direction_stays_so() -> None:
    found = normalised(np.array([[0, 0], [3e30, 4e30]], np.float32))
    assert found == pytest.approx(np.array([[0, 0], [0.6, 0.8]]))


async def test_points_are_in_the_pictures_pixels(tmp_path: Path, executor: Executor) -> None:
    model = served(tmp_path, BRIGHTEST, heatmaps(), executor)
    pixels = np.zeros((60, 90, 3), np.uint8)
    places = {"red": (12, 30), "green": (45, 51), "blue": (75, 6)}
    for channel, (x, y) in enumerate(places.values()):
        pixels[y - 3 : y + 3, x - 3 : x + 3, channel] = 255
    picture = encode(Image.fromarray(pixels))
    (prediction,) = json.loads((await ask(model, picture)).body)["predictions"]
    assert (prediction["width"], prediction["height"]) == (90, 60)
    for point in prediction["keypoints"]:
        assert (point["x"], point["y"]) == pytest.approx(places[point["name"]], abs=90 / SIDE)
        assert 0 < point["score"] <= 1
    drawn = await ask(model, picture, "output=png")
    assert Image.open(io.BytesIO(drawn.body)).size == (90, 60)
    outputs = await v2(model, picture)
    assert outputs["keypoints"]["shape"] == [1, 3, 2]
    assert set(outputs) == set(KEYPOINTS.outputs)
    shown = KEYPOINTS.shown_question(picture, 5)
    reply = await ask(model, shown.body, shown.query, kind=shown.media_type)
    assert KEYPOINTS.show(reply.body).text.startswith("red")


@pytest.mark.parametrize(("layout", "numbers"), [("share", [0.25, 0.5]), ("pixels", [8, 16])])
def test_coordinates_in_every_unit(layout: str, numbers: list[float]) -> None:
    contract = KeypointsContract("keypoints", INPUT, ("points",), ("nose",), layout)
    pixels, certainties = pixels_of(np.array([[numbers]], np.float32), contract)
    assert pixels.tolist() == [[[8, 16]]]
    assert certainties.tolist() == [[1]]


async def test_numbers_are_in_the_contracts_units(tmp_path: Path, executor: Executor) -> None:
    contract = RegressionContract(
        "regression",
        INPUT,
        ("numbers",),
        ("age", "size", "hue"),
        (100, 1, 1),
        (5, 0, 0),
        ("years", "", ""),
        (1, 1, 1),
    )
    model = served(tmp_path, contract, mean_colour("numbers"), executor)
    picture = encode(Image.new("RGB", (32, 32), (51, 102, 0)))
    (prediction,) = json.loads((await ask(model, picture)).body)["predictions"]
    age, size, _ = prediction["values"]
    assert age == {"label": "age", "value": pytest.approx(25), "unit": "years"}
    assert size == {"label": "size", "value": pytest.approx(0.4)}
    outputs = await v2(model, picture)
    assert outputs["values"]["data"] == pytest.approx([25, 0.4, 0])
    assert set(outputs) == set(REGRESSION.outputs)


async def test_no_more_pictures_than_fit_into_a_call(executor: Executor) -> None:
    contract = EmbeddingContract("embedding", INPUT, ("vector",), dimension=3)
    hop = PredictorClient(ClientSettings("unused:1", 1, 1, 40_000))
    settings = TransformerSettings.model_validate({})
    model = model_for("thing", contract, hop, executor, settings)
    # 3 × 32 × 32 numbers of 4 bytes: three fit, with what describes them.
    with pytest.raises(TooLargeError, match="4 instances; of this model 3 fit"):
        await v2(model, *[encode(Image.new("RGB", (8, 8)))] * 4)
