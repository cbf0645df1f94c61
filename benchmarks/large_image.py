"""``python -m benchmarks.large_image``: a large GeoTIFF through both servers of ``land-cover``.

Prints the seconds a megapixel beside those of the bare network on the same cores for the same
picture, and the most memory that the transformer ever held. The bare network is measured as it was
trained, in float32, and also in the precision that the predictor computes in.

The bare network gets what the predictor's network gets, prepared beforehand and cut into tiles
without an overlap, one on each core at a time; whatever the servers do beyond that is the cost of
being a service.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from artifact import RasterInput
from benchmarks.processes import cpu_seconds
from client.http import PredictClient
from common.processes import ROOT
from local.manifest import manifests, read_component
from local.service import LocalService, free_ports, interpreters
from predictor.engines import EngineOptions
from predictor.engines.precision import usable_precision
from predictor.engines.torch_session import TorchSession
from predictor.loading import LoadedRevision, load_revision
from serving.quota import cpu_quota
from tasks import Question

MODEL, REVISION = "land-cover", "1"
TIMEOUT_SECONDS = 1200.0
ALLOWED_BYTES = 300_000_000
"""What the transformer may hold beside the decoded image and its mask."""

ALLOWED_RATIO = 1.25
GEO_TAGS = (
    (33550, "d", 3, (0.5, 0.5, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 300_000.0, 2_800_000.0, 0.0), True),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32640), True),
)
"""Half a metre a pixel, in UTM zone 40 north."""


@dataclass(frozen=True)
class Passed:
    """One way of the picture, in seconds: of the clock, and of the processors.

    Attributes:
        cpu: of the network alone, or of the predictor.
        transformer_cpu: beside it.
    """

    seconds: float
    cpu: float
    transformer_cpu: float = 0.0


def picture(side: int) -> NDArray[np.uint8]:
    """``(side, side, 3)``: patches of colours with soft borders, and some noise."""
    random = np.random.default_rng(0)
    patches = random.integers(40, 216, (max(2, side // 80), max(2, side // 80), 3), np.uint8)
    smooth = Image.fromarray(patches).resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.array(smooth)
    for rows in np.array_split(pixels, max(1, side // 256)):
        rows ^= random.integers(0, 16, rows.shape, np.uint8)
    return pixels


def geotiff(pixels: NDArray[np.uint8], compression: str | None) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        photometric="rgb",
        rowsperstrip=16,
        compression=compression,
        extratags=GEO_TAGS,
    )
    return buffer.getvalue()


def through_servers(service: LocalService, body: bytes) -> Passed:
    """The time from the first byte of the request to the last of the mask."""
    client = PredictClient(service.url, TIMEOUT_SECONDS)
    pids = [service.pid("predictor"), service.pid("transformer")]
    before = [cpu_seconds([pid]) for pid in pids]
    started = time.perf_counter()
    client.ask(MODEL, Question(body, "image/tiff", "application/x-npy"))
    seconds = time.perf_counter() - started
    used = [cpu_seconds([pid]) - start for pid, start in zip(pids, before, strict=True)]
    return Passed(seconds, *used)


def bare(loaded: LoadedRevision, tiles: list[torch.Tensor], cores: int) -> Passed:
    """The network over all tiles, ``cores`` of them at a time."""
    assert isinstance(loaded.session, TorchSession)
    program = loaded.session.program
    ready = [tile.to(program.input_dtype) for tile in tiles]

    def run(tile: torch.Tensor) -> None:
        with torch.inference_mode():
            program.network(tile)

    with ThreadPoolExecutor(cores) as pool:
        started, used = time.perf_counter(), time.process_time()
        list(pool.map(run, ready))
        return Passed(time.perf_counter() - started, time.process_time() - used)


def network_tiles(pixels: NDArray[np.uint8], spec: RasterInput, side: int) -> list[torch.Tensor]:
    """Normalised tiles ``(1, 3, side, side)`` of the reduced picture; those at its border less."""
    small = np.asarray(Image.fromarray(pixels).reduce(spec.reduction))
    height, width = (n // spec.multiple * spec.multiple for n in small.shape[:2])
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    found = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            part = small[top : min(height, top + side), left : min(width, left + side)]
            planes = ((part / np.float32(255) - mean) / std).transpose(2, 0, 1)[np.newaxis]
            tile = torch.from_numpy(np.ascontiguousarray(planes))
            found.append(tile.contiguous(memory_format=torch.channels_last))
    return found


def most_memory(pid: int) -> int:
    """The most bytes that a process has ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no high-water mark of process {pid}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_image", description=__doc__)
    parser.add_argument("--side", type=int, default=10_000, help="pixels of the picture's side")
    parser.add_argument("--compression", choices=("none", "zlib", "lzw"), default="none")
    parser.add_argument("--repeats", type=int, default=3, help="of both, in turn")
    parser.add_argument("--bare-tile", type=int, default=1024, help="side of its tiles, reduced")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="its revisions")
    options = parser.parse_args(arguments)
    cores = max(1, round(cpu_quota()))
    torch.set_num_threads(1)
    pixels = picture(options.side)
    megapixels = options.side**2 / 1e6
    body = geotiff(pixels, None if options.compression == "none" else options.compression)
    set_up = read_component("predictor", manifests()[MODEL]).environment
    served_in = usable_precision(set_up.get("VISION_PRECISION", "float32"))
    networks = {
        precision: load_revision(options.models, MODEL, REVISION, "torch", EngineOptions(precision))
        for precision in dict.fromkeys(("float32", served_in))
    }
    spec = networks[served_in].card.contract.input_as(RasterInput)
    tiles = network_tiles(pixels, spec, options.bare_tile)
    alone: dict[str, list[Passed]] = {precision: [] for precision in networks}
    allowed = pixels.nbytes + options.side**2 + ALLOWED_BYTES
    del pixels
    served: list[Passed] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalService(
            free_ports(), interpreters(), options.models, log_folder=Path(folder), service=MODEL
        ) as service,
    ):
        through_servers(service, geotiff(picture(512), None))
        idle = most_memory(service.pid("transformer"))
        for _ in range(options.repeats):
            for precision, loaded in networks.items():
                alone[precision].append(bare(loaded, tiles, cores))
            served.append(through_servers(service, body))
        peak = most_memory(service.pid("transformer"))
    print(
        f"{options.side} × {options.side} pixels, three bands, compression {options.compression}, "
        f"{len(body) / 1e6:.0f} MB; {cores} cores; seconds a megapixel, of the clock and of the "
        "processors"
    )
    both = _middle(served)
    print(
        f"  both servers, {served_in}: {both.seconds / megapixels:.4f}, predictor "
        f"{both.cpu / megapixels:.4f} + transformer {both.transformer_cpu / megapixels:.4f}"
    )
    ratios = {}
    for precision, passes in alone.items():
        network = _middle(passes)
        ratios[precision] = both.seconds / network.seconds
        print(
            f"  bare network, {precision}: {network.seconds / megapixels:.4f}, "
            f"{network.cpu / megapixels:.4f}; both servers take {ratios[precision]:.2f} "
            f"times as long, {(both.cpu + both.transformer_cpu) / network.cpu:.2f} times the "
            "processors"
        )
    print(
        f"  transformer's memory: {peak / 1e6:.0f} MB at most, of {allowed / 1e6:.0f} MB allowed; "
        f"{idle / 1e6:.0f} MB before"
    )
    return 0 if ratios["float32"] <= ALLOWED_RATIO and peak <= allowed else 1


def _middle(passes: list[Passed]) -> Passed:
    """The pass of the median time."""
    return sorted(passes, key=lambda found: found.seconds)[len(passes) // 2]


if __name__ == "__main__":
    sys.exit(main())
