"""Programs: a network with what its task puts around it, as one PyTorch module.

A program takes the contract's tensor and gives the contract's outputs: what an engine runs,
and what is exported for the engines that are not PyTorch.

``artifact.tasks`` says how the program of a further task is found.
"""

from __future__ import annotations

from collections.abc import Callable

from artifact import Contract
from artifact.tasks import find_part
from predictor.networks import Network
from predictor.programs.program import Program

__all__ = ["Program", "program_for"]


def program_for(contract: Contract, network: Network, temperature: float) -> Program:
    """The program of a contract's task around ``network``, which must be in evaluation mode.

    Raises:
        CardError: there is no such task.
    """
    kind: Callable[[Contract, Network, float], Program] = find_part(__name__, contract.task)
    return kind(contract, network, temperature)
