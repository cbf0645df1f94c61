"""The one file of a ``multipart/form-data`` body (RFC 7578), and the fields beside it.

The body is in memory already and may be hundreds of megabytes, so the file is a view of it:
python-multipart gives places in the buffer that it was given, and nothing is copied.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.errors import InvalidRequestError, MalformedRequestError

# It logs each form that it refuses, and this module raises the error that says so.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

FORM = "multipart/form-data"
MAX_PARTS = 32
MAX_FIELD_BYTES = 1 << 10
MAX_BOUNDARY_BYTES = 70
"""RFC 2046, section 5.1.1."""


class Form(NamedTuple):
    """``file`` is a view of the body; ``fields`` are the texts beside it."""

    file: memoryview
    fields: dict[str, str]


class Part(NamedTuple):
    """A part's name, and where its content begins and ends in the body."""

    name: str
    start: int
    end: int


def read_form(body: bytes, content_type: str, names: Sequence[str]) -> Form:
    """Read a form with one image.

    Args:
        names: that the image's part may have.

    Raises:
        MalformedRequestError: no form, or cut off.
        InvalidRequestError: it has no image, or several, or a field that is too long.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise MalformedRequestError(f"{FORM} without a boundary")
    # Also what keeps the parser fast: it goes through each of them byte by byte.
    if body.count(b"--" + boundary) > MAX_PARTS + 1:
        raise InvalidRequestError(f"the form has more than {MAX_PARTS} parts")
    parts = _parts_of(body, boundary)
    files = [part for part in parts if part.name in names]
    if not files:
        others = ", ".join(repr(part.name) for part in parts)
        raise InvalidRequestError(
            f"the form has no part {_listed(names)}, only {others}; curl: -F {names[0]}=@image.tif"
        )
    if len(files) > 1:
        raise InvalidRequestError(f"the form has more than one part {_listed(names)}")
    view = memoryview(body)
    fields = {
        part.name: _text(part.name, view[part.start : part.end])
        for part in parts
        if part is not files[0]
    }
    return Form(view[files[0].start : files[0].end], fields)


def _parts_of(body: bytes, boundary: bytes) -> list[Part]:
    collected = _Collected()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": collected.on_part_begin,
                "on_header_field": collected.on_header_field,
                "on_header_value": collected.on_header_value,
                "on_header_end": collected.on_header_end,
                "on_part_data": collected.on_part_data,
                "on_part_end": collected.on_part_end,
                "on_end": collected.on_end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise MalformedRequestError(f"the {FORM} is damaged") from None
    if not collected.ended:
        raise MalformedRequestError(f"the {FORM} is cut off")
    return collected.parts


class _Collected:
    """What the parser's callbacks have told; of a part's content, where it lies."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False

    def on_part_begin(self) -> None:
        self._field = self._value = b""
        self._name: str | None = None
        self._start = self._end = 0

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            name = parse_options_header(self._value)[1].get(b"name")
            self._name = None if name is None else name.decode("utf-8", "replace")
        self._field = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        # The body is written at once, so that the pieces of a part's content follow each other.
        self._start = self._start or start
        self._end = end

    def on_part_end(self) -> None:
        if not self._name:
            raise MalformedRequestError("a part of the form has no name")
        self.parts.append(Part(self._name, self._start, self._end))

    def on_end(self) -> None:
        self.ended = True


def _text(name: str, content: memoryview) -> str:
    if len(content) > MAX_FIELD_BYTES:
        raise InvalidRequestError(f"the form's field {name!r} is too long")
    try:
        return bytes(content).decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"the form's field {name!r} is no text") from None


def _listed(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names)
