"""Dataclasses as JSON documents, in the one way that digests are taken of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def as_document(value: Any) -> Any:
    """A dataclass, and what it holds, as ``json.dumps`` takes it.

    A field at its default is left out, so a format can gain fields without changing the digest of
    what was written before. A field that cannot be given (a frame's ``kind``) is always there.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: as_document(getattr(value, field.name))
            for field in fields(value)
            if not field.init or getattr(value, field.name) != field.default
        }
    if isinstance(value, Mapping):
        return {name: as_document(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_document(item) for item in value]
    return value
