"""The Open Inference Protocol (v2) over REST, with its binary tensor extension.

KServe's own reader expands binary tensors into Python lists and answers some malformed requests
with 500; this one keeps bytes as bytes and names what is wrong.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and
Triton's ``extension_binary_data.md``.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from serving.errors import InvalidRequestError, MalformedRequestError
from serving.json import DEFAULT_LIMITS, JsonLimits, holds_numbers_only
from serving.model import HttpRequest, Reply, json_reply

JSON_LENGTH = "inference-header-content-length"

MAX_RANK = 8
"""Axes of a tensor; a shape is multiplied out before anything else is known of it."""

MAX_OUTPUTS = 16
"""That a request may ask for, each once: an answer is not to be many times what a model gives."""

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_NAMES = {np.dtype(kind): name for name, kind in NUMPY_TYPES.items()}


def fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a tensor has the shape that is wanted, where -1 is any length of an axis."""
    return len(shape) == len(wanted) and all(
        expected in (-1, found) for found, expected in zip(shape, wanted, strict=True)
    )


@dataclass(frozen=True)
class Tensor:
    """One tensor of a request: ``data`` is the raw bytes, a view of them, or what JSON gave."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview | list[Any]

    def numbers(self) -> NDArray[Any]:
        """As an array of its declared shape and type.

        Raises:
            InvalidRequestError: data, shape and datatype do not agree.
        """
        if self.datatype not in NUMPY_TYPES:
            raise InvalidRequestError(
                f"input {self.name!r}: datatype {self.datatype!r} is not numeric"
            )
        kind = np.dtype(NUMPY_TYPES[self.datatype])
        count = prod(self.shape)
        if not isinstance(self.data, list):
            if len(self.data) != count * kind.itemsize:
                raise InvalidRequestError(
                    f"input {self.name!r}: shape {list(self.shape)} of {self.datatype} takes "
                    f"{count * kind.itemsize} bytes, not {len(self.data)}"
                )
            return self._shaped(np.frombuffer(self.data, kind))
        values = self._values(kind, self.data)
        if values.size != count:
            raise InvalidRequestError(
                f"input {self.name!r}: shape {list(self.shape)} takes {count} numbers, "
                f"not {values.size}"
            )
        return self._shaped(values)

    def _values(self, kind: np.dtype[Any], data: list[Any]) -> NDArray[Any]:
        """JSON numbers as ``kind``; refused where that would change one."""
        if not holds_numbers_only(data):
            raise InvalidRequestError(
                f"input {self.name!r}: data must be numbers of {self.datatype}"
            )
        try:
            values = np.asarray(data)
        except ValueError:
            raise InvalidRequestError(f"input {self.name!r}: data is ragged") from None
        if kind.kind == "f" and values.dtype.kind in "iuf":
            with np.errstate(over="ignore"):
                return values.astype(kind)
        if kind.kind == "b" and values.dtype.kind == "b":
            return values
        if kind.kind in "iu" and values.dtype.kind in "iufO":
            # Through objects: numpy would take large integers through float64.
            exact = np.asarray(data, object)
            if all(type(value) is int for value in exact.flat):
                with contextlib.suppress(OverflowError):
                    return np.asarray(data, kind)
        raise InvalidRequestError(f"input {self.name!r}: data must be numbers of {self.datatype}")

    def _shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        try:
            return values.reshape(self.shape)
        except ValueError:
            raise InvalidRequestError(
                f"input {self.name!r}: shape {list(self.shape)} is too large"
            ) from None

    def elements(self) -> list[bytes]:
        """The elements of a BYTES tensor, in order; JSON strings as UTF-8.

        Raises:
            InvalidRequestError: it is no BYTES tensor, or data and shape do not agree.
        """
        if self.datatype != "BYTES":
            raise InvalidRequestError(
                f"input {self.name!r}: datatype must be BYTES, not {self.datatype!r}"
            )
        found = (
            _flatten_texts(self.name, self.data)
            if isinstance(self.data, list)
            else _unpack_bytes(self.name, self.data)
        )
        if len(found) != prod(self.shape):
            raise InvalidRequestError(
                f"input {self.name!r}: shape {list(self.shape)} takes {prod(self.shape)} "
                f"elements, not {len(found)}"
            )
        return found


@dataclass(frozen=True)
class RequestedOutput:
    name: str
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    """A v2 request; ``binary`` says how outputs that were not asked for by name are sent."""

    id: str
    inputs: list[Tensor]
    parameters: dict[str, Any] = field(default_factory=dict)
    outputs: list[RequestedOutput] = field(default_factory=list)
    binary: bool = False


def read_infer_request(
    request: HttpRequest, max_inputs: int = 1, json_limits: JsonLimits = DEFAULT_LIMITS
) -> InferRequest:
    """Parse the body of ``/v2/models/<name>/infer``, JSON or JSON with binary tensors behind it.

    Nothing binary is copied: tensors are views of the body.

    Args:
        max_inputs: inputs of the model; of more than that, none is read.
        json_limits: of the JSON before the binary tensors.

    Raises:
        TooLargeError: the JSON is over a limit.
        MalformedRequestError: not JSON, or lengths that do not add up.
        InvalidRequestError: JSON of another shape than the protocol's; names the field.
    """
    body = memoryview(request.body)
    declared = request.headers.get(JSON_LENGTH)
    length = len(body)
    if declared is not None:
        if not re.fullmatch(r"[0-9]{1,15}", declared) or int(declared) > length:
            raise MalformedRequestError(f"{JSON_LENGTH}: {declared!r} does not fit the body")
        length = int(declared)
    head = request.body if length == len(body) else bytes(body[:length])
    document = json_limits.read(head)
    top = _object(document, "the body", ("id", "inputs", "outputs", "parameters"))
    inputs = top.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise InvalidRequestError("inputs must be a non-empty array")
    if len(inputs) > max_inputs:
        known = "is one input" if max_inputs == 1 else f"are {max_inputs} inputs"
        raise InvalidRequestError(f"there {known}, not {len(inputs)}")
    tensors = []
    for index, item in enumerate(inputs):
        tensor, length = _read_tensor(item, f"inputs[{index}]", body, length)
        tensors.append(tensor)
    if length < len(body):
        raise MalformedRequestError(f"{len(body) - length} bytes are left behind the last tensor")
    parameters = _object(top.get("parameters", {}), "parameters")
    binary = parameters.pop("binary_data_output", False)
    if not isinstance(binary, bool):
        raise InvalidRequestError("parameters.binary_data_output must be a boolean")
    identifier = top.get("id")
    if identifier is None:
        identifier = ""
    if not isinstance(identifier, str):
        raise InvalidRequestError("id must be a string")
    outputs = _read_outputs(top.get("outputs", []), binary)
    return InferRequest(identifier, tensors, parameters, outputs, binary)


def write_infer_response(
    request: InferRequest,
    model: str,
    version: str,
    parameters: dict[str, str | int],
    outputs: dict[str, NDArray[Any] | list[str]],
) -> Reply:
    """Render outputs (arrays, or lists of strings for BYTES) as the request asked for them.

    Raises:
        InvalidRequestError: an output was asked for that there is not.
    """
    wanted = request.outputs or [RequestedOutput(name, request.binary) for name in outputs]
    described = []
    blobs = []
    for output in wanted:
        if output.name not in outputs:
            known = ", ".join(outputs)
            raise InvalidRequestError(f"no output {output.name!r}; there are: {known}")
        value = outputs[output.name]
        texts = isinstance(value, list)
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": "BYTES" if texts else _NAMES[value.dtype],  # type: ignore[union-attr]
            "shape": [len(value)] if texts else list(value.shape),  # type: ignore[union-attr]
        }
        if output.binary:
            blob = _pack_bytes(value) if isinstance(value, list) else value.tobytes()
            entry["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            entry["data"] = value if isinstance(value, list) else value.ravel()
        described.append(entry)
    document: dict[str, Any] = {
        "id": request.id,
        "model_name": model,
        "model_version": version,
        "parameters": parameters,
        "outputs": described,
    }
    if not blobs:
        return json_reply(document)
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return Reply(
        b"".join([head, *blobs]), "application/octet-stream", {JSON_LENGTH: str(len(head))}
    )


def _read_tensor(item: object, path: str, body: memoryview, start: int) -> tuple[Tensor, int]:
    """A tensor whose bytes, if it has any, begin at ``start``; and where the next one's do."""
    fields = _object(item, path, ("name", "datatype", "shape", "data", "parameters"))
    name, datatype, shape = fields.get("name"), fields.get("datatype"), fields.get("shape")
    if not isinstance(name, str):
        raise InvalidRequestError(f"{path}.name must be a string")
    if not isinstance(datatype, str):
        raise InvalidRequestError(f"{path}.datatype must be a string")
    if not isinstance(shape, list) or not all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31 for n in shape
    ):
        raise InvalidRequestError(f"{path}.shape must be an array of non-negative integers")
    if len(shape) > MAX_RANK:
        raise InvalidRequestError(f"{path}.shape has {len(shape)} axes; the limit is {MAX_RANK}")
    parameters = _object(fields.get("parameters", {}), f"{path}.parameters")
    size = parameters.get("binary_data_size")
    data: memoryview | list[Any]
    if size is None:
        found = fields.get("data")
        if not isinstance(found, list):
            raise InvalidRequestError(f"{path}.data must be an array")
        data = found
    else:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InvalidRequestError(f"{path}.parameters.binary_data_size must be an integer")
        if "data" in fields:
            raise InvalidRequestError(f"{path} has both data and binary_data_size")
        if size > len(body) - start:
            raise MalformedRequestError(f"{path}: {size} bytes announced, {len(body) - start} left")
        data = body[start : start + size]
        start += size
    return Tensor(name, datatype.upper(), tuple(shape), data), start


