"""Two answers to the same request, beside each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OWN = ("model_name", "model_version", "id", "parameters")
"""What an answer says of itself, in which two revisions always differ."""
LEADING = ("label", "class_id")
"""What a prediction comes down to, where it has one of these."""
MAX_TEXT = 80


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    agrees: whether every prediction comes down to the same; without a leading class, whether
        both answers have the same parts and texts.
    max_difference: largest of two numbers at the same place; 0 where none are.
    baseline, shadow: what they come down to, where they do not agree.
    """

    agrees: bool
    max_difference: float = 0.0
    baseline: str = ""
    shadow: str = ""


def compare(baseline: bytes, shadow: bytes) -> Comparison:
    """Two bodies; what is no JSON is compared byte by byte."""
    try:
        one, other = json.loads(baseline), json.loads(shadow)
    except ValueError:
        same = baseline == shadow
        return Comparison(same) if same else Comparison(False, 0.0, *_sizes(baseline, shadow))
    one, other = _without_own(one), _without_own(other)
    largest, same = 0.0, True
    for left, right in _pairs(one, other):
        if _is_number(left) and _is_number(right):
            largest = max(largest, abs(left - right))
        elif left != right:
            same = False
    led, led_by = list(_leading(one)), list(_leading(other))
    agrees = led == led_by if led or led_by else same
    if agrees:
        return Comparison(True, largest)
    return Comparison(False, largest, _shortened(led or one), _shortened(led_by or other))


def _without_own(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {name: value for name, value in document.items() if name not in OWN}


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Leaves at the same places; what one side alone has is paired with None."""
    if isinstance(one, dict) and isinstance(other, dict):
        # A class is another or the same, not so and so far away.
        for name in [name for name in {**one, **other} if name not in LEADING]:
            yield from _pairs(one.get(name), other.get(name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            yield from _pairs(left, right)
    else:
        yield one, other


def _leading(document: Any) -> Iterator[Any]:
    """The class of each prediction, in order."""
    if isinstance(document, list):
        for item in document:
            yield from _leading(item)
    elif isinstance(document, dict):
        found = next((document[name] for name in LEADING if name in document), None)
        if found is not None:
            yield found
        else:
            for value in document.values():
                if isinstance(value, (dict, list)):
                    yield from _leading(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _sizes(one: bytes, other: bytes) -> tuple[str, str]:
    return f"{len(one)} bytes", f"{len(other)} other bytes"


def _shortened(value: Any) -> str:
    return json.dumps(value)[:MAX_TEXT]
