"""Requests of segmentation: one image, and what is wanted of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from serving.errors import InvalidRequestError
from serving.model import HttpRequest
from serving.v2 import InferRequest
from transformer.body import BodyReader
from transformer.negotiation import wanted_output
from transformer.parameters import choice
from transformer.segmentation.bands import Choice

JSON, NPY, TIFF, PNG = "application/json", "application/x-npy", "image/tiff", "image/png"
OUTPUTS = {"json": JSON, "npy": NPY, "tiff": TIFF, "png": PNG}
MASKS = ("png", "npy", "none")
PARAMETERS = ("output", "mask", "bands", "full_scale", "alpha", "probabilities")
ALPHAS = {"auto": True, "none": False}
PARTS = ("file", "image")
"""Names that a form's image may have."""


class Wanted(NamedTuple):
    """What a request may choose.

    Attributes:
        output: media type of the answer.
        mask: how a JSON answer holds the mask: ``png``, ``npy`` or ``none``.
        probabilities: whether a numpy answer holds all classes' probabilities, not the mask.
    """

    output: str
    choice: Choice
    mask: str = "png"
    probabilities: bool = False


class Payload(NamedTuple):
    """One encoded image, a view of the request's body where it can be."""

    image: bytes | memoryview
    wanted: Wanted
    request: InferRequest | None = None


class PayloadReader:
    """Reads requests of one image; errors are those of ``BodyReader``, and besides:

    Raises:
        InvalidRequestError: a parameter that there is not, or with a wrong value.
        NotAcceptableError: a type of answer that there is not.
    """

    def __init__(self, max_json_bytes: int) -> None:
        self._bodies = BodyReader(1, max_json_bytes, _check_count, PARTS, PARAMETERS, measured=True)

    def read_v1(self, request: HttpRequest) -> Payload:
        body = self._bodies.read_v1(request)
        default = NPY if body.form else JSON
        wanted = _wanted(body.parameters, request.headers.get("accept", "*/*"), default)
        return Payload(body.images[0], wanted)

    def read_v2(self, request: HttpRequest) -> Payload:
        body = self._bodies.read_v2(request)
        assert body.request is not None
        given = dict(body.parameters)
        if given.get("output") is not None or given.get("mask", "none") != "none":
            raise InvalidRequestError(
                "v2 answers tensors: there is no parameter output, and mask can be none alone"
            )
        if any(output.name == "probabilities" for output in body.request.outputs):
            given["probabilities"] = True
        return Payload(body.images[0], _wanted(given, "*/*", JSON), body.request)


def _check_count(count: int) -> None:
    if count != 1:
        raise InvalidRequestError(f"a request has one image, not {count}: a mask is large")


def _wanted(given: Mapping[str, Any], accept: str, default: str) -> Wanted:
    for name in given:
        if name not in PARAMETERS:
            known = ", ".join(PARAMETERS)
            raise InvalidRequestError(f"parameter {name!r} not found; available: {known}")
    probabilities = _flag(given.get("probabilities", False))
    output = wanted_output(given.get("output"), accept, OUTPUTS, NPY if probabilities else default)
    mask = given.get("mask", "png")
    if mask not in MASKS:
        raise InvalidRequestError(f"mask must be one of {', '.join(MASKS)}")
    if probabilities and output != NPY:
        raise InvalidRequestError("probabilities are answered as a numpy file: output=npy")
    alpha = ALPHAS[choice(given, "alpha", ALPHAS) or "auto"]
    chosen = Choice(_bands(given.get("bands")), _positive(given.get("full_scale")), alpha)
    return Wanted(output, chosen, mask, probabilities)


def _bands(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(,\d{1,3}){0,63}", value):
        value = [int(item) for item in value.split(",")]
    if not isinstance(value, list) or not all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in value
    ):
        raise InvalidRequestError("bands must be the numbers of bands, from 1, such as 3,2,1")
    return tuple(value)


def _positive(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
        raise InvalidRequestError("full_scale must be a positive number")
    return float(value)


def _flag(value: object) -> bool:
    if value in (True, "true", "1", "yes"):
        return True
    if value in (False, "false", "0", "no", ""):
        return False
    raise InvalidRequestError("probabilities must be true or false")
