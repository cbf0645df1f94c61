"""The task ``embedding``: a vector that stands near those of similar pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

from artifact.contract import Contract, ImageInput
from artifact.fields import Fields
from artifact.metrics import TaskMetrics


@dataclass(frozen=True)
class EmbeddingContract(Contract):
    """A contract that has no labels.

    Whoever has stored vectors searches among them with those of later revisions: a revision whose
    vectors stand elsewhere is another model.

    Attributes:
        dimension: numbers of a vector.
    """

    labels: tuple[str, ...] = ()
    dimension: int = field(kw_only=True)

    def output_shapes(self, instance: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return ((self.dimension,),)

    @classmethod
    def read(cls, task: str, fields: Fields) -> EmbeddingContract:
        value = cls(
            task=task,
            input=fields.read("input", ImageInput.read),
            outputs=fields.texts("outputs"),
            dimension=fields.integer("dimension", minimum=1),
        )
        if fields.sound and len(value.outputs) != 1:
            fields.fault("outputs", "must name one output, the vector")
        return value


@dataclass(frozen=True)
class EmbeddingMetrics(TaskMetrics):
    """Search among held-out pictures, each for the others of its class.

    Attributes:
        recall: share of pictures with one of their class among the nearest, by how many those are
            (``{"1": 0.81, "5": 0.93}``).
        images: pictures.
    """

    recall: dict[str, float]
    images: int

    @classmethod
    def read(cls, fields: Fields) -> EmbeddingMetrics:
        return cls(
            shipped_seed=fields.if_there("shipped_seed", fields.optional_integer),
            recall=fields.read("recall", lambda f: {count: f.share(count) for count in f.names}),
            images=fields.integer("images", minimum=1),
        )
