from __future__ import annotations

import os
import tracemalloc

import pytest

from serving.errors import InvalidRequestError, MalformedRequestError, ServingError
from transformer.form import MAX_PARTS, read_form

TYPE = "multipart/form-data; boundary=xyz"
NAMES = ("file", "image")


def part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_found_without_a_copy(name: str) -> None:
    content = bytes(range(256)) + b"\r\n--xy\r\n--"
    body = part("bands", b"3,2,1") + part(name, content, '; filename="a.tif"') + b"--xyz--\r\n"
    form = read_form(body, TYPE, NAMES)
    assert bytes(form.file) == content
    assert form.file.obj is body
    assert form.fields == {"bands": "3,2,1"}


def test_two_hundred_mebibytes_are_not_copied() -> None:
    content = os.urandom(1 << 20) * 200
    body = part("file", content) + b"--xyz--\r\n"
    tracemalloc.start()
    try:
        form = read_form(body, TYPE, NAMES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert form.file.nbytes == len(content)
    assert form.file[-(1 << 20) :] == content[-(1 << 20) :]


def test_a_quoted_boundary_and_an_empty_file() -> None:
    body = part("file", b"") + b"--xyz--"
    form = read_form(body, 'multipart/form-data; boundary="xyz"', NAMES)
    assert bytes(form.file) == b""


def test_a_preamble_is_allowed_by_the_standard_or_refused_but_never_the_file() -> None:
    try:
        form = read_form(b"\r\n" + part("file", b"a") + b"--xyz--", TYPE, NAMES)
    except MalformedRequestError:
        return
    assert bytes(form.file) == b"a"


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (part("file", b"a"), TYPE, MalformedRequestError),
        (part("file", b"a") + b"--xyz", TYPE, MalformedRequestError),
        (b"", TYPE, MalformedRequestError),
        (b"no form at all", TYPE, MalformedRequestError),
        (part("file", b"a") + b"--xyz--", "multipart/form-data", MalformedRequestError),
        (part("file", b"a") + b"--xyz--", f"{TYPE[:-3]}{'b' * 71}", MalformedRequestError),
        (b"--xyz\r\nX: y\r\n\r\na\r\n--xyz--", TYPE, MalformedRequestError),
        (b"--xyz\r\n" + b"X: y\r\n" * 1000 + b"\r\na\r\n--xyz--", TYPE, MalformedRequestError),
        (b"--xyz\r\nX: " + b"y" * 100_000 + b"\r\n\r\na\r\n--xyz--", TYPE, MalformedRequestError),
        (part("picture", b"a") + b"--xyz--", TYPE, InvalidRequestError),
        (part("file", b"a") * 2 + b"--xyz--", TYPE, InvalidRequestError),
        (part("file", b"a") + part("image", b"a") + b"--xyz--", TYPE, InvalidRequestError),
        (part("bands", b"1" * 2000) + part("file", b"a") + b"--xyz--", TYPE, InvalidRequestError),
        (part("bands", b"\xff") + part("file", b"a") + b"--xyz--", TYPE, InvalidRequestError),
        (part("x", b"1") * 40 + b"--xyz--", TYPE, InvalidRequestError),
    ],
)
def test_what_is_no_such_form_is_refused(body: bytes, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_form(body, kind, NAMES)


def test_the_expected_part_is_named() -> None:
    with pytest.raises(
        InvalidRequestError, match="the form has no part 'file' or 'image', only 'x'"
    ):
        read_form(part("x", b"a") + b"--xyz--", TYPE, NAMES)
    with pytest.raises(
        InvalidRequestError, match="the form has no part 'file', only 'image'; curl"
    ):
        read_form(part("image", os.urandom(5000)) + b"--xyz--", TYPE, ("file",))


def test_delimiters_that_end_nothing_do_not_cost_a_parse() -> None:
    """Each would be gone through byte by byte: millions of them would hold the interpreter."""
    body = part("file", b"\r\n--xyzz" * 3_000_000) + b"--xyz--"
    with pytest.raises(InvalidRequestError, match=f"more than {MAX_PARTS} parts"):
        read_form(body, TYPE, NAMES)


def test_cut_off_anywhere_it_is_refused() -> None:
    body = part("bands", b"3,2,1") + part("file", b"content", '; filename="a"') + b"--xyz--"
    for length in range(len(body) - 1):
        with pytest.raises(ServingError):
            read_form(body[:length], TYPE, NAMES)
