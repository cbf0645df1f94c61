from __future__ import annotations

import pytest

from artifact.errors import CardError, InvalidCardError
from artifact.fields import Fields


def test_paths_are_joined_by_dots() -> None:
    assert Fields({}).path("a") == "a"
    assert Fields({}, "a[0]").path("b") == "a[0].b"


def faults(fields: Fields) -> list[str]:
    try:
        fields.refuse()
    except InvalidCardError as error:
        return [f"{fault.field}: {fault.reason}" for fault in error.faults]
    return []


def test_a_field_is_read_once() -> None:
    fields = Fields({"a": 1})
    assert fields.integer("a") == 1
    fields.finish()
    assert fields.sound
    assert faults(fields) == []
    fields.integer("a")
    assert not fields.sound
    assert faults(fields) == ["a: is missing"]


def test_the_document_given_is_left_alone() -> None:
    document = {"a": 1}
    Fields(document).integer("a")
    assert document == {"a": 1}


def test_no_object_has_no_fields() -> None:
    with pytest.raises(CardError, match="a: must be an object, not a number"):
        Fields(1, "a")


def test_a_nested_object_is_read_whole() -> None:
    fields = Fields({"a": {"b": 1, "c": 2}})
    assert fields.read("a", lambda nested: nested.integer("b")) == 1
    fields.read("d", lambda nested: nested.integer("b"))
    assert faults(fields) == ["a.c: is not a field of this format", "d: is missing"]


def test_each_object_of_an_array_is_read_whole() -> None:
    def read(nested: Fields) -> int:
        return nested.integer("b")

    assert Fields({"a": [{"b": 1}, {"b": 2}]}).read_each("a", read) == (1, 2)
    fields = Fields({"a": [{"b": 1}, {"b": 2, "c": 3}, 4], "e": []})
    fields.read_each("a", read)
    fields.read_each("e", read)
    assert faults(fields) == [
        "a[1].c: is not a field of this format",
        "a[2]: must be an object, not a number",
        "e: must not be empty",
    ]


def test_a_reader_may_refuse_what_it_read() -> None:
    def read(nested: Fields) -> int:
        value = nested.integer("b")
        if value != 2:
            raise CardError(nested.path("b"), "is not two")
        return 10 // value

    fields = Fields({"a": {"b": 1}, "c": {"b": "two"}, "d": {"b": 2}})
    fields.read("a", read)
    fields.read("c", read)
    assert fields.read("d", read) == 5
    assert faults(fields) == ["a.b: is not two", "c.b: must be an integer, not a string"]


def test_what_a_reader_makes_of_a_stand_in_is_no_fault() -> None:
    fields = Fields({"a": {"b": "x"}, "c": {"b": 0}})
    fields.read("a", lambda nested: 1 / nested.integer("b"))
    assert faults(fields) == ["a.b: must be an integer, not a string"]
    with pytest.raises(ZeroDivisionError):
        fields.read("c", lambda nested: 1 / nested.integer("b"))


def test_an_integer_serves_as_a_number_but_not_the_reverse() -> None:
    value = Fields({"a": 2}).number("a")
    assert isinstance(value, float)
    assert value == 2.0
    fields = Fields({"a": 2.0})
    fields.integer("a")
    assert faults(fields) == ["a: must be an integer, not a number"]


def test_bounds_are_told() -> None:
    fields = Fields({"a": 2, "b": [1, 0], "c": "z", "d": 2, "e": 10**400, "f": [1, 2, 300]})
    fields.integer("a", minimum=3)
    fields.numbers("b", above=0.0)
    fields.choice("c", ("x", "y"))
    fields.share("d")
    fields.number("e")
    fields.integers("f", maximum=255)
    assert faults(fields) == [
        "a: must be at least 3, not 2",
        "b[1]: must be greater than 0.0, not 0",
        "c: 'z' is none of x, y",
        "d: must be at most 1.0, not 2",
        "e: must be finite",
        "f[2]: must be at most 255, not 300",
    ]


def test_lengths_are_told() -> None:
    fields = Fields({"a": [1], "b": [[1, 2], [3]], "c": [5, 6]})
    fields.pair("a")
    fields.rows("b", maximum=9, length=2)
    assert fields.pair("c") == (5, 6)
    assert faults(fields) == ["a: must have 2 entries", "b[1]: must have 2 entries"]


def test_optional_text() -> None:
    assert Fields({"a": None}).optional_text("a") is None
    assert Fields({"a": "b"}).optional_text("a") == "b"
    fields = Fields({})
    fields.optional_text("a")
    assert faults(fields) == ["a: is missing"]
