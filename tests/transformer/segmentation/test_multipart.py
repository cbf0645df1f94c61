from __future__ import annotations

import pytest

from serving.errors import InvalidRequest, MalformedRequest
from transformer.segmentation.multipart import read_form

TYPE = "multipart/form-data; boundary=xyz"


def part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def test_the_file_is_found_without_a_copy() -> None:
    content = bytes(range(256)) + b"\r\n--xy\r\n--"
    body = part("bands", b"3,2,1") + part("file", content, '; filename="a.tif"') + b"--xyz--\r\n"
    form = read_form(body, TYPE)
    assert bytes(form.file) == content
    assert form.file.obj is body
    assert form.fields == {"bands": "3,2,1"}


def test_a_quoted_boundary_and_an_empty_file() -> None:
    form = read_form(part("file", b"") + b"--xyz--", 'multipart/form-data; boundary="xyz"')
    assert bytes(form.file) == b""


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (part("file", b"a"), TYPE, MalformedRequest),
        (b"", TYPE, MalformedRequest),
        (part("file", b"a") + b"--xyz--", "multipart/form-data", MalformedRequest),
        (b"--xyz\r\nX: y\r\n\r\na\r\n--xyz--", TYPE, MalformedRequest),
        (part("image", b"a") + b"--xyz--", TYPE, InvalidRequest),
        (part("file", b"a") * 2 + b"--xyz--", TYPE, InvalidRequest),
        (part("bands", b"1" * 2000) + part("file", b"a") + b"--xyz--", TYPE, InvalidRequest),
        (part("x", b"1") * 40 + b"--xyz--", TYPE, InvalidRequest),
    ],
)
def test_what_is_no_such_form_is_refused(body: bytes, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_form(body, kind)
