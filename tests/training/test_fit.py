from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import training.fit
from artifact import ImageInput
from predictor.networks import build_network
from tests.conftest import ARCHITECTURE, make_contract
from tests.training.synthetic import data, settings
from training.checkpoint import read_checkpoint
from training.data import split_off
from training.fit import (
    fit,
    freeze_all_but,
    load_backbone,
    objective,
    predict,
    train_step,
)
from training.loop import (
    CHECKPOINT,
    RESULT,
    Epoch,
    RunResult,
    after,
    epochs_since_best,
    learning_rate,
    make_optimiser,
    read_result,
    start_of,
    write_result,
)
from training.views import TaughtViews, answer, ask


def run(
    folder: Path,
    seed: int = 0,
    resume: bool = False,
    views: TaughtViews | None = None,
    **changes: Any,
) -> RunResult:
    folder.mkdir(parents=True, exist_ok=True)
    return fit(
        settings(**changes),
        data(),
        make_contract(),
        parent=None,
        start=None,
        views=views,
        seed=seed,
        folder=folder,
        resume=resume,
    )


def taught() -> TaughtViews:
    train, _ = split_off(data().train, settings().validation, settings().split_seed)
    spec = settings(teacher_views=4, flip=0.5)
    return ask([small_network(3)], train, spec, make_contract().input_as(ImageInput))


def without_time(history: list[Epoch]) -> list[dict[str, Any]]:
    return [{k: v for k, v in asdict(row).items() if k != "seconds"} for row in history]


def row(accuracy: float, epoch: int = 1, seconds: float = 1.5) -> Epoch:
    return Epoch(epoch, 0.1, 1.0, 1.0, accuracy, seconds)


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(ARCHITECTURE)


def batch(count: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(count, 1, 28, 28, generator=generator),
        torch.randint(0, 10, (count,), generator=generator),
    )


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return set(one) == set(two) and all(torch.equal(one[name], two[name]) for name in one)


def test_the_step_schedule_is_a_factor_an_epoch() -> None:
    spec = settings(schedule="step", lr=0.5, gamma=0.1)
    rates = [learning_rate(spec, step, steps=4, epochs=3) for step in range(12)]
    assert rates == pytest.approx([0.5] * 4 + [0.05] * 4 + [0.005] * 4)


def test_the_one_cycle_schedule_rises_and_falls() -> None:
    spec = settings(schedule="one-cycle", lr=0.4, warm_up=0.2)
    rates = [learning_rate(spec, step, steps=10, epochs=10) for step in range(100)]
    assert rates[:20] == pytest.approx([0.4 * (i + 1) / 20 for i in range(20)])
    assert max(rates) == pytest.approx(0.4)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[60] == pytest.approx(0.2)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("schedule", ["one-cycle", "step"])
def test_a_run_of_one_step_has_a_rate(schedule: str) -> None:
    rate = learning_rate(settings(schedule=schedule, lr=0.3), 0, steps=1, epochs=1)
    assert rate == pytest.approx(0.3)


def test_nll_is_cross_entropy() -> None:
    logits, labels = torch.randn(8, 10), torch.randint(0, 10, (8,))
    expected = functional.cross_entropy(logits, labels)
    for loss in ("nll", "cross-entropy"):
        assert torch.allclose(objective(logits, labels, None, settings(loss=loss)), expected)


def test_label_smoothing_is_of_cross_entropy() -> None:
    logits, labels = torch.randn(8, 10), torch.randint(0, 10, (8,))
    expected = functional.cross_entropy(logits, labels, label_smoothing=0.2)
    assert torch.allclose(objective(logits, labels, None, settings(label_smoothing=0.2)), expected)


def test_a_teacher_that_agrees_adds_nothing() -> None:
    logits, labels = torch.randn(8, 10), torch.randint(0, 10, (8,))
    hard = functional.cross_entropy(logits, labels)
    found = objective(logits, labels, logits.clone(), settings(distil=0.75))
    assert torch.allclose(found, 0.25 * hard, atol=1e-6)


def test_distillation_pulls_towards_the_teacher() -> None:
    logits = torch.zeros(4, 10, requires_grad=True)
    soft, labels = torch.randn(4, 10), torch.randint(0, 10, (4,))
    heat = 2.0
    objective(logits, labels, soft, settings(distil=1.0, distil_temperature=heat)).backward()
    expected = heat * (torch.full((4, 10), 0.1) - (soft / heat).softmax(1)) / 4
    assert logits.grad is not None
    assert torch.allclose(logits.grad, expected, atol=1e-6)


