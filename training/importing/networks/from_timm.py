"""timm's networks; recipe and labels are those of their ``pretrained_cfg``."""

from __future__ import annotations

from typing import Any

from training import torchvision_ops  # noqa: F401  # before torchvision, which timm imports
from training.importing.errors import ImportRefusedError
from training.importing.networks import Built
from training.importing.recipes.from_timm import read_configuration, read_labels
from training.importing.request import Request


def build(name: str, request: Request) -> Built:
    import timm

    try:
        network = timm.create_model(name, pretrained=False, **request.arguments)
    except (RuntimeError, ValueError) as error:
        raise ImportRefusedError(f"timm:{name}: {error}") from None
    except TypeError as error:
        raise ImportRefusedError(f"timm:{name}: --arguments: {error}") from None
    found: Any = network
    configuration = dict(found.pretrained_cfg)
    return Built(
        network,
        read_configuration(configuration),
        read_labels(configuration, found.num_classes),
        libraries=("timm",),
    )
