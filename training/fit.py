"""One training run: one seed of one preset, from data to the best averaged weights."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from artifact import Architecture, Contract
from predictor.networks import build_network
from training.checkpoint import (
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from training.data import ImageData, evaluation_tensors, split_off, training_batches
from training.settings import TrainingSettings

CHECKPOINT = "checkpoint.safetensors"
RESULT = "result.safetensors"


@dataclass(frozen=True)
class Epoch:
    """One row of the learning curve; accuracy as a share of 1, loss in nats, time in seconds."""

    epoch: int
    lr: float
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves: its averaged weights of the best epoch, and how it went."""

    seed: int
    finished: str
    weights: dict[str, Tensor]
    history: list[Epoch]

    @property
    def train_seconds(self) -> float:
        return round(sum(epoch.seconds for epoch in self.history), 1)


def after(start: RunResult | None, run: RunResult) -> RunResult:
    """The run with the history, and so the time, of the one it went on from before its own."""
    if start is None:
        return run
    count = len(start.history)
    own = [replace(row, epoch=row.epoch + count) for row in run.history]
    return replace(run, history=[*start.history, *own])


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


def fit(
    settings: TrainingSettings,
    data: ImageData,
    contract: Contract,
    parent: dict[str, Tensor] | None,
    start: RunResult | None,
    teachers: list[nn.Module],
    seed: int,
    folder: Path,
    resume: bool = False,
    dry_run: bool = False,
) -> RunResult:
    """Train one seed and write its result to ``folder``.

    Args:
        parent: the parent revision's weights, for fine-tuning; its head is replaced.
        start: a finished run to go on from, head included; wins over ``parent``.
        teachers: trained networks to distil from.
        folder: where the checkpoint of every epoch and the result go.
        resume: go on from the checkpoint, if there is one.
        dry_run: one batch of everything, to see that it runs.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, validation = split_off(data.train, settings.validation, settings.split_seed)
    if settings.batch_size > len(train):
        raise ValueError(f"batch_size: {settings.batch_size} is more than {len(train)} images")
    batches = training_batches(train, settings, contract.input, generator)
    if dry_run:
        validation = validation.subset(slice(0, settings.test_batch_size))  # type: ignore[arg-type]
    validation_images = evaluation_tensors(validation, contract.input)
    validation_labels = torch.from_numpy(validation.labels)

    soft = None
    if teachers:
        print(f"asking {len(teachers)} teachers about every training image", flush=True)
        soft = teach(teachers, evaluation_tensors(train, contract.input), settings.test_batch_size)

    network = build_network(Architecture(settings.architecture, settings.arguments))
    if start is not None:
        network.load_state_dict(start.weights)
    elif parent is not None:
        load_backbone(network, parent)
    frozen = freeze_all_but(network, settings.trainable)
    average = AveragedModel(
        network, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True
    )
    optimiser = make_optimiser(network, settings)
    steps = 1 if dry_run else len(batches)
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

    print(f"{'epoch':>5} {'lr':>8} {'train loss':>11} {'val loss':>9} {'val acc':>8} {'s':>6}")
    for row in history:
        print_epoch(row)
    for epoch in range(len(history) + 1, epochs + 1):
        started = time.monotonic()
        network.train()
        for module in frozen:
            module.eval()
        losses = []
        progress = tqdm(batches, total=steps, desc=f"epoch {epoch}/{epochs}", leave=False)
        for images, labels, indices in progress:
            lr = learning_rate(settings, step, steps, epochs)
            for group in optimiser.param_groups:
                group["lr"] = lr
            target = None if soft is None else soft[indices]
            loss = train_step(network, optimiser, images, labels, target, settings)
            # A constant decay would let the random start weigh on a short run.
            decay = min(settings.average, (1 + step) / (10 + step))
            average.multi_avg_fn = get_ema_multi_avg_fn(decay)
            average.update_parameters(network)
            losses.append(loss)
            step += 1
            if step == steps and dry_run:
                break
        logits = predict(average.module, validation_images, settings.test_batch_size)
        row = Epoch(
            epoch=epoch,
            lr=optimiser.param_groups[0]["lr"],
            train_loss=torch.stack(losses).mean().item(),
            validation_loss=functional.cross_entropy(logits, validation_labels).item(),
            validation_accuracy=accuracy(logits, validation_labels),
            seconds=round(time.monotonic() - started, 2),
        )
        if row.validation_accuracy >= max((e.validation_accuracy for e in history), default=0.0):
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
            print(f"no better validation accuracy for {settings.patience} epochs: stopped")
            break
    finished = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = RunResult(seed, finished, best, history)
    write_result(folder, result)
    return result


def train_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    soft: Tensor | None,
    settings: TrainingSettings,
) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
        logits = network(images)
    loss = objective(logits.float(), labels, soft, settings)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def objective(
    logits: Tensor, labels: Tensor, soft: Tensor | None, settings: TrainingSettings
) -> Tensor:
    """The loss on the labels, mixed with the teacher's where there is one.

    Args:
        soft: the teacher's logits ``(n, classes)`` (Hinton et al., 2015, arXiv:1503.02531).
    """
    if settings.loss == "nll":
        hard = functional.nll_loss(functional.log_softmax(logits, dim=1), labels)
    else:
        hard = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    if soft is None:
        return hard
    heat = settings.distil_temperature
    # The square keeps the gradient's size independent of the temperature.
    taught = heat**2 * functional.kl_div(
        functional.log_softmax(logits / heat, dim=1),
        functional.log_softmax(soft / heat, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - settings.distil) * hard + settings.distil * taught


def make_optimiser(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Weight decay is for weight matrices: not for biases and batch norm."""
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


