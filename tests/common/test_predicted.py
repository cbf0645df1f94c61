import pytest

from common.predicted import (
    MAX_CHARACTERS,
    MAX_INSTANCES,
    Predicted,
    as_header,
    from_header,
    is_header,
)

LABELS = ("7", "Ankle boot", "tench, Tinca tinca", "Grüße:100%?", "日本", "a~b_c-d.e")


def test_what_was_answered_is_read_as_it_was_written():
    given = [Predicted(label, 0.25, label == "7") for label in LABELS]
    text = as_header(given)
    assert text.isascii() and is_header(text)
    assert from_header(text) == given


def test_a_header_is_bounded():
    many = as_header([Predicted("7", 1.0)] * 200)
    assert len(from_header(many)) == MAX_INSTANCES and is_header(many)
    long = as_header([Predicted("é" * 100, 1.0)] * 20)
    assert len(long) <= MAX_CHARACTERS and 0 < len(from_header(long)) < 20 and is_header(long)


@pytest.mark.parametrize("text", ["", "7", "7:", ":1", "7:1,", "7:1 ", "7:1\n", "7:-1", "a b:1"])
def test_anything_else_is_none(text):
    assert not is_header(text)
