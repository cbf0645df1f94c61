"""What a version brings: ``release_notes.py VERSION`` prints its part of CHANGELOG.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"


def notes(text: str, version: str) -> str:
    """The entries below ``## VERSION (date)``, or ``## Unreleased``.

    Raises:
        ValueError: the changelog has no such version, or nothing below it.
    """
    parts = re.split(r"^## (\S+)[^\n]*\n", text, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True)).get(version, "").strip()
    if not found:
        raise ValueError(f"CHANGELOG.md says nothing of {version}")
    return found + "\n"


if __name__ == "__main__":
    try:
        print(notes(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1]), end="")
    except ValueError as error:
        sys.exit(str(error))
