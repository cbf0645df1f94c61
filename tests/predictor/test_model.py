from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from numpy.typing import NDArray
from torch import Tensor

from artifact import Contract, ModelCard
from predictor.engines.torch_session import TorchSession
from predictor.held import Held
from predictor.loading import LoadedRevision
from predictor.model import CONTRACT_DIGEST, Payload, PredictorModel, check_batch
from predictor.networks import Network
from predictor.programs import program_for
from predictor.programs.classification import ClassificationProgram
from predictor.workers import WorkerPool, batch_queue
from serving.errors import ContractRefusedError, InvalidRequestError, ServingError, TooLargeError
from serving.model import Answered, HttpRequest
from tasks import find_task
from tests.conftest import make_card, make_contract

CARD = make_card("mnist", "3")
DIGEST = CARD.contract.digest
SPEC = CARD.contract.input
LIMIT = 12
PASS = find_task("classification").max_instances_per_pass


class Columns(Network):
    """Its logits are the first ten pixels of an image's first row."""

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self.seconds = seconds
        self.threads: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        self.threads.append(threading.current_thread().name)
        time.sleep(self.seconds)
        return x[:, 0, 0, :10]


def loaded_with(network: Network, card: ModelCard = CARD) -> LoadedRevision:
    session = TorchSession(program_for(card.contract, network, card.temperature))
    return LoadedRevision(card, "sha256:artefact", "torch", session)


@pytest.fixture
def network() -> Columns:
    return Columns()


@pytest.fixture
def model(network: Columns) -> Iterator[PredictorModel]:
    with WorkerPool(1) as pool:
        yield PredictorModel(Held(loaded_with(network), pool), LIMIT)


def images(*classes: int) -> NDArray[np.float32]:
    """One image a class, which ``Columns`` finds."""
    found = np.zeros((len(classes), 1, 28, 28), np.float32)
    for row, number in enumerate(classes):
        found[row, 0, 0, number] = 20
    return found


def expected(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = torch.softmax(
        torch.tensor(batch[:, 0, 0, :10]) / CARD.temperature, dim=1
    ).numpy()
    return found


def http(document: object, blob: bytes = b"") -> HttpRequest:
    head = json.dumps(document).encode()
    headers = {"inference-header-content-length": str(len(head))} if blob else {}
    return HttpRequest(head + blob, headers)


def v2_document(batch: NDArray[Any], **changes: Any) -> dict[str, Any]:
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": list(batch.shape),
        "data": batch.ravel().tolist(),
    }
    return {"id": "r1", "inputs": [{**tensor, **changes}]}


def grpc_request(batch: NDArray[Any], **changes: Any) -> pb.ModelInferRequest:
    tensor = {"name": "image", "datatype": "FP32", "shape": batch.shape, **changes}
    raw = tensor.pop("raw", [batch.tobytes()])
    digest = tensor.pop("digest", None)
    parameters = {} if digest is None else {CONTRACT_DIGEST: pb.InferParameter(string_param=digest)}
    return pb.ModelInferRequest(
        model_name="mnist",
        id="r1",
        parameters=parameters,
        inputs=[pb.ModelInferRequest.InferInputTensor(**tensor)],
        raw_input_contents=raw,
    )


async def refused_async(model: PredictorModel, read: Any, request: Any) -> ServingError:
    with pytest.raises(ServingError) as caught:
        await model.preprocess(read(request))
    return caught.value


def refused(model: PredictorModel, read: Any, request: Any) -> ServingError:
    return asyncio.run(refused_async(model, read, request))


ORDER = (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8)


async def test_v1_answers_every_instance_in_order(model: PredictorModel) -> None:
    batch = images(*ORDER)
    payload = model.read_v1(http({"instances": batch.tolist()}))
    answer, _ = await model(payload)
    reply = model.write_v1(answer)
    document = json.loads(reply.body)
    assert np.array(document["predictions"]) == pytest.approx(expected(batch), abs=1e-6)
    assert [int(np.argmax(row)) for row in document["predictions"]] == list(ORDER)
    assert reply.media_type == "application/json"
    assert {k: v for k, v in document.items() if k != "predictions"} == {
        "model_name": "mnist",
        "model_version": "3",
        "model_digest": "sha256:artefact",
    }
    assert answer.answered == Answered("3", "sha256:artefact", len(ORDER), batch_instances=PASS)


