"""Everything a training run can be told, and the presets it was told for the shipped models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

PRESETS = Path(__file__).parent / "presets"


def option(
    default: Any, help: str, choices: tuple[str, ...] = (), *, positive: bool = False
) -> Any:
    """A field of a settings class: its default, and what the command line says of it."""
    metadata = {"help": help, "choices": choices, "positive": positive}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class RunSettings:
    """What every task's runs can be told; a task's own settings add to these.

    Every field is a command-line option and a key of a preset.
    """

    model: str = option("mnist", "name of the model the revision belongs to")
    parent: str = option("", "name/revision to fine-tune from; empty: from scratch")
    start: str = option("", "preset whose finished run is gone on from")
    start_seed: int = option(-1, "seed of that run; -1: the same as its own")
    architecture: str = option("residual-cnn", "registered name of the network")
    arguments: dict[str, Any] = option({}, "its arguments; a child has its parent's")

    epochs: int = option(20, "passes over the training split; 0: the parent's weights stay")
    batch_size: int = option(128, "images a step", positive=True)
    lr: float = option(0.2, "highest learning rate")
    gamma: float = option(0.7, "factor a step of the 'step' schedule (one an epoch)")
    schedule: str = option("one-cycle", "learning rate over time", ("one-cycle", "step"))
    warm_up: float = option(0.15, "share of the one-cycle schedule spent rising")
    optimiser: str = option("sgd", "update rule", ("sgd", "muon", "adamw", "adadelta"))
    kernel_share: float = option(0.1, "of the rate, in muon's steps of convolutions")
    momentum: float = option(0.9, "of sgd (Nesterov), and of what muon leaves to it")
    weight_decay: float = option(5e-4, "L2 of sgd (muon: of the head), decoupled in adamw")
    average: float = option(0.998, "decay a step of the averaged weights that are shipped")
    patience: int = option(0, "epochs without a better validation score; 0: no early stop")
    keep: str = option("best", "epoch whose weights are kept", ("best", "last"))
    precision: str = option("bf16", "of the forward pass in training", ("bf16", "fp32"))

    def __post_init__(self) -> None:
        kinds = {"int": int, "float": (int, float), "str": str, "list[str]": list}
        for item in fields(self):
            value = getattr(self, item.name)
            kind = kinds.get(str(item.type), dict)
            if not isinstance(value, kind):  # type: ignore[arg-type]
                raise ValueError(f"{item.name}: {value!r} is no {item.type}")
            if item.metadata["choices"] and value not in item.metadata["choices"]:
                raise ValueError(
                    f"{item.name}: {value!r} is none of {', '.join(item.metadata['choices'])}"
                )
            if item.metadata["positive"] and value <= 0:
                raise ValueError(f"{item.name}: must be at least 1")
        if self.epochs < 0:
            raise ValueError("epochs: must be at least 0")

    @property
    def continues_its_model(self) -> bool:
        """Whether the parent is another revision of the same model."""
        return self.parent.partition("/")[0] == self.model

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TrainingSettings(RunSettings):
    """One run of a classifier."""

    dataset: str = option("MNIST", "a class of torchvision.datasets", ("MNIST", "FashionMNIST"))
    trainable: list[str] = option([], "prefixes of the layers to train; empty: all of them")
    test_batch_size: int = option(1000, "images a step in evaluation", positive=True)
    workers: int = option(0, "processes that augment; 0: the training process itself")
    loss: str = option("cross-entropy", "objective", ("cross-entropy", "nll"))
    label_smoothing: float = option(0.0, "of cross-entropy")
    teacher: str = option("", "preset whose finished runs, together, are distilled from")
    teacher_views: int = option(16, "views of an image that teachers are asked", positive=True)
    distil: float = option(0.9, "weight of the teacher's answers against the labels")
    distil_temperature: float = option(3.0, "softens both answers before they are compared")
    familiarity: int = option(0, "hidden units that tell what is of no class; 0: none")
    others: str = option("", "data set whose images are of no class", ("", "MNIST", "FashionMNIST"))
    validation: int = option(5000, "images held out of the training set", positive=True)
    split_seed: int = option(20, "seed of that split; the same for every run and revision")

    flip: float = option(0.0, "probability of a horizontal flip")
    shift: float = option(0.0, "largest shift, share of the width")
    degrees: float = option(0.0, "largest rotation")
    zoom: float = option(0.0, "largest change of scale, share")
    shear: float = option(0.0, "largest shear, degrees")
    erase: float = option(0.0, "probability that a rectangle is erased")
    erase_area: float = option(0.2, "largest share of the picture erased")
    group: int = option(4, "images that share one draw of the augmentation", positive=True)


AUGMENTATION = ("flip", "shift", "degrees", "zoom", "shear", "erase", "erase_area", "group")
"""The settings that make an augmented view of an image."""


def read_preset(
    name: str, kind: type[RunSettings] = TrainingSettings, folder: Path | None = None
) -> dict[str, Any]:
    """The settings of ``<folder>/<name>.yaml``, a preset of one task.

    Args:
        kind: the task's settings.
        folder: of its presets; None for those of classification.

    Raises:
        ValueError: there is no such preset, or it has a key that is no setting.
    """
    folder = folder or PRESETS
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise ValueError(f"no preset {name!r}; there are: {known}")
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    unknown = set(values) - {f.name for f in fields(kind)}
    if unknown:
        raise ValueError(f"{path}: no such setting: {', '.join(sorted(unknown))}")
    return values
