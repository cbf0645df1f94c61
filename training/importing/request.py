"""What is to be imported, as it is told to the confined process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """An import, in JSON's types.

    Attributes:
        name: of the model.
        source: a file or folder, or a network by name, ``torchvision:resnet50``.
        network: of a state dict: ``module:callable``, or a name as above; empty where the source
            has its own.
        arguments: the network is called with them.
        seed: random weights of this seed, for a trial; None where the source has weights.
        pretrained: which of a named network's published weights these are or began from:
            recipe and labels are those.
        output: of several outputs, by name or number; empty where there is one.
        contract: what else the task's contract has, where the outputs' shapes do not tell it.
        task: of the contract; empty to tell it from the outputs.
        activation: what the outputs are, ``softmax``, ``sigmoid`` or ``none`` of them being what
            makes probabilities; empty to tell it from them.
        labels: in the outputs' order; empty for those of the source.
        numbered: labels are numbers where nobody names them.
        recipe: fields of ``contract.input``, in place of the source's.
        known_recipe: one of ``recipes.known``, by name.
        pictures: a folder ``label/picture``, to find the recipe by; empty for none.
        samples: pictures that both networks are asked.
        shipped_samples: they are this project's, and may be unlike all that the network knows.
        tolerance: difference of two answers up to which they count as equal.
    """

    name: str
    source: str
    network: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    pretrained: str = ""
    output: str = ""
    contract: dict[str, Any] = field(default_factory=dict)
    task: str = ""
    activation: str = ""
    labels: tuple[str, ...] = ()
    numbered: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)
    known_recipe: str = ""
    pictures: str = ""
    samples: tuple[str, ...] = ()
    shipped_samples: bool = False
    tolerance: float = 1e-4

    @property
    def path(self) -> Path:
        return Path(self.source)
