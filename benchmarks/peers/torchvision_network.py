"""A network of torchvision with weights from a file, and torchvision's own preprocessing."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.peers.variables import PUBLISHED_VARIABLE, ROOT_VARIABLE, TORCHVISION_VARIABLE
from training import torchvision_ops  # noqa: F401  # before torchvision

WEIGHTS = "weights.pth"


class TorchvisionNetwork:
    """As torchvision's documentation uses its networks: eager, in float32."""

    def __init__(self) -> None:
        from torchvision import models

        name = os.environ[TORCHVISION_VARIABLE]
        self._network = models.get_model(name, weights=None).eval()
        path = Path(os.environ[ROOT_VARIABLE]) / WEIGHTS
        self._network.load_state_dict(torch.load(path, weights_only=True))
        published = models.get_model_weights(name)[os.environ[PUBLISHED_VARIABLE]]
        self._transforms = published.transforms()

    def decode(self, text: str) -> Tensor:
        image = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
        tensor: Tensor = self._transforms(image)
        return tensor

    def probabilities(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.softmax(self._network(batch), dim=1)
