"""The training loop that all tasks share: from batches to the best averaged weights.

A task brings a ``Learner``; averaging, schedules, checkpoints and curves are the same for all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from training.checkpoint import (
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from training.muon import Muon
from training.settings import RunSettings

CHECKPOINT = "checkpoint.safetensors"
RESULT = "result.safetensors"


@dataclass(frozen=True)
class Epoch:
    """One row of the learning curve; shares of 1, loss in nats, time in seconds.

    ``validation_iou`` is the mean intersection over union, None for a task that has none.
    """

    epoch: int
    lr: float
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    validation_iou: float | None = None

    @property
    def score(self) -> float:
        """What the best epoch is chosen by."""
        return self.validation_accuracy if self.validation_iou is None else self.validation_iou


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves: its averaged weights of the epoch to keep, and how it went."""

    seed: int
    finished: str
    weights: dict[str, Tensor]
    history: list[Epoch]

    @property
    def train_seconds(self) -> float:
        return round(sum(epoch.seconds for epoch in self.history), 1)


class Validation(NamedTuple):
    """How a network does on the validation split."""

    loss: float
    accuracy: float
    iou: float | None = None


class Batches(Protocol):
    """One epoch's batches, as often as it is iterated."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Any: ...


class Learner(Protocol):
    """What a task brings to the loop."""

    @property
    def batches(self) -> Batches:
        """Batches of whatever ``step`` takes."""

    def step(self, network: nn.Module, optimiser: torch.optim.Optimizer, batch: Any) -> Tensor:
        """One update of the network; gives the loss, detached."""

    def validate(self, network: nn.Module) -> Validation:
        """Judge the averaged network."""


def after(start: RunResult | None, run: RunResult) -> RunResult:
    """The run with the history, and so the time, of the one it went on from before its own."""
    if start is None:
        return run
    count = len(start.history)
    own = [replace(row, epoch=row.epoch + count) for row in run.history]
    return replace(run, history=[*start.history, *own])


def start_of(settings: RunSettings, runs: Path, seed: int) -> RunResult | None:
    """The finished run that ``settings`` say is gone on from by ``seed``; None where it is none.

    Raises:
        ValueError: it has not finished.
    """
    if not settings.start:
        return None
    if settings.start_seed >= 0:
        seed = settings.start_seed
    folder = runs / settings.start / f"seed-{seed}"
    if not (folder / RESULT).exists():
        raise ValueError(
            f"no finished run in {folder}; first: "
            f"--preset {settings.start} --seeds {seed} --only-fit"
        )
    return read_result(folder)


def write_result(folder: Path, result: RunResult) -> None:
    state = {
        "seed": result.seed,
        "finished": result.finished,
        "history": [asdict(epoch) for epoch in result.history],
    }
    write_checkpoint(folder / RESULT, {"network": result.weights}, state)


def read_result(folder: Path) -> RunResult:
    groups, state = read_checkpoint(folder / RESULT)
    history = [Epoch(**row) for row in state["history"]]
    return RunResult(state["seed"], state["finished"], groups["network"], history)


def run_epochs(
    settings: RunSettings,
    learner: Learner,
    network: nn.Module,
    generator: torch.Generator,
    seed: int,
    folder: Path,
    frozen: Iterable[nn.Module] = (),
    resume: bool = False,
    dry_run: bool = False,
) -> RunResult:
    """Train ``network`` and write the run's result to ``folder``.

    Args:
        generator: what the batches draw from; its state is part of every checkpoint.
        folder: where the checkpoint of every epoch and the result go.
        frozen: modules that stay in evaluation mode.
        resume: go on from the checkpoint, if there is one.
        dry_run: one batch of everything, to see that it runs.
    """
    average = AveragedModel(
        network, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True
    )
    optimiser = make_optimiser(network, settings)
    steps = 1 if dry_run else len(learner.batches)
    epochs = 1 if dry_run else settings.epochs

    history: list[Epoch] = []
    best: dict[str, Tensor] = {}
    step = 0
    checkpoint = folder / CHECKPOINT
    if resume and checkpoint.exists():
        groups, state = read_checkpoint(checkpoint)
        network.load_state_dict(groups["network"])
        average.load_state_dict(groups["average"])
        restore_optimiser(optimiser, groups["optimiser"])
        best = groups["best"]
        history = [Epoch(**row) for row in state["history"]]
        step = state["step"]
        generator.set_state(groups["random"]["sampler"])
        torch.set_rng_state(groups["random"]["torch"])

    print_header(history)
    for epoch in range(len(history) + 1, epochs + 1):
        started = time.monotonic()
        network.train()
        for module in frozen:
            module.eval()
        losses = []
        title = f"epoch {epoch}/{epochs}"
        # On terminals alone: elsewhere it would be many lines.
        progress = tqdm(learner.batches, title, total=steps, leave=False, disable=None)
        for batch in progress:
            lr = learning_rate(settings, step, steps, epochs)
            for group in optimiser.param_groups:
                group["lr"] = lr
            loss = learner.step(network, optimiser, batch)
            # A constant decay would let the random start weigh on a short run.
            decay = min(settings.average, (1 + step) / (10 + step))
            average.multi_avg_fn = get_ema_multi_avg_fn(decay)
            average.update_parameters(network)
            losses.append(loss)
            step += 1
            if step == steps and dry_run:
                break
        found = learner.validate(average.module)
        row = Epoch(
            epoch=epoch,
            lr=optimiser.param_groups[0]["lr"],
            train_loss=torch.stack(losses).mean().item(),
            validation_loss=found.loss,
            validation_accuracy=found.accuracy,
            seconds=round(time.monotonic() - started, 2),
            validation_iou=found.iou,
        )
        better = row.score >= max((e.score for e in history), default=0.0)
        if better or settings.keep == "last":
            best = {k: v.clone().contiguous() for k, v in average.module.state_dict().items()}
        history.append(row)
        print_epoch(row)
        write_checkpoint(
            checkpoint,
            {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser_tensors(optimiser),
                "best": best,
                "random": {"sampler": generator.get_state(), "torch": torch.get_rng_state()},
            },
            {"step": step, "history": [asdict(e) for e in history]},
        )
        if settings.patience and epochs_since_best(history) >= settings.patience:
            print(f"nothing better on the validation split for {settings.patience} epochs: stopped")
            break
    result = RunResult(seed, now(), best, history)
    write_result(folder, result)
    return result


def now() -> str:
    """In UTC, as cards have it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_optimiser(network: nn.Module, settings: RunSettings) -> torch.optim.Optimizer:
    """Weight decay is for weight matrices: not for biases and batch norm."""
    if settings.optimiser == "muon":
        return Muon(
            network.parameters(),
            settings.lr,
            settings.kernel_share,
            settings.momentum,
            weight_decay=settings.weight_decay,
        )
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    if settings.optimiser == "adadelta":
        return torch.optim.Adadelta(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=True)


