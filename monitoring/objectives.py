"""The file of objectives: what is promised for each model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.metrics import SECONDS, CustomerClass

FILE = Path(__file__).with_name("objectives.yaml")
DAYS = 30


class ObjectivesError(ValueError):
    """The file cannot be used; names it, and what is wrong where."""


class Latency(BaseModel):
    """So many percent of the answers take no longer than so many seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    percent: float = Field(gt=0, lt=100)
    seconds: float

    @field_validator("seconds")
    @classmethod
    def _is_counted(cls, seconds: float) -> float:
        if seconds not in SECONDS:
            bounds = ", ".join(f"{bound:g}" for bound in SECONDS)
            raise ValueError(f"answers are counted at these bounds alone: {bounds}")
        return seconds


class Promise(BaseModel):
    """What is promised of some requests.

    Attributes:
        availability: percent of requests that get an answer, or an error of the caller's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    availability: float = Field(gt=0, lt=100)
    latency: Latency


class Objective(Promise):
    """What is promised for a model: of all its requests, as its servers count them.

    Attributes:
        customers: by class, what is promised of theirs, as the edge counts them.
        accuracy: percent of predictions that were right, as customers say; None: nothing promised.
    """

    customers: dict[CustomerClass, Promise] = {}
    accuracy: float | None = Field(None, gt=0, lt=100)


class Objectives(BaseModel):
    """The whole file.

    Attributes:
        minimum_errors: failed requests in an alert's long window, below which it is silent.
        minimum_feedback: right answers of customers in a day, below which accuracy is not judged.
        default: for every model that ``models`` does not name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    minimum_errors: int = Field(ge=1)
    minimum_feedback: int = Field(100, ge=1)
    default: Objective
    models: dict[str, Objective] = {}


def read_objectives(path: Path = FILE) -> Objectives:
    """
    Raises:
        ObjectivesError: all faults of the file at once.
    """
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Objectives.model_validate(document)
    except (OSError, yaml.YAMLError) as error:
        raise ObjectivesError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ObjectivesError(f"{path}: {faults}") from None
