"""A convolution and what follows it, as one function without modules.

Two ways to make them, to be asked for a network's layers in the order in which they compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]
Join = Callable[[Tensor, Tensor], Tensor]
"""Of what is carried past a layer, which it may overwrite, and of the layer's input."""

ROWS = 16
"""Batch that weights are packed for; others are computed with the same ones."""


class Layers(Protocol):
    def relu(self, layer: nn.Module) -> Forward:
        """The layer, then ReLU."""

    def add_relu(self, layer: nn.Module) -> Join:
        """The layer, then the addition of what is carried, then ReLU."""


class PlainLayers:
    """By torch's operators: the same as the modules to the last bit."""

    def relu(self, layer: nn.Module) -> Forward:
        bare = _bare(layer)
        return lambda x: bare(x).relu_()

    def add_relu(self, layer: nn.Module) -> Join:
        bare = _bare(layer)
        return lambda carried, x: bare(x).add_(carried).relu_()


class FusedLayers:
    """By oneDNN's, as torch's own compiler uses them.

    ReLU and addition are done while the results are still in registers, and the weights are put in
    the order that the processor wants once, not in every call.

    Args:
        height, width: pixels of what the first layer is given.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = (height, width)

    @staticmethod
    def can(network: nn.Module) -> bool:
        """Whether all of a network's convolutions can be had like this, with oneDNN here."""
        if not torch.backends.mkldnn.is_available():
            return False
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                return False
            if isinstance(module, nn.Conv2d):
                halved = module.weight.dtype is torch.bfloat16
                if isinstance(module.padding, str) or (halved and not _has_bfloat16()):
                    return False
        return True

    def relu(self, layer: nn.Module) -> Forward:
        convolve = torch.ops.mkldnn._convolution_pointwise.default
        packed = self._pack(layer)
        return lambda x: convolve(x, *packed, "relu", [], "")

    def add_relu(self, layer: nn.Module) -> Join:
        convolve = torch.ops.mkldnn._convolution_pointwise_.binary
        packed = self._pack(layer)
        return lambda carried, x: convolve(carried, x, *packed, "add", 1.0, "relu", [], "")

    def _pack(self, layer: nn.Module) -> tuple[Any, ...]:
        """The layer as oneDNN's operators take it."""
        assert isinstance(layer, nn.Conv2d)
        window = (layer.padding, layer.stride, layer.dilation, layer.groups)
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            layer.weight, *window, [ROWS, layer.in_channels, *self._size]
        )
        around = zip(
            self._size,
            cast("tuple[int, int]", layer.padding),
            layer.dilation,
            layer.kernel_size,
            layer.stride,
            strict=True,
        )
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in around)
        self._size = (height, width)
        return (weight, layer.bias, *window)


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _bare(layer: nn.Module) -> Forward:
    """A convolution's arithmetic, without the module around it; any other layer as it is."""
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str):
        return layer
    weight, bias, stride, padding = layer.weight, layer.bias, layer.stride, layer.padding
    return lambda x: torch.conv2d(x, weight, bias, stride, padding)
