"""``make evaluate`` of a segmentation model: the test images over HTTP, through both servers."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from artifact import SegmentationMetrics, model_contract, open_revision
from client.http import PredictClient, PredictError
from tasks.segmentation import TASK
from training.data import data_folder
from training.segmentation.data import load_aerial
from training.segmentation.evaluate import scores_of
from training.segmentation.metrics import count_pixels

TOLERANCE = 0.001
"""Of an IoU: another processor rounds otherwise, and some pixels have two classes alike."""


def evaluate(client: PredictClient, models: Path, model: str, wanted: str, data: str | None) -> int:
    """Print the test images' scores beside the card's; 0 if they are equal.

    Args:
        wanted: the revision that must answer; empty for any.

    Raises:
        PredictError: the service cannot be reached, or another revision answered.
    """
    test = load_aerial(data_folder(data)).test
    contract = model_contract(models, model)
    counts = []
    seen = ""
    for item in tqdm(test, unit="image", desc=model):
        buffer = io.BytesIO()
        Image.fromarray(item.image).save(buffer, "TIFF")
        answer = client.ask(model, TASK.question(buffer.getvalue()))
        if answer.revision != (seen or wanted or answer.revision):
            raise PredictError(f"revision {answer.revision} answered, not {seen or wanted}")
        seen = answer.revision
        counts.append(count_pixels(item.mask, TASK.read_answer(contract, answer.body)))
    card = open_revision(models, model, seen).card
    metrics = card.metrics
    assert isinstance(metrics, SegmentationMetrics)
    found = scores_of(counts)
    pairs = {name: (found.ious[name], share) for name, share in metrics.test.ious.items()}
    pairs["mean IoU"] = (found.mean_iou, metrics.test.mean_iou)
    pairs["pixels right"] = (found.pixel_accuracy, metrics.test.pixel_accuracy)
    print(f"{card.identity}: {len(test)} test images over HTTP; its card's scores behind")
    for name, (here, there) in pairs.items():
        print(f"  {name:<14} {here:>7.2%} {there:>7.2%}")
    return 0 if all(abs(a - b) <= TOLERANCE for a, b in pairs.values()) else 1
