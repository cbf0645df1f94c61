"""Request bodies to encoded images and parameters: every form that is accepted, and no other.

One reader for all tasks. What the parameters mean is for the task to say.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from artifact.fields import json_kind
from serving.errors import (
    InvalidRequestError,
    MalformedRequestError,
    TooLargeError,
    UnsupportedMediaError,
)
from serving.json import JsonLimits
from serving.model import HttpRequest
from serving.v2 import InferRequest, read_infer_request
from transformer.form import FORM, read_form
from transformer.image import MEDIA_TYPES, looks_encoded

JSON_TYPES = ("application/json", "application/vnd.kserve+json")
UNDECIDED_TYPES = (
    "",
    "application/x-www-form-urlencoded",  # what curl says of --data unless it is told otherwise
    "application/octet-stream",
    "text/plain",
)
KEYS = ("base64", "b64", "image", "image_bytes")
DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w.+=-]+)*;base64,")

VALUES_PER_INSTANCE, CONTAINERS_PER_INSTANCE = 6, 3
"""Commas and colons, braces and brackets of ``{"image": {"b64": "data:image/png;base64,…"}},``,
and one more of each."""

OTHER_VALUES = 256
"""The same of everything else in a request: parameters, outputs, the v2 tensor's own fields."""

INTEGER = re.compile(r"[0-9]{1,6}")
BINARY_HEAD = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\xff]")
"""Bytes that no JSON begins with."""


class Body(NamedTuple):
    """What a request carries.

    Attributes:
        images: encoded, in order; views of the request's body where they can be.
        parameters: by name, of the query and of the body, which outranks it; a value of the
            query or of a form is a text.
        request: the v2 request they came in.
        listed: whether they came as a list, so that an error names the instance at fault.
        form: whether they came in a form.
    """

    images: Sequence[bytes | memoryview]
    parameters: dict[str, Any]
    request: InferRequest | None = None
    listed: bool = True
    form: bool = False


@dataclass(frozen=True)
class BodyReader:
    """Reads the bodies of one model.

    Attributes:
        max_instances: of a request.
        max_json_bytes: of a body, or the part of it, that is JSON.
        check_count: called with the number of instances before any is decoded.
        parts: names that a form's image may have.
        parameters: names that a v2 request's parameters are looked up by; v2 clients send others
            as well, which are not the model's.
        integers: those of them that are numbers where a query or a form has digits.
    """

    max_instances: int
    max_json_bytes: int
    check_count: Callable[[int], None]
    parts: Sequence[str]
    parameters: Collection[str]
    integers: Collection[str] = ()

    @property
    def json_limits(self) -> JsonLimits:
        return JsonLimits(
            self.max_json_bytes,
            OTHER_VALUES + VALUES_PER_INSTANCE * self.max_instances,
            OTHER_VALUES + CONTAINERS_PER_INSTANCE * self.max_instances,
        )

    def read_v1(self, request: HttpRequest) -> Body:
        """Read a v1 ``:predict`` body: JSON, a form, or one encoded image as it is.

        Raises:
            MalformedRequestError: not JSON, not base64, no form.
            InvalidRequestError: of another shape.
            TooLargeError: too many instances, or JSON that no request of so many can be.
            UnsupportedMediaError: a content type that is not read.
        """
        media_type, body = request.media_type, request.body
        query = self._query(request.query)
        if media_type == FORM:
            form = read_form(body, request.headers["content-type"], self.parts)
            return Body([form.file], {**query, **self._typed(form.fields)}, listed=False, form=True)
        undecided = media_type in UNDECIDED_TYPES
        if media_type in MEDIA_TYPES or (undecided and looks_encoded(body)):
            if not body:
                raise MalformedRequestError("the body is empty")
            return Body([body], query, listed=False)
        if not undecided and media_type not in JSON_TYPES:
            raise UnsupportedMediaError(
                f"content type {media_type!r} is not read; send application/json, {FORM} or one "
                "of " + ", ".join(MEDIA_TYPES)
            )
        if undecided:
            self._refuse_other_kinds(body[:64])
        return self._read_json(body, query)

    def read_v2(self, request: HttpRequest) -> Body:
        """Read a v2 body with one BYTES input: base64 texts, or encoded images as they are.

        Raises:
            As ``read_v1``.
        """
        parsed = read_infer_request(request, json_limits=self.json_limits)
        elements = parsed.inputs[0].elements()
        self.check_count(len(elements))
        images = [
            element if looks_encoded(element) else decode_base64(_text(element, i), i)
            for i, element in enumerate(elements)
        ]
        known = {k: v for k, v in parsed.parameters.items() if k in self.parameters}
        return Body(images, {**self._query(request.query), **known}, parsed)

    def _query(self, query: str) -> dict[str, Any]:
        return self._typed(dict(parse_qsl(query, keep_blank_values=True))) if query else {}

    def _typed(self, texts: dict[str, str]) -> dict[str, Any]:
        return {
            name: int(text) if name in self.integers and INTEGER.fullmatch(text) else text
            for name, text in texts.items()
        }

    def _refuse_other_kinds(self, head: bytes) -> None:
        """Say what a body is not, where its content type leaves it open and it is no JSON."""
        if head.startswith(b"--") and b"\n" in head:
            raise InvalidRequestError(
                f"a form needs the content type {FORM}, and the image in its part "
                + " or ".join(repr(name) for name in self.parts)
            )
        if BINARY_HEAD.search(head):
            raise UnsupportedMediaError(
                "neither JSON nor an image of a format that is read", code="not_an_image"
            )

    def _read_json(self, body: bytes, query: dict[str, Any]) -> Body:
        document = self.json_limits.read(body)
        if not isinstance(document, dict):
            raise InvalidRequestError(f"the body must be an object, not {json_kind(document)}")
        parameters = document.pop("parameters", None)
        if parameters is not None and not isinstance(parameters, dict):
            raise InvalidRequestError(f"parameters must be an object, not {json_kind(parameters)}")
        chosen = {**query, **(parameters or {})}
        if "instances" not in document:
            # The whole body is one instance: {"base64": "…"} alone.
            if not document:
                raise InvalidRequestError("the body has no instances")
            return Body([_read_instance(document, None)], chosen, listed=False)
        instances = document.pop("instances")
        for name in document:
            raise InvalidRequestError(f"the body has an unknown field {name!r}")
        if not isinstance(instances, list):
            raise InvalidRequestError(f"instances must be an array, not {json_kind(instances)}")
        self.check_count(len(instances))
        return Body([_read_instance(item, i) for i, item in enumerate(instances)], chosen)


