"""What a run of segmentation can be told beyond what all runs can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.settings import RunSettings, option


@dataclass(frozen=True)
class SegmentationSettings(RunSettings):
    """One run of a segmenter."""

    model: str = option("land-cover", "name of the model the revision belongs to")
    dataset: str = option("dubai-aerial", "a set of aerial images", ("dubai-aerial",))
    architecture: str = option("u-net", "registered name of the network")
    arguments: dict[str, Any] = option({}, "its arguments; a child has its parent's")
    optimiser: str = option("adamw", "update rule", ("sgd", "adamw", "adadelta"))
    batch_size: int = option(8, "crops a step", positive=True)
    lr: float = option(2e-3, "highest learning rate")
    weight_decay: float = option(0.02, "L2 of sgd, decoupled in adamw")

    reduction: int = option(2, "pixels a side that become one before the network", positive=True)
    crop: int = option(256, "side of a training crop, reduced pixels", positive=True)
    balance: float = option(0.5, "exponent of the class weights: 0 none, 1 inverse to their share")
    overlap_loss: float = option(0.5, "weight of the soft Jaccard loss beside cross-entropy")
    consistency: float = option(
        0.0, "weight of saying the same of a part of a crop as of all of it"
    )
    centred: float = option(0.5, "share of crops centred on a class drawn at random")
    zoom: float = option(1.5, "largest factor of scale, up or down")
    colour: float = option(0.2, "largest change of brightness, contrast and each band's gain")

    merge: str = option("best", "what is shipped of several seeds", ("best", "average"))

    tile: int = option(1536, "largest side of a tile in serving, reduced pixels", positive=True)
    overlap: int = option(96, "reduced pixels that neighbouring tiles share")
