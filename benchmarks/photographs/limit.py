"""The limit: decoding, preparing and the same engine on the same cores, with no server."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from artifact import ImageInput
from benchmarks.cores import on_every_core
from benchmarks.photographs.networks import PhotographNetwork
from predictor.loading import load_revision
from transformer.pictures.preprocess import prepare


def measure_limit(network: PhotographNetwork, photographs: Path, seconds: float) -> float:
    """Images a second of one process a core, one thread each, all at the same time.

    Args:
        photographs: a folder of JPEGs.
    """
    command = [sys.executable, "-m", "benchmarks.photographs.limit"]
    command += [str(network.models), network.model, str(photographs), str(seconds)]
    return sum(float(json.loads(said)) for said in on_every_core(command))


def main(arguments: Sequence[str]) -> int:
    models, model, folder, seconds = arguments
    loaded = load_revision(Path(models), model, "1")
    spec = loaded.card.contract.input_as(ImageInput)
    photographs = [path.read_bytes() for path in sorted(Path(folder).iterdir())]

    def answer(encoded: bytes) -> None:
        image = Image.open(io.BytesIO(encoded))
        loaded.outputs(prepare(image, spec).tensor[None])

    for encoded in photographs:
        answer(encoded)
    print("ready", flush=True)
    sys.stdin.readline()
    started, count = time.perf_counter(), 0
    while (now := time.perf_counter()) < started + float(seconds):
        answer(photographs[count % len(photographs)])
        count += 1
    print(json.dumps(count / (now - started)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
