"""The task ``segmentation``: rasters of any size tile by tile, photographs as a whole."""

from __future__ import annotations

from concurrent.futures import Executor

from artifact import Contract, PhotographContract
from serving.model import ServedModel
from transformer.hop import PredictorClient
from transformer.segmentation.model import SegmentationModel
from transformer.segmentation.photographs import PhotographModel
from transformer.settings import TransformerSettings


def model_of(
    name: str,
    contract: Contract,
    hop: PredictorClient,
    executor: Executor,
    settings: TransformerSettings,
) -> ServedModel:
    """The served model of the contract's kind."""
    if isinstance(contract, PhotographContract):
        return PhotographModel(name, contract, hop, executor, settings)
    return SegmentationModel(name, contract, hop, executor, settings)


TASK = model_of
