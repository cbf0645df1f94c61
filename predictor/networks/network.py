"""What every network says of itself, so that nobody has to ask for its class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A network that a model card can name.

    Attributes:
        multiple: what the sides of its input must be multiples of.
    """

    multiple: int = 1

    def with_familiarity(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as ``forward``'s, and ``(n,)`` logits of how like the training data each is.

        Of networks that were taught what is not of their kind.
        """
        raise NotImplementedError(f"{type(self).__name__} does not tell the familiar from the rest")

    def reduce_precision(self, dtype: torch.dtype) -> torch.dtype:
        """Have weights and activations in ``dtype`` as far as that pays, in place.

        Returns:
            The element type of the input from now on.
        """
        self.to(dtype)
        return dtype
