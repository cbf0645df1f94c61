"""JSON that unfolds: what was admitted as 32 MiB stays about that."""

from __future__ import annotations

import pytest

from serving.errors import MalformedRequestError, TooLargeError
from serving.json import JsonLimits, holds_numbers_only
from tests.memory import peak_growth

LIMITS = JsonLimits(max_bytes=3 << 20, max_values=100, max_containers=50)
MEBIBYTES = 32

TRANSFORMER = """
from serving.errors import ServingError
from serving.model import HttpRequest
from transformer.classification.options import ClassificationOptions
from transformer.pictures.payload import PayloadReader
reader = PayloadReader(256, 32 << 20, ClassificationOptions)
def send(body, read):
    try:
        read(HttpRequest(body, {"content-type": "application/json"}))
    except ServingError as error:
        assert error.status in (400, 413, 422), error
    else:
        raise AssertionError("it was read")
"""
PREDICTOR = """
from pathlib import Path
from types import SimpleNamespace
from serving.errors import ServingError
from serving.model import HttpRequest
from predictor.held import Held
from predictor.model import PredictorModel
from artifact import model_contract
contract = model_contract(Path("models"), NAME)
card = SimpleNamespace(name="m", revision="1", contract=contract, accepts=())
loaded = SimpleNamespace(
    card=card,
    session=SimpleNamespace(run=None, stop=None),
    max_instances_per_pass=1,
    digest="",
    load_seconds=0.0,
    instance_seconds=0.0,
)
reader = PredictorModel(Held(loaded, SimpleNamespace(register=lambda queue: None)), 256)
def send(body, read):
    try:
        read(HttpRequest(body, {"content-type": "application/json"}))
    except ServingError as error:
        assert error.status in (400, 413, 422), error
    else:
        raise AssertionError("it was read")
"""
SIZE = MEBIBYTES << 20


def filled(pattern: bytes, piece: str, kind: str = "BYTES") -> str:
    """Source of a body of 32 MiB: ``pattern`` with ``piece`` over and over."""
    head, tail = pattern.replace(b"$KIND", kind.encode()).split(b"$PIECE")
    return (
        f"piece = {piece}\n"
        f"body = {head!r} + piece * (({SIZE} - {len(head) + len(tail)}) // len(piece))"
        f" + piece.rstrip(b',') + {tail!r}\n"
        f"assert {SIZE - 4096} < len(body)\n"
    )


ATTACKS = {
    "lists": (b'{"instances":[$PIECE]}', "b'[],'", "read_v1"),
    "objects": (b'{"instances":[$PIECE]}', "b'{},'", "read_v1"),
    "keys": (b"{$PIECE}", "b'\"\":0,'", "read_v1"),
    "parameters": (b'{"instances":[],"parameters":{$PIECE}}', "b'\"\":0,'", "read_v1"),
    "texts": (b'{"instances":[$PIECE]}', "b'\"\",'", "read_v1"),
    "nested": (b'{"instances":$PIECE}', "b'['", "read_v1"),
    "wide": (b'{"instances":["\xf0\x9f\x98\x80$PIECE"]}', "b'A'", "read_v1"),
    "escaped": (b'{"instances":["\\ud83d\\ude00$PIECE"]}', "b'A'", "read_v1"),
    "v2 data": (
        b'{"inputs":[{"name":"image","datatype":"$KIND","shape":[1],"data":[$PIECE]}]}',
        "b'[],'",
        "read_v2",
    ),
    "v2 shape": (
        b'{"inputs":[{"name":"image","datatype":"$KIND","shape":[$PIECE],"data":[]}]}',
        "b'9,'",
        "read_v2",
    ),
    "v2 inputs": (b'{"inputs":[$PIECE]}', "b'{},'", "read_v2"),
    "v2 outputs": (b'{"inputs":[{}],"outputs":[$PIECE]}', "b'{},'", "read_v2"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_transformer_refuses_what_unfolds(name: str) -> None:
    pattern, piece, read = ATTACKS[name]
    growth = peak_growth(TRANSFORMER + filled(pattern, piece), f"send(body, reader.{read})\n")
    assert growth < 8


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ("wide", "escaped")])
def test_the_predictor_refuses_what_unfolds(name: str) -> None:
    pattern, piece, read = ATTACKS[name]
    setup = "NAME = 'mnist'\n" + PREDICTOR + filled(pattern, piece, "FP32")
    assert peak_growth(setup, f"send(body, reader.{read})\n") < 16


def test_the_predictor_does_not_make_texts_an_array() -> None:
    """numpy gives each of 200 texts the room of the longest, in four bytes a character."""
    setup = "NAME = 'mnist'\n" + PREDICTOR
    setup += "texts = b'\"' + b'A' * (8 << 20) + b'\"' + b',\"\"' * 199\n"
    v1 = "send(b'{\"instances\":[' + texts + b']}', reader.read_v1)\n"
    v2 = (
        'head = b\'{"inputs":[{"name":"image","datatype":"FP32","shape":[1,1,28,28],"data":[\'\n'
        "send(head + texts + b']}]}', reader.read_v2)\n"
    )
    for measured in (v1, v2):
        assert peak_growth(setup, measured) < 64


@pytest.mark.parametrize("name", ["mnist", "land-cover"])
def test_the_largest_json_of_numbers_keeps_the_predictor_under_its_limit(name: str) -> None:
    """Legal but for its shape: numbers that take the most of Python's memory a byte of JSON."""
    pattern, piece = ATTACKS["v2 data"][0], "b'.5,'.replace(b'.', b'0.')"
    setup = f"NAME = {name!r}\n" + PREDICTOR + filled(pattern, piece, "FP32")
    assert peak_growth(setup, "send(body, reader.read_v2)\n") < 512


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 51,
        b"[" + b"1," * 101 + b"1]",
        b'{"a":' * 101,
        b'"' + b"," * 101 + b'"',
        b'"' + b"a" * (3 << 20) + b'"',
        b'"' + "é".encode() + b"a" * (1 << 20) + b'"',
        b'"\\u0100' + b"a" * (1 << 20) + b'"',
    ],
)
def test_what_is_over_a_limit_is_refused_whether_it_is_json_or_not(text: bytes) -> None:
    with pytest.raises(TooLargeError):
        LIMITS.read(text)


def test_what_is_within_the_limits_is_read() -> None:
    assert LIMITS.read(b"[" * 50 + b"]" * 50)
    assert LIMITS.read(b"[" + b"1," * 100 + b"1]") == [1] * 101
    assert LIMITS.read('{"é": "\\ud83d"}'.replace("\\ud83d", "😀").encode()) == {"é": "😀"}
    plus = b'"\\u002b\\u002B' + b"a" * (1 << 20) + b'"'
    assert LIMITS.read(plus)[:3] == "++a"
    with pytest.raises(MalformedRequestError):
        LIMITS.read(b"[1,")


def test_numbers_only() -> None:
    assert holds_numbers_only([[1, 2.5, [True]], []])
    for value in ("a", None, {}):
        assert not holds_numbers_only([1, [2, [value]]])
