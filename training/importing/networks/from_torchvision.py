"""torchvision's networks; recipe and labels are those of its published weights."""

from __future__ import annotations

import inspect
from typing import Any

from training import torchvision_ops  # noqa: F401  # before torchvision itself
from training.importing.errors import ImportRefusedError
from training.importing.networks import Built
from training.importing.recipes.from_torchvision import read_transforms
from training.importing.request import Request


def build(name: str, request: Request) -> Built:
    from torchvision import models

    try:
        published = list(models.get_model_weights(name))
        network = models.get_model(name, weights=None, **_quiet(name), **request.arguments)
    except ValueError as error:
        raise ImportRefusedError(f"torchvision:{name}: {error}") from None
    except TypeError as error:
        raise ImportRefusedError(f"torchvision:{name}: --arguments: {error}") from None
    chosen = choose(published, request)
    if chosen is None:
        names = ", ".join(entry.name for entry in published)
        return Built(
            network,
            libraries=("torchvision",),
            unknown=f"--pretrained NAME, if they began from published weights ({names})",
        )
    recipe = read_transforms(chosen.transforms())
    labels = tuple(chosen.meta.get("categories", ()))
    return Built(network, recipe, labels, libraries=("torchvision",))


def choose(published: list[Any], request: Request) -> Any | None:
    """Of a network's published weights those that the request means; None where it is open.

    Files of torchvision's have the beginning of their digest in their names. All of them count
    where they say the same, and the newest where the weights are random.
    """
    if request.pretrained:
        for entry in published:
            if entry.name == request.pretrained:
                return entry
        names = ", ".join(entry.name for entry in published)
        raise ImportRefusedError(f"--pretrained {request.pretrained} is none of {names}")
    if request.seed is not None:
        return published[-1] if published else None
    for entry in published:
        if entry.url.rsplit("/", 1)[-1] == request.path.name:
            return entry
    return None


def _quiet(name: str) -> dict[str, Any]:
    """Arguments without which a network would fetch weights of its own, or warn."""
    from torchvision import models

    known = inspect.signature(models.get_model_builder(name)).parameters
    wanted = {"init_weights": True, "weights_backbone": None}
    return {argument: value for argument, value in wanted.items() if argument in known}
