"""``make evaluate`` of a classification model: the test set over HTTP, through both servers.

Every image goes as a base64 PNG, as a user would send it, and the accuracy must be the card's.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from artifact import Metrics, ModelCard, known, open_revision
from client.http import PredictClient, PredictError
from training.data import LabelledImages, data_folder, load_data

TOLERANCE = 0.0005
"""Of the accuracy: in bfloat16, and on another processor, a few images fall to the other side."""

BATCH = 50
"""Images per request."""


def evaluate(client: PredictClient, models: Path, model: str, wanted: str, data: str | None) -> int:
    """Print the accuracy beside the card's; 0 if they are the same but for ``TOLERANCE``.

    Args:
        wanted: the revision that must answer; empty for any.

    Raises:
        PredictError: the service cannot be reached, or another revision answered.
    """
    revision: str = client.predict(model, [encode_png(blank())])["model_version"]
    if wanted and revision != wanted:
        raise PredictError(f"revision {revision} answered, not {wanted}")
    card = open_revision(models, model, revision).card
    test = load_data(known(card.data, "data").name, data_folder(data)).test
    correct = count_correct(client, card, test, BATCH)
    metrics = card.metrics
    assert isinstance(metrics, Metrics)
    expected = metrics.test_correct
    print(
        f"{card.identity}: {correct} of {len(test)} right over HTTP ({correct / len(test):.2%}); "
        f"its card says {expected} ({metrics.test_accuracy:.2%})"
    )
    return 0 if agree(correct, expected, len(test)) else 1


def agree(correct: int, expected: int, images: int) -> bool:
    """Whether two counts of right answers are the same accuracy."""
    return abs(correct - expected) <= TOLERANCE * images


def count_correct(client: PredictClient, card: ModelCard, test: LabelledImages, batch: int) -> int:
    """Right answers of the card's revision over a whole set, with a progress bar.

    Raises:
        PredictError: another revision answered in between.
    """
    correct = 0
    with tqdm(total=len(test), unit="image", desc=card.identity) as progress:
        for start in range(0, len(test), batch):
            part = test.images[start : start + batch]
            images = [encode_png(Image.fromarray(image)) for image in part]
            answer = client.predict(card.name, images)
            if answer["model_version"] != card.revision:
                raise PredictError(f"revision {answer['model_version']} answered in between")
            found = [p["class_id"] for p in answer["predictions"]]
            correct += sum(
                int(f == label)
                for f, label in zip(found, test.labels[start : start + batch], strict=True)
            )
            progress.update(len(part))
    return correct


def encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def blank() -> Image.Image:
    return Image.new("L", (28, 28))
