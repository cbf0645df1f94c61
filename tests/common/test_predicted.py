import pytest

from common.predicted import (
    MAX_CHARACTERS,
    MAX_INSTANCES,
    MAX_SET_CHARACTERS,
    Predicted,
    as_header,
    as_set,
    from_header,
    is_header,
    is_set,
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


def test_several_labels_are_one_text_in_any_order():
    assert as_set(["dog", "cat", "dog"]) == as_set(("cat", "dog")) == "{cat, dog}"
    assert as_set([]) == "{}"
    assert is_set("{}") and is_set("{cat, dog}") and not is_set("cat")


@pytest.mark.parametrize("label", ["a label of some length", "日本語のラベル"])
def test_many_of_them_are_cut_and_still_told_apart(label):
    names = [f"{label} {number}" for number in range(60)]
    one, other = as_set(names), as_set(names[:-1])
    assert one != other and is_set(one) and len(one) <= MAX_SET_CHARACTERS
    header = as_header([Predicted(one, 0.5), Predicted(other, 0.5)])
    assert is_header(header)
    assert [item.label for item in from_header(header)] == [one, other]
