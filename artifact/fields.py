"""Strict reading of JSON objects: every fault is noted, with the full path of its field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from artifact.errors import CardError, InvalidCardError


class Pattern(NamedTuple):
    """What a text must be, for ``re.fullmatch`` and for people."""

    expression: str
    meaning: str


ANYTHING = Pattern(r".+", "one line of text, not empty")
NAME = Pattern(
    r"[a-z0-9]([a-z0-9-]*[a-z0-9])?",
    "lower-case letters and digits, with hyphens between them",
)
REVISION = Pattern(
    r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?",
    "lower-case letters and digits, with hyphens, points and underscores between them",
)
IDENTITY = Pattern(rf"{NAME.expression}/{REVISION.expression}", "a name/revision, as mnist/1")
DIGEST = Pattern(r"sha256:[0-9a-f]{64}", "sha256: and 64 lower-case hex digits")
MOMENT = Pattern(
    r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z",
    "a time in UTC, as 2026-01-02T03:04:05Z",
)
FILE = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
"""A bare file name: a card can never point outside its own folder."""


def file_pattern(suffix: str) -> Pattern:
    """Names of files beside the card that end in ``suffix``."""
    return Pattern(FILE + re.escape(suffix), f"the name of a {suffix} file beside the card")


T = TypeVar("T")


class Fields:
    """The fields of one JSON object, each of which must be read exactly once.

    A reader that finds a fault notes it and gives something of its type, so that reading goes on
    and all faults are found. What was read is good for nothing then, and ``refuse`` says so.

    Args:
        value: what ``json.loads`` gave.
        path: where it stands in the document; empty for the root.
        faults: of the document, where this is not its root.

    Raises:
        CardError: from the constructor, if ``value`` is no object.
    """

    def __init__(
        self, value: object, path: str = "", faults: list[CardError] | None = None
    ) -> None:
        if not isinstance(value, Mapping):
            raise CardError(path or "document", f"must be an object, not {json_kind(value)}")
        self._value: dict[str, Any] = dict(value)
        self._path = path
        self._faults = [] if faults is None else faults
        self._faults_before = len(self._faults)

    def path(self, name: str = "") -> str:
        """Where a field stands in the document; without a name, where the object does."""
        if not name:
            return self._path or "document"
        return f"{self._path}.{name}" if self._path else name

    def has(self, name: str) -> bool:
        """Whether the field is there, and has not been read yet."""
        return name in self._value

    @property
    def names(self) -> list[str]:
        """Of the fields that have not been read yet."""
        return list(self._value)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with what was read of this object so far."""
        return len(self._faults) == self._faults_before

    def fault(self, name: str, reason: str) -> None:
        """Note that a field is wrong."""
        self._faults.append(CardError(self.path(name), reason))

    def finish(self) -> None:
        """Note the fields that nobody read."""
        for name in self._value:
            self.fault(name, "is not a field of this format")
        self._value = {}

    def refuse(self) -> None:
        """Raise what was noted.

        Raises:
            InvalidCardError: anything was.
        """
        if self._faults:
            raise InvalidCardError(self._faults)

    def skip(self, name: str) -> None:
        """Leave a field unread: what it may be depends on one that is wrong."""
        self._value.pop(name, None)

    def if_there(self, name: str, read: Callable[[str], T]) -> T | None:
        """What ``read`` finds in a field that may be left out; None where it is."""
        return read(name) if self.has(name) else None

    def text(self, name: str, pattern: Pattern = ANYTHING) -> str:
        def wrong(value: object) -> str | None:
            if not isinstance(value, str):
                return f"must be a string, not {json_kind(value)}"
            if not re.fullmatch(pattern.expression, value):
                return f"must be {pattern.meaning}, not {value!r}"
            return None

        return self._take(name, wrong, "")

    def optional_text(self, name: str, pattern: Pattern = ANYTHING) -> str | None:
        return None if self._took_null(name) else self.text(name, pattern)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        def wrong(value: object) -> str | None:
            if not isinstance(value, str):
                return f"must be a string, not {json_kind(value)}"
            return None if value in allowed else f"{value!r} is none of {', '.join(allowed)}"

        return self._take(name, wrong, allowed[0])

    def integer(self, name: str, minimum: int = 0) -> int:
        return self._take(name, lambda value: _not_integer(value, minimum), minimum)

    def optional_integer(self, name: str, minimum: int = 0) -> int | None:
        return None if self._took_null(name) else self.integer(name, minimum)

    def boolean(self, name: str) -> bool:
        def wrong(value: object) -> str | None:
            if isinstance(value, bool):
                return None
            return f"must be true or false, not {json_kind(value)}"

        return self._take(name, wrong, False)

    def number(
        self,
        name: str,
        above: float = -math.inf,
        minimum: float = -math.inf,
        maximum: float = math.inf,
    ) -> float:
        return float(
            self._take(name, lambda value: _not_number(value, above, minimum, maximum), 1.0)
        )

    def share(self, name: str) -> float:
        """A part of one."""
        return self.number(name, minimum=0.0, maximum=1.0)

    def numbers(self, name: str, above: float = -math.inf) -> tuple[float, ...]:
        return tuple(
            float(value)
            for value in self._entries(name, lambda v: _not_number(v, above, -math.inf, math.inf))
        )

    def integers(
        self, name: str, minimum: int = 0, maximum: float = math.inf, length: int | None = None
    ) -> tuple[int, ...]:
        values = self._entries(name, lambda value: _not_integer(value, minimum, maximum))
        if length is None or len(values) == length:
            return values
        if values:
            self.fault(name, f"must have {length} entries")
        return (minimum,) * length

    def pair(self, name: str) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.integers(name, minimum=1, length=2)
        return height, width

    def rows(self, name: str, maximum: int, length: int) -> tuple[tuple[int, ...], ...]:
        """An array of arrays of integers."""
        rows = {f"{name}[{i}]": row for i, row in enumerate(self.array(name))}
        fields = Fields(rows, self._path, self._faults)
        return tuple(fields.integers(row, 0, maximum, length) for row in rows)

    def texts(self, name: str, pattern: Pattern | None = None) -> tuple[str, ...]:
        def wrong(value: object) -> str | None:
            if not isinstance(value, str) or not value:
                return "must be a non-empty string"
            if pattern is None or re.fullmatch(pattern.expression, value):
                return None
            return f"must be {pattern.meaning}, not {value!r}"

        values: tuple[str, ...] = self._entries(name, wrong)
        if len(set(values)) != len(values):
            self.fault(name, "must not repeat an entry")
        return values

    def notes(self, name: str) -> tuple[str, ...]:
        """Texts that may be empty, or alike."""
        return self._entries(
            name, lambda value: None if isinstance(value, str) else "must be a string"
        )

    def number_pair(self, name: str, above: float = -math.inf) -> tuple[float, float]:
        values = self.numbers(name, above)
        if len(values) == 2:
            return values[0], values[1]
        if values:
            self.fault(name, "must have 2 entries")
        return 1.0, 1.0

    def number_pairs(self, name: str, above: float = -math.inf) -> tuple[tuple[float, float], ...]:
        """An array of arrays of two numbers."""
        rows = {f"{name}[{i}]": row for i, row in enumerate(self.array(name))}
        fields = Fields(rows, self._path, self._faults)
        return tuple(fields.number_pair(row, above) for row in rows)

    def array(self, name: str) -> list[Any]:
        def wrong(value: object) -> str | None:
            if not isinstance(value, list):
                return f"must be an array, not {json_kind(value)}"
            return None if value else "must not be empty"

        return self._take(name, wrong, [])

    def mapping(self, name: str) -> dict[str, Any]:
        def wrong(value: object) -> str | None:
            return None if isinstance(value, dict) else f"must be an object, not {json_kind(value)}"

        return self._take(name, wrong, {})

    def read(self, name: str, reader: Callable[[Fields], T]) -> T:
        """Read a nested object with ``reader`` and see that it left no field unread.

        A reader may also raise ``CardError``, for what its fields are together.
        """
        if not self.has(name):
            self.fault(name, "is missing")
            return cast("T", None)
        return self._read(self._value.pop(name), self.path(name), reader)

    def read_each(self, name: str, reader: Callable[[Fields], T]) -> tuple[T, ...]:
        """Read every object of a nested array as ``read`` reads one."""
        path = self.path(name)
        return tuple(
            self._read(item, f"{path}[{i}]", reader) for i, item in enumerate(self.array(name))
        )

    def _read(self, value: object, path: str, reader: Callable[[Fields], T]) -> T:
        fields = None
        try:
            fields = Fields(value, path, self._faults)
            found = reader(fields)
            fields.finish()
            return found
        except CardError as error:
            if fields is None or fields.sound:
                self._faults.append(error)
        except Exception:
            # What a reader makes of the stand-ins for wrong values is no fault of the card's.
            if fields is None or fields.sound:
                raise
        return cast("T", None)  # never seen: the document is refused

    def _take(self, name: str, wrong: Callable[[object], str | None], stand_in: T) -> T:
        """A field's value, unless ``wrong`` says what is wrong with it."""
        if not self.has(name):
            self.fault(name, "is missing")
            return stand_in
        value = self._value.pop(name)
        reason = wrong(value)
        if reason is None:
            return cast("T", value)
        self.fault(name, reason)
        return stand_in

    def _took_null(self, name: str) -> bool:
        null = self.has(name) and self._value[name] is None
        if null:
            self._value.pop(name)
        return null

    def _entries(self, name: str, wrong: Callable[[object], str | None]) -> tuple[Any, ...]:
        """The entries of an array; none where one of them is wrong."""
        values = self.array(name)
        reasons = {f"{name}[{i}]": wrong(value) for i, value in enumerate(values)}
        for entry, reason in reasons.items():
            if reason is not None:
                self.fault(entry, reason)
        return () if any(reasons.values()) else tuple(values)


def _not_integer(value: object, minimum: int, maximum: float = math.inf) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"must be an integer, not {json_kind(value)}"
    if value < minimum:
        return f"must be at least {minimum}, not {value}"
    return f"must be at most {maximum}, not {value}" if value > maximum else None


def _not_number(value: object, above: float, minimum: float, maximum: float) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"must be a number, not {json_kind(value)}"
    if not math.isfinite(value) if isinstance(value, float) else abs(value) > MOST:
        return "must be finite"
    if value <= above:
        return f"must be greater than {above}, not {value}"
    if not minimum <= value <= maximum:
        bound = f"at least {minimum}" if value < minimum else f"at most {maximum}"
        return f"must be {bound}, not {value}"
    return None


MOST = 2**1000
"""Integers beyond it are no numbers: they do not fit into a float."""


def json_kind(value: object) -> str:
    """What a parsed JSON value is, for a person."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