def check_count(count: int, limit: int) -> None:
    """See that a request has instances, and not too many.

    Raises:
        InvalidRequestError: it has none.
        TooLargeError: naming the limit.
    """
    if count == 0:
        raise InvalidRequestError("there are no instances")
    if count > limit:
        raise TooLargeError(f"{count} instances; the limit is {limit}", code="too_many_instances")


def decode_base64(text: str, instance: int | None) -> bytes:
    """Strict base64, bare or in a data URL.

    Raises:
        MalformedRequestError: naming what is wrong and the instance at fault.
    """
    if text.startswith("data:"):
        match = DATA_URL.match(text)
        if match is None:
            raise MalformedRequestError(
                "a data URL must be base64", instance=instance, code="invalid_base64"
            )
        text = text[match.end() :]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedRequestError(
            _base64_fault(text), instance=instance, code="invalid_base64"
        ) from None
    if not data:
        raise MalformedRequestError("the image is empty", instance=instance, code="invalid_base64")
    return data


def _base64_fault(text: str) -> str:
    if re.search(r"\s", text):
        return "base64 must not hold line breaks or spaces (with coreutils: base64 -w0)"
    if re.fullmatch(r"[A-Za-z0-9_-]+=*", text) and re.search("[_-]", text):
        return "base64 must use + and /, not the URL-safe - and _"
    if re.fullmatch(r"[A-Za-z0-9+/]+", text) and len(text) % 4:
        return "base64 is not padded with = to a multiple of 4 characters"
    return "not valid base64"


def _read_instance(item: object, index: int | None) -> bytes:
    """A string, ``{"base64"}``, ``{"b64"}``, or either nested in ``image`` or ``image_bytes``."""
    if isinstance(item, str):
        return decode_base64(item, index)
    if not isinstance(item, dict):
        raise InvalidRequestError(
            f"an instance must be an object or a base64 string, not {json_kind(item)}",
            instance=index,
        )
    for name in item:
        if name not in KEYS:
            raise InvalidRequestError(f"an instance has an unknown field {name!r}", instance=index)
    if len(item) != 1:
        raise InvalidRequestError(f"an instance has one of {', '.join(KEYS)}", instance=index)
    ((name, value),) = item.items()
    if name in ("image", "image_bytes") and isinstance(value, dict):
        if set(value) not in ({"b64"}, {"base64"}):
            raise InvalidRequestError(f"{name} must hold b64 alone", instance=index)
        (value,) = value.values()
    if not isinstance(value, str):
        raise InvalidRequestError(
            f"{name} must be a base64 string, not {json_kind(value)}", instance=index
        )
    return decode_base64(value, index)


def _text(element: bytes, index: int) -> str:
    try:
        return element.decode("ascii")
    except UnicodeDecodeError:
        raise UnsupportedMediaError(
            "neither base64 nor an image of a format that is read",
            instance=index,
            code="not_an_image",
        ) from None