@pytest.mark.parametrize("binary", [False, True])
async def test_v2_answers_every_instance_in_order(binary: bool, model: PredictorModel) -> None:
    batch = images(*ORDER)
    document = v2_document(batch)
    if binary:
        tensor = document["inputs"][0]
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": batch.nbytes}
        document["parameters"] = {"binary_data_output": True}
    payload = model.read_v2(http(document, batch.tobytes() if binary else b""))
    answer, _ = await model(payload)
    reply = model.write_v2(answer)
    length = int(reply.headers.get("inference-header-content-length", len(reply.body)))
    found = json.loads(reply.body[:length])
    (output,) = found["outputs"]
    assert (found["id"], found["model_name"], found["model_version"]) == ("r1", "mnist", "3")
    assert found["parameters"] == {
        "model_digest": "sha256:artefact",
        "contract_digest": DIGEST,
        "input_datatypes": "FP32,UINT8",
        "batch_instances": PASS,
    }
    assert (output["name"], output["datatype"]) == ("probabilities", "FP32")
    assert output["shape"] == [len(ORDER), 10]
    values = np.frombuffer(reply.body[length:], np.float32) if binary else output["data"]
    assert np.reshape(values, (-1, 10)) == pytest.approx(expected(batch), abs=1e-6)


async def test_pixels_are_answered_as_the_tensor_that_is_made_of_them(
    model: PredictorModel, network: Columns, random: np.random.Generator
) -> None:
    """Beside tensors in one batch, by every protocol, to the last bit."""
    pixels = random.integers(0, 256, (3, 1, 28, 28), np.uint8)
    tensor = (pixels.astype(np.float32) / np.float32(255) - np.float32(SPEC.mean)) / np.float32(
        SPEC.std
    )
    document = v2_document(pixels, datatype="UINT8")
    described = pb.InferTensorContents(uint_contents=pixels.ravel().tolist())
    payloads = [
        model.read_v2(http(document)),
        model.read_v2(http(v2_document(tensor))),
        model.read_grpc(grpc_request(pixels, datatype="UINT8")),
        model.read_grpc(grpc_request(pixels, raw=[], datatype="UINT8", contents=described)),
    ]
    network.seconds = 0.02  # while the first is computed, the others gather
    answers = await asyncio.gather(*(model(payload) for payload in payloads))
    assert len(network.threads) < len(payloads)
    for answer, _ in answers:
        assert answer.outputs[0].tobytes() == answers[1][0].outputs[0].tobytes()
    assert answers[0][0].outputs[0] == pytest.approx(expected(tensor), abs=1e-6)


async def test_a_wrong_shape_of_pixels_is_refused(model: PredictorModel) -> None:
    with pytest.raises(ContractRefusedError, match="the shape is"):
        await model(
            model.read_v2(http(v2_document(np.zeros((1, 28, 28, 1), np.uint8), datatype="UINT8")))
        )


@pytest.mark.parametrize("raw", [False, True])
async def test_grpc_answers_every_instance_in_order(raw: bool, model: PredictorModel) -> None:
    batch = images(*ORDER)
    if raw:
        request = grpc_request(batch, digest=DIGEST)
    else:
        contents = pb.InferTensorContents(fp32_contents=batch.ravel())
        request = grpc_request(batch, raw=[], contents=contents)
    answer, _ = await model(model.read_grpc(request))
    response = model.write_grpc(answer)
    assert (response.id, response.model_name, response.model_version) == ("r1", "mnist", "3")
    assert response.parameters["model_digest"].string_param == "sha256:artefact"
    assert response.parameters["contract_digest"].string_param == DIGEST
    (output,) = response.outputs
    assert (output.name, output.datatype) == ("probabilities", "FP32")
    assert list(output.shape) == [len(ORDER), 10]
    (data,) = response.raw_output_contents
    assert np.frombuffer(data, np.float32).reshape(-1, 10) == pytest.approx(
        expected(batch), abs=1e-6
    )


async def test_all_protocols_read_the_same_batch(
    model: PredictorModel, random: np.random.Generator
) -> None:
    batch = random.normal(size=(2, 1, 28, 28)).astype(np.float32)
    payloads = [
        model.read_v1(http({"instances": batch.tolist()})),
        model.read_v2(http(v2_document(batch))),
        model.read_grpc(grpc_request(batch)),
    ]
    for payload in payloads:
        assert payload.contract_digest is None
        checked = await model.preprocess(payload)
        assert checked.batch.dtype == np.float32
        assert checked.batch.tobytes() == batch.tobytes()


