"""From finished runs to a revision: choose, calibrate, test once, write."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from artifact import (
    Architecture,
    Contract,
    DataSource,
    ImageInput,
    Metrics,
    Revision,
    SeedResult,
    model_contracts,
    revisions_of,
    write_revision,
)
from predictor.engines.torch_session import TorchSession
from predictor.networks import Network, build_network
from predictor.networks.folding import fold_batch_norm
from predictor.networks.residual_cnn import ResidualCNN
from predictor.programs import program_for
from training.baseline import classifier_baseline
from training.calibration import expected_calibration_error, fit_temperature
from training.cards import new_card
from training.data import ImageData, LabelledImages, evaluation_tensors, split_off
from training.export import export
from training.familiarity import measure_trust, teach_familiarity
from training.fit import accuracy, predict
from training.loop import RunResult
from training.plots import confusion_matrix, learning_curves
from training.settings import TrainingSettings

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class _Split:
    images: Tensor
    labels: Tensor


def publish(
    settings: TrainingSettings,
    data: ImageData,
    contract: Contract,
    runs: list[RunResult],
    root: Path,
    revision: str,
    others: ImageData | None = None,
) -> Revision:
    """Write the revision with the run that is best on the validation split.

    The test set is read here, once a run, after everything else has been decided.

    Args:
        others: another data set, where the contract's second output tells what is of no class.

    Raises:
        RevisionExistsError: nothing was changed.
    """
    train, held_out = split_off(data.train, settings.validation, settings.split_seed)
    validation, test = _tensors(held_out, contract), _tensors(data.test, contract)
    results: list[SeedResult] = []
    logits: dict[int, Tensor] = {}
    networks: list[Network] = []
    for run in runs:
        network = build_network(Architecture(settings.architecture, settings.arguments))
        network.load_state_dict(run.weights)
        # As it is served, to the last bit.
        fold_batch_norm(network.eval())
        networks.append(network)
        known = predict(network, validation.images, settings.test_batch_size)
        temperature = fit_temperature(known, validation.labels)
        unseen = predict(network, test.images, settings.test_batch_size)
        logits[run.seed] = unseen
        results.append(
            SeedResult(
                seed=run.seed,
                finished=run.finished,
                epochs=len(run.history),
                train_seconds=run.train_seconds,
                validation_accuracy=round(accuracy(known, validation.labels), 4),
                test_accuracy=round(accuracy(unseen, test.labels), 4),
                test_ece_before=_ece(unseen, test.labels, 1.0),
                test_ece=_ece(unseen, test.labels, temperature),
                temperature=temperature,
            )
        )
    shipped = max(range(len(runs)), key=lambda i: results[i].validation_accuracy)
    run, result = runs[shipped], results[shipped]
    predicted = logits[run.seed].argmax(1)
    network, weights, trust = networks[shipped], run.weights, None
    if others is not None:
        assert isinstance(network, ResidualCNN)
        spec = contract.input_as(ImageInput)
        teach_familiarity(network, train, held_out, others.train.images, spec, run.seed)
        trust = measure_trust(network, data.test.images, others.test.images, spec)
        own = {n: t for n, t in network.state_dict().items() if n.startswith("familiarity.")}
        weights = {**weights, **own}
    card = new_card(
        settings,
        revision,
        contract,
        DataSource(
            name=data.name,
            digest=data.digest,
            train=len(data.train) - settings.validation,
            validation=settings.validation,
            test=len(data.test),
        ),
        Metrics(
            shipped_seed=run.seed,
            test_accuracy=result.test_accuracy,
            test_correct=int((predicted == test.labels).sum()),
            test_ece=result.test_ece,
            seeds=tuple(results),
        ),
        LIBRARIES,
        result.temperature,
    )
    if data.source:
        card = replace(card, training={**card.training, "data": data.source})
    card = replace(card, trust=trust, accepts=accepted_contracts(root, settings.model, contract))
    title = f"{settings.model}/{revision}"
    program = program_for(contract, network, result.temperature)
    exported = export(program, contract, [validation.images.numpy()])
    baseline = classifier_baseline(contract, TorchSession(program).run, held_out, data.train.labels)
    card = replace(card, baseline=baseline)
    curves = {}
    if run.history:
        curves["curves.png"] = learning_curves({r.seed: r.history for r in runs}, title)
    return write_revision(
        root,
        exported.named_in(card),
        save(weights),
        {
            **exported.files,
            **curves,
            "confusion.png": confusion_matrix(
                predicted, test.labels, contract.labels, f"{title}: {result.test_accuracy:.2%}"
            ),
        },
    )


def summary(results: tuple[SeedResult, ...]) -> str:
    """Mean and spread over the seeds, for people."""
    lines = [f"{'seed':>5} {'val acc':>8} {'test acc':>9} {'ECE before':>11} {'ECE':>6} {'s':>6}"]
    for r in results:
        lines.append(
            f"{r.seed:>5} {r.validation_accuracy:>8.2%} {r.test_accuracy:>9.2%}"
            f" {r.test_ece_before:>11.2%} {r.test_ece:>6.2%} {r.train_seconds:>6.0f}"
        )
    scores = [r.test_accuracy for r in results]
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    lines.append(f"test accuracy {statistics.mean(scores):.2%} ± {spread:.2%} (standard deviation)")
    return "\n".join(lines)


def accepted_contracts(root: Path, model: str, contract: Contract) -> tuple[str, ...]:
    """Digests of the other contracts of a model's revisions that ``contract`` can stand in for."""
    if not revisions_of(root, model):
        return ()
    others = [c for c in model_contracts(root, model) if c.digest != contract.digest]
    return tuple(c.digest for c in others if contract.takes_tensors_of(c))


def _tensors(data: LabelledImages, contract: Contract) -> _Split:
    return _Split(
        evaluation_tensors(data, contract.input_as(ImageInput)), torch.from_numpy(data.labels)
    )


def _ece(logits: Tensor, labels: Tensor, temperature: float) -> float:
    probabilities = torch.softmax(logits / temperature, dim=1)
    return round(expected_calibration_error(probabilities, labels), 4)
