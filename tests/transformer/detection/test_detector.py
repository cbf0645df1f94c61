"""From a drawn rectangle to its box, the whole way: decoded, framed, asked, decoded, placed."""

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
from PIL import Image, ImageDraw

from artifact import Resize, Size, Whole
from serving.errors import InvalidRequestError, NotAcceptableError
from serving.model import HttpRequest, ServedModel
from tasks.detection import TASK
from tests.transformer.detection.programs import SIZE, box_contract, box_program
from tests.transformer.images import encode
from tests.transformer.local_hop import ask, served

FRAMES = {
    "whole": (Whole(), "black"),
    "exact": (Resize(Size(exact=(SIZE, SIZE))), None),
    "fit": (Resize(Size(fit=(SIZE, SIZE))), None),
    "crop": (Resize(Size(short_side=72), crop=(SIZE, SIZE)), None),
    "crop down": (Resize(Size(short_side=72), (SIZE, SIZE), crop_rounding="down"), None),
    "cover": (Resize(Size(cover=(SIZE, SIZE)), crop=(SIZE, SIZE)), None),
}


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def model(tmp_path: Path, executor: Executor) -> ServedModel:
    return served(tmp_path, box_contract(Whole(), "black"), box_program(), executor)


def drawn(
    size: tuple[int, int], box: tuple[int, int, int, int], colour: str = "red"
) -> Image.Image:
    """A rectangle from its left and upper edge up to its right and lower edge."""
    image = Image.new("RGB", size)
    left, top, right, bottom = box
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=colour)
    return image


def detections(body: bytes) -> list[dict[str, Any]]:
    (prediction,) = json.loads(body)["predictions"]
    found: list[dict[str, Any]] = prediction["detections"]
    return found


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((64, 64), (20, 24, 40, 44)),
        ((200, 160), (70, 60, 130, 100)),
        ((157, 203), (50, 70, 101, 121)),
        ((1031, 777), (400, 300, 640, 480)),
    ],
)
async def test_a_box_is_where_the_rectangle_is(
    name: str,
    size: tuple[int, int],
    box: tuple[int, int, int, int],
    tmp_path: Path,
    executor: Executor,
) -> None:
    model = served(tmp_path, box_contract(*FRAMES[name]), box_program(), executor)
    reply = await ask(model, encode(drawn(size, box)))
    (found,) = detections(reply.body)
    assert found["label"] == "red"
    # An edge falls on some pixel of the network: nearer than one of them it cannot be told.
    pixel = max(size) / SIZE
    assert np.abs(np.array(found["box"]) - box).max() <= pixel


async def test_a_jpeg_that_is_decoded_at_a_part_of_its_size_and_turned(
    tmp_path: Path, executor: Executor
) -> None:
    model = served(tmp_path, box_contract(Whole(), "black"), box_program(), executor)
    image = drawn((3001, 2003), (900, 700, 1500, 1300))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    body = encode(image, "JPEG", exif=exif)
    (prediction,) = json.loads((await ask(model, body, kind="image/jpeg")).body)["predictions"]
    assert (prediction["width"], prediction["height"]) == (2003, 3001)
    expected = [2003 - 1300, 900, 2003 - 700, 1500]
    error = np.abs(np.array(prediction["detections"][0]["box"]) - expected).max()
    assert error <= 3001 / SIZE


async def test_the_answer_has_its_documented_fields(model: ServedModel) -> None:
    reply = await ask(model, encode(drawn((128, 128), (32, 32, 96, 64), "lime")))
    assert json.loads(reply.body) == {
        "predictions": [
            {
                "width": 128,
                "height": 128,
                "detections": [
                    {"label": "green", "class_id": 1, "score": 1.0, "box": [32.0, 32.0, 96.0, 64.0]}
                ],
            }
        ],
        "model_name": "thing",
        "model_version": "1",
    }
    boxes = TASK.read_answer(box_contract(Whole(), "black"), reply.body)
    assert boxes.labels.tolist() == [1]
    assert TASK.show(reply.body).text.split() == [
        "green",
        "100.00%",
        "32.0",
        "32.0",
        "96.0",
        "64.0",
    ]


@pytest.mark.parametrize("way", ["query", "header"])
async def test_the_drawn_picture(model: ServedModel, way: str) -> None:
    body = encode(drawn((320, 200), (80, 60, 200, 140), "lime"))
    query, accept = ("output=png", "*/*") if way == "query" else ("", "image/png, */*;q=0.1")
    reply = await ask(model, body, query, accept)
    assert reply.media_type == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(reply.body)))
    assert picture.shape == (200, 320, 3)
    before = np.asarray(Image.open(io.BytesIO(body)))
    rows, columns = np.nonzero((picture != before).any(axis=2))
    assert abs(columns.max() - 200) <= 5
    assert abs(rows.max() - 140) <= 5


async def test_the_terminal_gets_both_from_one_answer(model: ServedModel) -> None:
    question = TASK.shown_question(encode(drawn((64, 64), (10, 10, 30, 30))), 5)
    reply = await ask(model, question.body, question.query, kind=question.media_type)
    shown = TASK.show(reply.body)
    assert shown.text.startswith("red")
    assert (shown.file[:4], shown.suffix) == (b"\x89PNG", ".png")


async def test_v2_says_how_many_boxes_are_whose(model: ServedModel) -> None:
    pictures = [drawn((64, 64), (8, 8, 16, 16)), Image.new("RGB", (64, 64))]
    data = [base64.b64encode(encode(picture)).decode() for picture in pictures]
    document = {
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": data}],
        "parameters": {"score_threshold": 0.3},
    }
    request = HttpRequest(json.dumps(document).encode(), {"content-type": "application/json"})
    reply = model.write_v2(await model.answer(model.read_v2(request), {}))
    outputs = {item["name"]: item for item in json.loads(reply.body)["outputs"]}
    assert outputs["count"]["data"] == [1, 0]
    assert outputs["box"]["shape"] == [1, 4]
    assert outputs["box"]["data"] == [8, 8, 16, 16]
    assert outputs["label"]["data"] == ["red"]
    assert {item["name"] for item in model.get_output_types()} == set(outputs) == set(TASK.outputs)


async def test_a_request_chooses_its_thresholds(model: ServedModel) -> None:
    body = encode(drawn((64, 64), (8, 8, 16, 16), "#cc0000"))
    assert len(detections((await ask(model, body, "score_threshold=0.7")).body)) == 1
    assert detections((await ask(model, body, "score_threshold=0.9")).body) == []


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("score_threshold=2", "score_threshold must be a number from 0 to 1"),
        ("iou_threshold=x", "iou_threshold must be a number from 0 to 1"),
        ("max_detections=0", "max_detections must be a positive integer"),
        ("picture=maybe", "picture must be true or false"),
        ("output=gif", "output must be one of json, png"),
        ("top_k=3", "'top_k' not found; available: score_threshold, iou_threshold"),
    ],
)
async def test_wrong_parameters(model: ServedModel, query: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        await ask(model, encode(Image.new("RGB", (8, 8))), query)


async def test_what_cannot_be_answered(model: ServedModel) -> None:
    body = encode(Image.new("RGB", (8, 8)))
    with pytest.raises(NotAcceptableError):
        await ask(model, body, accept="image/gif")
    two = {"instances": [{"base64": base64.b64encode(body).decode()}] * 2}
    document = json.dumps(two).encode()
    with pytest.raises(InvalidRequestError, match="to one image, not to 2"):
        await ask(model, document, accept="image/png", kind="application/json")
