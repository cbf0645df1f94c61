"""Pictures on their way to the predictor, as bytes or as the contract's tensor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, ImageInput
from serving.errors import ContractMismatchError, ContractRefusedError
from serving.model import Answered
from serving.pixels import normalised
from transformer.hop import PredictorClient

RETRY_SECONDS = 5.0
"""How long tensors are sent after bytes were refused."""


class PictureSender:
    """Sends one model's pictures, as bytes to predictors that say that they take them.

    That is a quarter of the tensor to write and to read. Of two revisions in a rollout, one may
    take bytes and the other not: what is refused is sent again as the tensor.
    """

    def __init__(self, hop: PredictorClient, name: str, contract: Contract) -> None:
        self._hop = hop
        self._name = name
        self._contract = contract
        self._spec = contract.input_as(ImageInput)
        self._as_bytes = False
        self._retry_at = 0.0

    async def infer(
        self, pixels: NDArray[np.uint8], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        """The contract's outputs for ``(n, *spec.shape)``; raises as ``PredictorClient.infer``."""
        if self._as_bytes and time.monotonic() >= self._retry_at:
            try:
                return await self._sent(pixels, headers)
            except ContractMismatchError:
                raise
            except ContractRefusedError:
                self._retry_at = time.monotonic() + RETRY_SECONDS
        return await self._sent(normalised(pixels, self._spec), headers)

    async def _sent(
        self, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        outputs, answered = await self._hop.infer(self._name, self._contract, batch, headers)
        self._as_bytes = answered.takes_pixels
        return outputs, answered
