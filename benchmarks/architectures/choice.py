"""Which architectures take part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training import torchvision_ops  # noqa: F401  # before torchvision, which timm imports

FAMILIES = 40
LARGE = ("large", "huge", "giant", "gigantic", "xlarge", "_l_", "_h_", "_xl")
"""Parts of names of timm's networks that are passed over: their small sisters compute the same."""

NOT_CLASSIFIERS = ("_enc", "_align", "sam2", "samvit")
"""Parts of names of timm's networks that give features alone."""


@dataclass(frozen=True)
class Architecture:
    """One network by its library's name.

    Attributes:
        task: of the contract that it becomes.
    """

    package: str
    name: str
    task: str

    @property
    def identity(self) -> str:
        return f"{self.package}:{self.name}"

    @property
    def model(self) -> str:
        """A name that a served model may have."""
        return f"{self.package}-{self.name}".lower().replace("_", "-").replace(".", "-")


def torchvision_architectures() -> list[Architecture]:
    """Every network for classification and for semantic segmentation."""
    from torchvision import models

    classifiers = models.list_models(module=models)
    masks = models.list_models(module=models.segmentation)
    return [
        *(Architecture("torchvision", name, "classification") for name in classifiers),
        *(Architecture("torchvision", name, "segmentation") for name in masks),
    ]


def timm_architectures(seed: int, count: int = FAMILIES) -> list[Architecture]:
    """A network of each of ``count`` families, both drawn by the seed."""
    import timm

    drawn = np.random.default_rng(seed)
    families = {}
    for family in timm.list_modules():
        passed = (*LARGE, *NOT_CLASSIFIERS)
        names = [n for n in timm.list_models(module=family) if not any(p in n for p in passed)]
        if names:
            families[family] = str(drawn.choice(sorted(names)))
    chosen = drawn.choice(sorted(families), count, replace=False).tolist()
    return [Architecture("timm", families[family], "classification") for family in sorted(chosen)]
