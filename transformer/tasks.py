"""Tasks by the name that a contract gives: how a model of that task is served.

``artifact.tasks`` says how a further task is found.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from artifact import Contract
from artifact.tasks import find_part
from serving.model import ServedModel
from transformer.hop import PredictorClient
from transformer.settings import TransformerSettings

ModelKind = Callable[[str, Contract, PredictorClient, Executor, TransformerSettings], ServedModel]


def model_for(
    name: str,
    contract: Contract,
    hop: PredictorClient,
    executor: Executor,
    settings: TransformerSettings,
) -> ServedModel:
    """The served model of a contract's task.

    Raises:
        CardError: no task of that name is served.
    """
    kind: ModelKind = find_part("transformer", contract.task)
    return kind(name, contract, hop, executor, settings)