@pytest.mark.parametrize("optimiser", ["sgd", "muon", "adamw", "adadelta"])
def test_what_is_frozen_does_not_change(optimiser: str) -> None:
    network = small_network()
    trainable = ["stages.1", "head"]
    frozen = freeze_all_but(network, trainable)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    spec = settings(optimiser=optimiser, weight_decay=0.1)
    network.train()
    for module in frozen:
        module.eval()
    train_step(network, make_optimiser(network, spec), *batch(), None, spec)
    prefixes = tuple(name + "." for name in trainable)
    changed = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {name for name in before if name.startswith(prefixes)}
    assert any("running_mean" in name for name in before if not name.startswith(prefixes))


def test_without_names_everything_is_trained() -> None:
    network = small_network()
    assert freeze_all_but(network, []) == []
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    spec = settings()
    network.train()
    train_step(network, make_optimiser(network, spec), *batch(), None, spec)
    assert all(not torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_a_frozen_run_keeps_its_parents_backbone(tmp_path: Path) -> None:
    parent = small_network(5).state_dict()
    spec = settings(epochs=1, trainable=["head"])
    folder = tmp_path / "run"
    folder.mkdir()
    result = fit(spec, data(), make_contract(), parent, None, None, 0, folder)
    for name, tensor in result.weights.items():
        if name.startswith("head."):
            assert not torch.equal(tensor, parent[name])
        elif "num_batches_tracked" not in name:
            assert torch.allclose(tensor, parent[name], atol=1e-6), name


def test_weight_decay_spares_biases_and_batch_norm() -> None:
    network = small_network()
    decayed, spared = make_optimiser(network, settings(weight_decay=0.25)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.25, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in spared["params"]} == {1}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))


def test_a_child_takes_everything_but_the_head() -> None:
    parent, child = small_network(1), small_network(2)
    head = {n: t.clone() for n, t in child.state_dict().items() if n.startswith("head.")}
    load_backbone(child, parent.state_dict())
    for name, tensor in child.state_dict().items():
        assert torch.equal(tensor, head[name] if name in head else parent.state_dict()[name])


def test_a_parent_that_does_not_fit_is_refused() -> None:
    weights = small_network().state_dict()
    weights["extra.weight"] = weights.pop("stem.0.weight")
    with pytest.raises(ValueError, match=r"do not fit .*: stem.0.weight, extra.weight"):
        load_backbone(small_network(), weights)


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    network, (images, _) = small_network(), batch(10)
    network.train()
    found = predict(network, images, 4)
    assert not network.training
    assert (found.shape, found.dtype) == ((10, 10), torch.float32)
    assert torch.allclose(found, predict(network, images, 10), atol=1e-5)


@pytest.mark.parametrize(
    ("scores", "count"), [([0.5], 0), ([0.5, 0.6], 0), ([0.6, 0.5, 0.4], 2), ([0.6, 0.5, 0.6], 0)]
)
def test_epochs_since_the_best(scores: list[float], count: int) -> None:
    assert epochs_since_best([row(score) for score in scores]) == count


def test_a_run_goes_on_from_another() -> None:
    start = RunResult(0, "then", {}, [row(0.1, 1), row(0.2, 2)])
    own = RunResult(0, "now", {}, [row(0.3, 1)])
    assert after(None, own) is own
    joined = after(start, own)
    assert [(r.epoch, r.validation_accuracy) for r in joined.history] == [
        (1, 0.1),
        (2, 0.2),
        (3, 0.3),
    ]
    assert joined.finished == "now"
    assert joined.train_seconds == 4.5


def test_seeds_go_on_from_their_own_run_or_from_one(tmp_path: Path) -> None:
    for seed in (0, 4):
        folder = tmp_path / "first" / f"seed-{seed}"
        folder.mkdir(parents=True)
        write_result(folder, RunResult(seed, "then", small_network().state_dict(), [row(0.1)]))
    assert start_of(settings(), tmp_path, 4) is None
    for start_seed, expected in ((-1, 4), (0, 0)):
        found = start_of(settings(start="first", start_seed=start_seed), tmp_path, 4)
        assert found is not None
        assert found.seed == expected
    with pytest.raises(ValueError, match="first: --preset first --seeds 5 --only-fit"):
        start_of(settings(start="first"), tmp_path, 5)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = RunResult(7, "2026-01-02T03:04:05Z", small_network().state_dict(), [row(0.5)])
    write_result(tmp_path, result)
    found = read_result(tmp_path)
    assert (found.seed, found.finished, found.history) == (7, result.finished, result.history)
    assert same(found.weights, result.weights)


