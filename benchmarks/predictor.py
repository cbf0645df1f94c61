"""The predictor alone: ``python -m benchmarks.predictor --beside CHECKOUT``.

Each variant is started several times (start to the first right answer, processor time of that, idle
memory), then all of them run at once and are asked by turns: one request at a time over a
connection that stays open, v2 with binary tensors. What is least exposed to other work on the
machine is the processor time per request, read from ``/proc``.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from benchmarks.processes import cpu_seconds, memory
from common.ports import free_row
from common.processes import ROOT
from local.manifest import read_component

MODEL = "mnist"
SIZES = (1, 8, 32)
REQUESTS = {1: 200, 8: 60, 32: 30}
"""Of a turn, by instances per request."""
START_SECONDS = 120.0


@dataclass
class Variant:
    """A predictor of some checkout with some settings, and what was measured of it.

    Attributes:
        ready_seconds, ready_cpu_seconds: from exec to the first answer, by start.
        latency_ms, cpu_ms: medians and means of turns, by instances per request.
    """

    name: str
    checkout: Path
    settings: dict[str, str]
    ready_seconds: list[float] = field(default_factory=list)
    ready_cpu_seconds: list[float] = field(default_factory=list)
    idle_mb: list[float] = field(default_factory=list)
    latency_ms: dict[int, list[float]] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)


class Running:
    """One started predictor of a variant."""

    def __init__(self, variant: Variant, interpreter: Path) -> None:
        self.variant = variant
        self._port, grpc_port = free_row(2)
        command = [str(interpreter), "-m", "predictor", f"--model={MODEL}=1"]
        command += [f"--http_port={self._port}", f"--grpc_port={grpc_port}", "--workers=1"]
        environment = {
            **os.environ,
            **read_component("predictor").environment,
            **{f"{prefix}MODEL_ROOT": str(variant.checkout / "models") for prefix in PREFIXES},
            **{f"{prefix}HOST": "127.0.0.1" for prefix in PREFIXES},
            **{f"{prefix}{key}": v for key, v in variant.settings.items() for prefix in PREFIXES},
        }
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            cwd=variant.checkout,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._await_answer(started)
        variant.ready_seconds.append(time.perf_counter() - started)
        variant.ready_cpu_seconds.append(cpu_seconds([self.process.pid]))

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self.process.terminate()
        self.process.wait()

    def ask(self, instances: int) -> None:
        """One request, which must be answered."""
        headers, body = BODIES[instances]
        self._connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise OSError(f"{self.variant.name}: {response.status}: {answer[:200]!r}")

    def turn(self, instances: int) -> None:
        """Ask one request after the other, and note the median latency and the mean CPU time."""
        used, times = cpu_seconds([self.process.pid]), []
        for _ in range(REQUESTS[instances]):
            started = time.perf_counter()
            self.ask(instances)
            times.append((time.perf_counter() - started) * 1e3)
        used = cpu_seconds([self.process.pid]) - used
        variant = self.variant
        variant.latency_ms.setdefault(instances, []).append(statistics.median(times))
        variant.cpu_ms.setdefault(instances, []).append(used / REQUESTS[instances] * 1e3)

    def _await_answer(self, started: float) -> None:
        while True:
            try:
                return self.ask(1)
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if self.process.poll() is not None or (
                    time.perf_counter() - started > START_SECONDS
                ):
                    raise
                time.sleep(0.005)


PREFIXES = ("", "VISION_")
"""Of settings: commits before the prefix came take them without."""


def _request(instances: int) -> tuple[dict[str, str], bytes]:
    batch = np.random.default_rng(instances).normal(size=(instances, 1, 28, 28))
    data = batch.astype(np.float32).tobytes()
    tensor = {"name": "image", "datatype": "FP32", "shape": batch.shape}
    head = orjson.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
        }
    )
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }
    return headers, head + data


BODIES = {size: _request(size) for size in SIZES}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictor", description=__doc__)
    parser.add_argument("--beside", type=Path, help="another checkout of this repository")
    parser.add_argument("--starts", type=int, default=5, help="of each variant")
    parser.add_argument("--rounds", type=int, default=9, help="of turns")
    parser.add_argument(
        "--interpreter", type=Path, default=ROOT / ".venv" / "predictor" / "bin" / "python"
    )
    options = parser.parse_args(arguments)
    variants = [
        Variant("this, auto", ROOT, {}),
        Variant("this, torch", ROOT, {"ENGINE": "torch"}),
        Variant("this, bfloat16", ROOT, {"PRECISION": "bfloat16"}),
    ]
    if options.beside:
        folder = options.beside.resolve()
        variants.insert(0, Variant(f"{folder.name}, float32", folder, {}))
        variants.append(Variant(f"{folder.name}, bfloat16", folder, {"PRECISION": "bfloat16"}))
    measure(variants, options.interpreter, options.starts, options.rounds)
    print(table(variants))
    return 0


def measure(variants: list[Variant], interpreter: Path, starts: int, rounds: int) -> None:
    """Starts by turns, then requests by turns, in the other direction every other round."""
    for _ in range(starts):
        for variant in variants:
            with Running(variant, interpreter) as running:
                time.sleep(0.5)
                variant.idle_mb.append(memory([running.process.pid]).resident / 1e6)
    with ExitStack() as stack:
        servers = [stack.enter_context(Running(v, interpreter)) for v in variants]
        for number in range(rounds):
            for size in SIZES:
                for server in servers if number % 2 == 0 else reversed(servers):
                    server.turn(size)


def table(variants: list[Variant]) -> str:
    """Markdown: medians, a row per variant."""
    head = ["variant", "ready s", "CPU s", "idle MB"]
    head += [f"{size}: ms" for size in SIZES] + [f"{size}: CPU ms" for size in SIZES]
    rows = [head, ["---"] * len(head)]
    for v in variants:
        figures = [statistics.median(v.ready_seconds), statistics.median(v.ready_cpu_seconds)]
        cells = [f"{figure:.2f}" for figure in figures] + [f"{statistics.median(v.idle_mb):.0f}"]
        for found in (v.latency_ms, v.cpu_ms):
            cells += [f"{statistics.median(found[size]):.3f}" for size in SIZES]
        rows.append([v.name, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
