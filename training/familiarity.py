"""Teaching a finished classifier what is not of its kind, without changing what it answers.

A perceptron on the features of every stage learns to tell training images, plain and as photographs
look in the frame, from what is of no class. Its scores are then shifted so that few of the held-out
images lie below the threshold. Weights of the network itself stay as they are.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from artifact import ImageInput, SubjectFrame, Trust
from artifact.trust import FAMILIAR_FROM
from predictor.networks.residual_cnn import Familiarity, ResidualCNN
from training.data import LabelledImages
from training.framed_views import framed
from training.photographs.strangers import STRANGERS, strangers

IMAGES, FRAMED = 16_000, 12_000
"""Training images that are shown as they are, and as photographs look in the frame."""

STRANGERS_EACH = 3_000
EPOCHS, BATCH, RATE, DECAY = 16, 256, 3e-3, 1e-2
FLAGGED = 0.013
"""Share of the held-out images that may be called unfamiliar."""

TRAINING_SEED, TEST_SEED = 1, 2
TEST_EACH = 1_000


def teach_familiarity(
    network: ResidualCNN,
    train: LabelledImages,
    held_out: LabelledImages,
    others: NDArray[np.uint8],
    spec: ImageInput,
    seed: int,
) -> None:
    """Train the network's part ``familiarity``, in place; the network must be in evaluation mode.

    Args:
        others: images of another data set, which are of no class here.
    """
    frame = spec.frame
    assert isinstance(frame, SubjectFrame) and isinstance(network.familiarity, Familiarity)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        order = torch.randperm(len(train)).numpy()
        plain = _scaled(train.images[order[:IMAGES]])
        turned = framed(_scaled(train.images[order[-FRAMED:]]), frame)
        drawn = [strangers(kind, STRANGERS_EACH, TRAINING_SEED) for kind in STRANGERS]
        picked = np.random.default_rng(seed).permutation(len(others))[: 2 * STRANGERS_EACH]
        unknown = _scaled(np.concatenate([*drawn, others[picked]]))
        unknown = torch.cat([unknown, framed(unknown[::2], frame)])
        known = features_of(network, torch.cat([plain, turned]), spec)
        rows = torch.cat([known, features_of(network, unknown, spec)])
        targets = torch.cat([torch.ones(len(known)), torch.zeros(len(rows) - len(known))])
        _fit(network.familiarity, rows, targets)
    scores = scores_of(network, held_out.images, spec)
    with torch.no_grad():
        network.familiarity.score.bias.sub_(scores.quantile(FLAGGED))


def measure_trust(
    network: ResidualCNN, test: NDArray[np.uint8], others: NDArray[np.uint8], spec: ImageInput
) -> Trust:
    """Shares that are flagged of the test set, and of what the network was not taught with.

    Args:
        others: test images of the other data set.
    """
    sets = {"test": test, "other data set": others}
    sets |= {kind: strangers(kind, TEST_EACH, TEST_SEED) for kind in STRANGERS}
    flagged = {
        name: round((scores_of(network, images, spec) < 0).double().mean().item(), 4)
        for name, images in sets.items()
    }
    return Trust("outlier-exposure", FAMILIAR_FROM, flagged)


def scores_of(network: ResidualCNN, images: NDArray[np.uint8], spec: ImageInput) -> Tensor:
    """``(n,)`` logits of the familiarity of ``(n, h, w)`` images."""
    assert network.familiarity is not None
    with torch.inference_mode():
        found: Tensor = network.familiarity(features_of(network, _scaled(images), spec))
    return found


def features_of(network: ResidualCNN, images: Tensor, spec: ImageInput) -> Tensor:
    """Of ``(n, 1, h, w)`` images in 0 to 1."""
    with torch.inference_mode():
        parts = [
            network.features((part - spec.mean[0]) / spec.std[0])[0] for part in images.split(BATCH)
        ]
    return torch.cat(parts).clone()


def _fit(part: Familiarity, rows: Tensor, targets: Tensor) -> None:
    part.mean.copy_(rows.mean(0))
    part.std.copy_(rows.std(0) + 1e-6)
    optimiser = torch.optim.AdamW(part.parameters(), RATE, weight_decay=DECAY)
    for epoch in range(EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - epoch / EPOCHS)
        for chosen in torch.randperm(len(rows)).split(BATCH):
            loss = functional.binary_cross_entropy_with_logits(part(rows[chosen]), targets[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()


def _scaled(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1).float() / 255
