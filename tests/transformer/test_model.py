from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from prometheus_client import REGISTRY

from artifact import Contract, ManyLabelsContract
from common.predicted import Predicted
from serving.errors import (
    BadPredictorAnswerError,
    MalformedRequestError,
    ServingError,
    TooLargeError,
    UnavailableError,
)
from serving.model import Answered, HttpRequest
from serving.scheduling.policy import SURE_CALLS
from tests.conftest import make_contract
from tests.transformer.images import encode, noise, seven
from transformer import remote
from transformer.classification.classifier import ClassificationModel
from transformer.hop import ClientSettings, PredictorClient
from transformer.image import load_image
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import Prepared, prepare
from transformer.settings import TransformerSettings

CONTRACT = make_contract()
SETTINGS = TransformerSettings(max_instances=5, max_image_pixels=10_000, max_image_bytes=10_000)


class FakeHop(PredictorClient):
    """Says that the class of an instance is its brightest pixel's column."""

    def __init__(self) -> None:
        super().__init__(ClientSettings("unused:1", 1, 1, 8 << 20))
        self.calls: list[tuple[str, str, NDArray[np.float32], dict[str, str]]] = []
        self.closed = 0
        self.reached = 0
        self.reachable = asyncio.Event()
        self.reachable.set()

    async def reach(self) -> None:
        await self.reachable.wait()
        self.reached += 1
        self.missing = False

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[np.float32], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[np.float32], ...], Answered]:
        self.calls.append((model, contract.digest, batch, dict(headers)))
        classes = batch.max(axis=(1, 2)).argmax(axis=1) % 10
        outputs = np.eye(10, dtype=np.float32)[classes]
        return (outputs,), Answered("7", "sha256:abc", len(batch))

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def hop() -> FakeHop:
    return FakeHop()


@pytest.fixture
def model(hop: FakeHop) -> Iterator[ClassificationModel]:
    with ThreadPoolExecutor(2, thread_name_prefix="decode") as executor:
        yield ClassificationModel("mnist", CONTRACT, hop, executor, SETTINGS)


