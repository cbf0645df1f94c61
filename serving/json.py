"""JSON of clients, parsed only where what it unfolds to is bounded.

A byte of ``[[],[],…]`` becomes some twenty of Python's objects, and a text with one character
outside of Unicode's first plane takes four bytes for each of its characters: 32 MiB that were
admitted can take a gigabyte. What a body can become is therefore counted before it is parsed.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Any

import orjson

from serving.errors import MalformedRequestError, TooLargeError

VALUE_MARKS = (b",", b":")
CONTAINER_MARKS = (b"[", b"{")
"""Every value but the first of its container stands behind one of the former, every container and
level of nesting begins with one of the latter."""

WINDOW_BYTES = 256 << 10
"""Counted at a time: a hostile body is refused after little of it was looked at."""

WIDE_BYTES = 1 << 20
"""Largest JSON with characters of more than one byte; base64, which is what is large, has none."""


@dataclass(frozen=True)
class JsonLimits:
    """What JSON may be.

    Attributes:
        max_bytes: of the text.
        max_values: of its commas and colons, those within texts included.
        max_containers: of its opening brackets and braces, likewise; it is nested no deeper.
    """

    max_bytes: int
    max_values: int
    max_containers: int

    def read(self, data: bytes) -> Any:
        """Parse a document.

        Raises:
            MalformedRequestError: not JSON.
            TooLargeError: over a limit, which is named.
        """
        if len(data) > self.max_bytes:
            raise TooLargeError(
                f"the JSON has {len(data)} bytes; the limit is {self.max_bytes} (a large image is "
                "sent as it is, or as a form)",
                code="json_too_large",
            )
        # RFC 8259, section 8.1: a parser may ignore the mark that some editors begin a text with.
        data = data.removeprefix(BOM_UTF8)
        values = containers = 0
        for start in range(0, len(data), WINDOW_BYTES):
            stop = start + WINDOW_BYTES
            values += sum(data.count(mark, start, stop) for mark in VALUE_MARKS)
            containers += sum(data.count(mark, start, stop) for mark in CONTAINER_MARKS)
            if values > self.max_values or containers > self.max_containers:
                raise TooLargeError(
                    f"the JSON has more than {self.max_values} values or {self.max_containers} "
                    "arrays and objects: more than a request of this model needs",
                    code="too_many_values",
                )
        # Some write a plus sign as \\u002b, which takes no more than a byte.
        if len(data) > WIDE_BYTES and not (
            data.isascii() and data.count(b"\\u") == data.count(b"\\u00")
        ):
            raise TooLargeError(
                f"JSON of more than {WIDE_BYTES} bytes must be ASCII",
                code="json_too_large",
            )
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise MalformedRequestError(f"the body is not JSON: {error}") from None


def holds_numbers_only(values: list[Any]) -> bool:
    """Whether nested lists hold numbers (or booleans) and nothing else.

    To be asked before numpy is: of texts it makes an array in which each takes as much as the
    longest, four bytes a character.
    """
    pending = [values]
    while pending:
        kinds = set(map(type, current := pending.pop()))
        if not kinds <= {int, float, bool, list}:
            return False
        if list in kinds:
            pending += [item for item in current if isinstance(item, list)]
    return True


DEFAULT_LIMITS = JsonLimits(max_bytes=32 << 20, max_values=1 << 20, max_containers=1 << 16)
"""Where nothing is known of the model: some 40 MB of Python's objects."""
