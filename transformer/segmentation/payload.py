"""Requests of segmentation: one image in any of the accepted forms, and what is wanted of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from serving.errors import InvalidRequest, MalformedRequest, UnsupportedMedia
from serving.model import HttpRequest
from serving.v2 import InferRequest, read_infer_request
from transformer.image import looks_encoded
from transformer.payload import JSON_TYPES, UNDECIDED_TYPES, decode_base64
from transformer.segmentation.bands import Choice
from transformer.segmentation.multipart import read_form

IMAGE_TYPES = ("image/tiff", "image/png", "image/jpeg", "image/webp", "image/bmp")
FORM = "multipart/form-data"

JSON, NPY, TIFF, PNG = "application/json", "application/x-npy", "image/tiff", "image/png"
OUTPUTS = {"json": JSON, "npy": NPY, "tiff": TIFF, "png": PNG}
MASKS = ("png", "npy", "none")
PARAMETERS = ("output", "mask", "bands", "full_scale", "probabilities")
KEYS = ("base64", "b64", "image", "image_bytes")


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


def read_v1_payload(request: HttpRequest) -> Payload:
    """Read a v1 ``:predict`` body: a form, JSON, or an encoded image as it is.

    Raises:
        MalformedRequest: not JSON, not base64, no form.
        InvalidRequest: of another shape.
        UnsupportedMedia: a content or answer type that there is not.
    """
    media_type = request.media_type
    given: dict[str, Any] = dict(parse_qsl(request.query, keep_blank_values=True))
    accept = request.headers.get("accept", "*/*")
    if media_type == FORM:
        form = read_form(request.body, request.headers["content-type"])
        return Payload(form.file, _wanted({**given, **form.fields}, accept, NPY))
    raw = media_type in IMAGE_TYPES or (
        media_type in UNDECIDED_TYPES and looks_encoded(request.body)
    )
    if raw:
        if not request.body:
            raise MalformedRequest("the body is empty")
        return Payload(request.body, _wanted(given, accept, JSON))
    if media_type not in (*JSON_TYPES, *UNDECIDED_TYPES):
        raise UnsupportedMedia(
            f"content type {media_type!r} is not read; send {FORM}, application/json or one of "
            + ", ".join(IMAGE_TYPES)
        )
    image, parameters = _read_json(request.body)
    return Payload(image, _wanted({**given, **parameters}, accept, JSON))


def read_v2_payload(request: HttpRequest) -> Payload:
    """Read a v2 body with one BYTES input of one element."""
    parsed = read_infer_request(request)
    elements = parsed.inputs[0].elements()
    if len(elements) != 1:
        raise InvalidRequest(f"a request has one image, not {len(elements)}")
    image = elements[0]
    if not looks_encoded(image):
        image = decode_base64(image.decode("ascii", "replace"), 0)
    known = {k: v for k, v in parsed.parameters.items() if k in PARAMETERS}
    return Payload(image, _wanted(known, "*/*", JSON), parsed)


def _read_json(body: bytes) -> tuple[bytes, dict[str, Any]]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be an object")
    parameters = document.pop("parameters", None) or {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("parameters must be an object")
    instances = document.pop("instances", None)
    if instances is None:
        return _read_instance(document, None), parameters
    for name in document:
        raise InvalidRequest(f"the body has an unknown field {name!r}")
    if not isinstance(instances, list) or len(instances) != 1:
        raise InvalidRequest("instances must be an array of one image: a mask is large")
    return _read_instance(instances[0], 0), parameters


def _read_instance(item: object, index: int | None) -> bytes:
    if isinstance(item, dict) and len(item) == 1:
        ((name, value),) = item.items()
        if name not in KEYS:
            raise InvalidRequest(f"an instance has an unknown field {name!r}", instance=index)
        if name in ("image", "image_bytes") and isinstance(value, dict) and len(value) == 1:
            ((name, value),) = value.items()
        item = value
    if not isinstance(item, str):
        raise InvalidRequest('an instance is {"base64": "…"} or a base64 string', instance=index)
    return decode_base64(item, index)


def _wanted(given: Mapping[str, Any], accept: str, default: str) -> Wanted:
    for name in given:
        if name not in PARAMETERS:
            known = ", ".join(PARAMETERS)
            raise InvalidRequest(f"there is no parameter {name!r}; there are: {known}")
    probabilities = _flag(given.get("probabilities", False))
    output = _output(given.get("output"), accept, NPY if probabilities else default)
    mask = given.get("mask", "png")
    if mask not in MASKS:
        raise InvalidRequest(f"mask must be one of {', '.join(MASKS)}")
    if probabilities and output != NPY:
        raise InvalidRequest("probabilities are answered as a numpy file: output=npy")
    choice = Choice(_bands(given.get("bands")), _positive(given.get("full_scale")))
    return Wanted(output, choice, mask, probabilities)


def _output(name: object, accept: str, default: str) -> str:
    """The parameter wins; of the ``Accept`` header the first type that there is."""
    if name is not None:
        if name not in OUTPUTS:
            raise InvalidRequest(f"output must be one of {', '.join(OUTPUTS)}")
        return OUTPUTS[str(name)]
    ranked = sorted(
        (item.partition(";") for item in accept.lower().split(",")),
        key=lambda parts: -_quality(parts[2]),
    )
    for kind, _, _ in ranked:
        kind = kind.strip()
        if kind in OUTPUTS.values():
            return kind
        if kind in ("*/*", "application/*", ""):
            return default
    raise UnsupportedMedia(
        f"none of {accept[:200]!r} can be answered; there are: {', '.join(OUTPUTS.values())}",
        code="not_acceptable",
    )


def _quality(parameters: str) -> float:
    match = re.search(r"(?:^|;)\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters)
    return float(match[1]) if match else 1.0


def _bands(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(,\d{1,3}){0,63}", value):
        value = [int(item) for item in value.split(",")]
    if not isinstance(value, list) or not all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in value
    ):
        raise InvalidRequest("bands must be the numbers of bands, from 1, such as 3,2,1")
    return tuple(value)


def _positive(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
        raise InvalidRequest("full_scale must be a positive number")
    return float(value)


def _flag(value: object) -> bool:
    if value in (True, "true", "1", "yes"):
        return True
    if value in (False, "false", "0", "no", ""):
        return False
    raise InvalidRequest("probabilities must be true or false")
