"""Request bodies to encoded images and parameters: every form that is accepted, and no other.

One reader for all tasks. What the parameters mean is for the task to say.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
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
from serving.v2 import NUMPY_TYPES, InferRequest, Tensor, read_infer_request
from transformer.data_url import decode_text
from transformer.form import FORM, read_form
from transformer.formats import format_of, not_read
from transformer.pixels import MAX_CHANNELS, encode_pixels, numbers_of

JSON_TYPES = ("application/json", "application/vnd.kserve+json")
UNDECIDED_TYPES = (
    "",
    "application/x-www-form-urlencoded",  # what curl says of --data unless it is told otherwise
    "application/octet-stream",
    "text/plain",
)
IMAGE_TYPE = "image/"
"""Whatever comes behind it: there is ``image/jpg`` beside ``image/jpeg``, and the bytes tell."""

TEXT_KEYS = ("base64", "b64")
KEYS = (*TEXT_KEYS, "data", "image", "image_bytes")

VALUES_PER_INSTANCE, CONTAINERS_PER_INSTANCE = 6, 3
"""Commas and colons, braces and brackets of ``{"image": {"b64": "data:image/png;base64,…"}},``,
and one more of each."""

OTHER_VALUES = 256
"""The same of everything else in a request: parameters, outputs, the v2 tensor's own fields."""

PIXEL_VALUES, PIXEL_CONTAINERS = 1 << 20, 1 << 18
"""Of pixels that come as numbers, three in an array of their own or fewer: some 60 MB of Python's
objects at most. Larger pictures come as files or as binary tensors."""

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
        measured: as of ``encode_pixels``.
    """

    max_instances: int
    max_json_bytes: int
    check_count: Callable[[int], None]
    parts: Sequence[str]
    parameters: Collection[str]
    integers: Collection[str] = ()
    measured: bool = False

    @property
    def json_limits(self) -> JsonLimits:
        return JsonLimits(
            self.max_json_bytes,
            OTHER_VALUES + VALUES_PER_INSTANCE * self.max_instances + PIXEL_VALUES,
            OTHER_VALUES + CONTAINERS_PER_INSTANCE * self.max_instances + PIXEL_CONTAINERS,
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
        if media_type.startswith(IMAGE_TYPE) or (undecided and format_of(body) is not None):
            if not body:
                raise MalformedRequestError("the body is empty")
            return Body([body], query, listed=False)
        if not undecided and media_type not in JSON_TYPES:
            raise UnsupportedMediaError(
                f"content type {media_type!r} is not read; send application/json, {FORM} or one "
                f"{IMAGE_TYPE}…"
            )
        if undecided:
            self._refuse_other_kinds(body[:64].removeprefix(BOM_UTF8))
        return self._read_json(body, query)

    def read_v2(self, request: HttpRequest) -> Body:
        """Read a v2 body with one input: BYTES, which are base64 texts or encoded images as they
        are, or numbers, which are pixels.

        Raises:
            As ``read_v1``.
        """
        parsed = read_infer_request(request, json_limits=self.json_limits)
        images = self._read_tensor(parsed.inputs[0])
        known = {k: v for k, v in parsed.parameters.items() if k in self.parameters}
        return Body(images, {**self._query(request.query), **known}, parsed)

    def _read_tensor(self, tensor: Tensor) -> list[bytes]:
        if tensor.datatype in NUMPY_TYPES:
            axes = len(tensor.shape)
            if axes not in (3, 4) or (axes == 3 and tensor.shape[2] <= MAX_CHANNELS):
                raise InvalidRequestError(
                    f"input {tensor.name!r}: pixels have the shape [n, height, width], "
                    "[n, height, width, channels] or [n, channels, height, width], not "
                    f"{list(tensor.shape)}"
                )
            self.check_count(tensor.shape[0])
            return [
                encode_pixels(pixels, i, self.measured) for i, pixels in enumerate(tensor.numbers())
            ]
        elements = tensor.elements()
        self.check_count(len(elements))
        return [
            element if format_of(element) is not None else decode_text(_text(element, i), i)
            for i, element in enumerate(elements)
        ]

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
            raise not_read(head)

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
            return Body([_read_instance(document, None, self.measured)], chosen, listed=False)
        instances = document.pop("instances")
        for name in document:
            raise InvalidRequestError(f"the body has an unknown field {name!r}")
        if not isinstance(instances, list):
            raise InvalidRequestError(f"instances must be an array, not {json_kind(instances)}")
        self.check_count(len(instances))
        return Body(
            [_read_instance(item, i, self.measured) for i, item in enumerate(instances)], chosen
        )


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


def _read_instance(item: object, index: int | None, measured: bool) -> bytes:
    """A base64 text, nested arrays of pixels, or one of these under a key of ``KEYS``, where it
    may be under ``b64`` or ``base64`` once more.
    """
    if isinstance(item, dict):
        for name in item:
            if name not in KEYS:
                raise InvalidRequestError(
                    f"an instance has an unknown field {name!r}", instance=index
                )
        if len(item) != 1:
            raise InvalidRequestError(f"an instance has one of {', '.join(KEYS)}", instance=index)
        ((name, item),) = item.items()
        if name in ("image", "image_bytes") and isinstance(item, dict):
            if set(item) not in ({"b64"}, {"base64"}):
                raise InvalidRequestError(f"{name} must hold b64 alone", instance=index)
            (item,) = item.values()
        if not isinstance(item, str) and (name in TEXT_KEYS or not isinstance(item, list)):
            pixels = "" if name in TEXT_KEYS else " or pixels"
            raise InvalidRequestError(
                f"{name} must be a base64 string{pixels}, not {json_kind(item)}", instance=index
            )
    if isinstance(item, str):
        return decode_text(item, index)
    if isinstance(item, list):
        return encode_pixels(numbers_of(item, index), index, measured)
    raise InvalidRequestError(
        f"an instance must be an object, a base64 string or pixels, not {json_kind(item)}",
        instance=index,
    )


def _text(element: bytes, index: int) -> str:
    try:
        return element.decode("ascii")
    except UnicodeDecodeError:
        raise not_read(element, index) from None
