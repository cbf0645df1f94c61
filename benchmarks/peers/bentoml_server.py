"""BentoML with its adaptive batching."""

from __future__ import annotations

import os
from typing import Any

import bentoml
import torch

from benchmarks.peers.network import load_network, predictions
from benchmarks.peers.variables import BATCH_VARIABLE, WORKERS_VARIABLE

MAX_BATCH = int(os.environ[BATCH_VARIABLE])
WORKERS = int(os.environ[WORKERS_VARIABLE])
MAX_LATENCY_MS = 1000


@bentoml.service(workers=WORKERS, traffic={"timeout": 60, "max_concurrency": 4096})
class Classifier:
    """BentoML joins the lists of several requests, and splits the answers again."""

    def __init__(self) -> None:
        self.network = load_network()

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=MAX_LATENCY_MS
    )
    def predict(self, instances: list[dict[str, str]]) -> list[dict[str, Any]]:
        batch = torch.stack([self.network.decode(item["base64"]) for item in instances])
        return predictions(self.network.probabilities(batch))
