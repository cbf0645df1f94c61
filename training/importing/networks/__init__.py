"""Networks by name: one module a library, and ``code`` for a user's own.

A name is ``library:network``, or ``module:callable``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from torch import nn

from training.importing.errors import ImportRefusedError
from training.importing.request import Request

LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class Built:
    """A network without its weights, and what its library says of it.

    Attributes:
        recipe: fields of ``contract.input``; empty where the library does not say.
        labels: in the order of the outputs; empty likewise.
        unknown: why the recipe is not known, and which options would say it.
    """

    network: nn.Module
    recipe: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    unknown: str = ""


def is_named(name: str) -> bool:
    """Whether it is a library's network."""
    return name.partition(":")[0] in LIBRARIES and ":" in name


def build(name: str, request: Request) -> Built:
    """Call the network of that name with the request's arguments.

    Raises:
        ImportRefusedError: there is none, or it cannot be called like this.
    """
    library, _, network = name.partition(":")
    if not network:
        raise ImportRefusedError(
            f"--network {name!r}: expected module:callable, torchvision:NAME or timm:NAME"
        )
    kind = library if library in LIBRARIES else "code"
    network = network if library in LIBRARIES else name
    if kind != "code" and find_spec(library) is None:
        raise ImportRefusedError(f"the package {library} is not installed: pip install {library}")
    module = importlib.import_module(f"{__name__}.from_{kind}")
    built: Built = module.build(network, request)
    return built
