"""The calling side of the Open Inference Protocol (v2) with binary tensors; see ``serving.v2``.

One tensor there, one or more back: JSON that describes them, and their bytes behind that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from serving.v2 import JSON_LENGTH, MAX_RANK, NUMPY_TYPES


@dataclass(frozen=True)
class InferResponse:
    """An answer to ``write_infer_request``.

    Attributes:
        outputs: an array for each that was asked for, read-only views of the answer's bytes.
    """

    model_version: str
    parameters: Mapping[str, Any]
    outputs: tuple[NDArray[Any], ...]


def write_infer_request(
    tensor: NDArray[Any],
    name: str,
    datatype: str,
    parameters: Mapping[str, str],
    outputs: Sequence[str],
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request with one input, that asks for outputs, all in binary."""
    head = orjson.dumps(
        {
            "parameters": parameters,
            "inputs": [
                {
                    "name": name,
                    "datatype": datatype,
                    "shape": tensor.shape,
                    "parameters": {"binary_data_size": tensor.nbytes},
                }
            ],
            "outputs": [{"name": item, "parameters": {"binary_data": True}} for item in outputs],
        }
    )
    headers = {"content-type": "application/octet-stream", JSON_LENGTH: str(len(head))}
    return headers, b"".join((head, np.ascontiguousarray(tensor).data))


def read_infer_response(
    headers: Mapping[str, str], body: bytes, expected: Sequence[tuple[str, str]]
) -> InferResponse:
    """The outputs in a binary answer.

    Args:
        headers: of the answer; looked up in lower case.
        expected: name and datatype of each output, in the order that they were asked for.

    Raises:
        ValueError: the answer is anything else; says what is wrong with it.
    """
    declared = headers.get(JSON_LENGTH, "")
    if not re.fullmatch(r"[0-9]{1,15}", declared) or int(declared) > len(body):
        raise ValueError(f"{JSON_LENGTH} is {declared[:20]!r} for {len(body)} bytes")
    start = int(declared)
    document = orjson.loads(memoryview(body)[:start])
    if not isinstance(document, dict):
        raise ValueError("the answer is not an object")
    version, parameters = document.get("model_version", ""), document.get("parameters", {})
    outputs = document.get("outputs")
    if not isinstance(version, str) or not isinstance(parameters, dict):
        raise ValueError("model_version or parameters have another type than the protocol's")
    if not isinstance(outputs, list) or len(outputs) != len(expected):
        raise ValueError(f"the answer does not have {len(expected)} outputs")
    arrays = []
    for output, (name, datatype) in zip(outputs, expected, strict=True):
        array = _read_output(output, name, datatype, body, start)
        start += array.nbytes
        arrays.append(array)
    if start != len(body):
        raise ValueError(f"{len(body) - start} bytes are left behind the last output")
    return InferResponse(version, parameters, tuple(arrays))


def _read_output(output: object, name: str, datatype: str, body: bytes, start: int) -> NDArray[Any]:
    """One output, whose bytes begin at ``start``."""
    if not isinstance(output, dict):
        raise ValueError("an output is not an object")
    if (output.get("name"), output.get("datatype")) != (name, datatype):
        raise ValueError(f"the output is not {name!r} of {datatype}")
    shape = output.get("shape")
    if (
        not isinstance(shape, list)
        or not 1 <= len(shape) <= MAX_RANK
        or not all(type(n) is int and 0 <= n < 2**31 for n in shape)
    ):
        raise ValueError("the output's shape is damaged")
    kind = np.dtype(NUMPY_TYPES[datatype])
    size = prod(shape) * kind.itemsize
    binary = output.get("parameters")
    announced = binary.get("binary_data_size") if isinstance(binary, dict) else None
    if announced != size or len(body) - start < size:
        raise ValueError(f"{len(body) - start} bytes for an output of {size}")
    return np.frombuffer(body, kind, prod(shape), start).reshape(shape)
