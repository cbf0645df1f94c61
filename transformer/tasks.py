"""Tasks by the name that a contract gives: how a model of that task is served.

A further task is a package of its own and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from artifact import CardError, Contract
from serving.model import ServedModel
from transformer.hop import PredictorHop
from transformer.model import TransformerModel
from transformer.segmentation.model import SegmentationModel
from transformer.settings import TransformerSettings

ModelKind = Callable[[str, Contract, PredictorHop, Executor, TransformerSettings], ServedModel]

TASKS: dict[str, ModelKind] = {
    "classification": TransformerModel,
    "segmentation": SegmentationModel,
}


def model_for(
    name: str,
    contract: Contract,
    hop: PredictorHop,
    executor: Executor,
    settings: TransformerSettings,
) -> ServedModel:
    """The served model of a contract's task.

    Raises:
        CardError: there is no task of that name.
    """
    if contract.task not in TASKS:
        known = ", ".join(sorted(TASKS))
        raise CardError("contract.task", f"{contract.task!r} is none of {known}")
    return TASKS[contract.task](name, contract, hop, executor, settings)
