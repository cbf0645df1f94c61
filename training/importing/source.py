"""Sources: the kinds of thing that a network comes as, each of which is opened its own way.

A further one is an entry point of the group ``vision.importers`` in any installed package: an
object with ``recognises`` and ``open``. It is asked before those of this project.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from training.importing.errors import ImportRefusedError
from training.importing.request import Request

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor

GROUP = "vision.importers"
OWN = ("onnx_file", "hugging_face", "mlflow", "exported_program", "torchscript", "state_dict")
"""Modules of ``training.importing.sources``; each has its source as ``SOURCE``."""


@dataclass(frozen=True)
class Opened:
    """A network that has been opened.

    Attributes:
        answer: the network's outputs for a batch, by name, computed by its own program.
        to_onnx: the network as an ONNX program of one input, given a batch that fits it and the
            names of the outputs that are wanted.
        recipe: fields of ``contract.input``, as far as they are known.
        labels: in the order of the outputs; empty where they are not known.
        weights: PyTorch's tensors by name; empty where there are none.
        facts: of the source, for the card.
        libraries: packages whose versions the answers depend on.
        notes: what the user is told.
        unknown: options that would say a recipe which is not known.
    """

    answer: Callable[[NDArray[Any]], dict[str, NDArray[Any]]]
    to_onnx: Callable[[NDArray[Any], Sequence[str]], ModelProto]
    recipe: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    weights: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: str = ""


class Source(Protocol):
    """Opens one kind of thing. Runs in the confined process."""

    def recognises(self, request: Request) -> bool:
        """Whether it is of this kind, by a look at it: nothing is run."""

    def open(self, request: Request) -> Opened:
        """Raises ImportRefusedError, whose message says what to do."""


def open_source(request: Request) -> Opened:
    """Open what is to be imported.

    Raises:
        ImportRefusedError: it is of no known kind, or cannot be opened.
    """
    found = [entry.load() for entry in entry_points(group=GROUP)]
    found += [importlib.import_module(f"training.importing.sources.{name}").SOURCE for name in OWN]
    for source in found:
        if source.recognises(request):
            opened: Opened = source.open(request)
            return opened
    raise ImportRefusedError(
        f"{request.source} is none of: a state dict (.pt, .pth, .safetensors), a torch.export "
        "program (.pt2), TorchScript, an ONNX file, a Hugging Face folder (config.json), an MLflow "
        "folder (MLmodel), torchvision:NAME, timm:NAME"
    )
