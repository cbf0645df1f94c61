"""PyTorch: the network itself, the reference that every other engine is compared with."""

from __future__ import annotations

from importlib.util import find_spec

from artifact import Revision
from predictor.engines.engine import EngineOptions, Session


class TorchEngine:
    """On the CPU or a GPU, in float32 or bfloat16. Imports torch only to load a revision."""

    preference = 10

    def refusal(self, revision: Revision, options: EngineOptions) -> str | None:
        if find_spec("torch") is None:
            return "the package torch is not installed"
        if revision.card.architecture is None:
            return "the card names no architecture"
        if revision.card.weights is None:
            return "the card names no weights"
        if options.device != "cpu":
            from predictor.engines.torch_session import device_refusal

            return device_refusal(options.device)
        return None

    def needed_bytes(self, revision: Revision) -> int:
        weights = revision.card.weights
        return 0 if weights is None else 2 * weights.size_bytes  # the file, and the network's copy

    def load(self, revision: Revision, options: EngineOptions) -> Session:
        import torch

        from predictor.engines.torch_session import TorchSession, load_program

        # Passes side by side, each on one thread, instead of one pass on several: the threads of
        # a pass wait for each other in busy loops at every layer, and where the processors are
        # shared (with the transformer, on one machine) that takes most of the time.
        torch.set_num_threads(1)
        program = load_program(revision)
        if options.precision == "bfloat16":
            program.reduce_precision(torch.bfloat16)
        return TorchSession(program, options.device)
