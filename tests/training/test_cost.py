from __future__ import annotations

import sys

import pytest
from torch import nn

from predictor.networks.two_convolutions import TwoConvolutions
from tests.conftest import SHIPPED
from training import cost
from training.cost import multiply_adds


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 7840),
        (nn.Conv2d(1, 4, 3), 26 * 26 * 4 * 9),
        (nn.Conv2d(1, 4, 3, stride=2, padding=1), 14 * 14 * 4 * 9),
        (nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4)), 28**2 * 4 + 26**2 * 36),
        (nn.ReLU(), 0),
    ],
    ids=str,
)
def test_multiply_adds_by_hand(network: nn.Module, count: int) -> None:
    assert multiply_adds(network, (1, 28, 28)) == count
    assert multiply_adds(network, (1, 28, 28)) == count


def test_the_peer_is_that_of_pytorch_examples() -> None:
    parameters = sum(p.numel() for p in TwoConvolutions().parameters())
    assert parameters == 1_199_882


def test_every_shipped_classifier_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "ROUNDS", 2)
    monkeypatch.setattr(sys, "argv", ["cost", str(SHIPPED)])
    assert cost.main() == 0
    sizes, times = capsys.readouterr().out.split("\n\n")
    for table in (sizes, times):
        names = [line.split()[0] for line in table.splitlines()[1:]]
        assert {"fashion-mnist/1", "mnist/1", "pytorch/examples"} <= set(names)
        assert "land-cover/1" not in names
    assert "161,202" in sizes
