"""The task ``classification``: what its training runs gave."""

from __future__ import annotations

from dataclasses import dataclass

from artifact.contract import Contract, ImageInput
from artifact.fields import MOMENT, Fields
from artifact.metrics import TaskMetrics, check_shipped


@dataclass(frozen=True)
class ManyLabelsContract(Contract):
    """A contract of which a picture may have several labels, or none.

    Attributes:
        thresholds: one a label: the probability from which on a picture has it.
    """

    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        # 1 and 1.0 are one number, but not one text, and the digest is over the text.
        object.__setattr__(self, "thresholds", tuple(float(v) for v in self.thresholds))

    @classmethod
    def read(cls, task: str, fields: Fields) -> ManyLabelsContract:
        value = cls(
            task=task,
            input=fields.read("input", ImageInput.read),
            outputs=fields.texts("outputs"),
            labels=fields.texts("labels"),
            thresholds=fields.numbers("thresholds"),
        )
        if fields.sound and len(value.thresholds) != len(value.labels):
            fields.fault("thresholds", f"must have {len(value.labels)} entries, one a label")
        if fields.sound and not all(0 <= share <= 1 for share in value.thresholds):
            fields.fault("thresholds", "must be between 0 and 1")
        return value


@dataclass(frozen=True)
class SeedResult:
    """What one training run gave; accuracies and errors as shares of 1, time in seconds.

    ``ece`` is the expected calibration error over 15 bins (Guo et al., 2017, section 2) on the
    test set, before and after the temperature was fitted on the validation split.
    """

    seed: int
    finished: str
    epochs: int
    train_seconds: float
    validation_accuracy: float
    test_accuracy: float
    test_ece_before: float
    test_ece: float
    temperature: float

    @classmethod
    def read(cls, fields: Fields) -> SeedResult:
        return cls(
            seed=fields.integer("seed"),
            finished=fields.text("finished", MOMENT),
            epochs=fields.integer("epochs"),
            train_seconds=fields.number("train_seconds"),
            validation_accuracy=fields.share("validation_accuracy"),
            test_accuracy=fields.share("test_accuracy"),
            test_ece_before=fields.share("test_ece_before"),
            test_ece=fields.share("test_ece"),
            temperature=fields.number("temperature", above=0.0),
        )


@dataclass(frozen=True)
class Metrics(TaskMetrics):
    """Results on the official test set: of the shipped seed, and of every seed that was run."""

    test_accuracy: float
    test_correct: int
    test_ece: float
    seeds: tuple[SeedResult, ...]

    @classmethod
    def read(cls, fields: Fields) -> Metrics:
        metrics = cls(
            shipped_seed=fields.integer("shipped_seed"),
            test_accuracy=fields.share("test_accuracy"),
            test_correct=fields.integer("test_correct"),
            test_ece=fields.share("test_ece"),
            seeds=fields.read_each("seeds", SeedResult.read),
        )
        check_shipped(metrics.shipped_seed, [run.seed for run in metrics.seeds], fields)
        return metrics
