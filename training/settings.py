"""Everything a training run can be told, and the presets it was told for the shipped models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

PRESETS = Path(__file__).parent / "presets"


def _option(default: Any, help: str, choices: tuple[str, ...] = ()) -> Any:
    metadata = {"help": help, "choices": choices}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainingSettings:
    """One run. Every field is a command-line option and a key of a preset."""

    model: str = _option("mnist", "name of the model the revision belongs to")
    dataset: str = _option("MNIST", "a class of torchvision.datasets", ("MNIST", "FashionMNIST"))
    parent: str = _option("", "name/revision to fine-tune from; empty: from scratch")
    trainable: list[str] = _option([], "prefixes of the layers to train; empty: all of them")
    architecture: str = _option("residual-cnn", "registered name of the network")
    arguments: dict[str, Any] = _option({}, "its arguments; a child has its parent's")

    epochs: int = _option(20, "passes over the training split")
    batch_size: int = _option(128, "images a step")
    test_batch_size: int = _option(1000, "images a step in evaluation")
    workers: int = _option(0, "processes that augment; 0: the training process itself")
    lr: float = _option(0.2, "highest learning rate")
    gamma: float = _option(0.7, "factor a step of the 'step' schedule (one an epoch)")
    schedule: str = _option("one-cycle", "learning rate over time", ("one-cycle", "step"))
    warm_up: float = _option(0.15, "share of the one-cycle schedule spent rising")
    optimiser: str = _option("sgd", "update rule", ("sgd", "adamw", "adadelta"))
    momentum: float = _option(0.9, "of sgd (Nesterov)")
    weight_decay: float = _option(5e-4, "L2 of sgd, decoupled in adamw")
    loss: str = _option("cross-entropy", "objective", ("cross-entropy", "nll"))
    label_smoothing: float = _option(0.0, "of cross-entropy")
    start: str = _option("", "preset whose finished run of the same seed is gone on from")
    teacher: str = _option("", "preset whose finished runs, together, are distilled from")
    distil: float = _option(0.9, "weight of the teacher's answers against the labels")
    distil_temperature: float = _option(3.0, "softens both answers before they are compared")
    average: float = _option(0.998, "decay a step of the averaged weights that are shipped")
    patience: int = _option(0, "epochs without a better validation accuracy; 0: no early stop")
    validation: int = _option(5000, "images held out of the training set")
    split_seed: int = _option(20, "seed of that split; the same for every run and revision")

    flip: float = _option(0.0, "probability of a horizontal flip")
    shift: float = _option(0.0, "largest shift, share of the width")
    degrees: float = _option(0.0, "largest rotation")
    zoom: float = _option(0.0, "largest change of scale, share")
    shear: float = _option(0.0, "largest shear, degrees")
    erase: float = _option(0.0, "probability that a rectangle is erased")
    erase_area: float = _option(0.2, "largest share of the picture erased")
    group: int = _option(4, "images that share one draw of the augmentation")

    precision: str = _option("bf16", "of the forward pass in training", ("bf16", "fp32"))

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
        for name in ("epochs", "batch_size", "test_batch_size", "validation", "group"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_preset(name: str) -> dict[str, Any]:
    """The settings of ``presets/<name>.yaml``.

    Raises:
        ValueError: there is no such preset, or it has a key that is no setting.
    """
    path = PRESETS / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in PRESETS.glob("*.yaml")))
        raise ValueError(f"no preset {name!r}; there are: {known}")
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    unknown = set(values) - {f.name for f in fields(TrainingSettings)}
    if unknown:
        raise ValueError(f"{path}: no such setting: {', '.join(sorted(unknown))}")
    return values
