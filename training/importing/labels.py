"""Labels: as many as a contract may have, none of them twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from training.importing.errors import ImportRefusedError


def read_labels(path: Path) -> tuple[str, ...]:
    """One a line; or JSON: an array, or an object by number.

    Raises:
        ImportRefusedError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefusedError(f"--labels {path}: {error}") from None
    if path.suffix != ".json":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            return tuple(str(found[key]) for key in sorted(found, key=int))
        return tuple(map(str, found))
    except (ValueError, TypeError, RecursionError) as error:
        raise ImportRefusedError(f"--labels {path}: {error}") from None


def distinct(labels: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels, those that stand there twice with their index behind; and which those are."""
    twice = {label for label, count in Counter(labels).items() if count > 1}
    named = tuple(f"{v} ({i})" if v in twice else v for i, v in enumerate(labels))
    return named, tuple(sorted(twice))
