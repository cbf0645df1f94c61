"""Strict reading of JSON objects: every error names the field by its full path."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from artifact.errors import CardError

NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
REVISION = r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?"
FILE = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
"""A bare file name: a card can never point outside its own folder."""
DIGEST = r"sha256:[0-9a-f]{64}"
MOMENT = r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z"

T = TypeVar("T")


class Fields:
    """The fields of one JSON object, each of which must be read exactly once.

    Args:
        value: what ``json.loads`` gave.
        path: where it stands in the document; empty for the root.

    Raises:
        CardError: from the constructor if ``value`` is no object; from a reader if the field is
            missing or of the wrong type or range; from ``finish`` if a field was not read.
    """

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise CardError(path or "document", f"must be an object, not {json_kind(value)}")
        self._value: dict[str, Any] = dict(value)
        self._path = path

    def path(self, name: str = "") -> str:
        """Where a field stands in the document; without a name, where the object does."""
        if not name:
            return self._path or "document"
        return f"{self._path}.{name}" if self._path else name

    def has(self, name: str) -> bool:
        """Whether the field is there, and has not been read yet."""
        return name in self._value

    def if_there(self, name: str, read: Callable[[str], T]) -> T | None:
        """What ``read`` finds in a field that may be left out; None where it is."""
        return read(name) if self.has(name) else None

    def take(self, name: str) -> Any:
        if name not in self._value:
            raise CardError(self.path(name), "is missing")
        return self._value.pop(name)

    def finish(self) -> None:
        for name in self._value:
            raise CardError(self.path(name), "is not a field of this format")

    def text(self, name: str, pattern: str = r".+") -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise CardError(self.path(name), f"must be a string, not {json_kind(value)}")
        if not re.fullmatch(pattern, value):
            raise CardError(self.path(name), f"{value!r} does not match {pattern}")
        return value

    def optional_text(self, name: str, pattern: str = r".+") -> str | None:
        if name in self._value and self._value[name] is None:
            self._value.pop(name)
            return None
        return self.text(name, pattern)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise CardError(self.path(name), f"{value!r} is none of {', '.join(allowed)}")
        return value

    def integer(self, name: str, minimum: int = 0) -> int:
        return _integer(self.take(name), self.path(name), minimum)

    def optional_integer(self, name: str, minimum: int = 0) -> int | None:
        if name in self._value and self._value[name] is None:
            self._value.pop(name)
            return None
        return self.integer(name, minimum)

    def byte(self, name: str) -> int:
        value = self.integer(name)
        if value > 255:
            raise CardError(self.path(name), f"must be at most 255, not {value}")
        return value

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise CardError(self.path(name), f"must be true or false, not {json_kind(value)}")
        return value

    def number(self, name: str, above: float = -math.inf, minimum: float = -math.inf) -> float:
        value = _number(self.take(name), self.path(name), above)
        if value < minimum:
            raise CardError(self.path(name), f"must be at least {minimum}, not {value}")
        return value

    def share(self, name: str) -> float:
        value = self.number(name)
        if not 0.0 <= value <= 1.0:
            raise CardError(self.path(name), f"must be between 0 and 1, not {value}")
        return value

    def numbers(self, name: str, above: float = -math.inf) -> tuple[float, ...]:
        path = self.path(name)
        return tuple(
            _number(item, f"{path}[{i}]", above) for i, item in enumerate(self.array(name))
        )

    def integers(self, name: str, minimum: int = 0) -> tuple[int, ...]:
        path = self.path(name)
        return tuple(
            _integer(item, f"{path}[{i}]", minimum) for i, item in enumerate(self.array(name))
        )

    def pair(self, name: str) -> tuple[int, int]:
        """Two lengths in pixels."""
        values = self.integers(name, minimum=1)
        if len(values) != 2:
            raise CardError(self.path(name), "must have 2 entries, height and width")
        return values[0], values[1]

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.array(name)
        for i, value in enumerate(values):
            if not isinstance(value, str) or not value:
                raise CardError(f"{self.path(name)}[{i}]", "must be a non-empty string")
        if len(set(values)) != len(values):
            raise CardError(self.path(name), "must not repeat an entry")
        return tuple(values)

    def array(self, name: str) -> list[Any]:
        value = self.take(name)
        if not isinstance(value, list):
            raise CardError(self.path(name), f"must be an array, not {json_kind(value)}")
        if not value:
            raise CardError(self.path(name), "must not be empty")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.take(name)
        if not isinstance(value, dict):
            raise CardError(self.path(name), f"must be an object, not {json_kind(value)}")
        return value

    def read(self, name: str, reader: Callable[[Fields], T]) -> T:
        """Read a nested object with ``reader`` and see that it left no field unread."""
        fields = Fields(self.take(name), self.path(name))
        value = reader(fields)
        fields.finish()
        return value

    def read_each(self, name: str, reader: Callable[[Fields], T]) -> tuple[T, ...]:
        """Read every object of a nested array as ``read`` reads one."""
        path = self.path(name)
        values = []
        for i, item in enumerate(self.array(name)):
            fields = Fields(item, f"{path}[{i}]")
            values.append(reader(fields))
            fields.finish()
        return tuple(values)


def _integer(value: object, path: str, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CardError(path, f"must be an integer, not {json_kind(value)}")
    if value < minimum:
        raise CardError(path, f"must be at least {minimum}, not {value}")
    return value


def _number(value: object, path: str, above: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CardError(path, f"must be a number, not {json_kind(value)}")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise CardError(path, "must be finite")
    if value <= above:
        raise CardError(path, f"must be greater than {above}, not {value}")
    return value


def json_kind(value: object) -> str:
    """What a parsed JSON value is, for a person."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
