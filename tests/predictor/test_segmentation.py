from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artifact import RasterInput
from predictor.engines.torch_session import TorchSession
from predictor.networks import Network
from predictor.programs import program_for
from predictor.programs.segmentation import LEVELS
from tasks import find_task
from tests.conftest import make_segmentation_contract

CONTRACT = make_segmentation_contract()
SPEC = CONTRACT.input_as(RasterInput)
CLASSES, BANDS = len(CONTRACT.labels), len(SPEC.bands)


class Bands(Network):
    """Logits that are the bands themselves, one after the other, for as many classes as there are.

    Attributes:
        seen: the last input.
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.seen = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return self.factor * torch.stack([x[:, i % BANDS] for i in range(CLASSES)], dim=1)


def random_batch(height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (2, BANDS, height, width), np.uint8)


def answer(
    network: Network, batch: NDArray[np.uint8], temperature: float = 1.0
) -> NDArray[np.uint8]:
    (found,) = TorchSession(program_for(CONTRACT, network, temperature)).run(batch)
    return found


def test_bytes_are_normalised_as_the_contract_says() -> None:
    batch = random_batch()
    network = Bands()
    answer(network, batch)
    mean, std = (np.array(v)[:, np.newaxis, np.newaxis] for v in (SPEC.mean, SPEC.std))
    assert np.allclose(network.seen.numpy(), (batch / 255 - mean) / std, atol=1e-5)


def test_probabilities_are_in_255ths() -> None:
    network = Bands()
    found = answer(network, random_batch())
    assert (found.dtype, found.shape) == (np.uint8, (2, CLASSES, 32, 48))
    expected = LEVELS * torch.softmax(network(network.seen), dim=1).numpy()
    assert np.abs(found - expected).max() <= 0.501
    assert np.abs(found.sum(1, dtype=int) - LEVELS).max() <= CLASSES / 2


def test_a_temperature_softens() -> None:
    sharp, soft = (answer(Bands(4.0), random_batch(), t) for t in (1.0, 3.0))
    assert soft.max(1).mean() < sharp.max(1).mean()
    assert (answer(Bands(4.0), random_batch(), 4.0) == answer(Bands(1.0), random_batch())).all()


def test_the_batch_is_left_alone() -> None:
    batch = random_batch()
    answer(Bands(), batch)
    assert (batch == random_batch()).all()


def test_the_network_is_tried_on_the_smallest_tile() -> None:
    task = find_task(CONTRACT.task)
    assert task.max_instances_per_pass == 1
    assert CONTRACT.input.accepts(task.probe(CONTRACT).shape[1:])
