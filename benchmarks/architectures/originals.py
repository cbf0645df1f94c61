"""The original: a network of a library with weights of a seed, and the library's own pipeline.

With weights as they are drawn, answers hardly depend on the picture, and any two pipelines agree.
So layers that begin as good as closed are opened, batch norm takes its statistics from the
photographs and from what the import asks a network without samples of the user's, and the last
layer is scaled and shifted until each photograph has classes of its own, as far as float32 goes:
untrained, a deep network may amplify its own roundings a thousandfold, and no two ways to compute
it would agree.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.architectures.choice import Architecture
from training.importing.pictures import random_pictures, samples
from training.importing.worker import NOISE

Picture = Path | IO[bytes] | Image.Image

SPREAD = 3.0
"""Standard deviation of the logits over the photographs that is aimed at."""

CLOSED = 1e-3
"""Up to which a layer's scale says that an untrained network passes its input by the layer."""

LARGEST = 30.0
"""What the largest logit may become: beyond it, float32's own rounding would be compared."""

MOVED = 2.5e-5
"""How far the last bit of its input may move the original's own probabilities."""

HALVINGS = 10
"""How often the last layer is halved for it at most."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Original:
    """A network in evaluation mode and what prepares its pictures.

    Attributes:
        published: torchvision's name of the weights whose preprocessing this is; empty for timm.
    """

    network: nn.Module
    prepare: Callable[[Image.Image], Tensor]
    published: str

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    def batch(self, pictures: Sequence[Picture]) -> Tensor:
        """``(n, channels, height, width)``."""
        return torch.stack([self.prepare(_opened(picture)) for picture in pictures])

    def logits(self, pictures: Sequence[Picture]) -> Tensor:
        """Of all pictures together; of segmentation those of every pixel."""
        return self.answer(self.batch(pictures))

    def answer(self, batch: Tensor) -> Tensor:
        """The network's logits ``(n, classes, …)``."""
        with torch.inference_mode():
            found: Any = self.network(batch)
        return found["out"] if isinstance(found, dict) else found  # type: ignore[no-any-return]

    def probabilities(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """``(n, classes, …)``."""
        return torch.softmax(self.logits(pictures), 1).numpy()


def build(architecture: Architecture, seed: int, pictures: Sequence[Path]) -> Original:
    """An original whose answers differ between the pictures."""
    torch.manual_seed(seed)
    make = _from_timm if architecture.package == "timm" else _from_torchvision
    original = make(architecture.name)
    original.network.eval()
    photographs = original.batch(pictures)
    height, width = photographs.shape[-2:]
    others = original.batch([*samples(None), *random_pictures(height, width, NOISE)])
    batch = torch.cat([photographs, others])
    open_layers(original.network)
    take_statistics(original, batch)
    sharpen(original, photographs)
    steady(original, photographs)
    return original


def _from_torchvision(name: str) -> Original:
    from torchvision import models

    # Of the smallest pictures, where it was published for several sizes.
    weights = min(models.get_model_weights(name), key=_side)
    known = inspect.signature(models.get_model_builder(name)).parameters
    wanted = {"init_weights": True, "weights_backbone": None}
    quiet: dict[str, Any] = {key: value for key, value in wanted.items() if key in known}
    network = models.get_model(name, weights=None, **quiet)
    prepare = weights.transforms()
    if not hasattr(prepare, "crop_size"):  # for segmentation
        # Of the picture's own aspect there: a served network has one size.
        prepare.resize_size = [prepare.resize_size[0]] * 2
    return Original(network, prepare, weights.name)


def _from_timm(name: str) -> Original:
    import timm

    data: Any = timm.data
    network: Any = timm.create_model(name, pretrained=False)
    return Original(
        network, data.create_transform(**data.resolve_data_config({}, model=network)), ""
    )


def _opened(picture: Picture) -> Image.Image:
    return (picture if isinstance(picture, Image.Image) else Image.open(picture)).convert("RGB")


def _side(weights: Any) -> list[int]:
    """Of the pictures that these weights take; segmentation has no crop."""
    found: list[int] = getattr(weights.transforms(), "crop_size", [0])
    return found


def open_layers(network: nn.Module) -> None:
    """Set to 1 the scales of layers (LayerScale, Touvron et al., 2021) that begin near nought.

    Else a class token hardly sees the picture, and the last layer would have to scale rounding up.
    The same for batch norms that begin at nought, which close a residual branch (Goyal et al.,
    2017): what is closed would not be compared.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, NORMS) and module.affine and not module.weight.any():
                module.weight.fill_(1)
        for parameter in network.parameters():
            scale = float(parameter.max())
            if parameter.numel() > 1 and 0 < scale <= CLOSED and bool((parameter == scale).all()):
                parameter.fill_(1)


def take_statistics(original: Original, batch: Tensor) -> None:
    """Let batch norm take mean and variance from the pictures."""
    norms = [module for module in original.network.modules() if isinstance(module, NORMS)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over the batches, of which there is one
        norm.train()
    original.answer(batch)
    for norm in norms:
        norm.eval()


def sharpen(original: Original, batch: Tensor) -> None:
    """Scale and shift the last layer until the pictures' logits are ``SPREAD`` apart."""
    logits = original.answer(batch)
    last = last_layers(original.network, logits.shape[1])
    if not logits.std() > 0:  # some libraries' last layers begin with zeros
        for module in last:
            nn.init.normal_(module.weight, std=0.02)
        logits = original.answer(batch)
    mean = logits.mean(dim=[axis for axis in range(logits.ndim) if axis != 1])
    spread = float((logits - logits.mean(0, keepdim=True)).std())
    most = float((logits - mean.reshape(-1, *[1] * (logits.ndim - 2))).abs().max())
    if not spread > 0:
        return
    scale = min(SPREAD / spread, LARGEST / most)
    with torch.no_grad():
        for module in last:
            module.weight *= scale
            if module.bias is not None:
                module.bias.sub_(mean).mul_(scale)


def steady(original: Original, batch: Tensor) -> None:
    """Halve the last layer until the last bit of its input moves no probability far.

    What is compared with such an original would be its roundings, and not the way it is served.
    """
    nudged = torch.nextafter(batch, torch.full_like(batch, torch.inf))
    for _ in range(HALVINGS):
        found, moved = (torch.softmax(original.answer(x), 1) for x in (batch, nudged))
        if float((found - moved).abs().max()) <= MOVED:
            return
        with torch.no_grad():
            for module in last_layers(original.network, found.shape[1]):
                for parameter in (module.weight, module.bias):
                    if parameter is not None:
                        parameter *= 0.5


def last_layers(network: nn.Module, classes: int) -> list[nn.Linear | nn.Conv2d]:
    """Those that give a number for each class."""
    kinds = (nn.Linear, nn.Conv2d)
    return [m for m in network.modules() if isinstance(m, kinds) and m.weight.shape[0] == classes]
