"""Requests with pictures: encoded images, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

from serving.model import HttpRequest
from serving.v2 import InferRequest
from transformer.body import Body, BodyReader, check_count
from transformer.negotiation import wanted_output
from transformer.parameters import check_known, choice, flag
from transformer.pictures.polarity import Polarity

PARTS = ("file", "image")
"""Names that a form's image may have."""

ANYTHING = "*/*"
JSON = "application/json"


@dataclass(frozen=True)
class PictureOptions:
    """What a request may choose, whatever the task.

    Attributes:
        names: of the parameters.
        integers: those of them that are numbers of things.
        outputs: media types of answers, by the names that the parameter ``output`` has for them.
        shown: whether the answer has the picture that the network was shown.
        output: the media type of the answer.
    """

    names: ClassVar[tuple[str, ...]] = ("polarity", "shown")
    integers: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[Mapping[str, str]] = {"json": JSON}

    polarity: Polarity = Polarity.AUTO
    shown: bool = False
    output: str = JSON

    @classmethod
    def read(cls, values: Mapping[str, Any], accept: str = ANYTHING) -> PictureOptions:
        """What a request's parameters and its header ``Accept`` ask for.

        Raises:
            InvalidRequestError: naming the parameter at fault.
            NotAcceptableError: nothing that is accepted can be answered.
        """
        if not values and (accept == ANYTHING or len(cls.outputs) == 1):
            return cls()
        check_known(values, cls.names)
        return cls(**cls._chosen(values, accept))

    @classmethod
    def _chosen(cls, values: Mapping[str, Any], accept: str) -> dict[str, Any]:
        """The attributes, of parameters that there are."""
        chosen: dict[str, Any] = {"shown": flag(values, "shown")}
        if polarity := choice(values, "polarity", [item.value for item in Polarity]):
            chosen["polarity"] = Polarity(polarity)
        if len(cls.outputs) > 1:
            chosen["output"] = wanted_output(values.get("output"), accept, cls.outputs, JSON)
        return chosen


class Payload(NamedTuple):
    """Encoded images in order, with the request's options.

    Attributes:
        request: the v2 request they came in.
        listed: whether they came as a list, so that an error names the instance at fault.
    """

    images: Sequence[bytes | memoryview]
    options: PictureOptions
    request: InferRequest | None = None
    listed: bool = True


class PayloadReader:
    """Reads requests of up to ``max_instances`` images; errors are those of ``BodyReader``.

    Args:
        options: of the task.
    """

    def __init__(
        self, max_instances: int, max_json_bytes: int, options: type[PictureOptions]
    ) -> None:
        self._options = options
        self._bodies = BodyReader(
            max_instances,
            max_json_bytes,
            partial(check_count, limit=max_instances),
            PARTS,
            options.names,
            integers=options.integers,
        )

    def read_v1(self, request: HttpRequest) -> Payload:
        accept = request.headers.get("accept", ANYTHING)
        return self._payload(self._bodies.read_v1(request), accept)

    def read_v2(self, request: HttpRequest) -> Payload:
        return self._payload(self._bodies.read_v2(request), ANYTHING)

    def _payload(self, body: Body, accept: str) -> Payload:
        options = self._options.read(body.parameters, accept)
        return Payload(body.images, options, body.request, body.listed)