async def test_an_equal_digest_is_accepted_and_another_refused(model: PredictorModel) -> None:
    batch = images(1)
    other = "sha256:" + "0" * 64

    def requests(digest: str) -> list[Any]:
        return [
            model.read_v1(http({"instances": batch.tolist(), CONTRACT_DIGEST: digest})),
            model.read_v2(http({**v2_document(batch), "parameters": {CONTRACT_DIGEST: digest}})),
            model.read_grpc(grpc_request(batch, digest=digest)),
        ]

    for payload in requests(DIGEST):
        await model.preprocess(payload)
    for payload in [*requests(other), *requests("")]:
        with pytest.raises(ContractRefusedError) as caught:
            await model.preprocess(payload)
        error = caught.value
        assert (error.status, error.error_code) == (400, "contract_mismatch")
        assert DIGEST in error.message
        assert "mnist/3" in error.message


@pytest.mark.parametrize("digest", [1, True, ["x"], {"a": 1}])
def test_a_digest_must_be_a_string(digest: object, model: PredictorModel) -> None:
    batch = images(1)
    document = {"instances": batch.tolist(), CONTRACT_DIGEST: digest}
    assert refused(model, model.read_v1, http(document)).status == 422
    document = {**v2_document(batch), "parameters": {CONTRACT_DIGEST: digest}}
    assert refused(model, model.read_v2, http(document)).status == 422


SHAPES = [(1, 28, 28), (1, 784), (1, 1, 1, 28, 28), (1, 3, 28, 28), (1, 1, 27, 28), (1, 28, 28, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_another_shape_is_refused_by_every_protocol(
    shape: tuple[int, ...], model: PredictorModel
) -> None:
    batch = np.zeros(shape, np.float32)
    errors = [
        refused(model, model.read_v1, http({"instances": batch.tolist()})),
        refused(model, model.read_v2, http(v2_document(batch))),
        refused(model, model.read_grpc, grpc_request(batch)),
    ]
    for error in errors:
        assert type(error) is ContractRefusedError
        assert error.status == 400
        assert "(n, 1, 28, 28)" in error.message
        assert str(shape) in error.message


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2**40, 1, 28, 28), (-1, 1, 28, 28)])
def test_a_shape_that_its_data_do_not_have(shape: tuple[int, ...], model: PredictorModel) -> None:
    batch = images(1)
    assert 400 <= refused(model, model.read_grpc, grpc_request(batch, shape=shape)).status < 500
    document = v2_document(batch, shape=list(shape))
    assert 400 <= refused(model, model.read_v2, http(document)).status < 500
    contents = pb.InferTensorContents(fp32_contents=batch.ravel())
    request = grpc_request(batch, shape=shape, raw=[], contents=contents)
    assert 400 <= refused(model, model.read_grpc, request).status < 500


@pytest.mark.parametrize("name", ["images", "Image", ""])
def test_another_name_is_refused(name: str, model: PredictorModel) -> None:
    batch = images(1)
    for error in (
        refused(model, model.read_v2, http(v2_document(batch, name=name))),
        refused(model, model.read_grpc, grpc_request(batch, name=name)),
    ):
        assert type(error) is ContractRefusedError
        assert "'image'" in error.message
        assert repr(name) in error.message


@pytest.mark.parametrize("datatype", ["FP64", "FP16", "INT8", "BYTES", "BOOL", "float", ""])
def test_another_datatype_is_refused(datatype: str, model: PredictorModel) -> None:
    batch = images(1)
    for error in (
        refused(model, model.read_v2, http(v2_document(batch, datatype=datatype))),
        refused(model, model.read_grpc, grpc_request(batch, datatype=datatype)),
    ):
        assert type(error) is ContractRefusedError
        assert "FP32" in error.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_its_instance(value: float, model: PredictorModel) -> None:
    batch = images(1, 2, 3, 4)
    batch[2, 0, 27, 27] = value
    batch[3, 0, 0, 0] = value
    error = refused(model, model.read_grpc, grpc_request(batch))
    assert type(error) is ContractRefusedError
    assert error.instance == 2
    assert error.as_json() == {
        "error": "a value is not finite",
        "code": "contract_refused",
        "instance": 2,
    }


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_number_beyond_float32_is_not_finite(protocol: str, model: PredictorModel) -> None:
    batch = images(1, 2).astype(np.float64)
    batch[1, 0, 5, 5] = 1e300
    if protocol == "v1":
        error = refused(model, model.read_v1, http({"instances": batch.tolist()}))
    else:
        error = refused(model, model.read_v2, http(v2_document(batch)))
    assert type(error) is ContractRefusedError
    assert error.instance == 1


