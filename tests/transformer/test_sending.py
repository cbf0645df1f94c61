from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from artifact import Contract
from serving.errors import ContractMismatchError, ContractRefusedError
from serving.model import Answered
from serving.pixels import normalised
from tests.conftest import make_contract
from transformer.hop import ClientSettings, PredictorClient
from transformer.pictures import sending
from transformer.pictures.sending import PictureSender

CONTRACT = make_contract()
PIXELS = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 1, 28, 28)
TENSOR = normalised(PIXELS, CONTRACT.input)
ROWS = np.zeros((2, 10), np.float32)


class TwoPredictors(PredictorClient):
    """Calls go to a predictor that takes pixels, or to one from before there were any."""

    def __init__(self) -> None:
        super().__init__(ClientSettings("localhost:1", 1.0, 1, 1 << 20))
        self.new = True
        self.other_contract = False
        self.calls: list[NDArray[Any]] = []

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        self.calls.append(batch)
        if not self.new and batch.dtype == np.uint8:
            raise ContractRefusedError("the datatype is FP32, not 'UINT8'")
        if self.other_contract:
            raise ContractMismatchError("contract_digest is another")
        return (ROWS,), Answered("1", "sha256:abc", len(batch), takes_pixels=self.new)

    def sent(self) -> list[str]:
        """What was sent since it was asked last."""
        found = [str(batch.dtype) for batch in self.calls]
        self.calls.clear()
        return found


@pytest.fixture
def hop() -> TwoPredictors:
    return TwoPredictors()


@pytest.fixture
def sender(hop: TwoPredictors) -> PictureSender:
    return PictureSender(hop, "mnist", CONTRACT)


async def test_pixels_are_sent_once_the_predictor_has_said_that_it_takes_them(
    hop: TwoPredictors, sender: PictureSender
) -> None:
    await sender.infer(PIXELS, {})
    assert hop.calls[0].tobytes() == TENSOR.tobytes()
    await sender.infer(PIXELS, {})
    assert hop.calls[1] is PIXELS


async def test_an_older_predictor_gets_the_contracts_tensor(
    hop: TwoPredictors, sender: PictureSender
) -> None:
    hop.new = False
    for _ in range(3):
        await sender.infer(PIXELS, {})
    assert hop.sent() == ["float32"] * 3


async def test_what_an_older_predictor_refuses_in_a_rollout_is_sent_again(
    hop: TwoPredictors, sender: PictureSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; then all get tensors for a while, whichever of the two answers."""
    await sender.infer(PIXELS, {})
    hop.new = False
    assert hop.sent() == ["float32"]
    (found,), _ = await sender.infer(PIXELS, {})
    assert found is ROWS
    assert hop.sent() == ["uint8", "float32"]
    hop.new = True
    await sender.infer(PIXELS, {})
    await sender.infer(PIXELS, {})
    assert hop.sent() == ["float32", "float32"]
    monkeypatch.setattr(sending, "RETRY_SECONDS", -1.0)
    hop.new = False
    sender._retry_at = 0.0
    await sender.infer(PIXELS, {})
    hop.new = True
    await sender.infer(PIXELS, {})
    await sender.infer(PIXELS, {})
    assert hop.sent() == ["uint8", "float32", "float32", "uint8"]


async def test_another_contract_is_no_reason_to_send_tensors(
    hop: TwoPredictors, sender: PictureSender
) -> None:
    await sender.infer(PIXELS, {})
    hop.other_contract = True
    hop.sent()
    with pytest.raises(ContractMismatchError):
        await sender.infer(PIXELS, {})
    assert hop.sent() == ["uint8"]
