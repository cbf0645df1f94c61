"""Request bodies to encoded images and options: every form that is accepted, and no other."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from artifact.fields import json_kind
from serving.errors import InvalidRequest, MalformedRequest, TooLarge, UnsupportedMedia
from serving.model import HttpRequest
from serving.v2 import InferRequest, read_infer_request
from transformer.image import MEDIA_TYPES, looks_encoded
from transformer.polarity import Polarity

JSON_TYPES = ("application/json", "application/vnd.kserve+json")
UNDECIDED_TYPES = (
    "",
    "application/x-www-form-urlencoded",  # what curl says of --data unless it is told otherwise
    "application/octet-stream",
    "text/plain",
)
KEYS = ("base64", "b64", "image", "image_bytes")
DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w.+=-]+)*;base64,")
SHARED_OPTIONS = ("top_k", "polarity")


class Options(NamedTuple):
    """What a request may choose; ``top_k`` None means the server's default."""

    top_k: int | None = None
    polarity: Polarity = Polarity.AUTO


DEFAULT = Options()


class Payload(NamedTuple):
    """Encoded images in order, with the request's options.

    Attributes:
        request: the v2 request they came in.
        listed: whether they came as a list, so that an error names the instance at fault.
    """

    images: list[bytes]
    options: Options
    request: InferRequest | None = None
    listed: bool = True


def read_v1_payload(request: HttpRequest, max_instances: int) -> Payload:
    """Read a v1 ``:predict`` body: JSON, or one encoded image as it is.

    Raises:
        MalformedRequest: not JSON, not base64.
        InvalidRequest: JSON of another shape.
        TooLarge: too many instances.
        UnsupportedMedia: a content type that is not read.
    """
    media_type = request.media_type
    query = _query_options(request.query)
    if media_type in MEDIA_TYPES:
        return _raw_image(request.body, query)
    if media_type in JSON_TYPES:
        return _read_json(request.body, query, max_instances)
    if media_type in UNDECIDED_TYPES:
        if looks_encoded(request.body):
            return _raw_image(request.body, query)
        return _read_json(request.body, query, max_instances)
    raise UnsupportedMedia(
        f"content type {media_type!r} is not read; send application/json or one of "
        + ", ".join(MEDIA_TYPES)
    )


def read_v2_payload(request: HttpRequest, max_instances: int) -> Payload:
    """Read a v2 body with one BYTES input: base64 texts, or encoded images as they are."""
    parsed = read_infer_request(request)
    elements = parsed.inputs[0].elements()
    _check_count(len(elements), max_instances)
    images = [
        element if looks_encoded(element) else decode_base64(_text(element, i), i)
        for i, element in enumerate(elements)
    ]
    known = {name: parsed.parameters[name] for name in SHARED_OPTIONS if name in parsed.parameters}
    return Payload(images, _options({**_query_options(request.query), **known}), parsed)


def decode_base64(text: str, instance: int | None) -> bytes:
    """Strict base64, bare or in a data URL.

    Raises:
        MalformedRequest: naming what is wrong and the instance at fault.
    """
    if text.startswith("data:"):
        match = DATA_URL.match(text)
        if match is None:
            raise MalformedRequest(
                "a data URL must be base64", instance=instance, code="invalid_base64"
            )
        text = text[match.end() :]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedRequest(
            _base64_fault(text), instance=instance, code="invalid_base64"
        ) from None
    if not data:
        raise MalformedRequest("the image is empty", instance=instance, code="invalid_base64")
    return data


def _base64_fault(text: str) -> str:
    if re.search(r"\s", text):
        return "base64 must not hold line breaks or spaces (with coreutils: base64 -w0)"
    if re.fullmatch(r"[A-Za-z0-9_-]+=*", text) and re.search("[_-]", text):
        return "base64 must use + and /, not the URL-safe - and _"
    if re.fullmatch(r"[A-Za-z0-9+/]+", text) and len(text) % 4:
        return "base64 is not padded with = to a multiple of 4 characters"
    return "not valid base64"


def _raw_image(body: bytes, query: dict[str, Any]) -> Payload:
    if not body:
        raise MalformedRequest("the body is empty")
    return Payload([body], _options(query), listed=False)


def _read_json(body: bytes, query: dict[str, Any], max_instances: int) -> Payload:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest(f"the body must be an object, not {json_kind(document)}")
    parameters = document.pop("parameters", None)
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidRequest(f"parameters must be an object, not {json_kind(parameters)}")
    options = _options({**query, **(parameters or {})}) if query or parameters else DEFAULT
    if "instances" not in document:
        # The whole body is one instance: {"base64": "…"} alone.
        if not document:
            raise InvalidRequest("the body has no instances")
        return Payload([_read_instance(document, None)], options, listed=False)
    instances = document.pop("instances")
    for name in document:
        raise InvalidRequest(f"the body has an unknown field {name!r}")
    if not isinstance(instances, list):
        raise InvalidRequest(f"instances must be an array, not {json_kind(instances)}")
    _check_count(len(instances), max_instances)
    return Payload([_read_instance(item, i) for i, item in enumerate(instances)], options)


def _read_instance(item: object, index: int | None) -> bytes:
    """A string, ``{"base64"}``, ``{"b64"}``, or either nested in ``image`` or ``image_bytes``."""
    if isinstance(item, str):
        return decode_base64(item, index)
    if not isinstance(item, dict):
        raise InvalidRequest(
            f"an instance must be an object or a base64 string, not {json_kind(item)}",
            instance=index,
        )
    for name in item:
        if name not in KEYS:
            raise InvalidRequest(f"an instance has an unknown field {name!r}", instance=index)
    if len(item) != 1:
        raise InvalidRequest(f"an instance has one of {', '.join(KEYS)}", instance=index)
    ((name, value),) = item.items()
    if name in ("image", "image_bytes") and isinstance(value, dict):
        if set(value) not in ({"b64"}, {"base64"}):
            raise InvalidRequest(f"{name} must hold b64 alone", instance=index)
        (value,) = value.values()
    if not isinstance(value, str):
        raise InvalidRequest(
            f"{name} must be a base64 string, not {json_kind(value)}", instance=index
        )
    return decode_base64(value, index)


def _check_count(count: int, limit: int) -> None:
    if count == 0:
        raise InvalidRequest("there are no instances")
    if count > limit:
        raise TooLarge(f"{count} instances; the limit is {limit}", code="too_many_instances")


def _options(values: Mapping[str, Any]) -> Options:
    for name in values:
        if name not in SHARED_OPTIONS:
            known = ", ".join(SHARED_OPTIONS)
            raise InvalidRequest(f"there is no parameter {name!r}; there are: {known}")
    top_k = values.get("top_k")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise InvalidRequest("top_k must be a positive integer")
    polarity = values.get("polarity", Polarity.AUTO.value)
    try:
        return Options(top_k, Polarity(polarity))
    except ValueError:
        known = ", ".join(p.value for p in Polarity)
        raise InvalidRequest(f"polarity must be one of {known}") from None


def _query_options(query: str) -> dict[str, Any]:
    if not query:
        return {}
    found: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if re.fullmatch(r"\d{1,6}", found.get("top_k", "")):
        found["top_k"] = int(found["top_k"])
    return found


def _text(element: bytes, index: int) -> str:
    try:
        return element.decode("ascii")
    except UnicodeDecodeError:
        raise UnsupportedMedia(
            "neither base64 nor an image of a format that is read",
            instance=index,
            code="not_an_image",
        ) from None
