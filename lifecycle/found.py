"""What a step that went well leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Found(NamedTuple):
    """Words for people, and what later steps need, as JSON has it."""

    why: str
    details: Mapping[str, Any]
