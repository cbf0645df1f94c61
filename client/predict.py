"""``make predict IMAGE=path MODEL=name``: the top classes of one picture, as a table.

The answer of a segmentation model is a picture, ``<image>-<model>.png`` in the working directory.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from client.http import PredictClient, PredictError

BAR = 30
MASK = "mask"
"""The output that tells a segmentation model."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m client.predict", description=__doc__)
    parser.add_argument("image", type=Path, help="PNG, JPEG, WebP, BMP or TIFF")
    parser.add_argument("--model", default="mnist")
    parser.add_argument("--port", type=int, default=8080, help="of a service on this machine")
    parser.add_argument("--url", help="of a service elsewhere")
    parser.add_argument("--top-k", type=int, default=5)
    options = parser.parse_args()
    try:
        data = options.image.read_bytes()
    except OSError as error:
        print(f"predict: {options.image}: {error.strerror}", file=sys.stderr)
        return 1
    try:
        with PredictClient(options.url or f"http://localhost:{options.port}") as client:
            if MASK in client.outputs(options.model):
                print(overlay(client, options.model, options.image, data))
                return 0
            answer = client.predict(options.model, [data], {"top_k": options.top_k})
    except PredictError as error:
        hint = "" if error.status else " (is `make run` running in another shell?)"
        print(f"predict: {error}{hint}", file=sys.stderr)
        return 1
    print(table(answer))
    return 0


def overlay(client: PredictClient, model: str, image: Path, data: bytes) -> str:
    """Write the image with its classes' colours over it; say where."""
    answer = client.raster(model, data, "application/octet-stream", "image/png")
    path = Path(f"{image.stem}-{model}.png")
    path.write_bytes(answer.body)
    return f"{model}, revision {answer.revision}\n  wrote {path}"


def table(answer: dict[str, Any]) -> str:
    """A line a class: label, percentage, bar; the answering revision above."""
    (prediction,) = answer["predictions"]
    width = max(len(entry["label"]) for entry in prediction["top"])
    lines = [f"{answer['model_name']}, revision {answer['model_version']}"]
    for entry in prediction["top"]:
        share = entry["probability"]
        lines.append(
            f"  {entry['label']:<{width}}  {share:>7.2%}  {'█' * round(share * BAR)}".rstrip()
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
