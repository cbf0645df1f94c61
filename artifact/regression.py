"""The task ``regression``: named numbers for a picture."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.contract import Contract, ImageInput
from artifact.fields import Fields
from artifact.metrics import TaskMetrics


@dataclass(frozen=True)
class RegressionContract(Contract):
    """A contract whose labels are the numbers' names.

    Attributes:
        factor, offset: one a number: what is answered is ``output * factor + offset``.
        unit: one a number, such as ``years`` or ``mm``; empty where there is none.
        scale: one a number: a difference that matters, by which errors are measured.
    """

    factor: tuple[float, ...]
    offset: tuple[float, ...]
    unit: tuple[str, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        # 1 and 1.0 are one number, but not one text, and the digest is over the text.
        for name in ("factor", "offset", "scale"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))

    @classmethod
    def read(cls, task: str, fields: Fields) -> RegressionContract:
        value = cls(
            task=task,
            input=fields.read("input", ImageInput.read),
            outputs=fields.texts("outputs"),
            labels=fields.texts("labels"),
            factor=fields.numbers("factor"),
            offset=fields.numbers("offset"),
            unit=fields.notes("unit"),
            scale=fields.numbers("scale", above=0.0),
        )
        for name in ("factor", "offset", "unit", "scale"):
            if fields.sound and len(getattr(value, name)) != len(value.labels):
                fields.fault(name, f"must have {len(value.labels)} entries, one a label")
        if fields.sound and len(value.outputs) != 1:
            fields.fault("outputs", "must name one output, the numbers")
        return value


@dataclass(frozen=True)
class RegressionMetrics(TaskMetrics):
    """Errors on held-out pictures.

    Attributes:
        mean_absolute_error: of each number, by its name, in its unit.
        images: pictures.
    """

    mean_absolute_error: dict[str, float]
    images: int

    @classmethod
    def read(cls, fields: Fields) -> RegressionMetrics:
        return cls(
            shipped_seed=fields.if_there("shipped_seed", fields.optional_integer),
            mean_absolute_error=fields.read(
                "mean_absolute_error",
                lambda f: {name: f.number(name, minimum=0.0) for name in f.names},
            ),
            images=fields.integer("images", minimum=1),
        )
