"""Networks by the name that a model card's ``architecture`` gives."""

from __future__ import annotations

import torch

from artifact import Architecture, CardError
from predictor.networks.network import Network
from predictor.registry import NETWORKS, registered

__all__ = ["Network", "build_network"]

BUILT_IN = {
    "residual-cnn": "predictor.networks.residual_cnn:ResidualCNN",
    "two-convolutions": "predictor.networks.two_convolutions:TwoConvolutions",
    "u-net": "predictor.networks.unet:UNet",
}


def build_network(architecture: Architecture) -> Network:
    """An untrained network, its weights in channels-last order (the fastest one on CPUs).

    Raises:
        CardError: the architecture is not registered, or its arguments do not fit it.
    """
    known = registered(NETWORKS, BUILT_IN)
    if architecture.name not in known:
        names = ", ".join(sorted(known))
        raise CardError("architecture.name", f"{architecture.name!r} not found; known: {names}")
    try:
        network: Network = known[architecture.name].load()(**architecture.arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CardError("architecture.arguments", str(error)) from None
    # torch's stubs know no `to` with a memory format.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
