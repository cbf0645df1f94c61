"""Hugging Face: ``preprocessor_config.json`` of the image processors of ``transformers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.importing.errors import ImportRefusedError

INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By Pillow's numbers, which the files have."""

WITHOUT_CROP_FROM = 384
"""ConvNeXT's processor crops smaller pictures only."""


def read_processor(processor: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that a processor's file describes.

    Raises:
        ImportRefusedError: it has a step that no contract can say.
    """
    found: dict[str, Any] = {"mode": "RGB", "mean": [0.0] * 3, "std": [1.0] * 3}
    if processor.get("do_normalize", True):
        found |= {"mean": processor["image_mean"], "std": processor["image_std"]}
    scale = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    if processor.get("rescale_offset") and scale:
        # Its offset is subtracted before mean and std are.
        found["mean"] = [value + 1.0 for value in found["mean"]]
    if abs(scale - 1 / 255) > 1e-9:
        found["scale"] = scale
    if processor.get("do_flip_channel_order"):
        found["channel_order"] = "BGR"
    return found | _frame(processor)


def _frame(processor: Mapping[str, Any]) -> dict[str, Any]:
    if not processor.get("do_resize", True) or "size" not in processor:
        raise ImportRefusedError(
            "preprocessor_config.json does not resize: say the network's size with --size"
        )
    size = processor["size"]
    frame: dict[str, Any] = {"kind": "resize", "crop_rounding": "down"}
    number = processor.get("resample", 2)
    frame["interpolation"] = INTERPOLATIONS[number] if isinstance(number, int) else str(number)
    crop = _pair(processor["crop_size"]) if processor.get("do_center_crop") else None
    if isinstance(size, int):
        frame["resize"] = {"exact": [size, size]} if crop is None else {"short_side": size}
    elif "shortest_edge" in size:
        short = size["shortest_edge"]
        if (share := processor.get("crop_pct")) and crop is None:
            if short < WITHOUT_CROP_FROM:
                frame["resize"] = {"short_side": int(short / share)}
                crop = [short, short]
            else:
                frame["resize"] = {"exact": [short, short]}
        else:
            frame["resize"] = {"short_side": short}
    elif "height" in size and "width" in size:
        frame["resize"] = {"exact": [size["height"], size["width"]]}
    else:
        raise ImportRefusedError(
            f"preprocessor_config.json: size {dict(size)} is none of shortest_edge, or height and "
            "width; say it with --recipe FILE"
        )
    if crop is not None:
        frame["crop"] = crop
    ends_at = crop or frame["resize"].get("exact")
    if ends_at is None:
        raise ImportRefusedError(
            "preprocessor_config.json makes pictures of any length (shortest_edge without a crop); "
            "a network here has one size: say it with --size"
        )
    return {"height": ends_at[0], "width": ends_at[1], "frame": frame}


def _pair(size: Any) -> list[int]:
    if isinstance(size, int):
        return [size, size]
    if "shortest_edge" in size:
        return [size["shortest_edge"]] * 2
    return [size["height"], size["width"]]
