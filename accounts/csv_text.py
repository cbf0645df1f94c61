"""Tables as CSV (RFC 4180) that spreadsheets can open without running what is in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A line a row."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it, as OWASP
    recommends: request ids are what anybody chooses. Numbers stay numbers.
    """
    if isinstance(value, str) and value.startswith(STARTS_FORMULA):
        return f"'{value}"
    return value
