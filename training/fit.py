"""One training run of a classifier: one seed of one preset."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from artifact import Architecture, Contract, ImageInput
from predictor.networks import build_network
from training.data import Batch, ImageData, evaluation_tensors, split_off, training_batches
from training.loop import RunResult, Validation, now, run_epochs, update, write_result
from training.settings import TrainingSettings
from training.views import TaughtViews, view_batches


def fit(
    settings: TrainingSettings,
    data: ImageData,
    contract: Contract,
    parent: dict[str, Tensor] | None,
    start: RunResult | None,
    views: TaughtViews | None,
    seed: int,
    folder: Path,
    resume: bool = False,
    dry_run: bool = False,
) -> RunResult:
    """Train one seed and write its result to ``folder``.

    Args:
        parent: the parent revision's weights, for fine-tuning; its head is replaced unless it is
            a revision of the same model.
        start: a finished run to go on from, head included; wins over ``parent``.
        views: to learn from in place of the training images themselves, with the teachers' answers.
        folder: where the checkpoint of every epoch and the result go.
        resume: go on from the checkpoint, if there is one.
        dry_run: one batch of everything, to see that it runs.
    """
    spec = contract.input_as(ImageInput)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, validation = split_off(data.train, settings.validation, settings.split_seed)
    if settings.batch_size > len(train):
        raise ValueError(f"batch_size: {settings.batch_size} is more than {len(train)} images")
    if not settings.epochs:
        return kept(settings, parent, seed, folder)
    if views is None:
        batches = training_batches(train, settings, spec, generator)
    else:
        batches = view_batches(views, settings, generator)
    if dry_run:
        validation = validation.subset(slice(0, settings.test_batch_size))  # type: ignore[arg-type]
    validation_images = evaluation_tensors(validation, spec)
    validation_labels = torch.from_numpy(validation.labels)

    network = build_network(Architecture(settings.architecture, settings.arguments))
    if start is not None:
        network.load_state_dict(start.weights)
    elif parent is not None and settings.continues_its_model:
        load_whole(network, parent)
    elif parent is not None:
        load_backbone(network, parent)
    frozen = freeze_all_but(network, settings.trainable)
    learner = _Classifier(settings, batches, validation_images, validation_labels)
    return run_epochs(settings, learner, network, generator, seed, folder, frozen, resume, dry_run)


def kept(
    settings: TrainingSettings, parent: dict[str, Tensor] | None, seed: int, folder: Path
) -> RunResult:
    """The parent's weights as the result of a run of no epochs.

    Raises:
        ValueError: there is no parent.
    """
    if parent is None:
        raise ValueError("epochs: 0 needs a parent")
    network = build_network(Architecture(settings.architecture, settings.arguments))
    load_whole(network, parent)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    result = RunResult(seed, now(), weights, [])
    write_result(folder, result)
    return result


class _Classifier:
    """What the loop is told of classification."""

    def __init__(
        self,
        settings: TrainingSettings,
        batches: DataLoader[Batch],
        images: Tensor,
        labels: Tensor,
    ) -> None:
        self.batches = batches
        self._settings = settings
        self._images = images
        self._labels = labels

    def step(self, network: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch) -> Tensor:
        return train_step(network, optimiser, *batch, self._settings)

    def validate(self, network: nn.Module) -> Validation:
        logits = predict(network, self._images, self._settings.test_batch_size)
        loss = functional.cross_entropy(logits, self._labels).item()
        return Validation(loss, accuracy(logits, self._labels))


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
    return update(loss, optimiser)


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


def load_backbone(network: nn.Module, parent: dict[str, Tensor]) -> None:
    """Take every weight of the parent but the head's: the child's classes are others."""
    backbone = {name: tensor for name, tensor in parent.items() if not name.startswith("head.")}
    missing, unexpected = network.load_state_dict(backbone, strict=False)
    wrong = [name for name in missing if not name.startswith("head.")] + list(unexpected)
    if wrong:
        raise ValueError(f"the parent's weights do not fit the network: {', '.join(wrong)}")


def load_whole(network: nn.Module, parent: dict[str, Tensor]) -> None:
    """Take all weights of a parent that has the same classes; its familiarity may be new."""
    missing, unexpected = network.load_state_dict(parent, strict=False)
    wrong = [name for name in missing if not name.startswith("familiarity.")] + list(unexpected)
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


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()