def test_more_instances_than_the_limit(model: PredictorModel) -> None:
    batch = images(*[0] * (LIMIT + 1))
    for error in (
        refused(model, model.read_v1, http({"instances": batch.tolist()})),
        refused(model, model.read_v2, http(v2_document(batch))),
        refused(model, model.read_grpc, grpc_request(batch)),
    ):
        assert type(error) is TooLargeError
        assert error.status == 413
        assert f"{LIMIT + 1} instances; the limit is {LIMIT}" in error.message


def test_no_instances(model: PredictorModel) -> None:
    empty = images()
    for error in (
        refused(model, model.read_v1, http({"instances": []})),
        refused(model, model.read_v2, http(v2_document(empty))),
        refused(model, model.read_grpc, grpc_request(empty)),
    ):
        assert 400 <= error.status < 500


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[]", 422),
        (b"1", 422),
        (b"null", 422),
        (b"{}", 422),
        (b'{"instances": null}', 422),
        (b'{"instances": {}}', 422),
        (b'{"instances": [], "extra": 1}', 422),
        (b'{"instances": [[1], [1, 2]]}', 400),
        (b'{"instances": ["text"]}', 400),
        (b'{"instances": [null]}', 400),
        (b'{"instances": [true]}', 400),
        (b'{"instances": [{"image": 1}]}', 400),
        (b'{"instances": [99999999999999999999999]}', 400),
        (b'{"instances": ' + b"[" * 100 + b"1" + b"]" * 100 + b"}", 400),
        (b'{"instances": ' + b"[" * 900, 400),
    ],
)
def test_v1_bodies_of_the_wrong_shape(body: bytes, status: int, model: PredictorModel) -> None:
    assert refused(model, model.read_v1, HttpRequest(body, {})).status == status


def test_there_is_one_input(model: PredictorModel) -> None:
    batch = images(1)
    document = v2_document(batch)
    document["inputs"] *= 2
    assert type(refused(model, model.read_v2, http(document))) is InvalidRequestError
    two = grpc_request(batch)
    two.inputs.append(two.inputs[0])
    assert type(refused(model, model.read_grpc, two)) is ContractRefusedError
    assert type(refused(model, model.read_grpc, pb.ModelInferRequest())) is ContractRefusedError


def test_grpc_contents_come_once(model: PredictorModel) -> None:
    batch = images(1)
    twice = grpc_request(batch, raw=[batch.tobytes()] * 2)
    assert type(refused(model, model.read_grpc, twice)) is InvalidRequestError
    contents = pb.InferTensorContents(fp32_contents=batch.ravel())
    both = grpc_request(batch, contents=contents)
    assert type(refused(model, model.read_grpc, both)) is InvalidRequestError
    neither = grpc_request(batch, raw=[])
    assert type(refused(model, model.read_grpc, neither)) is InvalidRequestError
    wrong = grpc_request(batch, raw=[], contents=pb.InferTensorContents(int_contents=[1] * 784))
    assert type(refused(model, model.read_grpc, wrong)) is InvalidRequestError


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.bool_])
def test_a_batch_of_another_dtype_is_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(ContractRefusedError, match="FP32"):
        check_batch(np.zeros((1, 1, 28, 28), dtype), SPEC, LIMIT)


def test_a_batch_may_be_as_large_as_the_limit() -> None:
    check_batch(np.zeros((LIMIT, 1, 28, 28), np.float32), SPEC, LIMIT)
    with pytest.raises(TooLargeError):
        check_batch(np.zeros((LIMIT + 1, 1, 28, 28), np.float32), SPEC, LIMIT)
    with pytest.raises(ContractRefusedError, match="no instances"):
        check_batch(np.zeros((0, 1, 28, 28), np.float32), SPEC, LIMIT)


async def test_the_event_loop_goes_on_while_a_slow_network_runs(
    model: PredictorModel, network: Columns
) -> None:
    network.seconds = 0.3
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await model(model.read_v1(http({"instances": images(1).tolist()})))
    during = ticks
    ticking.cancel()
    assert during >= 10
    assert [name.startswith("inference") for name in network.threads] == [True]


async def test_concurrent_requests_get_their_own_answers(
    model: PredictorModel, network: Columns
) -> None:
    network.seconds = 0.002

    async def call(number: int) -> int:
        answer, _ = await model(model.read_grpc(grpc_request(images(number))))
        return int(answer.outputs[0].argmax())

    numbers = [n % 10 for n in range(60)]
    assert await asyncio.gather(*map(call, numbers)) == numbers


