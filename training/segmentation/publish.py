"""From finished runs to a revision: choose, halve the weights, test once, write."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from artifact import (
    Architecture,
    DataSource,
    RasterInput,
    Revision,
    Scores,
    SegmentationContract,
    SegmentationMetrics,
    SegmentationRun,
    write_revision,
)
from predictor.engines.torch_session import TorchSession
from predictor.networks import Network, build_network
from predictor.networks.folding import fold_batch_norm
from predictor.programs import program_for
from training.cards import new_card
from training.export import export
from training.loop import RunResult
from training.segmentation.baseline import ColourClassifier
from training.segmentation.data import (
    COLOURS,
    LABELS,
    VOID,
    AerialData,
    AnnotatedImage,
    class_shares,
    mean_and_std,
    tile_of,
)
from training.segmentation.evaluate import score, segment
from training.segmentation.fit import class_weights
from training.segmentation.plots import example_maps, iou_curves
from training.segmentation.settings import SegmentationSettings

LIBRARIES = ("torch", "numpy", "pillow", "safetensors")
EXAMPLES = 4
BASELINE_BALANCE = 0.5
"""Exponent of the class weights with which colour alone does best, whatever the network takes."""
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def contract_for(data: AerialData, settings: SegmentationSettings) -> SegmentationContract:
    """What clients of the model may rely on."""
    mean, std = mean_and_std(data.train)
    network = build_network(Architecture(settings.architecture, settings.arguments))
    return SegmentationContract(
        task="segmentation",
        input=RasterInput(
            name="image",
            layout="NCHW",
            dtype="UINT8",
            bands=("red", "green", "blue"),
            mean=tuple(mean),
            std=tuple(std),
            full_scale=FULL_SCALE,
            reduction=settings.reduction,
            tile=settings.tile,
            overlap=settings.overlap,
            multiple=network.multiple,
        ),
        outputs=("probabilities",),
        labels=LABELS,
        colours=COLOURS,
        void=VOID,
    )


def publish(
    settings: SegmentationSettings,
    data: AerialData,
    contract: SegmentationContract,
    runs: list[RunResult],
    root: Path,
    revision: str,
) -> Revision:
    """Write the revision with the run that is best on the validation images, or all of them.

    Where ``settings.merge`` says so, the weights of several runs are averaged, which is for runs
    that went on from the same weights: those lie in one basin, and their average in the middle of
    it (Wortsman et al., 2022, arXiv:2203.05482).

    The test images are looked at here, after everything else has been decided: tiled and joined
    as the transformer does it, by the weights that are written, which are in half precision.

    Raises:
        RevisionExistsError: nothing was changed.
    """
    architecture = Architecture(settings.architecture, settings.arguments)

    def judged(weights: dict[str, Tensor]) -> tuple[float, Scores]:
        """Mean IoU on the validation images, and scores on the test images."""
        masks = masks_by(architecture, contract, halved(weights))
        return score(data.validation, masks)[0].mean_iou, score(data.test, masks)[0]

    results = [
        SegmentationRun(
            run.seed, run.finished, len(run.history), run.train_seconds, *judged(run.weights)
        )
        for run in runs
    ]
    shipped_seed: int | None
    if settings.merge == "average" and len(runs) > 1:
        shipped_seed, shipped = None, average([run.weights for run in runs])
        validation_mean_iou, test = judged(shipped)
    else:
        best = max(range(len(runs)), key=lambda i: results[i].validation_mean_iou)
        shipped_seed, shipped = runs[best].seed, runs[best].weights
        validation_mean_iou, test = results[best].validation_mean_iou, results[best].test
    masks = masks_by(architecture, contract, halved(shipped))
    weights = class_weights(class_shares(data.train), BASELINE_BALANCE).numpy()
    colours = ColourClassifier(data.train, weights)
    metrics = SegmentationMetrics(
        shipped_seed=shipped_seed,
        validation_mean_iou=validation_mean_iou,
        test=test,
        single_precision=score(data.test, masks_by(architecture, contract, shipped))[0],
        baseline=score(data.test, lambda item: colours.mask(item.image))[0],
        seeds=tuple(results),
    )
    card = new_card(
        settings,
        revision,
        contract,
        DataSource(data.name, data.digest, len(data.train), len(data.validation), len(data.test)),
        metrics,
        LIBRARIES,
    )
    title = f"{settings.model}/{revision}"
    # One scene each, the first ones of the test split.
    shown = list({item.name.split("_")[0]: item for item in reversed(data.test)}.values())
    shown = sorted(shown, key=lambda item: item.name)[:: max(1, len(shown) // EXAMPLES)]
    network = network_of(architecture, halved(shipped))
    tiles = (tile_of(item, contract.input_as(RasterInput)) for item in data.validation)
    exported = export(program_for(contract, network, 1.0), contract, tiles, half_weights=True)
    return write_revision(
        root,
        exported.named_in(card),
        save(halved(shipped)),
        {
            **exported.files,
            "curves.png": iou_curves({r.seed: r.history for r in runs}, title),
            "examples.png": example_maps(
                [(item, masks(item)) for item in shown[:EXAMPLES]], f"{title} on test images"
            ),
        },
    )


def average(runs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each float; counters are the first run's.

    Batch norm's statistics are averaged like the rest: made anew from training crops, whose
    corners are empty where they were turned, they fit whole images less well.
    """
    return {
        name: torch.stack([weights[name] for weights in runs]).mean(dim=0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in runs[0].items()
    }


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floats in half precision; counters as they are."""
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in weights.items()
    }


def masks_by(
    architecture: Architecture, contract: SegmentationContract, weights: dict[str, Tensor]
) -> Callable[[AnnotatedImage], NDArray[np.uint8]]:
    """What gives an image's mask as both servers together would."""
    network = network_of(architecture, weights)
    session = TorchSession(program_for(contract, network, temperature=1.0))

    def infer(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.concatenate([session.run(tiles[i : i + 1])[0] for i in range(len(tiles))])

    return lambda item: segment(item.image, contract, infer)


def network_of(architecture: Architecture, weights: dict[str, Tensor]) -> Network:
    """The network with these weights as it is served, in float32."""
    network = build_network(architecture)
    network.load_state_dict(weights)
    fold_batch_norm(network.eval())
    return network


def summary(metrics: SegmentationMetrics) -> str:
    """The scores of every seed and of the baseline, for people."""
    names = list(metrics.test.ious)
    lines = ["".join(f"{name:>12}" for name in ["", *names, "mean IoU", "pixels right"])]
    rows = [(f"seed {run.seed}", run.test) for run in metrics.seeds]
    if metrics.shipped_seed is None:
        rows.append(("average", metrics.test))
    rows += [("float32", metrics.single_precision), ("colour", metrics.baseline)]
    for title, scores in rows:
        values = [*(scores.ious[name] for name in names), scores.mean_iou, scores.pixel_accuracy]
        lines.append(f"{title:>12}" + "".join(f"{value:>12.2%}" for value in values))
    found = [run.test.mean_iou for run in metrics.seeds]
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    lines.append(f"mean IoU {statistics.mean(found):.2%} ± {spread:.2%} (standard deviation)")
    return "\n".join(lines)