def _read_outputs(value: object, binary: bool) -> list[RequestedOutput]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequestError("outputs must be an array")
    if len(value) > MAX_OUTPUTS:
        raise InvalidRequestError(f"{len(value)} outputs are asked for; the limit is {MAX_OUTPUTS}")
    found: list[RequestedOutput] = []
    for index, item in enumerate(value):
        fields = _object(item, f"outputs[{index}]", ("name", "parameters"))
        name = fields.get("name")
        if not isinstance(name, str):
            raise InvalidRequestError(f"outputs[{index}].name must be a string")
        if any(name == other.name for other in found):
            raise InvalidRequestError(f"outputs[{index}]: {name!r} is asked for twice")
        parameters = _object(fields.get("parameters", {}), f"outputs[{index}].parameters")
        asked = parameters.get("binary_data", binary)
        if not isinstance(asked, bool):
            raise InvalidRequestError(f"outputs[{index}].parameters.binary_data must be a boolean")
        found.append(RequestedOutput(name, asked))
    return found


def _object(value: object, path: str, known: Sequence[str] | None = None) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{path} must be an object")
    for name in value if known is not None else ():
        # KServe's clients also send model_name and model_version, which the URL has said.
        if name not in known and name not in ("model_name", "model_version"):  # type: ignore[operator]
            raise InvalidRequestError(f"{path} has an unknown field {name!r}")
    return dict(value)


def _unpack_bytes(name: str, data: bytes | memoryview) -> list[bytes]:
    """BYTES elements, each behind its length as four little-endian bytes."""
    found = []
    start = 0
    while start < len(data):
        if start + 4 > len(data):
            raise MalformedRequestError(f"input {name!r}: an element's length is cut off")
        (length,) = struct.unpack_from("<I", data, start)
        start += 4
        if start + length > len(data):
            raise MalformedRequestError(f"input {name!r}: an element is cut off")
        found.append(bytes(data[start : start + length]))
        start += length
    return found


def _pack_bytes(values: list[str]) -> bytes:
    parts = []
    for value in values:
        encoded = value.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)


def _flatten_texts(name: str, data: list[Any]) -> list[bytes]:
    """Strings in row-major order; the protocol lets them be nested."""
    found: list[bytes] = []
    pending = [iter(data)]
    while pending:
        for item in pending[-1]:
            if isinstance(item, list):
                pending.append(iter(item))
                break
            if not isinstance(item, str):
                raise InvalidRequestError(
                    f"input {name!r}: the data of a BYTES tensor must be strings"
                )
            found.append(item.encode())
        else:
            pending.pop()
    return found
