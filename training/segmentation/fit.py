"""One training run of a segmenter: one seed of one preset."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from artifact import Architecture
from predictor.networks import build_network
from predictor.networks.residual_cnn import ResidualBlock
from training.loop import RunResult, Validation, run_epochs, update
from training.segmentation.data import (
    VOID,
    AerialData,
    AnnotatedImage,
    Batch,
    RandomCrops,
    class_shares,
    mean_and_std,
)
from training.segmentation.metrics import count_pixels, mean_iou, pixel_accuracy
from training.segmentation.settings import SegmentationSettings
from transformer.segmentation.tiling import UNSEEN


def fit(
    settings: SegmentationSettings,
    data: AerialData,
    start: RunResult | None,
    seed: int,
    folder: Path,
    resume: bool = False,
    dry_run: bool = False,
) -> RunResult:
    """Train one seed and write its result to ``folder``; see ``run_epochs``.

    Args:
        start: a finished run to go on from.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build_network(Architecture(settings.architecture, settings.arguments))
    if start is not None:
        take_over(network, start.weights)
    learner = _Segmenter(settings, data, generator, dry_run, network.multiple)
    return run_epochs(
        settings, learner, network, generator, seed, folder, resume=resume, dry_run=dry_run
    )


def take_over(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load weights of the same network, or of one that has fewer residual blocks.

    Blocks that it lacks begin as identities, so that the deeper network begins with the answers of
    the shallower one (Net2DeeperNet: Chen et al., 2016, arXiv:1511.05641).

    Raises:
        ValueError: the networks differ in more than their blocks.
    """
    missing, unexpected = network.load_state_dict(weights, strict=False)
    blocks = {n: m for n, m in network.named_modules() if isinstance(m, ResidualBlock)}
    new = [name for name in blocks if f"{name}.project.0.weight" in missing]
    strange = [key for key in missing if not key.startswith(tuple(f"{name}." for name in new))]
    if unexpected or strange:
        raise ValueError(f"start: another network; it differs in {[*unexpected, *strange][0]}")
    for name in new:
        norm = blocks[name].project[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)


class _Segmenter:
    """What the loop is told of segmentation."""

    def __init__(
        self,
        settings: SegmentationSettings,
        data: AerialData,
        generator: torch.Generator,
        dry_run: bool,
        multiple: int,
    ) -> None:
        self.batches = RandomCrops(data.train, settings, generator)
        self._settings = settings
        self._multiple = multiple
        self._validation = data.validation[:1] if dry_run else data.validation
        mean, std = mean_and_std(data.train)
        self._mean = torch.tensor(mean)[:, None, None]
        self._std = torch.tensor(std)[:, None, None]
        self._weights = class_weights(class_shares(data.train), settings.balance)

    def step(self, network: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch) -> Tensor:
        images, masks = batch
        images = (images - self._mean) / self._std
        with self._autocast():
            logits = network(images)
        loss = objective(logits.float(), masks, self._weights, self._settings.overlap_loss)
        if self._settings.consistency:
            part = draw_part(images.shape[-1], self._multiple)
            with self._autocast():
                alone = network(images[:, :, part.rows, part.columns])
            margin = min(round(self._settings.overlap * UNSEEN), alone.shape[-1] // 4)
            loss = loss + self._settings.consistency * disagreement(
                inner(logits[:, :, part.rows, part.columns], margin), inner(alone, margin)
            )
        return update(loss, optimiser)

    def validate(self, network: nn.Module) -> Validation:
        """On whole images; the loss is the unweighted cross-entropy, a pixel."""
        counts = np.zeros((len(self._weights), len(self._weights)), np.int64)
        loss = torch.zeros((), dtype=torch.float64)
        network.eval()
        with torch.inference_mode(), self._autocast():
            for item in self._validation:
                logits = self._whole(network, item)
                mask = torch.from_numpy(item.mask).long()[None]
                loss += functional.cross_entropy(
                    logits, mask, ignore_index=VOID, reduction="sum"
                ).double()
                found = logits[0].argmax(0).to(torch.uint8).numpy()
                counts += count_pixels(item.mask, found)
        return Validation(
            float(loss) / max(1, int(counts.sum())), pixel_accuracy(counts), mean_iou(counts)
        )

    def _whole(self, network: nn.Module, item: AnnotatedImage) -> Tensor:
        factor = self._settings.reduction
        pixels = np.array(Image.fromarray(item.image).reduce(factor))
        image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        image = ((image - self._mean) / self._std)[None]
        height, width = image.shape[2:]
        padding = (0, -width % self._multiple, 0, -height % self._multiple)
        image = functional.pad(image, padding, mode="replicate")
        image = image.contiguous(memory_format=torch.channels_last)
        logits: Tensor = network(image)[:, :, :height, :width].float()
        whole = logits.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        return whole[:, :, : item.mask.shape[0], : item.mask.shape[1]]

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._settings.precision == "bf16")


class Part(NamedTuple):
    """A square part of a crop."""

    rows: slice
    columns: slice


def draw_part(side: int, stride: int) -> Part:
    """About 5/8 of a crop's side, where the network meets each pixel in the same phase."""
    size = max(stride, side * 5 // 8 // stride * stride)
    top, left = (int(torch.randint((side - size) // stride + 1, ())) * stride for _ in range(2))
    return Part(slice(top, top + size), slice(left, left + size))


def inner(logits: Tensor, margin: int) -> Tensor:
    """All but ``margin`` pixels along every border."""
    height, width = logits.shape[2:]
    return logits[:, :, margin : height - margin, margin : width - margin]


def disagreement(logits: Tensor, others: Tensor) -> Tensor:
    """The symmetric Kullback-Leibler divergence of two answers, in nats a pixel.

    Of a part of a crop, where it is as far from the part's border as a tile's answer must be to
    count, and of the crop: a network that says the same of both shows no seams between tiles.
    """
    first, second = torch.log_softmax(logits.float(), 1), torch.log_softmax(others.float(), 1)
    return ((first.exp() - second.exp()) * (first - second)).sum(1).mean()


def class_weights(shares: NDArray[np.float64], exponent: float) -> Tensor:
    """Weights ``share ** -exponent``, scaled so that the mean over pixels is 1; 0 for ``VOID``."""
    weights = np.zeros(len(shares))
    seen = shares > 0
    weights[seen] = shares[seen] ** -exponent
    return torch.from_numpy(weights / (weights * shares).sum()).float()


def objective(logits: Tensor, masks: Tensor, weights: Tensor, overlap: float) -> Tensor:
    """Weighted cross-entropy, and ``overlap`` times one minus the soft Jaccard index.

    The Jaccard index is that of the whole batch, a class, with probabilities in place of
    decisions (Rahman and Wang, 2016), averaged over the classes that occur in it.

    Args:
        logits: ``(n, classes, h, w)``.
        masks: ``(n, h, w)``; ``VOID`` counts nowhere.
        weights: one a class, for cross-entropy.
    """
    loss = functional.cross_entropy(logits, masks, weights, ignore_index=VOID, reduction="sum")
    known = masks != VOID
    count = known.sum().clamp(min=1)
    # By the number of pixels, not by their weights: a batch of rare classes then counts for more.
    loss = loss / count
    if not overlap:
        return loss
    classes = logits.shape[1]
    probabilities = torch.softmax(logits, dim=1) * known.unsqueeze(1)
    of_truth = probabilities.gather(1, masks.unsqueeze(1)).flatten()
    both = logits.new_zeros(classes).index_add(0, masks.flatten(), of_truth)
    truth = torch.bincount(masks.flatten(), minlength=classes).to(logits.dtype)
    either = probabilities.sum((0, 2, 3)) + truth - both
    present = truth > 0
    present[VOID] = False
    if not bool(present.any()):
        return loss
    return loss + overlap * (1 - both[present] / either[present]).mean()
