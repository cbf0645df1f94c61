"""LitServe with its batching.

Annotations are not deferred here: LitServe reads that of ``decode_request`` to find the body.
"""

import os
from typing import Any

import litserve
import torch
from torch import Tensor

from benchmarks.peers.network import load_network, predictions
from benchmarks.peers.variables import BATCH_VARIABLE, PORT_VARIABLE, WORKERS_VARIABLE

BATCH_SECONDS = 0.002


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """One image a request; LitServe makes the batches."""

    def setup(self, device: str) -> None:
        self.network = load_network()

    def decode_request(self, request: dict[str, Any]) -> Tensor:
        return self.network.decode(request["instances"][0]["base64"])

    def batch(self, inputs: list[Tensor]) -> Tensor:
        return torch.stack(list(inputs))

    def predict(self, batch: Tensor) -> list[dict[str, Any]]:
        return predictions(self.network.probabilities(batch))

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return {"predictions": [output]}


if __name__ == "__main__":
    api = Classifier(max_batch_size=int(os.environ[BATCH_VARIABLE]), batch_timeout=BATCH_SECONDS)
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=int(os.environ[WORKERS_VARIABLE]),
        timeout=60,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ[PORT_VARIABLE]),
        log_level="warning",
        generate_client_file=False,
    )
