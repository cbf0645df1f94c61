"""What a shipped classifier costs to serve: ``python -m training.cost``.

One core, float32, batches of 32, as the predictor runs it; beside it, in the same run, the
two-convolution network of pytorch/examples (`mnist/main.py`), which most peers serve.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from artifact import known, open_revision, revisions_of
from predictor.loading import LoadedRevision, load_revision
from predictor.networks import build_network
from predictor.networks.two_convolutions import TwoConvolutions

BATCH = 32
ROUNDS = 60


def main() -> int:
    torch.set_num_threads(1)
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "models")
    passes: dict[str, Callable[[], Any]] = {}
    print(f"{'network':<24} {'parameters':>10} {'multiply-adds':>14}")
    for loaded in classifiers(root):
        shape = loaded.card.contract.input.shape
        batch = np.random.default_rng(0).normal(size=(BATCH, *shape)).astype(np.float32)
        passes[loaded.card.identity] = partial(loaded.probabilities, batch)
        show(
            loaded.card.identity,
            build_network(known(loaded.card.architecture, "architecture")),
            shape,
        )
    peer = TwoConvolutions().eval()
    images = torch.randn(BATCH, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    passes["pytorch/examples"] = partial(infer, peer, images)
    show("pytorch/examples", peer, (1, 28, 28))
    print(f"\n{'network':<24} {'µs an image: median':>20} {'least':>8}")
    for name, times in measure(passes).items():
        print(f"{name:<24} {statistics.median(times):>20.0f} {min(times):>8.0f}")
    return 0


def classifiers(root: Path) -> Iterator[LoadedRevision]:
    """Every revision of a classifier under ``root``.

    A segmentation network has no cost an image: it takes images of any size.
    """
    for folder in sorted(root.iterdir()):
        for number in revisions_of(root, folder.name):
            if open_revision(root, folder.name, number).card.contract.task == "classification":
                yield load_revision(root, folder.name, number)


def measure(passes: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Microseconds an image, in turns, so that the machine's moods hit all alike."""
    times: dict[str, list[float]] = {name: [] for name in passes}
    for round_ in range(ROUNDS):
        for name, run in passes.items():
            run()
            started = time.perf_counter()
            run()
            if round_ >= ROUNDS // 10:
                times[name].append((time.perf_counter() - started) / BATCH * 1e6)
    return times


def show(name: str, network: nn.Module, shape: tuple[int, ...]) -> None:
    parameters = sum(p.numel() for p in network.parameters())
    print(f"{name:<24} {parameters:>10,} {multiply_adds(network.eval(), shape):>14,}")


def multiply_adds(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Of one image through all convolutions and linear layers."""
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0] * module.kernel_size[1]
            total += output[0].numel() * module.in_channels // module.groups * kernel
        elif isinstance(module, nn.Linear):
            total += module.in_features * module.out_features

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    infer(network, torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return total


def infer(network: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network(images)
    return result


if __name__ == "__main__":
    sys.exit(main())
