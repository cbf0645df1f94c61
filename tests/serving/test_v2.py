from __future__ import annotations

import itertools
import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from kserve import InferInput, InferResponse
from kserve import InferRequest as KServeRequest
from numpy.typing import NDArray

from serving.errors import InvalidRequestError, MalformedRequestError
from serving.model import HttpRequest
from serving.v2 import (
    JSON_LENGTH,
    NUMPY_TYPES,
    InferRequest,
    RequestedOutput,
    Tensor,
    read_infer_request,
    write_infer_response,
)

VALID: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1.5, 2]}


def read(
    document: Any, blob: bytes = b"", length: str | None = None, max_inputs: int = 1
) -> InferRequest:
    head = document if isinstance(document, bytes) else orjson.dumps(document)
    headers = {JSON_LENGTH: str(len(head))} if blob else {}
    if length is not None:
        headers = {JSON_LENGTH: length}
    return read_infer_request(HttpRequest(head + blob, headers), max_inputs)


def request_of(tensor: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"inputs": [tensor], **top}


def values_of(kind: type[np.generic]) -> NDArray[Any]:
    if kind is np.bool_:
        return np.array([[True, False, True], [False, False, True]])
    if issubclass(kind, np.integer):
        bounds = np.iinfo(kind)
        return np.array([[bounds.min, 0, 1], [2, 3, min(bounds.max, 2**63 - 1)]], kind)
    return np.array([[-1.5, 0, 0.25], [2, 1024, 0.125]], kind)


def test_a_json_request() -> None:
    parsed = read(request_of(VALID, id="42", parameters={"top_k": 3}))
    assert parsed == InferRequest("42", [Tensor("x", "FP32", (2,), [1.5, 2])], {"top_k": 3})
    assert parsed.inputs[0].numbers().tolist() == [1.5, 2.0]


def test_absent_and_null_members_are_alike() -> None:
    bare = read(request_of(VALID))
    assert bare.id == ""
    assert bare == read(request_of(VALID, parameters=None, outputs=None))
    assert bare == read(request_of({**VALID, "parameters": None}))


def test_what_kserves_clients_send_beside_the_protocol_is_accepted() -> None:
    assert read(request_of(VALID, model_name="mnist", model_version="1")) == read(request_of(VALID))


@pytest.mark.parametrize("name", NUMPY_TYPES)
def test_binary_round_trip(name: str) -> None:
    sent = values_of(NUMPY_TYPES[name])
    head = request_of(
        {
            "name": "x",
            "datatype": name,
            "shape": list(sent.shape),
            "parameters": {"binary_data_size": sent.nbytes},
        },
        parameters={"binary_data_output": True},
    )
    parsed = read(head, sent.tobytes())
    found = parsed.inputs[0].numbers()
    assert found.dtype == sent.dtype
    np.testing.assert_array_equal(found, sent)

    reply = write_infer_response(parsed, "mnist", "1", {}, {"y": found})
    assert reply.media_type == "application/octet-stream"
    length = int(reply.headers[JSON_LENGTH])
    (described,) = orjson.loads(reply.body[:length])["outputs"]
    assert described == {
        "name": "y",
        "datatype": name,
        "shape": [2, 3],
        "parameters": {"binary_data_size": sent.nbytes},
    }
    assert reply.body[length:] == sent.tobytes()


@pytest.mark.parametrize("name", NUMPY_TYPES)
@pytest.mark.parametrize("nested", [True, False])
def test_json_round_trip(name: str, nested: bool) -> None:
    sent = values_of(NUMPY_TYPES[name])
    data = sent.tolist() if nested else sent.ravel().tolist()
    parsed = read(request_of({"name": "x", "datatype": name, "shape": [2, 3], "data": data}))
    found = parsed.inputs[0].numbers()
    assert found.dtype == sent.dtype
    np.testing.assert_array_equal(found, sent)

    reply = write_infer_response(parsed, "mnist", "1", {}, {"y": found})
    assert reply.media_type == "application/json"
    assert JSON_LENGTH not in reply.headers
    (described,) = orjson.loads(reply.body)["outputs"]
    assert (described["datatype"], described["shape"]) == (name, [2, 3])
    assert described["data"] == sent.ravel().tolist()


