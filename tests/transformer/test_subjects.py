"""Several subjects in a picture, and answers that are unsure, as a client gets them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from artifact import FAMILIARITY, Contract, ImageInput, SubjectFrame
from serving.errors import ContractMismatchError, InvalidRequestError, TooLargeError
from serving.model import Answered, HttpRequest
from tests.conftest import make_contract
from tests.transformer.images import encode, seven
from tests.transformer.test_model import FakeHop
from transformer.classification.classifier import ClassificationModel
from transformer.contracts import RETRY_SECONDS, ContractsModel, served_model
from transformer.settings import TransformerSettings

WHOLE = make_contract()
CONTRACT = replace(
    WHOLE,
    input=replace(WHOLE.input_as(ImageInput), frame=SubjectFrame(box=20, stroke=2.2)),
    outputs=("probabilities", FAMILIARITY),
)
SETTINGS = TransformerSettings(max_instances=5)


class JudgingHop(FakeHop):
    """Finds familiar what has more than a few light pixels, but not what is all light."""

    def __init__(self, *accepted: Contract) -> None:
        super().__init__()
        self.accepted = {contract.digest for contract in accepted or (CONTRACT,)}

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[np.float32], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[np.float32], ...], Answered]:
        (outputs,), answered = await super().infer(model, contract, batch, headers)
        if contract.digest not in self.accepted:
            raise ContractMismatchError("another contract")
        light = (batch > 0).mean(axis=(1, 2, 3))
        familiarity = np.where((light > 0.02) & (light < 0.9), 0.9, 0.1).astype(np.float32)
        return (outputs, familiarity)[: len(contract.outputs)], answered


@pytest.fixture
def hop() -> JudgingHop:
    return JudgingHop()


@pytest.fixture
def model(hop: JudgingHop) -> Iterator[ClassificationModel]:
    with ThreadPoolExecutor(2) as executor:
        yield ClassificationModel("mnist", CONTRACT, hop, executor, SETTINGS)


def paper(*corners: tuple[int, int], size: tuple[int, int] = (600, 400)) -> Image.Image:
    picture = Image.new("L", size, 230)
    for left, top in corners:
        points = [(left, top), (left + 60, top), (left + 20, top + 100)]
        ImageDraw.Draw(picture).line(points, fill=20, width=8)
    return picture


async def ask(model: Any, picture: bytes, query: str = "") -> list[dict[str, Any]]:
    request = HttpRequest(picture, {"content-type": "image/png"}, query)
    answer = await model.answer(model.read_v1(request), {})
    predictions: list[dict[str, Any]] = json.loads(model.write_v1(answer).body)["predictions"]
    return predictions


async def test_one_subject_is_answered_with_its_box(model: ClassificationModel) -> None:
    (found,) = await ask(model, encode(paper((250, 100))))
    assert np.allclose(found["box"], (246, 96, 314, 204), atol=6)
    assert (found["unsure"], found["familiarity"]) == (False, 0.9)
    assert "why" not in found
    assert "subjects" not in found


async def test_of_several_the_first_is_answered_and_their_number_is_said(
    model: ClassificationModel,
) -> None:
    (found,) = await ask(model, encode(paper((300, 100), (50, 110))))
    assert found["box"][0] < 60
    assert found["subjects"] == 2


async def test_all_are_answered_in_reading_order(model: ClassificationModel) -> None:
    picture = encode(paper((300, 20), (50, 30), (180, 260)))
    (found,) = await ask(model, picture, "several=all")
    lefts = [subject["box"][0] for subject in found["subjects"]]
    assert np.allclose(lefts, [48, 298, 178], atol=6)
    assert all("label" in subject and "top" in subject for subject in found["subjects"])


async def test_a_large_jpeg_s_box_is_in_the_pixels_that_were_sent(
    model: ClassificationModel,
) -> None:
    large = paper((250, 100)).resize((3000, 2000))
    (found,) = await ask(model, encode(large, "JPEG"))
    assert np.allclose(found["box"], (1230, 480, 1570, 1020), atol=30)


async def test_several_can_be_refused(model: ClassificationModel) -> None:
    with pytest.raises(InvalidRequestError, match="2 subjects") as refused:
        await ask(model, encode(paper((300, 100), (50, 110))), "several=refuse")
    assert refused.value.error_code == "several_subjects"
    assert await ask(model, encode(paper((300, 100))), "several=refuse")
    with pytest.raises(InvalidRequestError, match="first, all, refuse"):
        await ask(model, encode(paper()), "several=some")


async def test_more_subjects_than_a_request_may_have_instances_are_refused(
    model: ClassificationModel,
) -> None:
    corners = [(30 + 90 * i, 30 + 180 * j) for i in range(6) for j in range(2)]
    with pytest.raises(TooLargeError, match="12 subjects") as refused:
        await ask(model, encode(paper(*corners)), "several=all")
    assert refused.value.error_code == "too_many_subjects"


async def test_an_empty_picture_is_unsure_since_nothing_was_found(
    model: ClassificationModel,
) -> None:
    small = Image.new("L", (28, 28), 9)
    for picture in (paper(), small):
        (found,) = await ask(model, encode(picture))
        assert (found["unsure"], found["why"]) == (True, "nothing found")
        assert "label" in found
        (every,) = await ask(model, encode(picture), "several=all")
        assert [subject["why"] for subject in every["subjects"]] == ["nothing found"]


async def test_what_the_network_does_not_know_is_unsure(model: ClassificationModel) -> None:
    strange = np.full((28, 28), 255, np.uint8)
    strange[0] = 0
    (found,) = await ask(model, encode(Image.fromarray(strange)), "polarity=light-on-dark")
    assert (found["unsure"], found["why"]) == (True, "unlike anything it was trained on")
    assert found["label"]


async def test_v2_says_the_same_of_each_instance(model: ClassificationModel) -> None:
    pictures = [paper((300, 20), (50, 30)), paper(), seven()]
    texts = [base64.b64encode(encode(picture)).decode() for picture in pictures]
    body = {
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [3], "data": texts}],
        "parameters": {"several": "all"},
    }
    request = HttpRequest(json.dumps(body).encode(), {"content-type": "application/json"})
    answer = await model.answer(model.read_v2(request), {})
    document = json.loads(model.write_v2(answer).body)
    outputs = {output["name"]: output["data"] for output in document["outputs"]}
    assert outputs["instance"] == [0, 0, 1, 2]
    assert outputs["unsure"] == [False, False, True, False]
    assert outputs["why"] == ["", "", "nothing found", ""]
    boxes = np.reshape(outputs["box"], (4, 4)).tolist()
    assert boxes[2] == boxes[3] == [-1, -1, -1, -1]
    assert boxes[0][0] < boxes[1][0]
    declared = {output["name"] for output in model.get_output_types()}
    assert declared == set(outputs) - {"instance", "box"}


class TestSeveralContracts:
    """While revisions of two contracts are rolled out, one after the other."""

    @pytest.fixture
    def served(self, hop: JudgingHop) -> Iterator[Any]:
        with ThreadPoolExecutor(2) as executor:
            yield served_model("mnist", [CONTRACT, WHOLE], hop, executor, SETTINGS)

    async def test_the_newest_is_spoken_where_the_predictor_takes_it(
        self, served: Any, hop: JudgingHop
    ) -> None:
        (found,) = await ask(served, encode(paper((250, 100))))
        assert found["unsure"] is False
        assert [digest for _, digest, *_ in hop.calls] == [CONTRACT.digest]

    async def test_where_it_is_refused_the_request_is_prepared_after_the_older_one(
        self, served: Any, hop: JudgingHop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hop.accepted = {WHOLE.digest}
        for _ in range(2):
            (found,) = await ask(served, encode(paper((250, 100))))
            assert "unsure" not in found
        assert [d for _, d, *_ in hop.calls] == [CONTRACT.digest, WHOLE.digest, WHOLE.digest]
        # The new revision has been promoted.
        hop.accepted = {WHOLE.digest, CONTRACT.digest}
        served._retry_at -= RETRY_SECONDS
        assert "unsure" in (await ask(served, encode(paper((250, 100)))))[0]

    async def test_what_takes_neither_is_an_error(self, served: Any, hop: JudgingHop) -> None:
        hop.accepted = set()
        with pytest.raises(ContractMismatchError):
            await ask(served, encode(paper((250, 100))))

    def test_one_contract_needs_nothing_of_it(self, hop: JudgingHop) -> None:
        with ThreadPoolExecutor(1) as executor:
            model = served_model("mnist", [CONTRACT], hop, executor, SETTINGS)
        assert not isinstance(model, ContractsModel)
