from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from tests.training.synthetic import settings
from training.loop import make_optimiser
from training.muon import Muon, orthogonalised

TALL, WIDE, SINGLE, MATRIX, BIAS = (8, 2, 1, 1), (4, 3, 3, 3), (6, 1, 3, 3), (5, 7), (5,)


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=random)) for shape in shapes]


def give_gradients(parameters: Sequence[nn.Parameter], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=random)


def moved(parameter: nn.Parameter, before: Tensor) -> Tensor:
    return parameter.detach() - before


@pytest.mark.parametrize("shape", [(3, 20), (20, 3), (9, 9), (1, 4)])
def test_the_singular_values_become_alike_and_their_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    within = left.T @ orthogonalised(matrix) @ right.T
    values = within.diagonal()
    assert values.min() > 0.3 and values.max() < 1.3
    assert torch.allclose(within, values.diag(), atol=1e-4)


def test_no_gradient_is_no_step() -> None:
    assert torch.equal(orthogonalised(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_the_size_of_a_gradient_says_nothing() -> None:
    matrix = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(orthogonalised(matrix), orthogonalised(1000 * matrix), atol=1e-4)


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_a_kernels_steps_are_those_of_torchs_muon(shape: tuple[int, ...]) -> None:
    (kernel,) = parameters(shape)
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([kernel], lr=0.2, kernel_share=0.1, kernel_decay=0.01)
    theirs = torch.optim.Muon([matrix], lr=0.02, weight_decay=0.01)
    before = kernel.detach().clone()
    for seed in range(3):
        give_gradients([kernel], seed)
        assert kernel.grad is not None
        matrix.grad = kernel.grad.flatten(1)
        ours.step()
        theirs.step()
    # Theirs is in bfloat16 on the way.
    found, expected = moved(kernel, before).flatten(1), moved(matrix, before.flatten(1))
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_all_else_moves_as_with_sgd() -> None:
    ours, theirs = parameters(SINGLE, MATRIX, BIAS), parameters(SINGLE, MATRIX, BIAS)
    groups = [{"params": theirs[:2], "weight_decay": 0.3}, {"params": theirs[2:]}]
    muon = Muon(ours, lr=0.1, momentum=0.8, weight_decay=0.3)
    sgd = torch.optim.SGD(groups, lr=0.1, momentum=0.8, nesterov=True)
    for seed in range(3):
        for parameters_, optimiser in ((ours, muon), (theirs, sgd)):
            give_gradients(parameters_, seed)
            optimiser.step()
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.allclose(found, expected, atol=1e-6)


def test_one_rate_moves_everything() -> None:
    found = parameters(WIDE, MATRIX)
    optimiser = Muon(found, lr=0.1)
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in found]
    give_gradients(found, 0)
    optimiser.step()
    assert all(torch.equal(p, b) for p, b in zip(found, before, strict=True))


def test_what_needs_no_gradient_is_left_alone() -> None:
    kernel, matrix = parameters(WIDE, MATRIX)
    kernel.requires_grad = False
    before = kernel.detach().clone()
    optimiser = Muon([kernel, matrix], lr=0.1)
    give_gradients([matrix], 0)
    optimiser.step()
    assert torch.equal(kernel, before)
    assert [p for group in optimiser.param_groups for p in group["params"]] == [matrix]


def test_the_settings_reach_it() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    spec = settings(optimiser="muon", lr=0.3, kernel_share=0.2, momentum=0.7, weight_decay=0.25)
    kernels, matrices, vectors = make_optimiser(network, spec).param_groups
    assert [group["lr"] for group in (kernels, matrices, vectors)] == [0.3] * 3
    assert (kernels["share"], matrices["share"]) == (0.2, 1.0)
    assert (matrices["momentum"], matrices["weight_decay"]) == (0.7, 0.25)
    assert vectors["weight_decay"] == 0.0
    assert [p.ndim for p in kernels["params"]] == [4]