def column(number: int, size: int = 28) -> Image.Image:
    image = Image.new("L", (size, size), 0)
    image.putpixel((number, size // 2), 255)
    return image


def text(image: Image.Image) -> str:
    return base64.b64encode(encode(image)).decode()


def request(document: object) -> HttpRequest:
    return HttpRequest(json.dumps(document).encode(), {"content-type": "application/json"})


async def call_v1(
    model: ClassificationModel, document: object, headers: dict[str, str] | None = None
) -> tuple[dict[str, Any], Mapping[str, str]]:
    answer, _ = await model(model.read_v1(request(document)), headers)
    reply = model.write_v1(answer)
    assert reply.media_type == "application/json"
    return json.loads(reply.body), reply.headers


async def test_every_instance_is_answered_in_order(model: ClassificationModel) -> None:
    order = [3, 1, 4, 1, 5]
    document, headers = await call_v1(model, {"instances": [text(column(n)) for n in order]})
    assert [p["label"] for p in document["predictions"]] == [str(n) for n in order]
    assert [p["class_id"] for p in document["predictions"]] == order
    assert (document["model_name"], document["model_version"]) == ("mnist", "7")
    assert headers == {"x-model-pixels": str(5 * 28 * 28)}


async def test_what_was_predicted_is_told_of_one_label_and_of_several(hop: FakeHop) -> None:
    thresholds = (0.5,) * len(CONTRACT.labels)
    several = ManyLabelsContract(
        "classification", CONTRACT.input, CONTRACT.outputs, CONTRACT.labels, thresholds
    )
    asked = request({"instances": [text(column(n)) for n in (3, 1)]})
    with ThreadPoolExecutor(2) as executor:
        for contract, names in ((CONTRACT, ["3", "1"]), (several, ["{3}", "{1}"])):
            model = ClassificationModel("m", contract, hop, executor, SETTINGS)
            answer, _ = await model(model.read_v1(asked), None)
            assert model.predicted(answer) == [Predicted(name, 1.0) for name in names]


@pytest.mark.parametrize("wanted", [True, False])
async def test_pictures_and_answers_are_counted_unless_that_is_switched_off(
    hop: FakeHop, wanted: bool
) -> None:
    def counted(name: str, **labels: str) -> float:
        known = {"model_name": "counted", "revision": "7", **labels}
        return REGISTRY.get_sample_value(name, known) or 0.0

    def both() -> tuple[float, float]:
        pixels = counted("vision_picture_pixels_sum")
        return counted("vision_predictions_total", label="4"), pixels

    labels, pixels = both()
    settings = SETTINGS.model_copy(update={"picture_statistics": wanted})
    with ThreadPoolExecutor(1) as executor:
        model = ClassificationModel("counted", CONTRACT, hop, executor, settings)
        await call_v1(model, {"instances": [text(column(4)), text(column(4)), text(column(2))]})
        assert both() == (labels + 2 * wanted, pixels + 3 * 28 * 28 * wanted)


async def test_a_prediction_has_its_documented_fields(model: ClassificationModel) -> None:
    document, _ = await call_v1(model, {"base64": text(column(3)), "parameters": {"top_k": 2}})
    assert document["predictions"] == [
        {
            "label": "3",
            "class_id": 3,
            "probability": 1.0,
            "top": [{"label": "3", "probability": 1.0}, {"label": "0", "probability": 0.0}],
            "polarity": "light-on-dark",
        }
    ]
    document, _ = await call_v1(model, {"base64": text(column(3))})
    assert len(document["predictions"][0]["top"]) == SETTINGS.default_top_k


async def test_polarity_is_found_reported_and_forced(model: ClassificationModel) -> None:
    images = [text(seven()), text(ImageOps.invert(seven()))]
    document, _ = await call_v1(model, {"instances": images})
    found = [p["polarity"] for p in document["predictions"]]
    assert found == ["light-on-dark", "dark-on-light"]
    document, _ = await call_v1(
        model, {"instances": images, "parameters": {"polarity": "light-on-dark"}}
    )
    assert {p["polarity"] for p in document["predictions"]} == {"light-on-dark"}


async def test_the_answer_shows_what_the_network_was_shown(
    model: ClassificationModel, hop: FakeHop
) -> None:
    """A plain picture and one that is fitted, in their order; nothing where it is not asked for."""
    images = [text(column(3)), text(ImageOps.invert(column(40, 60)))]
    document, _ = await call_v1(model, {"instances": images, "parameters": {"shown": True}})
    for prediction, tensor in zip(document["predictions"], hop.calls[-1][2], strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(prediction["shown"])))
        assert (picture.size, picture.mode) == ((28, 28), "L")
        assert np.array_equal(
            prepare(picture, CONTRACT.input, Polarity.LIGHT_ON_DARK).tensor, tensor
        )
    document, _ = await call_v1(model, {"instances": images})
    assert "shown" not in document["predictions"][0]


async def test_a_colour_contract_reports_no_polarity(hop: FakeHop) -> None:
    contract = make_contract(mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)
    with ThreadPoolExecutor(1) as executor:
        model = ClassificationModel("mnist", contract, hop, executor, SETTINGS)
        batch = await model.preprocess(model.read_v1(request({"base64": text(seven())})))
    assert [item.polarity for item in batch.items] == [None]
    assert [item.tensor.shape for item in batch.items if isinstance(item, Prepared)] == [
        (3, 28, 28)
    ]


async def test_the_hop_gets_the_contract_the_batch_and_the_headers(
    model: ClassificationModel, hop: FakeHop
) -> None:
    await call_v1(model, {"instances": [text(column(n)) for n in (1, 2)]}, {"x-request-id": "r"})
    ((name, digest, batch, headers),) = hop.calls
    assert (name, digest, headers) == ("mnist", CONTRACT.digest, {"x-request-id": "r"})
    assert (batch.shape, batch.dtype) == ((2, 1, 28, 28), np.float32)


async def test_decoding_is_off_the_event_loop_where_it_takes_long(
    model: ClassificationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def watched(*arguments: Any) -> Image.Image:
        names.append(threading.current_thread().name)
        return load_image(*arguments)

    monkeypatch.setattr("transformer.pictures.model.load_image", watched)
    await call_v1(model, {"instances": [text(column(1)), text(column(2, 40)), text(seven())]})
    assert len(names) == 1
    await call_v1(model, {"instances": [text(column(1, 40)), text(column(2, 40))]})
    assert len(names) == 3
    assert all(name.startswith("decode") for name in names)


async def test_plain_pictures_are_decoded_where_they_are(
    hop: FakeHop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Untouched(Executor):
        def submit(self, *arguments: Any, **more: Any) -> Any:
            raise AssertionError("a thread was asked")

    model = ClassificationModel("mnist", CONTRACT, hop, Untouched(), SETTINGS)
    document, headers = await call_v1(model, {"instances": [text(column(n)) for n in (4, 2)]})
    assert [p["label"] for p in document["predictions"]] == ["4", "2"]
    assert headers == {"x-model-pixels": str(2 * 28 * 28)}
    monkeypatch.setattr("transformer.pictures.model.INLINE_BYTES", 10)
    with pytest.raises(AssertionError, match="a thread was asked"):
        await call_v1(model, {"instances": [text(column(4))]})


async def test_the_short_way_and_the_long_way_give_the_same_tensors(
    model: ClassificationModel, hop: FakeHop, random: np.random.Generator
) -> None:
    pictures = [
        Image.fromarray(noise(random, 28, 28)),
        ImageOps.invert(seven()),
        seven(),
        Image.new("L", (28, 28), 255),
    ]
    for polarity in ("auto", "light-on-dark", "dark-on-light"):
        parameters = {"polarity": polarity}
        for kind in ("PNG", "BMP"):
            images = [base64.b64encode(encode(p, kind)).decode() for p in pictures]
            await call_v1(model, {"instances": images, "parameters": parameters})
        assert hop.calls[-2][2].tobytes() == hop.calls[-1][2].tobytes()


async def test_requests_at_once_share_a_call_and_keep_their_own_rows(
    model: ClassificationModel, hop: FakeHop
) -> None:
    for _ in range(SURE_CALLS):
        model._policy.observe("sha256:abc")
    model._batcher.limits = model._policy.limits
    wanted = [[1], [2, 3], [4], [5, 6, 7]]
    requests = [{"instances": [text(column(n)) for n in row]} for row in wanted]
    answers = await asyncio.gather(
        *(call_v1(model, r, {"x-request-id": f"r{i}"}) for i, r in enumerate(requests))
    )
    ((_, _, batch, headers),) = hop.calls
    assert len(batch) == 7
    assert headers == {"x-request-id": "r0,r1,r2,r3"}
    for row, (document, _) in zip(wanted, answers, strict=True):
        assert [p["class_id"] for p in document["predictions"]] == row


async def test_where_two_revisions_answer_two_requests_share_a_call(
    model: ClassificationModel, hop: FakeHop
) -> None:
    for _ in range(SURE_CALLS):
        model._policy.observe("sha256:abc")
    model._policy.observe("sha256:canary")
    model._batcher.limits = model._policy.limits
    await asyncio.gather(*(call_v1(model, {"instances": [text(seven())]}) for _ in range(100)))
    assert len(hop.calls) == 50


async def test_each_answer_says_how_many_instances_are_its_own(model: ClassificationModel) -> None:
    requests = [request({"instances": [text(seven())] * n}) for n in (1, 3)]
    answers = await asyncio.gather(*(model(model.read_v1(r)) for r in requests))
    assert [answer.answered.instances for answer, _ in answers] == [1, 3]


async def test_an_instance_at_fault_is_named_and_nothing_is_sent(
    model: ClassificationModel, hop: FakeHop
) -> None:
    cut = base64.b64encode(encode(seven())[:-40]).decode()
    for bad, kind in (
        (cut, MalformedRequestError),
        (text(Image.new("L", (101, 100))), TooLargeError),
        (base64.b64encode(bytes(10_001)).decode(), TooLargeError),
    ):
        payload = model.read_v1(request({"instances": [text(seven()), bad, bad]}))
        with pytest.raises(kind) as caught:
            await model(payload)
        assert caught.value.instance == 1
    assert hop.calls == []


async def test_a_v2_request_gets_a_v2_answer(model: ClassificationModel) -> None:
    texts = [text(column(n)) for n in (2, 9)]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": texts}
    payload = model.read_v2(request({"id": "a", "inputs": [tensor]}))
    answer, _ = await model(payload)
    reply = model.write_v2(answer)
    document = json.loads(reply.body)
    assert (document["id"], document["model_name"], document["model_version"]) == (
        "a",
        "mnist",
        "7",
    )
    assert document["parameters"] == {"model_digest": "sha256:abc"}
    outputs = {output["name"]: output for output in document["outputs"]}
    assert outputs["label"] == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [2],
        "data": ["2", "9"],
    }
    assert outputs["class_id"]["data"] == [2, 9]
    assert outputs["probabilities"]["shape"] == [2, 10]
    assert reply.headers["x-model-pixels"] == str(2 * 28 * 28)


async def test_an_answer_that_does_not_fit_the_labels(
    model: ClassificationModel, hop: FakeHop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nonsense(*arguments: Any) -> tuple[tuple[NDArray[np.float32], ...], Answered]:
        return np.zeros((1, 3), np.float32), Answered("7", "", 1)

    monkeypatch.setattr(hop, "infer", nonsense)
    answer, _ = await model(model.read_v1(request({"base64": text(seven())})))
    with pytest.raises(BadPredictorAnswerError):
        model.write_v1(answer)


async def test_a_model_is_ready_once_the_predictor_has_been(
    model: ClassificationModel, hop: FakeHop
) -> None:
    with pytest.raises(UnavailableError):
        model.require_ready()
    await model.started()
    model.require_ready()
    await model.started()
    assert hop.reached == 1
    assert hop.calls == []


async def test_closing_closes_the_hop(model: ClassificationModel, hop: FakeHop) -> None:
    await model.close()
    assert hop.closed == 1


def test_metadata_describes_input_and_outputs(model: ClassificationModel) -> None:
    assert model.get_input_types() == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert [o["name"] for o in model.get_output_types()] == [
        "label",
        "class_id",
        "probability",
        "probabilities",
    ]


async def test_a_predictor_that_takes_too_long_is_not_waited_for_any_longer(
    model: ClassificationModel, hop: FakeHop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REACH_SECONDS", 0.01)
    hop.reachable.clear()
    task = asyncio.create_task(model.started())
    while not model.ready:
        await asyncio.sleep(0.001)
    with pytest.raises(UnavailableError, match="has not started yet") as caught:
        model.require_ready()
    assert caught.value.headers()["retry-after"]
    hop.reachable.set()
    await task
    model.require_ready()


async def test_who_does_not_want_to_wait_for_the_predictor_is_ready_at_once(hop: FakeHop) -> None:
    settings = SETTINGS.model_copy(update={"wake_predictor": False})
    with ThreadPoolExecutor(1) as executor:
        model = ClassificationModel("mnist", CONTRACT, hop, executor, settings)
        assert model.ready
        await model.started()
    assert hop.reached == 0


async def test_a_canary_is_dealt_out_finely_from_the_first_request_on(
    model: ClassificationModel, hop: FakeHop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 requests at once, of which every fifth call is answered by another artefact."""
    infer = hop.infer

    async def split(*arguments: Any) -> tuple[tuple[NDArray[np.float32], ...], Answered]:
        outputs, answered = await infer(*arguments)
        await asyncio.sleep(0)
        if len(hop.calls) % 5 == 0:
            answered = answered._replace(revision="8", digest="sha256:canary")
        return outputs, answered

    monkeypatch.setattr(hop, "infer", split)
    document = request({"instances": [text(seven())]})
    answers = await asyncio.gather(*(model(model.read_v1(document)) for _ in range(2000)))
    assert len(hop.calls) >= 1000
    canary = sum(answer.answered.revision == "8" for answer, _ in answers)
    assert canary / 2000 == pytest.approx(0.2, abs=0.005)


def bomb(side: int) -> str:
    """A lossless WebP of one colour: some hundred bytes, whatever its size."""
    return base64.b64encode(encode(Image.new("L", (side, side)), "WEBP", lossless=True)).decode()


async def test_the_pixels_of_a_request_are_counted_before_any_is_decompressed(
    hop: FakeHop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a picture was decompressed")

    monkeypatch.setattr("transformer.pictures.model.load_image", refuse)
    settings = TransformerSettings(max_request_pixels=50_000_000)
    with ThreadPoolExecutor(1) as executor:
        model = ClassificationModel("mnist", CONTRACT, hop, executor, settings)
        one = bomb(5000)
        with pytest.raises(ServingError) as caught:
            await call_v1(model, {"instances": [one, one, text(seven())]})
    assert (caught.value.status, caught.value.error_code) == (413, "too_many_pixels")
    assert "50000784 pixels together; the limit of a request is 50000000" in caught.value.message
    assert hop.calls == []


async def test_who_hangs_up_stops_the_decoder_at_the_next_picture(
    hop: FakeHop, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    first, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        decoded.append(1)
        first.set()
        assert go_on.wait(10)
        return load_image(*arguments)

    monkeypatch.setattr("transformer.pictures.model.load_image", slow)
    with ThreadPoolExecutor(1) as executor:
        model = ClassificationModel("mnist", CONTRACT, hop, executor, SETTINGS)
        work = asyncio.ensure_future(
            call_v1(model, {"instances": [text(column(n, 40)) for n in range(5)]})
        )
        await asyncio.to_thread(first.wait, 10)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        go_on.set()
    assert len(decoded) == 1
    assert hop.calls == []