async def test_a_failing_network_is_an_unexpected_error(
    model: PredictorModel, network: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(network, "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        await model(model.read_v1(http({"instances": images(1).tolist()})))
    assert model.ready


def test_metadata_describes_the_contract(model: PredictorModel) -> None:
    assert model.ready
    assert model.name == "mnist"
    assert model.get_input_types() == [
        {"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}
    ]
    assert model.get_output_types() == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}
    ]


class Halves(ClassificationProgram):
    """The ten pixels, and their sums by halves."""

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        pixels = self.network(batch)
        return pixels, pixels.reshape(-1, 2, 5).sum(2)


@dataclass(frozen=True)
class TwoOutputs(Contract):
    def output_shapes(self, instance: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return (10,), (2,)


async def test_a_contract_of_two_outputs(network: Columns) -> None:
    known = CARD.contract
    contract = TwoOutputs(known.task, known.input, ("pixels", "halves"), known.labels)
    loaded = LoadedRevision(
        replace(CARD, contract=contract),
        "sha256:artefact",
        "torch",
        TorchSession(Halves(contract, network, 1.0)),
    )
    batch = images(1, 7)
    pixels = batch[:, 0, 0, :10]
    halves = [[20, 0], [0, 20]]
    with WorkerPool(1) as pool:
        model = PredictorModel(Held(loaded, pool), LIMIT)
        answer = await model.answer(model.read_v2(http(v2_document(batch))))
        assert [types["shape"] for types in model.get_output_types()] == [[-1, 10], [-1, 2]]
        written = json.loads(model.write_v2(answer).body)["outputs"]
        assert [item["data"] for item in written] == [pixels.ravel().tolist(), [20, 0, 0, 20]]
        predictions = json.loads(model.write_v1(answer).body)["predictions"]
        assert predictions == [
            {"pixels": row, "halves": half}
            for row, half in zip(pixels.tolist(), halves, strict=True)
        ]
        reply = model.write_grpc(answer)
        assert [output.name for output in reply.outputs] == ["pixels", "halves"]
        assert reply.raw_output_contents[1] == np.array(halves, np.float32).tobytes()


async def test_a_colour_contract(network: Columns) -> None:
    contract = replace(
        make_contract(mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3), labels=("a", "b")
    )
    loaded = loaded_with(network, replace(CARD, contract=contract))
    with WorkerPool(1) as pool:
        model = PredictorModel(Held(loaded, pool), LIMIT)
        assert model.get_input_types()[0]["shape"] == [-1, 3, 28, 28]
        batch = np.zeros((2, 3, 28, 28), np.float32)
        await model.preprocess(model.read_grpc(grpc_request(batch)))
        with pytest.raises(ContractRefusedError):
            await model.preprocess(model.read_v1(http({"instances": images(1).tolist()})))


async def test_the_calls_to_a_slow_network_are_computed_side_by_side(
    model: PredictorModel, network: Columns
) -> None:
    network.seconds = 0.1
    await model(Payload(images(3), None))
    network_calls = [model(Payload(images(row), None)) for row in (1, 2, 7)]
    answers = [answer for answer, _ in await asyncio.gather(*network_calls)]
    assert [len(answer.outputs[0]) for answer in answers] == [1, 1, 1]
    assert answers[0].answered.batch_instances == 1


async def test_calls_that_arrive_during_a_pass_share_the_next_one(
    model: PredictorModel, network: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_queue, "PASS_SECONDS", 1.0)
    network.seconds = 0.05
    sizes: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    batches = [images(3), images(1, 2), images(7), images(4, 4, 9)]
    first = asyncio.create_task(model(Payload(batches[0], None)))
    await asyncio.sleep(0.02)
    rest = await asyncio.gather(*(model(Payload(batch, None)) for batch in batches[1:]))
    answers = [(await first)[0], *(answer for answer, _ in rest)]
    assert sizes == [1, 6]
    for batch, answer in zip(batches, answers, strict=True):
        assert answer.outputs[0] == pytest.approx(expected(batch))
        assert answer.answered.instances == len(batch)


async def test_a_call_larger_than_a_pass_is_answered_whole(network: Columns) -> None:
    network.seconds = 0.02
    with WorkerPool(2) as pool:
        model = PredictorModel(Held(loaded_with(network), pool), 100)
        batch = images(*(n % 10 for n in range(2 * PASS + 6)))
        answer, _ = await model(Payload(batch, None))
    assert set(network.threads) == {"inference-0", "inference-1"}
    assert answer.outputs[0] == pytest.approx(expected(batch))
    assert answer.answered.instances == len(batch)
