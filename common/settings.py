"""Settings from the environment: typed, documented, and refused by name when wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

PREFIX = "VISION_"

S = TypeVar("S", bound="Settings")

logger = logging.getLogger("common.settings")


class SettingError(ValueError):
    """An environment variable has a value that cannot be used; names the variable."""


class Settings(BaseModel):
    """Each field is the environment variable of its upper-case name after ``VISION_``.

    Any value may be given as a file instead: ``VISION_DATABASE_URL_FILE=/run/secrets/url``.
    Unknown variables are not refused: Kubernetes adds ``VISION_…_SERVICE_HOST`` and the like for
    every Service whose name begins with "vision".

    Attributes:
        old_names: variables that are still read, with a warning, by the field they stand for. A
            subclass adds its own to its parent's.
    """

    model_config = ConfigDict(frozen=True)
    old_names: ClassVar[dict[str, str]] = {}


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def without_prefix(*fields: str) -> dict[str, str]:
    """``old_names`` of fields that were read without a prefix."""
    return {field: field.upper() for field in fields}


def read_settings(kind: type[S], environment: Mapping[str, str]) -> S:
    """Build a settings object from environment variables; an empty one counts as absent.

    Raises:
        SettingError: naming the variable and what is wrong with it; never a secret's value.
    """
    values: dict[str, Any] = {}
    found: dict[str, str] = {}
    for field in kind.model_fields:
        for name in (variable(field), kind.old_names.get(field, "")):
            if name and (value := _read(name, environment)) is not None:
                values[field], found[field] = value, name
                break
    renamed = {name: variable(field) for field, name in found.items() if name != variable(field)}
    if renamed:
        said = ", ".join(f"{old} is now {new}" for old, new in renamed.items())
        logger.warning("old names of settings, read in this version for the last time: %s", said)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SettingError(_explain(kind, error, values, found)) from None


def _read(name: str, environment: Mapping[str, str]) -> str | None:
    if file := environment.get(f"{name}_FILE", ""):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingError(f"{name}_FILE={file!r}: {error.strerror}") from None
    return environment.get(name) or None


def _explain(
    kind: type[Settings], error: ValidationError, values: dict[str, Any], found: dict[str, str]
) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    field = str(first["loc"][0])
    name = found.get(field, variable(field))
    if kind.model_fields[field].annotation is SecretStr:
        return f"{name}: {message}"
    return f"{name}={values.get(field, '')!r}: {message}"