def learning_rate(settings: TrainingSettings, step: int, steps: int, epochs: int) -> float:
    """The rate at ``step``: a linear rise and a cosine fall, or a factor an epoch."""
    if settings.schedule == "step":
        return settings.lr * settings.gamma ** (step // steps)
    total = steps * epochs
    rise = max(1, round(total * settings.warm_up))
    if step < rise:
        return settings.lr * (step + 1) / rise
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def load_backbone(network: nn.Module, parent: dict[str, Tensor]) -> None:
    """Take every weight of the parent but the head's: the child's classes are others."""
    backbone = {name: tensor for name, tensor in parent.items() if not name.startswith("head.")}
    missing, unexpected = network.load_state_dict(backbone, strict=False)
    wrong = [name for name in missing if not name.startswith("head.")] + list(unexpected)
    if wrong:
        raise ValueError(f"the parent's weights do not fit the network: {', '.join(wrong)}")


def freeze_all_but(network: nn.Module, trainable: list[str]) -> list[nn.Module]:
    """Freeze every parameter outside ``trainable`` (all are trained if it is empty).

    Returns:
        the modules whose batch norm must stay in evaluation mode.
    """
    if not trainable:
        return []
    prefixes = tuple(name + "." for name in trainable)
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(f"trainable: the network has no layer {prefix[:-1]!r}")
    for name, parameter in network.named_parameters():
        parameter.requires_grad = name.startswith(prefixes)
    return [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d) and not name.startswith(prefixes)
    ]


def predict(network: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """Logits ``(n, classes)`` of normalised images ``(n, c, h, w)``, in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        parts = [
            network(part.contiguous(memory_format=torch.channels_last))
            for part in images.split(batch_size)
        ]
    return torch.cat(parts).float()


def teach(teachers: list[nn.Module], images: Tensor, batch_size: int) -> Tensor:
    """The teachers' mean logits over each image and its mirror image."""
    total = torch.zeros(())
    with torch.autocast("cpu", torch.bfloat16):
        for teacher in teachers:
            for view in (images, images.flip(-1)):
                total = total + predict(teacher, view, batch_size)
    return total / (2 * len(teachers))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()


def epochs_since_best(history: list[Epoch]) -> int:
    scores = [epoch.validation_accuracy for epoch in history]
    return len(scores) - 1 - max(range(len(scores)), key=lambda i: (scores[i], i))


def print_epoch(row: Epoch) -> None:
    print(
        f"{row.epoch:>5} {row.lr:>8.5f} {row.train_loss:>11.4f} {row.validation_loss:>9.4f}"
        f" {row.validation_accuracy:>8.2%} {row.seconds:>6.1f}",
        flush=True,
    )
