"""Requests of classification: encoded images, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from serving.errors import InvalidRequestError
from serving.model import HttpRequest
from serving.v2 import InferRequest
from transformer.body import Body, BodyReader, check_count
from transformer.classification.polarity import Polarity

PARAMETERS = ("top_k", "polarity", "shown")
PARTS = ("file", "image")
"""Names that a form's image may have."""


class Options(NamedTuple):
    """What a request may choose; ``top_k`` None means the server's default.

    Attributes:
        shown: whether the answer has the picture that the network was shown.
    """

    top_k: int | None = None
    polarity: Polarity = Polarity.AUTO
    shown: bool = False


DEFAULT = Options()


class Payload(NamedTuple):
    """Encoded images in order, with the request's options.

    Attributes:
        request: the v2 request they came in.
        listed: whether they came as a list, so that an error names the instance at fault.
    """

    images: Sequence[bytes | memoryview]
    options: Options
    request: InferRequest | None = None
    listed: bool = True


class PayloadReader:
    """Reads requests of up to ``max_instances`` images; errors are those of ``BodyReader``."""

    def __init__(self, max_instances: int, max_json_bytes: int) -> None:
        self._bodies = BodyReader(
            max_instances,
            max_json_bytes,
            partial(check_count, limit=max_instances),
            PARTS,
            PARAMETERS,
            integers=("top_k",),
        )

    def read_v1(self, request: HttpRequest) -> Payload:
        return _payload(self._bodies.read_v1(request))

    def read_v2(self, request: HttpRequest) -> Payload:
        return _payload(self._bodies.read_v2(request))


def _payload(body: Body) -> Payload:
    options = _options(body.parameters) if body.parameters else DEFAULT
    return Payload(body.images, options, body.request, body.listed)


def _options(values: Mapping[str, Any]) -> Options:
    for name in values:
        if name not in PARAMETERS:
            known = ", ".join(PARAMETERS)
            raise InvalidRequestError(f"parameter {name!r} not found; available: {known}")
    top_k = values.get("top_k")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise InvalidRequestError("top_k must be a positive integer")
    polarity = values.get("polarity", Polarity.AUTO.value)
    try:
        return Options(top_k, Polarity(polarity), _flag(values.get("shown", False)))
    except ValueError:
        known = ", ".join(p.value for p in Polarity)
        raise InvalidRequestError(f"polarity must be one of {known}") from None


def _flag(value: object) -> bool:
    """A query has texts."""
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise InvalidRequestError("shown must be true or false")
