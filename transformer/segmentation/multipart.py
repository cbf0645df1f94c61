"""The one file of a ``multipart/form-data`` body (RFC 7578), and the fields beside it.

The body is in memory already and may be hundreds of megabytes, so the file is a view of it;
parsers for streams would copy it piece by piece.
"""

from __future__ import annotations

import re
from email.message import Message
from typing import NamedTuple

from serving.errors import InvalidRequest, MalformedRequest

FILE = "file"
MOST_PARTS = 32
MOST_HEADER_BYTES = 8 << 10
MOST_FIELD_BYTES = 1 << 10

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")


class Form(NamedTuple):
    """``file`` is a view of the body; ``fields`` are the texts beside it."""

    file: memoryview
    fields: dict[str, str]


def read_form(body: bytes, content_type: str) -> Form:
    """Read a form whose part ``file`` is the image.

    Raises:
        MalformedRequest: no form, or cut off.
        InvalidRequest: it has no ``file``, or several, or a field that is too long.
    """
    boundary = _parameter("content-type", content_type, "boundary")
    if boundary is None or not _BOUNDARY.fullmatch(boundary):
        raise MalformedRequest("multipart/form-data without a boundary")
    delimiter = b"--" + boundary.encode("ascii")
    view = memoryview(body)
    file: memoryview | None = None
    fields: dict[str, str] = {}
    if not body.startswith(delimiter):
        raise MalformedRequest("the body does not begin with the form's boundary")
    start = len(delimiter)
    for _ in range(MOST_PARTS):
        if body[start : start + 2] == b"--":
            if file is None:
                raise InvalidRequest(f"the form has no part {FILE!r}; curl: -F {FILE}=@image.tif")
            return Form(file, fields)
        end = body.find(b"\r\n" + delimiter, start)
        head = body.find(b"\r\n\r\n", start, min(end, start + MOST_HEADER_BYTES))
        if body[start : start + 2] != b"\r\n" or end < 0 or head < 0:
            raise MalformedRequest("the multipart/form-data is damaged or cut off")
        name = _name_of(body[start + 2 : head])
        content = view[head + 4 : end]
        if name == FILE:
            if file is not None:
                raise InvalidRequest(f"the form has more than one part {FILE!r}")
            file = content
        else:
            fields[name] = _text(name, content)
        start = end + 2 + len(delimiter)
    raise InvalidRequest(f"the form has more than {MOST_PARTS} parts")


def _name_of(headers: bytes) -> str:
    for line in headers.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            name = _parameter("content-disposition", value.strip(), "name")
            if name:
                return name
    raise MalformedRequest("a part of the form has no name")


def _parameter(header: str, value: str, name: str) -> str | None:
    message = Message()
    message[header] = value.replace("\r", " ").replace("\n", " ")
    found = message.get_param(name, header=header)
    return found if isinstance(found, str) else None


def _text(name: str, content: memoryview) -> str:
    if len(content) > MOST_FIELD_BYTES:
        raise InvalidRequest(f"the form's field {name!r} is too long")
    try:
        return bytes(content).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the form's field {name!r} is no text") from None
