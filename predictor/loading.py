"""From a revision on disk to a network that is ready to answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from artifact import ArtifactError, ModelCard, Revision, open_revision
from predictor.networks import Forward, build_network
from predictor.networks.folding import fold_batch_norm
from predictor.networks.residual_cnn import ResidualCNN
from predictor.tasks import Inference, inference_for
from serving.v2 import NUMPY_TYPES

logger = logging.getLogger("predictor")


@dataclass(frozen=True)
class LoadedRevision:
    """A network in evaluation mode, with the card it was built from.

    Attributes:
        dtype: of what the network is given.
    """

    card: ModelCard
    digest: str
    network: nn.Module
    dtype: torch.dtype = torch.float32

    @cached_property
    def inference(self) -> Inference:
        """How the network is asked, by the card's task."""
        return inference_for(self.card)

    def probabilities(self, batch: NDArray[Any]) -> NDArray[Any]:
        """The first output for a batch that fits the contract; see ``predictor.tasks``."""
        if not batch.flags.writeable:
            batch = batch.copy()  # torch has no read-only tensors, and what gRPC gives is
        with torch.inference_mode():
            return self.inference.answer(self._forward, batch, self.dtype)

    @cached_property
    def _forward(self) -> Forward:
        """The network, in the shortest form that it has."""
        if not isinstance(self.network, ResidualCNN):
            return self.network
        height, width = self.card.contract.input.shape[1:]
        return self.network.unrolled(height, width)


def usable_precision(wanted: str) -> torch.dtype:
    """The element type of that name; float32 where this processor would only imitate it."""
    # AVX512-BF16, AMX-BF16 and the like. What torch itself calls supported includes imitation.
    has = any(v for name, v in torch.cpu.get_capabilities().items() if name.endswith("bf16"))
    if wanted == "bfloat16" and not has:
        logger.info("this processor has no bfloat16; the networks run in float32")
        return torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]


def load_revision(
    root: Path, name: str, selector: str, dtype: torch.dtype = torch.float32
) -> LoadedRevision:
    """Open, verify, build and warm up one revision.

    Args:
        dtype: of weights and activations; a residual network's stem and head are in float32
            always, as are softmax and temperature.

    Raises:
        ArtifactError: missing, invalid, or its weights are not those of its card.
    """
    revision = open_revision(root, name, selector)
    network = build_network(revision.card.architecture)
    _load_weights(network, revision)
    fold_batch_norm(network.eval())
    if isinstance(network, ResidualCNN):
        # To round the pixels and the last sums costs more exactness than all between, and saves
        # nothing: stem and head are a hundredth of the work.
        network.stages.to(dtype)
        dtype = torch.float32
    else:
        network.to(dtype)
    loaded = LoadedRevision(revision.card, revision.digest, network, dtype)
    contract = revision.card.contract
    kind = NUMPY_TYPES[contract.input.dtype]
    for shape in loaded.inference.warm_up_shapes:
        try:
            found = loaded.probabilities(np.zeros(shape, kind))
        except RuntimeError as error:
            raise ArtifactError(f"{revision.card.identity}: {shape}: {error}") from None
        expected = (shape[0], *contract.output_shape(shape[1:]))
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
