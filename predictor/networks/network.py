"""What every network says of itself, so that nobody has to ask for its class."""

from __future__ import annotations

import torch
from torch import nn


class Network(nn.Module):
    """A network that a model card can name.

    Attributes:
        multiple: what the sides of its input must be multiples of.
    """

    multiple: int = 1

    def reduce_precision(self, dtype: torch.dtype) -> torch.dtype:
        """Have weights and activations in ``dtype`` as far as that pays, in place.

        Returns:
            The element type of the input from now on.
        """
        self.to(dtype)
        return dtype