def learning_rate(settings: RunSettings, step: int, steps: int, epochs: int) -> float:
    """The rate at ``step``: a linear rise and a cosine fall, or a factor an epoch."""
    if settings.schedule == "step":
        return settings.lr * settings.gamma ** (step // steps)
    total = steps * epochs
    rise = max(1, round(total * settings.warm_up))
    if step < rise:
        return settings.lr * (step + 1) / rise
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def update(loss: Tensor, optimiser: torch.optim.Optimizer) -> Tensor:
    """One step down the gradient of ``loss``, which is given back detached."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def epochs_since_best(history: Sequence[Epoch]) -> int:
    scores = [epoch.score for epoch in history]
    return len(scores) - 1 - max(range(len(scores)), key=lambda i: (scores[i], i))


def print_header(history: Sequence[Epoch]) -> None:
    print(
        f"{'epoch':>5} {'lr':>8} {'train loss':>11} {'val loss':>9} {'val acc':>8} {'val IoU':>8}"
        f" {'s':>6}"
    )
    for row in history:
        print_epoch(row)


def print_epoch(row: Epoch) -> None:
    iou = "" if row.validation_iou is None else f"{row.validation_iou:.2%}"
    print(
        f"{row.epoch:>5} {row.lr:>8.5f} {row.train_loss:>11.4f} {row.validation_loss:>9.4f}"
        f" {row.validation_accuracy:>8.2%} {iou:>8} {row.seconds:>6.1f}",
        flush=True,
    )