def test_several_tensors_share_one_body() -> None:
    first, second = np.arange(3, dtype=np.int32), np.arange(4, dtype=np.float64)
    described = [
        {
            "name": str(i),
            "datatype": datatype,
            "shape": [len(array)],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for i, (datatype, array) in enumerate([("INT32", first), ("FP64", second)])
    ]
    inputs = [described[0], VALID, described[1]]
    parsed = read({"inputs": inputs}, first.tobytes() + second.tobytes(), max_inputs=3)
    assert parsed.inputs[0].numbers().tolist() == first.tolist()
    assert parsed.inputs[1].numbers().tolist() == [1.5, 2.0]
    assert parsed.inputs[2].numbers().tolist() == second.tolist()


@pytest.mark.parametrize("binary", [True, False])
def test_a_request_of_kserves_own_client_is_understood(binary: bool) -> None:
    sent = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = InferInput("image", [2, 3], "FP32")
    tensor.set_data_from_numpy(sent, binary_data=binary)
    body, length = KServeRequest(model_name="mnist", infer_inputs=[tensor]).to_rest()
    document = body if isinstance(body, bytes) else orjson.dumps(body)
    parsed = read(document, length=None if length is None else str(length))
    assert parsed.inputs[0].name == "image"
    np.testing.assert_array_equal(parsed.inputs[0].numbers(), sent)


@pytest.mark.parametrize("binary", [True, False])
def test_a_reply_is_understood_by_kserves_own_client(binary: bool) -> None:
    sent = np.arange(6, dtype=np.float32).reshape(2, 3)
    request = InferRequest("7", [], binary=binary)
    reply = write_infer_response(
        request, "mnist", "2", {"model_digest": "d"}, {"y": sent, "label": ["犬", "b"]}
    )
    length = int(reply.headers[JSON_LENGTH]) if binary else None
    found = (
        InferResponse.from_bytes(reply.body, length)
        if length is not None
        else InferResponse.from_rest(orjson.loads(reply.body))
    )
    assert (found.id, found.model_name) == ("7", "mnist")
    assert found.parameters == {"model_digest": "d"}
    np.testing.assert_array_equal(found.outputs[0].as_numpy(), sent)
    assert [
        x if isinstance(x, str) else x.decode() for x in found.outputs[1].as_numpy().tolist()
    ] == ["犬", "b"]


def test_outputs_are_chosen_and_ordered_by_the_request() -> None:
    request = read(
        request_of(
            VALID,
            outputs=[{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}],
        )
    )
    assert request.outputs == [RequestedOutput("b", True), RequestedOutput("a", False)]
    outputs: dict[str, NDArray[Any] | list[str]] = {
        "a": np.ones(1, np.float32),
        "b": np.zeros(2, np.int64),
        "c": ["x"],
    }
    reply = write_infer_response(request, "m", "1", {}, outputs)
    length = int(reply.headers[JSON_LENGTH])
    described = orjson.loads(reply.body[:length])["outputs"]
    assert [entry["name"] for entry in described] == ["b", "a"]
    assert described[1]["data"] == [1.0]
    assert reply.body[length:] == bytes(16)


def test_a_named_output_takes_the_requests_default() -> None:
    request = read(
        request_of(VALID, outputs=[{"name": "a"}], parameters={"binary_data_output": True})
    )
    assert request.outputs == [RequestedOutput("a", True)]
    assert request.parameters == {}


def test_an_output_that_there_is_not() -> None:
    request = InferRequest("", [], outputs=[RequestedOutput("z", False)])
    with pytest.raises(InvalidRequestError, match="no output 'z'; there are: a, b"):
        write_infer_response(request, "m", "1", {}, {"a": ["x"], "b": ["y"]})


def test_an_array_that_is_not_contiguous_is_written_in_row_major_order() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3).T
    for binary in (True, False):
        reply = write_infer_response(
            InferRequest("", [], binary=binary), "m", "1", {}, {"y": array}
        )
        if binary:
            flat = np.frombuffer(reply.body[int(reply.headers[JSON_LENGTH]) :], np.int32).tolist()
        else:
            flat = orjson.loads(reply.body)["outputs"][0]["data"]
        assert flat == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"inputs": [NaN]}', b"[" * 5000], ids=repr)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequestError, match="the body is not JSON"):
        read(body)


