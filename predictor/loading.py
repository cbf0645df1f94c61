"""From a revision on disk to a network that is ready to answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from artifact import ArtifactError, ModelCard, Revision, open_revision
from predictor.networks import build_network
from predictor.networks.folding import fold_batch_norm

WARM_UP_BATCHES = (1, 8)

logger = logging.getLogger("predictor")


@dataclass(frozen=True)
class LoadedRevision:
    """A network in evaluation mode, with the card it was built from."""

    card: ModelCard
    digest: str
    network: nn.Module

    def probabilities(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated class probabilities.

        Args:
            batch: ``(n, channels, height, width)``, normalised as the contract says.

        Returns:
            ``(n, classes)`` float32; rows sum to 1.
        """
        if not batch.flags.writeable:
            batch = batch.copy()  # torch has no read-only tensors, and what gRPC gives is
        with torch.inference_mode():
            images = torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)
            logits: Tensor = self.network(images)
            result: NDArray[np.float32] = torch.softmax(
                logits / self.card.temperature, dim=1
            ).numpy()
        return result


def load_revision(root: Path, name: str, selector: str) -> LoadedRevision:
    """Open, verify, build and warm up one revision.

    Raises:
        ArtifactError: missing, invalid, or its weights are not those of its card.
    """
    revision = open_revision(root, name, selector)
    network = build_network(revision.card.architecture)
    _load_weights(network, revision)
    network = fold_batch_norm(network.eval())
    loaded = LoadedRevision(revision.card, revision.digest, network)
    for size in WARM_UP_BATCHES:
        shape = (size, *revision.card.contract.input.shape)
        try:
            found = loaded.probabilities(np.zeros(shape, np.float32))
        except RuntimeError as error:
            raise ArtifactError(f"{revision.card.identity}: {shape}: {error}") from None
        expected = (size, len(revision.card.contract.labels))
        if found.shape != expected or not np.isfinite(found).all():
            raise ArtifactError(
                f"{revision.card.identity}: the network answers {found.shape} to {shape}; "
                f"its labels need {expected}, finite"
            )
    logger.info("loaded %s (%s)", revision.card.identity, revision.digest)
    return loaded


def _load_weights(network: nn.Module, revision: Revision) -> None:
    identity = revision.card.identity
    try:
        weights: dict[str, Tensor] = load(revision.read_weights())
    except SafetensorError as error:
        raise ArtifactError(f"{identity}: {error}") from None
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    if expected != found:
        wrong = min(name for name, _ in expected.items() ^ found.items())
        raise ArtifactError(f"{identity}: the weights do not fit the architecture: {wrong}")
    network.load_state_dict(weights)
