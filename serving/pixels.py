"""Pictures between the two servers: pixels as bytes, and the contract's tensor made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifact import ImageInput, TensorInput
from artifact.contract import BYTE

PIXELS = "UINT8"
"""The v2 protocol's datatype of an input that is not normalised yet: a quarter of the tensor."""

DATATYPES = "input_datatypes"
"""v2 answer parameter: the datatypes that the predictor takes of the input, by comma. One that
does not say so takes the contract's alone."""


def datatypes(spec: TensorInput) -> tuple[str, ...]:
    """Of an input's tensor, the contract's own first."""
    return (spec.dtype, PIXELS) if isinstance(spec, ImageInput) else (spec.dtype,)


def as_tensor(batch: NDArray[Any], spec: TensorInput) -> NDArray[Any]:
    """The contract's tensor of a batch that came in any of its ``datatypes``."""
    if isinstance(spec, ImageInput) and batch.dtype == np.uint8:
        return normalised(batch, spec)
    return batch


def normalised(pixels: NDArray[np.uint8], spec: ImageInput) -> NDArray[np.float32]:
    """``(…, *spec.shape)`` bytes, channels in the contract's order, to its tensor in float32.

    The order of operations is torchvision's (divide by 255, subtract, divide, all in float32),
    which is what makes the result the same to the last bit.
    """
    channels = (-1, 1, 1) if spec.layout == "NCHW" else (-1,)
    tensor = pixels.astype(np.float32)
    if spec.scale == BYTE:
        tensor /= np.float32(255)
    else:
        tensor *= np.float32(spec.scale)
    tensor -= np.asarray(spec.mean, np.float32).reshape(channels)
    tensor /= np.asarray(spec.std, np.float32).reshape(channels)
    return tensor