@pytest.mark.parametrize("length", ["-1", "x", "", "1.0", "1e3", " 5", "99999999", "²"])
def test_a_json_length_that_cannot_be(length: str) -> None:
    with pytest.raises(MalformedRequestError, match=JSON_LENGTH):
        read(request_of(VALID), length=length)


@pytest.mark.parametrize("length", ["0", "5"])
def test_a_json_length_that_cuts_the_json(length: str) -> None:
    with pytest.raises(MalformedRequestError, match="not JSON"):
        read(request_of(VALID), length=length)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "the body must be an object"),
        ("x", "the body must be an object"),
        (None, "inputs must be a non-empty array"),
        ({}, "inputs must be a non-empty array"),
        ({"inputs": []}, "inputs must be a non-empty array"),
        ({"inputs": {}}, "inputs must be a non-empty array"),
        (request_of(VALID, surprise=1), "the body has an unknown field 'surprise'"),
        (request_of(VALID, id=5), "id must be a string"),
        (request_of(VALID, parameters=[]), "parameters must be an object"),
        (
            request_of(VALID, parameters={"binary_data_output": "yes"}),
            "parameters.binary_data_output must be a boolean",
        ),
        (request_of(VALID, outputs={}), "outputs must be an array"),
        (request_of(VALID, outputs=["y"]), "outputs[0] must be an object"),
        (request_of(VALID, outputs=[{}]), "outputs[0].name must be a string"),
        (
            request_of(VALID, outputs=[{"name": "y", "shape": [1]}]),
            "outputs[0] has an unknown field 'shape'",
        ),
        (
            request_of(VALID, outputs=[{"name": "y", "parameters": {"binary_data": 1}}]),
            "outputs[0].parameters.binary_data must be a boolean",
        ),
        ({"inputs": [VALID, 5]}, "there is one input, not 2"),
        ({"inputs": [5]}, "inputs[0] must be an object"),
        (request_of({**VALID, "name": None}), "inputs[0].name must be a string"),
        (request_of({**VALID, "datatype": 32}), "inputs[0].datatype must be a string"),
        (request_of({**VALID, "surprise": 1}), "inputs[0] has an unknown field 'surprise'"),
        (request_of({**VALID, "parameters": 1}), "inputs[0].parameters must be an object"),
        (request_of({**VALID, "data": "x"}), "inputs[0].data must be an array"),
        (request_of({**VALID, "data": None}), "inputs[0].data must be an array"),
        *(
            (
                request_of({**VALID, "shape": shape}),
                "inputs[0].shape must be an array of non-negative integers",
            )
            for shape in (None, 2, "2", [-1], [2.0], [True], ["2"], [None], [2**31], [10**18])
        ),
        *(
            (
                request_of({"name": "x", "datatype": "FP32", "shape": [1]} | {"parameters": p}),
                "inputs[0].parameters.binary_data_size must be an integer",
            )
            for p in ({"binary_data_size": size} for size in (-1, 4.0, "4", True, [4]))
        ),
        (
            request_of({**VALID, "parameters": {"binary_data_size": 0}}),
            "inputs[0] has both data and binary_data_size",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_json_of_another_shape_names_the_field(document: Any, named: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(document)
    assert caught.value.message.startswith(named)


def binary_tensor(size: int, shape: list[int], datatype: str = "FP32") -> dict[str, Any]:
    return request_of(
        {
            "name": "x",
            "datatype": datatype,
            "shape": shape,
            "parameters": {"binary_data_size": size},
        }
    )


@pytest.mark.parametrize("size", [9, 2**40])
def test_more_bytes_announced_than_sent(size: int) -> None:
    with pytest.raises(
        MalformedRequestError, match=rf"inputs\[0\]: {size} bytes announced, 8 left"
    ):
        read(binary_tensor(size, [2]), bytes(8))


def test_more_bytes_sent_than_announced() -> None:
    with pytest.raises(MalformedRequestError, match="4 bytes are left behind the last tensor"):
        read(binary_tensor(4, [1]), bytes(8))


@pytest.mark.parametrize("shape", [[1], [3], [2, 2], [], [0], [2**31 - 1] * 4], ids=repr)
def test_bytes_that_do_not_fill_the_shape(shape: list[int]) -> None:
    tensor = read(binary_tensor(8, shape), bytes(8)).inputs[0]
    with pytest.raises(InvalidRequestError, match="not 8"):
        tensor.numbers()


@pytest.mark.parametrize("shape", [[1], [3], [2, 2], [], [0], [2**31 - 1] * 4], ids=repr)
def test_numbers_that_do_not_fill_the_shape(shape: list[int]) -> None:
    with pytest.raises(InvalidRequestError, match="not 2"):
        read(request_of({**VALID, "shape": shape})).inputs[0].numbers()


def test_a_scalar_and_an_empty_tensor() -> None:
    assert Tensor("x", "INT8", (), b"\x05").numbers().tolist() == 5
    assert Tensor("x", "FP32", (0, 3), []).numbers().shape == (0, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([[1, 2], [3]], "ragged"),
        ([1, [2]], "ragged"),
        (["1", "2"], "must be numbers"),
        ([1, "2"], "must be numbers"),
        ([None, 1], "must be numbers"),
        ([True, False], "must be numbers"),
        ([{}, {}], "must be numbers"),
        ([2**64, 1], "must be numbers"),
    ],
    ids=repr,
)
def test_data_that_are_no_numbers(data: list[Any], reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"input 'x': data .*{reason}"):
        Tensor("x", "FP32", (2,), data).numbers()


@pytest.mark.parametrize("datatype", ["BYTES", "FLOAT", "", "BF16"])
def test_only_numeric_types_are_numbers(datatype: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not numeric"):
        Tensor("x", datatype, (1,), [1]).numbers()


def test_a_datatype_in_lower_case_is_understood() -> None:
    assert read(request_of({**VALID, "datatype": "fp32"})).inputs[0].datatype == "FP32"


def pack(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((3,), ["a", "", "é"]),
        ((3, 1), [["a"], [""], ["é"]]),
        ((1, 3), [["a", "", "é"]]),
        ((1, 1, 3), [[["a", "", "é"]]]),
        ((3,), pack(b"a", b"", "é".encode())),
    ],
)
def test_elements_of_a_bytes_tensor(shape: tuple[int, ...], data: bytes | list[Any]) -> None:
    assert Tensor("x", "BYTES", shape, data).elements() == [b"a", b"", "é".encode()]


def test_no_elements() -> None:
    assert Tensor("x", "BYTES", (0,), b"").elements() == []
    assert Tensor("x", "BYTES", (0,), []).elements() == []


def test_deeply_nested_strings_do_not_exhaust_the_stack() -> None:
    data: list[Any] = ["a"]
    for _ in range(5_000):
        data = [data]
    assert Tensor("x", "BYTES", (1,), data).elements() == [b"a"]


@pytest.mark.parametrize("data", [[1], [None], [["a"], 2], [{"b64": "a"}], [True]], ids=repr)
def test_elements_are_strings(data: list[Any]) -> None:
    with pytest.raises(InvalidRequestError, match="must be strings"):
        Tensor("x", "BYTES", (1,), data).elements()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x01", "length is cut off"),
        (pack(b"a") + b"\0\0\0", "length is cut off"),
        (struct.pack("<I", 2) + b"a", "element is cut off"),
        (struct.pack("<I", 2**32 - 1), "element is cut off"),
    ],
    ids=repr,
)
def test_packed_elements_that_are_cut_off(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRequestError, match=reason):
        Tensor("x", "BYTES", (1,), data).elements()


