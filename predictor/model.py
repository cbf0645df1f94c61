"""One model of the predictor, behind KServe's ``Model`` interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from numpy.typing import NDArray

from artifact import TensorInput
from predictor.engines import Arrays
from predictor.held import Source
from predictor.loading import LoadedRevision
from predictor.metrics import TALLY
from serving.errors import (
    ContractMismatchError,
    ContractRefusedError,
    InvalidRequestError,
    TooLargeError,
)
from serving.json import DEFAULT_LIMITS, JsonLimits, holds_numbers_only
from serving.model import (
    BATCH_INSTANCES,
    CONTRACT_DIGEST,
    Answered,
    HttpRequest,
    Reply,
    ServedModel,
    json_reply,
)
from serving.pixels import DATATYPES, datatypes
from serving.v2 import NUMPY_TYPES, InferRequest, Tensor, read_infer_request, write_infer_response

OTHER_VALUES = 256
"""Values of a request besides its tensor: names, parameters, outputs."""


@dataclass(frozen=True)
class Payload:
    """A batch on its way in: what its protocol's reader found, not yet checked."""

    batch: NDArray[Any]
    contract_digest: str | None
    request: InferRequest | None = None
    id: str = ""


@dataclass(frozen=True)
class Answer:
    """The contract's outputs, one row an instance, on their way out."""

    payload: Payload
    outputs: Arrays
    answered: Answered


