"""Networks by the name that a model card's ``architecture`` gives."""

from __future__ import annotations

import torch
from torch import nn

from artifact import Architecture, CardError
from predictor.networks.layers import Forward
from predictor.networks.residual_cnn import ResidualCNN
from predictor.networks.two_convolutions import TwoConvolutions
from predictor.networks.unet import UNet

__all__ = ["Forward", "build_network"]

NETWORKS: dict[str, type[nn.Module]] = {
    "residual-cnn": ResidualCNN,
    "two-convolutions": TwoConvolutions,
    "u-net": UNet,
}


def build_network(architecture: Architecture) -> nn.Module:
    """An untrained network, its weights in channels-last order (the fastest one on CPUs).

    Raises:
        CardError: the architecture is not registered, or its arguments do not fit it.
    """
    if architecture.name not in NETWORKS:
        known = ", ".join(sorted(NETWORKS))
        raise CardError("architecture.name", f"{architecture.name!r} is none of {known}")
    try:
        network = NETWORKS[architecture.name](**architecture.arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CardError("architecture.arguments", str(error)) from None
    # torch's stubs know no `to` with a memory format.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