@pytest.mark.parametrize("data", [["a", "b"], pack(b"a", b"b")])
@pytest.mark.parametrize("shape", [(1,), (3,), (), (2, 2), (2**31 - 1,) * 4], ids=repr)
def test_elements_that_do_not_fill_the_shape(
    data: bytes | list[Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidRequestError, match="elements, not 2"):
        Tensor("x", "BYTES", shape, data).elements()


def test_numbers_are_no_elements() -> None:
    with pytest.raises(InvalidRequestError, match="datatype must be BYTES, not 'FP32'"):
        Tensor("x", "FP32", (1,), [1]).elements()


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT8", [300]),
        ("UINT8", [-1]),
        ("UINT8", [1.7]),
        ("INT32", [1e300]),
        ("INT64", [0.5]),
        ("INT64", [True]),
        ("BOOL", [1]),
        ("FP32", ["1"]),
        ("FP32", [None]),
    ],
)
def test_json_values_are_refused_rather_than_changed(datatype: str, data: list[Any]) -> None:
    with pytest.raises(InvalidRequestError, match=f"data must be numbers of {datatype}"):
        Tensor("x", datatype, (1,), data).numbers()


def test_large_integers_stay_exact() -> None:
    data = [0, 1, 2**64 - 1]
    assert Tensor("x", "UINT64", (3,), data).numbers().tolist() == data


