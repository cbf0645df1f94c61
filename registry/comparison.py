"""What two model cards differ in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from artifact import ModelCard

SECTIONS = ("contract", "metrics", "data", "training")
"""In the order they matter; all other fields come after them."""


def differences(before: ModelCard, after: ModelCard) -> list[tuple[str, Any, Any]]:
    """Path, value before and value after of every field that is not the same; None for none.

    Lists of the same length are compared element by element. Of baselines, which differ in every
    count, it is said of how many pictures they are.
    """
    old, new = _document(before), _document(after)
    keys = [*SECTIONS, *sorted({*old, *new} - set(SECTIONS))]
    return [d for key in keys for d in _between(key, old.get(key), new.get(key))]


def _document(card: ModelCard) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(card.to_json())
    if card.baseline is not None:
        document["baseline"] = {"pictures": card.baseline.pictures, "bins": card.baseline.bins}
    return document


def _between(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _between(f"{path}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _between(f"{path}[{index}]", *pair)
    elif old != new:
        yield path, old, new
