from __future__ import annotations

import pytest

from artifact.errors import CardError
from artifact.fields import Fields


def test_paths_are_joined_by_dots() -> None:
    assert Fields({}).path("a") == "a"
    assert Fields({}, "a[0]").path("b") == "a[0].b"


def test_a_field_is_read_once() -> None:
    fields = Fields({"a": 1})
    assert fields.integer("a") == 1
    fields.finish()
    with pytest.raises(CardError, match="a: is missing"):
        fields.integer("a")


def test_the_document_given_is_left_alone() -> None:
    document = {"a": 1}
    Fields(document).integer("a")
    assert document == {"a": 1}


def test_a_nested_object_is_read_whole() -> None:
    fields = Fields({"a": {"b": 1, "c": 2}})
    with pytest.raises(CardError, match=r"a\.c: is not a field of this format"):
        fields.read("a", lambda nested: nested.integer("b"))


def test_each_object_of_an_array_is_read_whole() -> None:
    def read(nested: Fields) -> int:
        return nested.integer("b")

    assert Fields({"a": [{"b": 1}, {"b": 2}]}).read_each("a", read) == (1, 2)
    with pytest.raises(CardError, match=r"a\[1\]\.c: is not a field of this format"):
        Fields({"a": [{"b": 1}, {"b": 2, "c": 3}]}).read_each("a", read)
    with pytest.raises(CardError, match=r"a\[0\]: must be an object, not a number"):
        Fields({"a": [1]}).read_each("a", read)
    with pytest.raises(CardError, match="a: must not be empty"):
        Fields({"a": []}).read_each("a", read)


def test_an_integer_serves_as_a_number_but_not_the_reverse() -> None:
    value = Fields({"a": 2}).number("a")
    assert isinstance(value, float)
    assert value == 2.0
    with pytest.raises(CardError, match="a: must be an integer, not a number"):
        Fields({"a": 2.0}).integer("a")


def test_bounds_are_told() -> None:
    with pytest.raises(CardError, match="a: must be at least 3, not 2"):
        Fields({"a": 2}).integer("a", minimum=3)
    with pytest.raises(CardError, match=r"a\[1\]: must be greater than 0.0, not 0"):
        Fields({"a": [1, 0]}).numbers("a", above=0.0)
    with pytest.raises(CardError, match="a: 'z' is none of x, y"):
        Fields({"a": "z"}).choice("a", ("x", "y"))


def test_optional_text() -> None:
    assert Fields({"a": None}).optional_text("a") is None
    assert Fields({"a": "b"}).optional_text("a") == "b"
    with pytest.raises(CardError, match="a: is missing"):
        Fields({}).optional_text("a")