def test_a_run(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert [r.epoch for r in result.history] == [1, 2, 3]
    assert all(math.isfinite(r.train_loss) and r.lr > 0 for r in result.history)
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert same(read_result(tmp_path).weights, result.weights)
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, RESULT}
    small_network().load_state_dict(result.weights)


def test_a_seed_is_repeatable(tmp_path: Path) -> None:
    one, again, other = (run(tmp_path / str(i), seed, epochs=1) for i, seed in enumerate((4, 4, 5)))
    assert without_time(one.history) == without_time(again.history)
    assert same(one.weights, again.weights)
    assert not same(one.weights, other.weights)


def test_a_student_is_taught_about_the_very_pictures_that_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, ...]] = []

    def noted(network: nn.Module, optimiser: Any, *batch: Any) -> Tensor:
        seen.append(batch[:3])
        return train_step(network, optimiser, *batch)

    monkeypatch.setattr(training.fit, "train_step", noted)
    run(tmp_path, views=taught(), epochs=8)
    assert len(seen) == 8 * 3
    for images, _, soft in seen:
        # Batches of another size are rounded otherwise, in bfloat16.
        torch.testing.assert_close(
            soft, answer([small_network(3)], images.bfloat16()), rtol=0, atol=0.01
        )
    targets = torch.cat([soft for _, _, soft in seen])
    assert len(targets.unique(dim=0)) > len(taught().labels)


@pytest.mark.parametrize("views", [None, taught()], ids=["alone", "taught"])
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str, views: TaughtViews | None
) -> None:
    expected = run(tmp_path / "whole", views=views, optimiser=optimiser, lr=0.01)

    steps = 0

    def interrupted(*arguments: Any) -> Tensor:
        nonlocal steps
        steps += 1
        if steps > 4:
            raise KeyboardInterrupt
        return train_step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training.fit, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", views=views, optimiser=optimiser, lr=0.01)
    assert not (tmp_path / "cut" / RESULT).exists()
    found = run(tmp_path / "cut", resume=True, views=views, optimiser=optimiser, lr=0.01)
    assert len(found.history) == len(expected.history) == 3
    assert without_time(found.history) == without_time(expected.history)
    assert same(found.weights, expected.weights)


def test_without_resume_a_run_starts_again(tmp_path: Path) -> None:
    first = run(tmp_path, epochs=1)
    again = run(tmp_path, epochs=1)
    assert len(again.history) == 1
    assert without_time(first.history) == without_time(again.history)


def test_patience_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.3, 0.2, 0.1, 0.9])
    monkeypatch.setattr(training.fit, "accuracy", lambda logits, labels: next(scores))
    result = run(tmp_path, epochs=4, patience=2)
    assert [r.validation_accuracy for r in result.history] == [0.3, 0.2, 0.1]


def test_the_best_epochs_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {}
    for name, scores in {"first": [0.9, 0.1, 0.2], "last": [0.1, 0.2, 0.9]}.items():
        given = iter(scores)
        monkeypatch.setattr(training.fit, "accuracy", lambda *_, given=given: next(given))
        kept[name] = run(tmp_path / name).weights
    assert kept["first"]["head.weight"].shape == kept["last"]["head.weight"].shape
    assert not same(kept["first"], kept["last"])


def test_the_last_epochs_weights_are_kept_if_so_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([0.9, 0.1, 0.2])
    monkeypatch.setattr(training.fit, "accuracy", lambda *_: next(given))
    kept = run(tmp_path, keep="last").weights
    groups, _ = read_checkpoint(tmp_path / CHECKPOINT)
    assert same(kept, {name: groups["average"][f"module.{name}"] for name in kept})


def test_a_dry_run_is_one_batch_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def counted(*arguments: Any) -> Tensor:
        steps.append(1)
        return train_step(*arguments)

    monkeypatch.setattr(training.fit, "train_step", counted)
    result = fit(
        settings(),
        data(),
        make_contract(),
        None,
        None,
        taught(),
        0,
        tmp_path,
        dry_run=True,
    )
    assert len(steps) == 1
    assert len(result.history) == 1
    assert (tmp_path / RESULT).exists()
