"""What all peers share: the network and its weights, from the files that the service reads.

Only its deployment differs: batch norm is not folded and nothing is compiled, as in the samples
that these peers follow. Runs in each peer's own environment.
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor

from artifact import ImageInput, known, open_revision
from benchmarks.peers.variables import (
    REVISION_VARIABLE,
    ROOT_VARIABLE,
    THREADS_VARIABLE,
    TORCHVISION_VARIABLE,
)
from predictor.networks import build_network

MODEL = "mnist"


class Network(Protocol):
    """What a peer's server calls."""

    def decode(self, text: str) -> Tensor:
        """A base64 image as the tensor that the network takes, without the axis of the batch."""
        ...

    def probabilities(self, batch: Tensor) -> Tensor:
        """``(n, classes)``."""
        ...


def load_network() -> Network:
    """The network that the environment names, with ``THREADS`` threads."""
    torch.set_num_threads(int(os.environ[THREADS_VARIABLE]))
    if TORCHVISION_VARIABLE in os.environ:
        from benchmarks.peers.torchvision_network import TorchvisionNetwork

        return TorchvisionNetwork()
    return PeerNetwork()


class PeerNetwork:
    """A revision's network in evaluation mode."""

    def __init__(self) -> None:
        revision = open_revision(
            Path(os.environ[ROOT_VARIABLE]), MODEL, os.environ[REVISION_VARIABLE]
        )
        self.spec = revision.card.contract.input_as(ImageInput)
        self._temperature = revision.card.temperature
        self._network = build_network(known(revision.card.architecture, "architecture")).eval()
        self._network.load_state_dict(load(revision.read_weights()))
        self.probabilities(torch.zeros(1, *self.spec.shape))

    def decode(self, text: str) -> Tensor:
        """A base64 image as the tensor ``(1, 28, 28)`` that torchvision would give."""
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        pixels = np.asarray(image, np.float32) / np.float32(255)
        return torch.from_numpy(
            (pixels - np.float32(self.spec.mean[0])) / np.float32(self.spec.std[0])
        )[None]

    def probabilities(self, batch: Tensor) -> Tensor:
        """``(n, classes)`` of a batch ``(n, 1, 28, 28)``."""
        with torch.inference_mode():
            return torch.softmax(self._network(batch) / self._temperature, dim=1)


def predictions(probabilities: Tensor) -> list[dict[str, Any]]:
    """One answer a row."""
    best = probabilities.max(dim=1)
    return [
        {"class_id": class_id, "probability": probability}
        for class_id, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
