"""Muon for convolutions: updates whose singular values are all about one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

STEPS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Muon for the kernels of convolutions over several channels, SGD for everything else.

    Both with Nesterov's momentum (Jordan, 2024, https://kellerjordan.github.io/posts/muon/).

    ``torch.optim.Muon`` takes nothing but matrices; here a kernel is the matrix of
    ``(outputs, inputs × height × width)``. Both halves follow one learning rate: a kernel's step is
    ``kernel_share`` of it.

    Args:
        parameters: of the network; those that need no gradient are left alone.
        lr: of everything but the kernels.
        kernel_share: of ``lr``, for the kernels.
        momentum: of everything but the kernels; theirs is ``kernel_momentum``.
        weight_decay: L2 of what is no kernel and has more than one dimension.
        kernel_decay: of the kernels, decoupled: a share of ``lr × kernel_share``.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        kernel_share: float = 0.1,
        momentum: float = 0.9,
        kernel_momentum: float = 0.95,
        weight_decay: float = 5e-4,
        kernel_decay: float = 0.01,
    ) -> None:
        trained = [p for p in parameters if p.requires_grad]
        kernels = [p for p in trained if _is_kernel(p)]
        others = [p for p in trained if not _is_kernel(p)]
        groups: list[dict[str, Any]] = [
            {
                "params": kernels,
                "share": kernel_share,
                "momentum": kernel_momentum,
                "weight_decay": kernel_decay,
            },
            {"params": [p for p in others if p.ndim > 1]},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        ]
        defaults = {"lr": lr, "share": 1.0, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                move = _move_kernel if _is_kernel(parameter) else _move
                move(
                    parameter,
                    parameter.grad,
                    state["momentum_buffer"],
                    group["lr"] * group["share"],
                    group["momentum"],
                    group["weight_decay"],
                )


def _move(
    parameter: Tensor, gradient: Tensor, average: Tensor, lr: float, momentum: float, decay: float
) -> None:
    """A step of SGD with Nesterov's momentum."""
    gradient = gradient.add(parameter, alpha=decay)
    average.mul_(momentum).add_(gradient)
    parameter.add_(gradient.add(average, alpha=momentum), alpha=-lr)


def _move_kernel(
    kernel: Tensor, gradient: Tensor, average: Tensor, lr: float, momentum: float, decay: float
) -> None:
    """A step of Muon."""
    average.lerp_(gradient, 1 - momentum)
    matrix = gradient.lerp(average, momentum).flatten(1)
    height, width = matrix.shape
    kernel.mul_(1 - lr * decay)
    step = orthogonalised(matrix).view_as(kernel)
    kernel.add_(step, alpha=-lr * math.sqrt(max(1.0, height / width)))


def _is_kernel(parameter: Tensor) -> bool:
    """A kernel over a single channel has too few rows or columns to be evened out."""
    return parameter.ndim == 4 and parameter.shape[1] > 1


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix with its singular values moved to between about 0.7 and 1.2.

    Five steps of a Newton-Schulz iteration whose polynomial is as steep as it can be at zero; exact
    ones are no better for training.
    """
    a, b, c = QUINTIC
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    tall = matrix.shape[0] > matrix.shape[1]
    if tall:
        x = x.T
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
