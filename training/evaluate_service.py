"""``make evaluate MODEL=name``: the official test set over HTTP, through both servers.

Every image goes as a base64 PNG, as a user would send it, and the accuracy must be the card's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from artifact import ArtifactError, Metrics, ModelCard, model_contract, open_revision
from client.http import PredictClient, PredictError
from local.manifest import service_of
from local.service import ROOT, LocalService, StartError, free_ports, interpreters
from training.data import LabelledImages, data_folder, load_data
from training.segmentation import over_http

TOLERANCE = 0.0005
"""Of the accuracy: in bfloat16, and on another processor, a few images fall to the other side."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate_service")
    parser.add_argument("--model", default="mnist")
    parser.add_argument("--revision", default="", help="default: the one that answers")
    parser.add_argument("--url", default="", help="of a running service; default: start one")
    parser.add_argument("--data", default=None, help="data folder (variable DATA; default: data)")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--batch", type=int, default=50, help="images a request")
    options = parser.parse_args(arguments)
    try:
        with (
            service(options.url, options.models, options.model, options.revision) as url,
            PredictClient(url) as client,
        ):
            if model_contract(options.models, options.model).task == "segmentation":
                return over_http.evaluate(
                    client, options.models, options.model, options.revision, options.data
                )
            return evaluate(options, client)
    except (ArtifactError, PredictError, StartError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def service(url: str, models: Path, model: str, revision: str) -> Iterator[str]:
    """A running service, or one started for the occasion."""
    if url:
        yield url
        return
    chosen = {model: revision} if revision else {}
    logs = Path("build") / "evaluate"
    name = service_of(model)
    with LocalService(free_ports(), interpreters(), models, chosen, logs, name) as started:
        yield started.url


def evaluate(options: argparse.Namespace, client: PredictClient) -> int:
    """Print the accuracy beside the card's; 0 if they are the same but for ``TOLERANCE``."""
    probe = client.predict(options.model, [encode_png(blank())])
    revision: str = probe["model_version"]
    if options.revision and revision != options.revision:
        raise PredictError(f"revision {revision} answers, not {options.revision}")
    card = open_revision(options.models, options.model, revision).card
    test = load_data(card.data.name, data_folder(options.data)).test
    correct = count_correct(client, card, test, options.batch)
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


if __name__ == "__main__":
    sys.exit(main())