class PredictorModel(ServedModel):
    """Validates tensors against the contract and runs the network off the event loop.

    Args:
        source: of the one revision that answers.
        max_instances: most rows in one request.
        name: that it is served as; its card's where none is said.
    """

    def __init__(self, source: Source, max_instances: int, name: str = "") -> None:
        super().__init__(name or source.card.name)
        self._source = source
        self._max_instances = max_instances
        self._contract = source.card.contract
        self._contract_digest = source.card.contract.digest
        self._datatypes = ",".join(datatypes(source.card.contract.input))
        self._accepted = (None, self._contract_digest, *source.card.accepts)
        self._json_limits = json_limits(source.card.contract.input, max_instances)
        self.on_demand = source.on_demand
        source.watch(self._set_ready)
        TALLY.watch(self)

    @property
    def loaded(self) -> LoadedRevision | None:
        """The revision that answers, where it is in memory."""
        return self._source.loaded

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready

    def start(self) -> None:
        """Nothing to do: the revision is loaded before there is a model, or by its requests."""

    def get_input_types(self) -> list[dict[str, Any]]:
        spec = self._contract.input
        return [{"name": spec.name, "datatype": spec.dtype, "shape": [-1, *spec.shape]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        contract = self._contract
        shapes = contract.output_shapes(contract.input.shape)
        return [
            {"name": name, "datatype": datatype, "shape": [-1, *shape]}
            for name, datatype, shape in zip(
                contract.outputs, contract.output_dtypes, shapes, strict=True
            )
        ]

    async def preprocess(  # type: ignore[override]
        self, payload: Payload, headers: Mapping[str, str] | None = None
    ) -> Payload:
        if payload.contract_digest not in self._accepted:
            raise ContractMismatchError(
                f"contract_digest is {payload.contract_digest}; "
                f"{self._source.card.identity} has {self._contract_digest}"
            )
        check_batch(payload.batch, self._contract.input, self._max_instances)
        return payload

    async def predict(  # type: ignore[override]
        self, payload: Payload, headers: Mapping[str, str] | None = None
    ) -> Answer:
        outputs = await self._source.run(payload.batch)
        answered = Answered(
            self._source.card.revision,
            self._source.digest,
            len(payload.batch),
            batch_instances=self._source.batch_instances,
        )
        return Answer(payload, outputs, answered)

    def read_v1(self, request: HttpRequest) -> Payload:
        """``{"instances": [[[[…]]], …]}``: one array of channels, rows, columns an instance."""
        document = self._json_limits.read(request.body)
        if not isinstance(document, dict) or not isinstance(document.get("instances"), list):
            raise InvalidRequestError("the body must be an object with an array 'instances'")
        unknown = set(document) - {"instances", CONTRACT_DIGEST}
        if unknown:
            raise InvalidRequestError(f"the body has an unknown field {min(unknown)!r}")
        if not document["instances"]:
            raise InvalidRequestError("there are no instances")
        if not holds_numbers_only(document["instances"]):
            raise ContractRefusedError("instances must hold numbers")
        try:
            batch = np.asarray(document["instances"])
        except ValueError:
            raise ContractRefusedError("instances have different shapes") from None
        if batch.dtype.kind not in "iuf":
            raise ContractRefusedError("instances must hold numbers")
        with np.errstate(over="ignore"):
            # What overflows becomes infinite, and is refused as such.
            return Payload(self._as_declared(batch), _digest_of(document))

    def read_v2(self, request: HttpRequest) -> Payload:
        parsed = read_infer_request(request, json_limits=self._json_limits)
        return Payload(
            self._numbers(parsed.inputs[0]), _digest_of(parsed.parameters), parsed, parsed.id
        )

    def read_grpc(self, request: pb.ModelInferRequest) -> Payload:
        if len(request.inputs) != 1:
            raise ContractRefusedError(f"there is one input, not {len(request.inputs)}")
        tensor = request.inputs[0]
        data: bytes | list[Any]
        if request.raw_input_contents:
            if len(request.raw_input_contents) != 1 or tensor.HasField("contents"):
                raise InvalidRequestError("one input takes one entry of raw_input_contents")
            data = request.raw_input_contents[0]
        else:
            contents = tensor.contents
            data = list(contents.fp32_contents or contents.uint_contents)
        digest = request.parameters.get(CONTRACT_DIGEST)
        return Payload(
            self._numbers(Tensor(tensor.name, tensor.datatype, tuple(tensor.shape), data)),
            None if digest is None else digest.string_param,
            id=request.id,
        )

    def write_v1(self, answer: Answer) -> Reply:
        document = {
            "predictions": self._predictions(answer.outputs),
            "model_name": self.name,
            "model_version": answer.answered.revision,
            "model_digest": answer.answered.digest,
        }
        return json_reply(document)

    def write_v2(self, answer: Answer) -> Reply:
        assert answer.payload.request is not None
        return write_infer_response(
            answer.payload.request,
            self.name,
            answer.answered.revision,
            {
                "model_digest": answer.answered.digest,
                CONTRACT_DIGEST: self._contract_digest,
                DATATYPES: self._datatypes,
                BATCH_INSTANCES: answer.answered.batch_instances,
            },
            dict(zip(self._contract.outputs, answer.outputs, strict=True)),
        )

    def write_grpc(self, answer: Answer) -> pb.ModelInferResponse:
        parameter = pb.InferParameter
        return pb.ModelInferResponse(
            id=answer.payload.id,
            model_name=self.name,
            model_version=answer.answered.revision,
            parameters={
                "model_digest": parameter(string_param=answer.answered.digest),
                CONTRACT_DIGEST: parameter(string_param=self._contract_digest),
                DATATYPES: parameter(string_param=self._datatypes),
                BATCH_INSTANCES: parameter(int64_param=answer.answered.batch_instances),
            },
            outputs=[
                pb.ModelInferResponse.InferOutputTensor(
                    name=name, datatype=datatype, shape=rows.shape
                )
                for name, datatype, rows in zip(
                    self._contract.outputs,
                    self._contract.output_dtypes,
                    answer.outputs,
                    strict=True,
                )
            ],
            raw_output_contents=[rows.tobytes() for rows in answer.outputs],
        )

    def _predictions(self, outputs: Arrays) -> NDArray[Any] | list[dict[str, Any]]:
        """As v1 lists them: one output's rows as they are, several as an object an instance."""
        if len(outputs) == 1:
            return outputs[0]
        names = self._contract.outputs
        return [dict(zip(names, rows, strict=True)) for rows in zip(*outputs, strict=True)]

    def _numbers(self, tensor: Tensor) -> NDArray[Any]:
        spec = self._contract.input
        if tensor.name != spec.name:
            raise ContractRefusedError(f"the input is called {spec.name!r}, not {tensor.name!r}")
        if tensor.datatype not in datatypes(spec):
            raise ContractRefusedError(
                f"the datatype is {' or '.join(datatypes(spec))}, not {tensor.datatype!r}"
            )
        # Before the array is built: a shape can claim more than any machine has.
        if len(tensor.shape) != 4 or not spec.accepts(tensor.shape[1:]):
            raise ContractRefusedError(_expected_shape(spec, tensor.shape))
        return tensor.numbers()

    def _as_declared(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Numbers from JSON in the contract's element type."""
        kind = np.dtype(NUMPY_TYPES[self._contract.input.dtype])
        if kind.kind == "u":
            limit = np.iinfo(kind).max
            if batch.dtype.kind == "f" or batch.min() < 0 or batch.max() > limit:
                raise ContractRefusedError(f"instances must hold whole numbers from 0 to {limit}")
        return batch.astype(kind)


def json_limits(spec: TensorInput, max_instances: int) -> JsonLimits:
    """What JSON a request of so many of the largest instances can be.

    Twice of it is read, so that what is a little over a limit is told which one that is.
    """
    first, second, third = spec.max_shape
    return JsonLimits(
        DEFAULT_LIMITS.max_bytes,
        OTHER_VALUES + 2 * max_instances * first * second * third,
        OTHER_VALUES + 2 * max_instances * (1 + first * (1 + second)),
    )


def check_batch(batch: NDArray[Any], spec: TensorInput, max_instances: int) -> None:
    """See that a batch is what the contract's input says.

    Raises:
        ContractRefusedError: wrong rank, shape or dtype, no rows, or a value that is not finite.
        TooLargeError: more than ``max_instances`` rows.
    """
    if batch.ndim != 4 or not spec.accepts(batch.shape[1:]):
        raise ContractRefusedError(_expected_shape(spec, batch.shape))
    if batch.dtype not in [NUMPY_TYPES[name] for name in datatypes(spec)]:
        raise ContractRefusedError(
            f"the datatype is {' or '.join(datatypes(spec))}, not {batch.dtype}"
        )
    if not len(batch) >= 1:
        raise ContractRefusedError("there are no instances")
    if len(batch) > max_instances:
        raise TooLargeError(f"{len(batch)} instances; the limit is {max_instances}")
    if batch.dtype.kind == "f":
        finite = np.isfinite(batch)
        if not finite.all():
            row = int(np.argwhere(~finite)[0][0])
            raise ContractRefusedError("a value is not finite", instance=row)


def _expected_shape(spec: TensorInput, shape: tuple[int, ...]) -> str:
    return f"the shape is {spec.wanted_shape}, not {tuple(shape)}"


def _digest_of(parameters: Mapping[str, Any]) -> str | None:
    value = parameters.get(CONTRACT_DIGEST)
    if value is not None and not isinstance(value, str):
        raise InvalidRequestError(f"{CONTRACT_DIGEST} must be a string")
    return value
