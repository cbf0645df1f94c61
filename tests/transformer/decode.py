"""Encoded images as the transformer reads them."""

from __future__ import annotations

from PIL import Image

from transformer.image import ImageLimits, load_image, open_image


def decode_image(data: bytes, limits: ImageLimits, instance: int | None = None) -> Image.Image:
    """At full size."""
    return load_image(open_image(data, limits, instance), instance)
