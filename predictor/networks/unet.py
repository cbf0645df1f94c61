"""A U-Net for large images: Ronneberger et al., 2015, arXiv:1505.04597, with residual stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from predictor.networks.network import Network
from predictor.networks.residual_cnn import ResidualBlock, convolution


class Encoder(nn.Module):
    """A change of width, halving the resolution if asked, then residual blocks."""

    def __init__(self, inputs: int, width: int, blocks: int, halve: bool) -> None:
        super().__init__()
        self.enter = convolution(inputs, width, stride=2 if halve else 1)
        self.blocks = nn.Sequential(*(ResidualBlock(width, width) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.enter(x).relu_())
        return out


class Decoder(nn.Module):
    """Doubles the resolution, joins what the encoder saw at it, then residual blocks."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        super().__init__()
        # Narrowed before it is enlarged: a quarter of the work.
        self.narrow = convolution(inputs, width, kernel=1)
        self.join = convolution(2 * width, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, width) for _ in range(blocks)))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        x = functional.interpolate(self.narrow(x).relu_(), scale_factor=2.0, mode="nearest")
        out: Tensor = self.blocks(self.join(torch.cat([x, seen], dim=1)).relu_())
        return out


class UNet(Network):
    """Encoder, decoder and one class per pixel; fully convolutional, so any size fits.

    The network works on patches of ``patch`` × ``patch`` pixels, whose intensities become the
    first convolution's channels: most of the cost of a U-Net lies in its full resolution. Batch
    norm, not group norm: what a pixel gives must not depend on the rest of its tile.

    Args:
        channels: bands of the input.
        classes: channels of the output.
        patch: side of a patch, in pixels.
        widths: channels of each encoder; every one but the first halves the resolution.
        encoders: residual blocks of each encoder.
        decoders: residual blocks of each decoder, the finest first; one fewer than encoders.

    Shapes: input ``(n, channels, h, w)`` float32, ``h`` and ``w`` multiples of ``multiple``;
    output ``(n, classes, h, w)`` logits.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        patch: int,
        widths: Sequence[int],
        encoders: Sequence[int],
        decoders: Sequence[int],
    ) -> None:
        super().__init__()
        if not len(widths) == len(encoders) == len(decoders) + 1 >= 1:
            raise ValueError("widths and encoders have one entry per level, decoders one fewer")
        if min(channels, classes, patch, *widths) < 1:
            raise ValueError("sizes must be at least 1")
        if min(*encoders, *decoders, 0) < 0:
            raise ValueError("blocks cannot be negative")
        self.patch = patch
        self.multiple = patch * 2 ** (len(widths) - 1)
        inputs = [channels * patch * patch, *widths[:-1]]
        self.encoders = nn.ModuleList(
            Encoder(inputs[i], widths[i], encoders[i], halve=i > 0) for i in range(len(widths))
        )
        self.decoders = nn.ModuleList(
            Decoder(widths[i + 1], widths[i], decoders[i]) for i in range(len(decoders))
        )
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, seen = functional.pixel_unshuffle(x, self.patch), []
        for encoder in self.encoders:
            x = encoder(x)
            seen.append(x)
        for level in range(len(self.decoders) - 1, -1, -1):
            x = self.decoders[level](x, seen[level])
        logits: Tensor = self.head(x)
        if self.patch == 1:
            return logits
        return functional.interpolate(
            logits, scale_factor=float(self.patch), mode="bilinear", align_corners=False
        )