@pytest.mark.parametrize("rank", [9, 70, 20_000])
def test_a_shape_of_many_axes_is_refused_at_once(rank: int) -> None:
    tensor = {"name": "x", "shape": [2**31 - 1] * rank, "datatype": "BYTES", "data": ["a"]}
    with pytest.raises(InvalidRequestError, match=f"has {rank} axes; the limit is 8"):
        read_infer_request(HttpRequest(json.dumps({"inputs": [tensor]}).encode(), {}))


def test_an_absurd_header_length_is_refused() -> None:
    with pytest.raises(MalformedRequestError):
        read_infer_request(HttpRequest(b"{}", {"inference-header-content-length": "9" * 5000}))


def test_an_empty_shape_too_large_for_numpy_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        Tensor("x", "FP32", (0, 2**31 - 1, 2**31 - 1, 2**31 - 1), []).numbers()


def test_binary_tensors_are_views_of_the_body() -> None:
    """However many there are, none is copied: what is read grows with the body alone."""
    count, size = 50, 4096
    tensor = binary_tensor(size, [size // 4])["inputs"][0]
    head = orjson.dumps({"inputs": [tensor] * count})
    body = head + bytes(size * count)
    request = HttpRequest(body, {JSON_LENGTH: str(len(head))})
    found = read_infer_request(request, max_inputs=count)
    starts = []
    for read_tensor in found.inputs:
        assert isinstance(read_tensor.data, memoryview)
        assert read_tensor.data.obj is body
        array = read_tensor.numbers()
        starts.append(array.__array_interface__["data"][0])
    assert {after - before for before, after in itertools.pairwise(starts)} == {size}


@pytest.mark.parametrize("count", [2, 100_000])
def test_more_inputs_than_the_model_has_are_refused_before_one_is_read(count: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"there is one input, not {count}"):
        read({"inputs": ["not even an object"] * count}, bytes(count))
    with pytest.raises(InvalidRequestError, match=r"inputs\[0\] must be an object"):
        read({"inputs": ["not even an object"]}, bytes(count))


def test_an_output_is_given_once_and_few_are_asked_for() -> None:
    twice = [{"name": "y"}, {"name": "x"}, {"name": "y"}]
    with pytest.raises(InvalidRequestError, match=r"outputs\[2\]: 'y' is asked for twice"):
        read(request_of(VALID, outputs=twice))
    many = [{"name": str(number)} for number in range(17)]
    with pytest.raises(InvalidRequestError, match="17 outputs are asked for; the limit is 16"):
        read(request_of(VALID, outputs=many))
    assert len(read(request_of(VALID, outputs=many[:16])).outputs) == 16


def test_an_id_that_is_null_is_none() -> None:
    assert read(request_of(VALID, id=None)).id == ""
