"""A small residual network for small images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from predictor.networks.network import Network


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias and its batch norm; ``stride`` divides the resolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class ResidualBlock(nn.Module):
    """Two convolutions around ``hidden`` channels, added to their input (He et al., 2015)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = convolution(width, hidden)
        self.project = convolution(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.expand(x).relu_())
        return out.add_(x).relu_()


class Stage(nn.Module):
    """An optional halving of the resolution with a change of width, then residual blocks."""

    def __init__(self, inputs: int, width: int, hidden: int, blocks: int, halve: bool) -> None:
        super().__init__()
        self.down = convolution(inputs, width, stride=2) if halve else nn.Identity()
        self.halve = halve
        self.blocks = nn.Sequential(*(ResidualBlock(width, hidden) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        if self.halve:
            x = self.down(x).relu_()
        out: Tensor = self.blocks(x)
        return out


class Familiarity(nn.Module):
    """A small perceptron on standardised features: ``(n, features)`` to ``(n,)``, in logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.hidden = nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.score(self.hidden((features - self.mean) / self.std).relu_())
        return found[:, 0]


class ResidualCNN(Network):
    """Stem, stages, global average pooling and a linear head.

    By default the stem already halves the resolution: most of the cost of a 28×28 image lies in
    the layers that see all its pixels.

    Args:
        channels: of the input image.
        classes: length of the logit vector.
        stem: width of the first convolution.
        widths: channels of each stage; every stage but the first halves the resolution.
        hidden: channels inside the residual blocks of each stage.
        blocks: residual blocks of each stage.
        stem_kernel, stem_stride: of the first convolution.
        familiarity: hidden units of the part that tells pictures like those of the training data
            from all others, by what every stage says of them; 0 for none.

    Shapes: input ``(n, channels, h, w)`` float32, output ``(n, classes)`` logits.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        stem: int,
        widths: Sequence[int],
        hidden: Sequence[int],
        blocks: Sequence[int],
        stem_kernel: int = 5,
        stem_stride: int = 2,
        familiarity: int = 0,
    ) -> None:
        super().__init__()
        if not len(widths) == len(hidden) == len(blocks) >= 1:
            raise ValueError("widths, hidden and blocks must have one entry per stage")
        if min(channels, classes, stem, stem_kernel, stem_stride, *widths, *hidden) < 1:
            raise ValueError("sizes must be at least 1")
        if min(*blocks, familiarity) < 0:
            raise ValueError("blocks and familiarity cannot be negative")
        if widths[0] != stem:
            raise ValueError("the first stage has the stem's width")
        self.stem = convolution(channels, stem, stem_kernel, stem_stride)
        inputs = [stem, *widths[:-1]]
        self.stages = nn.ModuleList(
            Stage(inputs[i], widths[i], hidden[i], blocks[i], halve=i > 0)
            for i in range(len(widths))
        )
        self.head = nn.Linear(widths[-1], classes)
        self.familiarity: nn.Module | None = None
        if familiarity:
            self.familiarity = Familiarity(2 * sum(widths), familiarity)
        self._stage_dtype: torch.dtype | None = None

    def forward(self, x: Tensor) -> Tensor:
        *_, last = self._stages(x)
        return self._classified(last)

    def with_familiarity(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, last = self.features(x)
        assert self.familiarity is not None
        return self._classified(last), self.familiarity(features)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What ``familiarity`` judges by, ``(n, 2 * sum(widths))``, and the last stage's answer."""
        maps = list(self._stages(x))
        pooled = [
            (m.amax(dim=(2, 3)).float(), m.mean(dim=(2, 3), dtype=torch.float32)) for m in maps
        ]
        return torch.cat([part for pair in pooled for part in pair], dim=1), maps[-1]

    def _stages(self, x: Tensor) -> Iterator[Tensor]:
        """What each stage makes of a batch."""
        x = self.stem(x).relu_()
        if self._stage_dtype is not None:
            x = x.to(self._stage_dtype)
        for stage in self.stages:
            x = stage(x)
            yield x

    def _classified(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.mean(dim=(2, 3), dtype=self.head.weight.dtype))
        return logits

    def reduce_precision(self, dtype: torch.dtype) -> torch.dtype:
        """Of the stages alone: rounding the pixels and the last sums costs more exactness than all
        between, and saves nothing, for stem and head are a hundredth of the work.
        """
        self.stages.to(dtype)
        self._stage_dtype = dtype
        return torch.float32
