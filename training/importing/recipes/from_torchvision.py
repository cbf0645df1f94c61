"""torchvision: the presets that ``weights.transforms()`` gives."""

from __future__ import annotations

from typing import Any


def read_transforms(preset: Any) -> dict[str, Any]:
    """Of a preset for classification; of one for segmentation what it says; {} of others."""
    if not hasattr(preset, "resize_size"):
        return {}
    short = preset.resize_size[0]
    frame: dict[str, Any] = {
        "kind": "resize",
        "resize": {"short_side": short},
        "interpolation": preset.interpolation.value,
    }
    if getattr(preset, "antialias", True) is False:
        frame["antialias"] = False
    found: dict[str, Any] = {"mode": "RGB", "mean": list(preset.mean), "std": list(preset.std)}
    if hasattr(preset, "crop_size"):
        crop = preset.crop_size[0]
        return found | {"height": crop, "width": crop, "frame": {**frame, "crop": [crop, crop]}}
    # A mask is of the whole picture, so nothing is cropped: the network's size is made exact.
    frame["resize"] = {"exact": [short, short]}
    return found | {"height": short, "width": short, "frame": frame}
