"""A TorchServe handler; TorchServe makes the batches."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.peers.network import Network, load_network, predictions

network: Network | None = None


def handle(requests: list[dict[str, Any]] | None, _: Any) -> list[dict[str, Any]] | None:
    """One answer a request, each with one image."""
    global network  # noqa: PLW0603  TorchServe calls a module's function, first with nothing.
    if network is None:
        network = load_network()
    if requests is None:
        return None
    texts = [request["body"]["instances"][0]["base64"] for request in requests]
    batch = torch.stack([network.decode(text) for text in texts])
    return [{"predictions": [item]} for item in predictions(network.probabilities(batch))]
