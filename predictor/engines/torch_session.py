"""A revision as a PyTorch module, on the CPU or a GPU."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load

from artifact import ArtifactError, Revision
from predictor.engines.engine import Arrays, EngineError
from predictor.networks import Network, build_network
from predictor.networks.folding import fold_batch_norm
from predictor.programs import Program, program_for


class TorchSession:
    """A program of PyTorch.

    Attributes:
        program: in evaluation mode, its weights in channels-last order; moved to ``device``.
    """

    warm_up_sizes = (1, 8)

    def __init__(self, program: Program, device: str = "cpu") -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda":
            # Ten bits of mantissa are no float32: the answers would not be the CPU's.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        self.program = program.to(self._device)

    @property
    def memory_bytes(self) -> int:
        tensors = [*self.program.parameters(), *self.program.buffers()]
        return sum(tensor.nbytes for tensor in tensors)

    def run(self, batch: NDArray[Any]) -> Arrays:
        if not batch.flags.writeable:
            batch = batch.copy()  # torch cannot wrap a read-only buffer
        with torch.inference_mode():
            rows = torch.from_numpy(batch).to(self._device)
            found = self.program(rows)
            tensors = (found,) if isinstance(found, torch.Tensor) else found
            return tuple(tensor.cpu().numpy() for tensor in tensors)

    def stop(self, thread: int) -> bool:
        return False


def load_program(revision: Revision) -> Program:
    """The program of a revision on the CPU, in float32, batch norm folded.

    Raises:
        ArtifactError: its network cannot be built, or its weights do not fit it.
    """
    card = revision.card
    if card.architecture is None:
        raise EngineError(f"{card.identity}: the card names no architecture")
    network = build_network(card.architecture)
    _load_weights(network, revision)
    fold_batch_norm(network.eval())
    return program_for(card.contract, network, card.temperature)


def device_refusal(device: str) -> str | None:
    """Why nothing can be computed on that device here; None where it can."""
    if device == "cuda" and not torch.cuda.is_available():
        build = torch.version.cuda
        return (
            f"there is no CUDA device (torch {torch.__version__} was built "
            f"{f'for CUDA {build}' if build else 'without CUDA'})"
        )
    return None


def _load_weights(network: Network, revision: Revision) -> None:
    identity = revision.card.identity
    try:
        weights = load(revision.read_weights())
    except SafetensorError as error:
        raise ArtifactError(f"{identity}: {error}") from None
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    if expected != found:
        wrong = min(name for name, _ in expected.items() ^ found.items())
        raise ArtifactError(f"{identity}: the weights do not fit the architecture: {wrong}")
    network.load_state_dict(weights)
