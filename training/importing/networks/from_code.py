"""A network from a user's own code: ``module:callable``, called with the arguments given."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from training.importing.errors import ImportRefusedError
from training.importing.networks import Built
from training.importing.request import Request


def build(path: str, request: Request) -> Built:
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise ImportRefusedError(
                f"{module} imports {error.name}, which is not installed here: pip install it into "
                "the environment that runs this, or say where it is with --code FOLDER"
            ) from None
        raise ImportRefusedError(
            f"no module {module!r}: say with --code FOLDER where {module}.py is"
        ) from None
    made: Any = found
    for part in name.split("."):
        if not hasattr(made, part):
            raise ImportRefusedError(f"{module} has no {name!r}")
        made = getattr(made, part)
    try:
        network = made(**request.arguments)
    except TypeError as error:
        raise ImportRefusedError(f"{module}:{name}: {error}; say --arguments '{{…}}'") from None
    if not isinstance(network, nn.Module):
        raise ImportRefusedError(
            f"{module}:{name} gave a {type(network).__name__}, and no torch.nn.Module"
        )
    return Built(network)
