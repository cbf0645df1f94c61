"""The limit: decoding, preparing and the same engine on the same cores, with no server."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from artifact import ImageInput
from benchmarks.load import ROOT, LoadError
from benchmarks.photographs.networks import PhotographNetwork
from local.manifest import read_component
from predictor.loading import load_revision
from serving.quota import cpu_quota
from transformer.pictures.preprocess import prepare


def measure_limit(network: PhotographNetwork, photographs: Path, seconds: float) -> float:
    """Images a second of one process a core, one thread each, all at the same time.

    Args:
        photographs: a folder of JPEGs.
    """
    command = [sys.executable, "-m", "benchmarks.photographs.limit"]
    command += [str(network.models), network.model, str(photographs), str(seconds)]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **read_component("predictor").environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(max(1, round(cpu_quota())))
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise LoadError("the program of the limit did not start")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return sum(float(json.loads(process.communicate()[0])) for process in processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


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
