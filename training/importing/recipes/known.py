"""Recipes that many published networks were trained with, by name.

The network's size is the caller's; these are what pictures are tried with where nobody says.
"""

from __future__ import annotations

from typing import Any

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALVES = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
UNCHANGED = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
CLIP = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
}
EFFICIENTNET_LITE = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3}
CAFFE = {
    "mean": [103.939, 116.779, 123.68],
    "std": [1.0, 1.0, 1.0],
    "scale": 1.0,
    "channel_order": "BGR",
}

KNOWN: dict[str, tuple[dict[str, Any], str, str]] = {
    "imagenet": (IMAGENET, "crop", "bilinear"),
    "imagenet-bicubic": (IMAGENET, "crop", "bicubic"),
    "imagenet-squashed": (IMAGENET, "squash", "bilinear"),
    "halves": (HALVES, "crop", "bilinear"),
    "halves-bicubic": (HALVES, "crop", "bicubic"),
    "halves-squashed": (HALVES, "squash", "bilinear"),
    "efficientnet-lite": (EFFICIENTNET_LITE, "crop", "bicubic"),
    "clip": (CLIP, "crop", "bicubic"),
    "zero-to-one": (UNCHANGED, "crop", "bilinear"),
    "zero-to-one-squashed": (UNCHANGED, "squash", "bilinear"),
    "bytes": ({**UNCHANGED, "scale": 1.0}, "crop", "bilinear"),
    "caffe": (CAFFE, "crop", "bilinear"),
    "caffe-squashed": (CAFFE, "squash", "bilinear"),
}
"""Numbers, what is done to the aspect, and the interpolation."""

SHARE = 0.875
"""Of the shorter side that is left by a crop: 224 of 256."""


def known_recipe(name: str, height: int, width: int) -> dict[str, Any]:
    """Fields of ``contract.input`` for a colour network of that size."""
    numbers, aspect, interpolation = KNOWN[name]
    frame: dict[str, Any] = {"kind": "resize", "interpolation": interpolation}
    if aspect == "squash":
        frame["resize"] = {"exact": [height, width]}
    else:
        before = round(min(height, width) / SHARE)
        frame |= {"resize": {"short_side": before}, "crop": [height, width]}
        if height != width:
            frame["resize"] = {"cover": [round(height / SHARE), round(width / SHARE)]}
    return {"mode": "RGB", "height": height, "width": width, "frame": frame, **numbers}
