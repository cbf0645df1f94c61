"""Parameters of requests: of JSON with its types, of a query or a form as text."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from serving.errors import InvalidRequestError

NUMBER = re.compile(r"\d{1,12}(\.\d{1,12})?")


def check_known(values: Mapping[str, Any], names: Collection[str]) -> None:
    """See that nothing is asked for that there is not.

    Raises:
        InvalidRequestError: naming the parameters there are.
    """
    for name in values:
        if name not in names:
            raise InvalidRequestError(
                f"parameter {name!r} not found; available: {', '.join(names)}"
            )


def flag(values: Mapping[str, Any], name: str) -> bool:
    """A parameter that is true or false; false where it is left out."""
    value = values.get(name, False)
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise InvalidRequestError(f"{name} must be true or false")


def count(values: Mapping[str, Any], name: str) -> int | None:
    """A parameter that is a number of things, from 1; None where it is left out."""
    value = values.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidRequestError(f"{name} must be a positive integer")
    return value


def share(values: Mapping[str, Any], name: str) -> float | None:
    """A parameter from 0 to 1; None where it is left out."""
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidRequestError(f"{name} must be a number from 0 to 1")
    return float(value)


def choice(values: Mapping[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """A parameter that is one of a few words; None where it is left out."""
    if name not in values:
        return None
    value = values[name]
    if isinstance(value, str) and value in allowed:
        return value
    raise InvalidRequestError(f"{name} must be one of {', '.join(allowed)}")
