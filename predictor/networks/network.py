"""What every network says of itself, so that nobody has to ask for its class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A network that a model card can name.

    Attributes:
        multiple: what the sides of its input must be multiples of.
        patch: side of the patches of pixels that it works on; see ``coarse``.
    """

    multiple: int = 1
    patch: int = 1

    def coarse(self, patches: Tensor) -> Tensor:
        """Logits for each patch: ``(n, channels * patch * patch, h, w)`` to ``(n, classes, h, w)``.

        For callers that have a faster way from pixels to patches and back than ``forward``.
        """
        logits: Tensor = self(patches)
        return logits

    def reduce_precision(self, dtype: torch.dtype) -> torch.dtype:
        """Have weights and activations in ``dtype`` as far as that pays, in place.

        Returns:
            The element type of the input from now on.
        """
        self.to(dtype)
        return dtype
