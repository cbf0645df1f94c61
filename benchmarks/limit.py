"""The physical limit: decoding and batched forward passes on the same cores, without any server.

One process a core, one thread each, from the bytes of PNGs to classes in batches of 64. Decoding
is Pillow's alone and normalisation one table look-up, so that the limit is no lower for what a
server checks; the forward pass is the predictor's own.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from artifact import ImageInput
from benchmarks.cores import on_every_core
from benchmarks.networks import MODEL, Network
from benchmarks.questions import Known
from predictor.loading import LoadedRevision, load_revision

BATCH = 64


@dataclass(frozen=True)
class LimitResult:
    """Of all processes together; the two costs are CPU time, whatever else the cores had to do."""

    images_a_second: float
    decode_us_an_image: float
    forward_us_an_image: float
    wrong: int


@dataclass
class Count:
    """What one process did in ``seconds``; the other two times are of its CPU."""

    images: int = 0
    wrong: int = 0
    seconds: float = 0.0
    decode_seconds: float = 0.0
    forward_seconds: float = 0.0


def measure_limit(network: Network, known: Sequence[Known], seconds: float) -> LimitResult:
    """Run one process a core at the same time, for ``seconds``."""
    with tempfile.TemporaryDirectory(prefix="limit-") as name:
        folder = Path(name)
        (folder / "images.bin").write_bytes(b"".join(png for png, _ in known))
        plan = {
            "root": str(network.root.absolute()),
            "revision": network.revision,
            "seconds": seconds,
            "sizes": [len(png) for png, _ in known],
            "classes": [expected.class_id for _, expected in known],
        }
        (folder / "plan.json").write_text(json.dumps(plan))
        command = [sys.executable, "-m", "benchmarks.limit", str(folder)]
        return _result([Count(**json.loads(said)) for said in on_every_core(command)])


def main() -> int:
    folder = Path(sys.argv[1])
    plan = json.loads((folder / "plan.json").read_text())
    blob = (folder / "images.bin").read_bytes()
    ends = np.cumsum(plan["sizes"])
    images = [blob[end - size : end] for size, end in zip(plan["sizes"], ends, strict=True)]
    torch.set_num_threads(1)
    loaded = load_revision(Path(plan["root"]), MODEL, plan["revision"])
    answer_all(loaded, images, plan["classes"], 0.0)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(answer_all(loaded, images, plan["classes"], plan["seconds"]))))
    return 0


def answer_all(
    loaded: LoadedRevision, images: Sequence[bytes], classes: Sequence[int], seconds: float
) -> Count:
    """Decode and answer batch after batch for that long, at least one."""
    spec = loaded.card.contract.input_as(ImageInput)
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    table = (levels - np.float32(spec.mean[0])) / np.float32(spec.std[0])
    size = (spec.width, spec.height)
    found = Count()
    started = now = time.perf_counter()
    used = time.process_time()
    while not found.images or now < started + seconds:
        indices = [(found.images + i) % len(images) for i in range(min(BATCH, len(images)))]
        pixels = np.stack([decode(images[index], size) for index in indices])
        batch = table[pixels][:, None]
        decoded = time.process_time()
        best = loaded.probabilities(batch).argmax(axis=1)
        answered = time.process_time()
        found.wrong += sum(int(b) != classes[i] for b, i in zip(best, indices, strict=True))
        found.images += len(indices)
        found.decode_seconds += decoded - used
        found.forward_seconds += answered - decoded
        used, now = time.process_time(), time.perf_counter()
    found.seconds = now - started
    return found


def measure_cost(network: Network, known: Sequence[Known], seconds: float) -> LimitResult:
    """The same in this process, on one core: what an image of that size costs by itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    loaded = load_revision(network.root, MODEL, network.revision)
    count = answer_all(loaded, [png for png, _ in known], [e.class_id for _, e in known], seconds)
    torch.set_num_threads(threads)
    return _result([count])


def _result(counts: Sequence[Count]) -> LimitResult:
    images = sum(count.images for count in counts)
    return LimitResult(
        images_a_second=sum(count.images / count.seconds for count in counts),
        decode_us_an_image=sum(count.decode_seconds for count in counts) / images * 1e6,
        forward_us_an_image=sum(count.forward_seconds for count in counts) / images * 1e6,
        wrong=sum(count.wrong for count in counts),
    )


def decode(png: bytes, size: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Grey pixels ``(height, width)``; a larger picture is averaged down to ``size``."""
    image: Image.Image = Image.open(io.BytesIO(png), formats=("PNG",))
    if image.size != size:
        image = image.resize(size, Image.Resampling.BOX)
    return np.asarray(image)


if __name__ == "__main__":
    sys.exit(main())
